//! The child's place in the data folder: its configuration, token, pid and port.
//!
//! ```text
//! data/nats/nats.conf   written at each start      data/nats/token  made once
//! data/nats/nats.pid    while a child runs         data/nats/port   the port of that child
//! data/nats/store/      JetStream's files          data/nats/nats.log, nats.stderr
//! ```

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use omnihub_common::{
    config::{DataFolder, replace_private, write_private},
    secret::Secret,
};

/// The part of the disk that the store may take, in per cent of what is free and what it holds
/// already. The rest is for the database, and for a system that must stay alive to tell.
const DISK_SHARE: u64 = 80;

/// Below this the store is too small to be of use for long; it is said, not refused.
const SMALL_STORE: u64 = 1 << 30;

/// The paths of the child and its token.
#[derive(Debug)]
pub(super) struct Site {
    folder: PathBuf,
    /// Who has it may speak to the child.
    pub(super) token: Secret,
}

impl Site {
    /// Makes the folder and the token where they are missing.
    pub(super) fn open(data: &DataFolder) -> io::Result<Self> {
        let folder = data.join("nats");
        DirBuilder::new().recursive(true).mode(0o700).create(folder.join("store"))?;
        let path = folder.join("token");
        let token = match read_trimmed(&path) {
            Some(token) => token,
            None => {
                // Random, and in hex: as a number or behind a `$` it would mean something else.
                let token = hex::encode(rand::random::<[u8; 24]>());
                replace_private(&path, token.as_bytes())?;
                token
            }
        };
        Ok(Self { folder, token: Secret::new(token) })
    }

    /// The configuration's path; it stands in the child's command line and so tells it from any
    /// other process.
    pub(super) fn conf(&self) -> PathBuf {
        self.folder.join("nats.conf")
    }

    /// The log's path.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("nats.log")
    }

    /// What the child says before its log is open.
    pub(super) fn stderr(&self) -> PathBuf {
        self.folder.join("nats.stderr")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("nats.pid")
    }

    fn port_file(&self) -> PathBuf {
        self.folder.join("port")
    }

    /// The pid that the last child left.
    pub(super) fn pid(&self) -> Option<i32> {
        read_trimmed(&self.pid_file())?.parse().ok().filter(|pid| *pid > 1)
    }

    /// The port that the last child left.
    pub(super) fn port(&self) -> Option<u16> {
        read_trimmed(&self.port_file())?.parse().ok()
    }

    /// Notes the child's pid. nats-server writes the same number by itself; this closes the
    /// moment before it does.
    pub(super) fn note_pid(&self, pid: i32) -> io::Result<()> {
        replace_private(&self.pid_file(), pid.to_string().as_bytes())
    }

    /// Forgets the child; after its end.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(self.pid_file());
        let _ = fs::remove_file(self.port_file());
    }

    /// Writes everything that a child on this port needs.
    pub(super) fn prepare(&self, port: u16) -> io::Result<()> {
        let store = self.folder.join("store");
        let limit = store_limit(free_bytes(&store)?, size_of(&store)?);
        if limit < SMALL_STORE {
            tracing::warn!(
                disk.limit_bytes = limit,
                "little free disk: the queue fills early and then refuses messages"
            );
        }
        // Made here, because nats-server would let the group read it.
        if !self.log().exists() {
            write_private(&self.log(), b"")?;
        }
        replace_private(&self.port_file(), port.to_string().as_bytes())?;
        replace_private(&self.conf(), self.configuration(port, limit).as_bytes())
    }

    /// Opens the file for the child's standard error, empty.
    pub(super) fn stderr_file(&self) -> io::Result<fs::File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.stderr())
    }

    /// The last line the child said before its log was open; why it did not start.
    pub(super) fn last_words(&self) -> Option<String> {
        let text = fs::read_to_string(self.stderr()).ok()?;
        text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    }

    /// The child's configuration. Source: nats-server 2.15 configuration and JetStream options.
    fn configuration(&self, port: u16, limit: u64) -> String {
        let quoted = |path: PathBuf| quote(&path.display().to_string());
        format!(
            "# Written by `omnihub up` at each start; changes are lost.\n\
             server_name: omnihub\n\
             listen: \"127.0.0.1:{port}\"\n\
             pid_file: {pid}\n\
             log_file: {log}\n\
             logfile_size_limit: 10MB\n\
             logfile_max_num: 3\n\
             authorization {{ token: {token} }}\n\
             jetstream {{\n\
             \x20 store_dir: {store}\n\
             \x20 max_file_store: {limit}\n\
             \x20 max_memory_store: 268435456\n\
             \x20 # An acknowledged message survives a power cut.\n\
             \x20 sync_interval: always\n\
             }}\n",
            pid = quoted(self.pid_file()),
            log = quoted(self.log()),
            token = quote(self.token.expose()),
            store = quoted(self.folder.join("store")),
        )
    }
}

