//! Child processes and free ports.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A child that is killed (SIGKILL) and reaped on drop.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts it.
    pub(super) fn spawn(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|problem| panic!("{} cannot be started: {problem}", program.display())))
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has not ended yet.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Its exit code; `None` while it runs and when a signal ended it.
    pub(super) fn exit_code(&mut self) -> Option<i32> {
        self.0.try_wait().ok().flatten()?.code()
    }

    /// SIGTERM.
    pub(super) fn terminate(&self) {
        signal("-TERM", self.id());
    }

    /// SIGKILL, and waits for its end. A process that has ended already is left alone.
    pub(super) fn kill(&mut self) {
        // Both fail only when it has ended and was reaped: that is what was wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal by the `kill` program: std knows only SIGKILL, and unsafe code is forbidden.
pub(super) fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
    sent.unwrap_or_else(|problem| panic!("the kill program cannot be started: {problem}"));
}

/// The command line of a process; empty when there is none.
pub(super) fn command_line(pid: u32) -> String {
    let listed = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
    listed.map(|listed| String::from_utf8_lossy(&listed.stdout).trim().to_owned()).unwrap_or_default()
}

/// Whether a process lives; one that has ended and waits to be reaped does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    let state = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).trim().to_owned()).unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}

/// A port that was free a moment ago on the loopback.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    listener.local_addr().expect("the port of a bound listener").port()
}
