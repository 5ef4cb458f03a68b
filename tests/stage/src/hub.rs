//! The real `omnihub` as a child process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::process::{Process, command_line, free_port, kill_stranger};
use crate::wait::until_well;
use crate::{guardian, nats, until};

/// How long a hub may take until it is ready, migrations and NATS included.
const READY: Duration = Duration::from_secs(20);

/// How long a hub may take to stop, its running turns included.
const STOP: Duration = Duration::from_secs(45);

/// How much of the log an error shows.
const TAIL: usize = 60;

/// What a child inherits; every other setting comes from the caller.
const INHERITED: [&str; 5] = ["HOME", "PATH", "TMPDIR", "LLVM_PROFILE_FILE", "OMNIHUB_NATS_SERVER"];

/// A hub, or one role of it, in a folder of its own. Killed on drop, and with it the nats-server
/// child that `omnihub up` would leave behind.
#[derive(Debug)]
pub struct Hub {
    program: PathBuf,
    args: Vec<String>,
    env: HashMap<String, String>,
    folder: TempDir,
    port: u16,
    process: Process,
}

impl Hub {
    /// Starts `<program> <args>` with this environment and nothing else, in an empty folder.
    /// `API_PORT`, and for a worker `OMNIHUB_WORKER_PORT`, is a free port unless `env` says which.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(program: &Path, args: &[&str], env: &HashMap<String, String>) -> anyhow::Result<Self> {
        Self::spawn_with_files(program, args, env, &[])
    }

    /// The same with these files (name, content) in its folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_with_files(
        program: &Path,
        args: &[&str],
        env: &HashMap<String, String>,
        files: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("omnihub-hub-").tempdir().context("no temporary folder")?;
        for (name, content) in files {
            fs::write(folder.path().join(name), content).with_context(|| (*name).to_owned())?;
        }
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut env = env.clone();
        let is = |role: &str| args.first().is_some_and(|first| first == role);
        let setting = if is("worker") { "OMNIHUB_WORKER_PORT" } else { "API_PORT" };
        let port = match env.get(setting) {
            Some(port) => port.parse().with_context(|| format!("{setting} is no port"))?,
            None => free_port()?,
        };
        env.insert(setting.to_owned(), port.to_string());
        if (is("up") || is("demo"))
            && let Entry::Vacant(nats) = env.entry("OMNIHUB_NATS_SERVER".to_owned())
        {
            nats.insert(nats::find_binary()?.display().to_string());
        }
        if is("up") {
            guardian::guard_pid_file(&nats_pid_file(folder.path(), &env))?;
        }
        let process = launch(program, &args, &env, folder.path())?;
        Ok(Self { program: program.to_owned(), args, env, folder, port, process })
    }

    /// Starts it again, with the same arguments, environment, folder and port; what it wrote
    /// before stays in the log. One that still runs is killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.process = launch(&self.program, &self.args, &self.env, self.folder.path())?;
        Ok(())
    }

    /// Sets a variable for the next [`Hub::start_again`].
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// `http://127.0.0.1:<port>` of this role.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder it runs in; its data stands in `data` below, unless the environment says otherwise.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The words it was started with: `worker`, `migrate up`.
    #[must_use]
    pub fn command(&self) -> String {
        self.args.join(" ")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `/readyz` is 200.
    ///
    /// # Errors
    /// When it is not within 20 s or when the process ends; the message holds the log's tail.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.url());
        let ready = until_well(&mut self.process, &url, READY).await;
        let ready = ready.with_context(|| format!("omnihub {}; its log:\n{}", self.command(), self.tail()))?;
        anyhow::ensure!(ready, "omnihub {} ended before it was ready; its log:\n{}", self.command(), self.tail());
        Ok(())
    }

    /// Waits for the end of a command such as `migrate up`.
    ///
    /// # Errors
    /// When it does not end within `deadline`, or with another code than 0.
    pub async fn wait_success(&mut self, deadline: Duration) -> anyhow::Result<()> {
        let what = format!("omnihub {} ends", self.command());
        until(&what, deadline, async || !self.process.is_running()).await?;
        anyhow::ensure!(self.exit_code() == Some(0), "omnihub {} failed; its log:\n{}", self.command(), self.tail());
        Ok(())
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its exit code; `None` while it runs and when a signal ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.process.exit_code()
    }

    /// The signal that ended it; `None` while it runs and when it ended by itself.
    pub fn ended_by(&mut self) -> Option<i32> {
        self.process.ended_by()
    }

    /// SIGKILL: what a crash looks like. A nats-server child lives on, as it would.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: it stands still, its connections stay open.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it does not end within 45 s; the message names the arguments.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.terminate();
        let what = format!("omnihub {} ends after SIGTERM", self.command());
        until(&what, STOP, async || !self.process.is_running()).await
    }

    /// SIGTERM, without waiting for the end.
    pub fn ask_to_stop(&self) {
        self.process.terminate();
    }

    /// Everything it has written to stdout and stderr, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| fs::read(self.folder.path().join(name)).unwrap_or_default();
        let (out, err) = (read("stdout.log"), read("stderr.log"));
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
    }

    /// The last lines of [`Hub::log`].
    #[must_use]
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Kills the nats-server that stands in the data folder's pid file, if it is really ours.
    fn kill_nats_child(&self) {
        let Ok(written) = fs::read_to_string(nats_pid_file(self.folder.path(), &self.env)) else { return };
        let Ok(pid) = written.trim().parse() else { return };
        if command_line(pid).contains("nats-server") {
            kill_stranger(pid);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.process.kill();
        self.kill_nats_child();
    }
}

fn nats_pid_file(folder: &Path, env: &HashMap<String, String>) -> PathBuf {
    let data = env.get("OMNIHUB_DATA_DIR").map_or("data", String::as_str);
    // An absolute setting replaces the folder.
    folder.join(data).join("nats/nats.pid")
}

fn launch(program: &Path, args: &[String], env: &HashMap<String, String>, folder: &Path) -> anyhow::Result<Process> {
    let log = |name| File::options().create(true).append(true).open(folder.join(name)).context("a log file");
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env_clear();
    command.envs(INHERITED.iter().filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?))));
    command.envs(env).stdout(log("stdout.log")?).stderr(log("stderr.log")?);
    Process::spawn(&mut command)
}