/// The URL of the child that runs on this data folder, with its token; none when no child does.
pub(super) fn running_url(data: &DataFolder) -> Option<Secret> {
    let folder = data.join("nats");
    let port: u16 = read_trimmed(&folder.join("port"))?.parse().ok()?;
    let token = Secret::new(read_trimmed(&folder.join("token"))?);
    Some(url(port, &token))
}

/// Where a child on this port is dialled.
pub(super) fn url(port: u16, token: &Secret) -> Secret {
    Secret::new(format!("nats://{}@127.0.0.1:{port}", token.expose()))
}

/// A port that is free now.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn read_trimmed(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn store_limit(free: u64, held: u64) -> u64 {
    (free.saturating_add(held) / 100).saturating_mul(DISK_SHARE)
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The bytes of all files below a folder.
fn size_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::open(&DataFolder(folder.path().to_owned())).unwrap();
        (folder, site)
    }

    #[test]
    fn the_token_is_made_once_and_stays_out_of_debug() {
        let (folder, site) = site();
        let again = Site::open(&DataFolder(folder.path().to_owned())).unwrap();
        assert_eq!(site.token, again.token);
        assert_eq!(site.token.expose().len(), 48);
        assert!(!format!("{site:?}").contains(site.token.expose()));
    }

    #[test]
    fn the_configuration_is_private_closed_and_synced() {
        let (_folder, site) = site();
        site.prepare(4223).unwrap();
        let text = fs::read_to_string(site.conf()).unwrap();
        for line in ["listen: \"127.0.0.1:4223\"", "sync_interval: always", "authorization { token: \""] {
            assert!(text.contains(line), "{text}");
        }
        for path in [site.conf(), site.log(), site.port_file()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(site.port(), Some(4223));
    }

    #[test]
    fn a_running_child_can_be_found_from_outside() {
        let (folder, site) = site();
        let data = DataFolder(folder.path().to_owned());
        assert!(running_url(&data).is_none());
        site.prepare(4223).unwrap();
        let url = format!("nats://{}@127.0.0.1:4223", site.token.expose());
        assert_eq!(running_url(&data).unwrap().expose(), url);
        site.forget();
        assert!(running_url(&data).is_none());
    }

    #[test]
    fn pid_and_port_are_noted_and_forgotten() {
        let (_folder, site) = site();
        assert_eq!((site.pid(), site.port()), (None, None));
        site.note_pid(77).unwrap();
        assert_eq!(site.pid(), Some(77));
        // A damaged file must never name init or a process group.
        for nonsense in ["", "0", "1", "-5", "x"] {
            fs::write(site.pid_file(), nonsense).unwrap();
            assert_eq!(site.pid(), None, "{nonsense}");
        }
        site.forget();
        assert!(!site.pid_file().exists());
    }

    #[test]
    fn what_the_store_holds_counts_as_free_for_it() {
        assert_eq!(store_limit(1_000, 0), 800);
        assert_eq!(store_limit(600, 400), 800);
        let (_folder, site) = site();
        fs::create_dir(site.folder.join("store/a")).unwrap();
        fs::write(site.folder.join("store/a/b"), [0; 10]).unwrap();
        fs::write(site.folder.join("store/c"), [0; 5]).unwrap();
        assert_eq!(size_of(&site.folder.join("store")).unwrap(), 15);
    }

    #[test]
    fn paths_are_quoted() {
        assert_eq!(quote(r#"/a "b"\c"#), r#""/a \"b\"\\c""#);
    }
}
