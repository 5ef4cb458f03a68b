//! The guardian: a small shell that outlives this process by a moment, to kill its children.
//!
//! A value that is dropped kills its child; a process that is killed itself drops nothing. So each
//! child is announced to a shell whose standard input only this process holds: when that ends,
//! however it ends, the shell kills every process group that was not taken back.
//!
//! What it is not for: the order of a normal end, and files.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Lines come in: `guard PID`, `release PID`, `pidfile PATH` (of a nats-server that a killed
/// `omnihub up` leaves behind). At the end everything guarded is killed.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
set -f
guarded=' '
files=
while read -r verb what; do
    case $verb in
    guard) guarded="$guarded$what " ;;
    release) case $guarded in *" $what "*) guarded="${guarded%% $what *} ${guarded#* $what }" ;; esac ;;
    pidfile) files="$files$what
" ;;
    esac
done
for pid in $guarded; do kill -KILL "-$pid"; done
printf '%s' "$files" | while read -r file; do
    pid=$(cat "$file") || continue
    case $(ps -ww -o args= -p "$pid") in *nats-server*) kill -KILL "$pid" ;; esac
done
"#;

/// Puts a child that leads a process group under guard.
pub(crate) fn guard(pid: u32) -> io::Result<()> {
    tell(&format!("guard {pid}\n"))
}

/// Puts the nats-server that a pid file names under guard.
pub(crate) fn guard_pid_file(file: &Path) -> io::Result<()> {
    tell(&format!("pidfile {}\n", file.display()))
}

/// Takes a child back that has ended: its number may be another process's soon.
pub(crate) fn release(pid: u32) {
    // A guardian that is gone guards nothing.
    let _ = tell(&format!("release {pid}\n"));
}

fn tell(line: &str) -> io::Result<()> {
    static GUARDIAN: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();
    let guardian = GUARDIAN.get_or_init(Mutex::default);
    let mut ear = guardian.lock().unwrap_or_else(PoisonError::into_inner);
    if ear.is_none() {
        *ear = Some(start()?);
    }
    ear.as_mut().map_or(Ok(()), |ear| ear.write_all(line.as_bytes()))
}

fn start() -> io::Result<ChildStdin> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, so that it survives what ends ours.
    let mut child = shell.process_group(0).spawn()?;
    child.stdin.take().ok_or_else(|| io::Error::other("the guardian has no standard input"))
}
