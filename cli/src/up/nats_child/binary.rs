//! Finding a nats-server that is new enough.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use omnihub_common::config::{DataFolder, Settings};
use tokio::process::Command;

use super::NatsChildError;

/// The setting that names the binary.
const NAME: &str = "OMNIHUB_NATS_SERVER";

/// The oldest nats-server that keeps what we rely on (nats-server#8491 is mended in it).
pub(super) const OLDEST: Version = Version { number: (2, 15, 1), is_release: true };

/// How long `nats-server -v` may take; it takes 20 ms on a quiet machine.
const VERSION_PATIENCE: Duration = Duration::from_secs(5);

/// A version of nats-server; a pre-release comes before the release of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    number: (u32, u32, u32),
    is_release: bool,
}

impl Version {
    /// Reads `2.15.1`, `v2.15.1` or `2.16.0-RC.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let (number, pre_release) = text.split_once('-').map_or((text, None), |(number, pre)| (number, Some(pre)));
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let number = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { number, is_release: pre_release.is_none() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.number;
        write!(f, "{major}.{minor}.{patch}{}", if self.is_release { "" } else { " (pre-release)" })
    }
}

/// Finds the binary: `OMNIHUB_NATS_SERVER` alone when it is set, else the first new enough one of
/// `PATH`, the data folder's `bin` and `data/bin` of the working folder.
pub(super) async fn find(settings: &dyn Settings, data: &DataFolder) -> Result<PathBuf, NatsChildError> {
    let candidates = candidates(settings, data);
    let mut too_old = None;
    for path in candidates {
        match version(&path).await {
            Some(version) if version >= OLDEST => {
                tracing::debug!(nats.path = %path.display(), nats.version = %version, "nats-server found");
                return Ok(path);
            }
            Some(version) => too_old = too_old.or(Some((path, version))),
            None => {}
        }
    }
    Err(match (too_old, settings.get(NAME)) {
        (Some((path, version)), _) => NatsChildError::TooOld { path, version: version.to_string() },
        (None, Some(_)) => NatsChildError::NotUsable,
        (None, None) => NatsChildError::NotFound,
    })
}

fn candidates(settings: &dyn Settings, data: &DataFolder) -> Vec<PathBuf> {
    if let Some(path) = settings.get(NAME) {
        return vec![PathBuf::from(path.trim())];
    }
    let path = settings.get("PATH").unwrap_or_default();
    let on_path =
        env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join("nats-server"));
    let ours = [data.join("bin/nats-server"), PathBuf::from("data/bin/nats-server")];
    on_path.chain(ours).filter(|path| path.is_file()).collect()
}

/// What `nats-server -v` says; `None` when it cannot be run or says something else.
async fn version(path: &Path) -> Option<Version> {
    let run = Command::new(path).arg("-v").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_PATIENCE, run).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Version::parse(text.rsplit(':').next()?)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn versions_are_ordered() {
        let [old, oldest, candidate, next] =
            ["v2.9.10", "v2.15.1\n", "2.15.1-RC.1", "2.16.0-dev"].map(|text| Version::parse(text).unwrap());
        assert!(old < candidate && candidate < OLDEST && OLDEST == oldest && OLDEST < next);
        assert_eq!(Version::parse("2.15"), None);
        assert_eq!(Version::parse("latest"), None);
    }

    fn fake(path: &Path, version: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\necho nats-server: v{version}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[tokio::test]
    async fn the_first_one_that_is_new_enough_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder(root.path().join("data"));
        let on_path = root.path().join("usr/nats-server");
        fake(&on_path, "2.9.10");
        let mut settings = HashMap::from([("PATH".to_owned(), root.path().join("usr").display().to_string())]);
        let error = find(&settings, &data).await.unwrap_err().to_string();
        assert!(error.contains("2.9.10") && error.contains("deploy/quickstart.sh"), "{error}");

        fake(&data.join("bin/nats-server"), "2.15.1");
        assert_eq!(find(&settings, &data).await.unwrap(), data.join("bin/nats-server"));

        settings.insert(NAME.to_owned(), on_path.display().to_string());
        assert!(matches!(find(&settings, &data).await, Err(NatsChildError::TooOld { .. })));
        settings.insert(NAME.to_owned(), root.path().join("none").display().to_string());
        assert!(matches!(find(&settings, &data).await, Err(NatsChildError::NotUsable)));
    }
}
