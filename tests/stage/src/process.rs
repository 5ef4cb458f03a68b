//! Child processes, their signals, and free ports.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::guardian;

/// Where servers listen: below the range from which Linux takes the ports of outgoing connections,
/// so that a server that is away for a while finds its port free when it comes back.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A child in a process group of its own: killed (SIGKILL) with its group and reaped on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When the program cannot be started; the error names it.
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        let child = child.with_context(|| format!("{} cannot be started", program.display()))?;
        let process = Self { child, ended: None };
        guardian::guard(process.id()).context("a child cannot be put under guard")?;
        Ok(process)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Its exit code; `None` while it runs and when a signal ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.status()?.code()
    }

    /// The signal that ended it.
    pub fn ended_by(&mut self) -> Option<i32> {
        self.status()?.signal()
    }

    fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.reaped(status);
        }
        self.ended
    }

    fn reaped(&mut self, status: ExitStatus) {
        guardian::release(self.id());
        self.ended = Some(status);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: it stands still, as a machine that swaps or is paused.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // While it is not reaped its number is nobody else's.
        if self.ended.is_none()
            && let Some(pid) = raw(self.id())
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL to its group, and waits for its end. One that has ended already is left alone.
    pub fn kill(&mut self) {
        if !self.is_running() {
            return;
        }
        if let Some(pid) = raw(self.id()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if let Ok(status) = self.child.wait() {
            self.reaped(status);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// SIGKILL to one process that is no child of ours.
pub(crate) fn kill_stranger(pid: u32) {
    if let Some(pid) = raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The command line of a process; empty when there is none.
#[must_use]
pub fn command_line(pid: u32) -> String {
    ps(&["-ww", "-o", "args="], pid)
}

/// Whether a process lives; one that has ended and waits to be reaped does not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let state = ps(&["-o", "stat="], pid);
    !state.is_empty() && !state.starts_with('Z')
}

fn ps(format: &[&str], pid: u32) -> String {
    let listed = Command::new("ps").args(format).args(["-p", &pid.to_string()]).output();
    listed.map(|listed| String::from_utf8_lossy(&listed.stdout).trim().to_owned()).unwrap_or_default()
}

/// A loopback port that was free a moment ago.
///
/// # Errors
/// When none is found.
pub fn free_port() -> io::Result<u16> {
    for _ in 0..200 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port on the loopback"))
}
