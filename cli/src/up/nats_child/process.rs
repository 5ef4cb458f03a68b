//! The operating system's process behind the child: spawned by us, or adopted.

use std::{io, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};

use super::site::Site;

/// How long nats-server gets to close its store after SIGTERM, before it is killed; it takes
/// some milliseconds. With every write synced, a kill loses nothing either.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How often an adopted process is looked at: it is nobody's child, so no signal tells its end.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// A nats-server that we are responsible for.
#[derive(Debug)]
pub(super) enum Process {
    /// Started by us.
    Spawned(Child),
    /// Started by an earlier `omnihub up` that was killed.
    Adopted(Pid),
}

impl Process {
    /// Starts nats-server with the configuration of the site.
    pub(super) fn spawn(binary: &Path, site: &Site) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command.arg("-c").arg(site.conf());
        // Not our environment: it holds keys that are none of its business.
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "GOMAXPROCS", "GOMEMLIMIT"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(site.stderr_file()?);
        // A group of its own: Ctrl-C is for the hub, which stops it last.
        command.process_group(0).kill_on_drop(true);
        let process = Self::Spawned(command.spawn()?);
        if let Some(pid) = process.pid() {
            site.note_pid(pid.as_raw_nonzero().get())?;
        }
        Ok(process)
    }

    /// Waits for its end, and says how it came.
    pub(super) async fn ended(&mut self, site: &Site) -> String {
        match self {
            Self::Spawned(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => format!("it cannot be waited for: {error}"),
            },
            Self::Adopted(pid) => {
                while is_running(*pid, site) {
                    tokio::time::sleep(WATCH_EVERY).await;
                }
                "it was not our child, so how is unknown".to_owned()
            }
        }
    }

    /// Stops it: asks, waits, and kills it if it does not listen.
    pub(super) async fn stop(mut self, site: &Site) {
        for signal in [Signal::TERM, Signal::KILL] {
            self.send(signal, site).await;
            if tokio::time::timeout(STOP_PATIENCE, self.ended(site)).await.is_ok() {
                return;
            }
            tracing::warn!(signal.number = signal.as_raw(), "nats-server does not end");
        }
    }

    fn pid(&self) -> Option<Pid> {
        match self {
            // None once it has ended and was waited for: the number may be another's by now.
            Self::Spawned(child) => child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)),
            Self::Adopted(pid) => Some(*pid),
        }
    }

    async fn send(&self, signal: Signal, site: &Site) {
        let Some(pid) = self.pid() else { return };
        // The number of an adopted process may have gone to another one since the last look.
        if matches!(self, Self::Adopted(_)) && !is_ours(pid, site).await {
            return;
        }
        if let Err(error) = kill_process(pid, signal) {
            tracing::debug!(error.message = %error, "the signal found nobody");
        }
    }
}

/// Whether the process is a nats-server with this site's configuration.
pub(super) async fn is_ours(pid: Pid, site: &Site) -> bool {
    let number = pid.as_raw_nonzero().get().to_string();
    let line = match proc_command_line(pid) {
        Some(line) => line,
        None => {
            let run = Command::new("ps").args(["-ww", "-o", "command=", "-p", &number]).stdin(Stdio::null()).output();
            run.await.map(|output| output.stdout).unwrap_or_default()
        }
    };
    names_site(&line, site)
}

/// The cheap look between two careful ones.
fn is_running(pid: Pid, site: &Site) -> bool {
    match proc_command_line(pid) {
        // Empty for one that has ended and waits to be reaped.
        Some(line) => names_site(&line, site),
        None => test_kill_process(pid).is_ok(),
    }
}

/// The command line from `/proc`; `None` where there is no `/proc` (macOS).
fn proc_command_line(pid: Pid) -> Option<Vec<u8>> {
    if !Path::new("/proc/self/cmdline").exists() {
        return None;
    }
    Some(std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default())
}

fn names_site(command_line: &[u8], site: &Site) -> bool {
    let conf = site.conf();
    let wanted = conf.as_os_str().as_encoded_bytes();
    command_line.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use omnihub_common::config::DataFolder;

    use super::*;

    #[tokio::test]
    async fn a_foreign_process_is_neither_ours_nor_killed() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::open(&DataFolder(folder.path().to_owned())).unwrap();
        let mut foreign = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(foreign.id().unwrap()).unwrap()).unwrap();
        assert!(!is_ours(pid, &site).await);
        Process::Adopted(pid).stop(&site).await;
        assert!(foreign.try_wait().unwrap().is_none());
    }

    #[test]
    fn the_command_line_must_name_the_very_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::open(&DataFolder(folder.path().to_owned())).unwrap();
        let line = format!("nats-server\0-c\0{}\0", site.conf().display());
        assert!(names_site(line.as_bytes(), &site));
        assert!(!names_site(b"nats-server\0-c\0/etc/nats.conf\0", &site));
        assert!(!names_site(b"", &site));
    }
}
