//! The real `omnihub` as a child process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, command_line, free_port, signal};
use super::{nats, until};

/// How long a hub may take until it is ready, migrations and NATS included.
const READY: Duration = Duration::from_secs(20);

/// How long a hub may take to stop, its running turns included.
const STOP: Duration = Duration::from_secs(45);

/// How much of the log a failing test shows.
const TAIL: usize = 60;

/// What a child inherits; every other setting comes from the test.
const INHERITED: [&str; 5] = ["HOME", "PATH", "TMPDIR", "LLVM_PROFILE_FILE", "OMNIHUB_NATS_SERVER"];

/// A hub, or one role of it, in a folder of its own. Killed on drop, and with it the nats-server
/// child that `omnihub up` would leave behind.
#[derive(Debug)]
pub(crate) struct Hub {
    program: PathBuf,
    args: Vec<String>,
    env: HashMap<String, String>,
    folder: TempDir,
    port: u16,
    process: Process,
}

impl Hub {
    /// Starts `omnihub <args>` with this environment, in an empty folder. `API_PORT`, and for a
    /// worker `OMNIHUB_WORKER_PORT`, is a free port unless the test says which.
    pub(crate) fn spawn(args: &[&str], env: &HashMap<String, String>) -> Self {
        Self::spawn_program(Path::new(env!("CARGO_BIN_EXE_omnihub")), args, env)
    }

    /// The same with a `.env` file in its folder.
    pub(crate) fn spawn_with_dotenv(args: &[&str], env: &HashMap<String, String>, dotenv: &str) -> Self {
        let folder = new_folder();
        std::fs::write(folder.path().join(".env"), dotenv).expect("a .env file");
        Self::start(Path::new(env!("CARGO_BIN_EXE_omnihub")), args, env, folder)
    }

    /// The same with another program in the place of `omnihub`.
    pub(super) fn spawn_program(program: &Path, args: &[&str], env: &HashMap<String, String>) -> Self {
        Self::start(program, args, env, new_folder())
    }

    fn start(program: &Path, args: &[&str], env: &HashMap<String, String>, folder: TempDir) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut env = env.clone();
        let setting =
            if args.first().is_some_and(|role| role == "worker") { "OMNIHUB_WORKER_PORT" } else { "API_PORT" };
        let port = env.entry(setting.to_owned()).or_insert_with(|| free_port().to_string());
        let port = port.parse().unwrap_or_else(|_| panic!("{setting} is no port"));
        if let Entry::Vacant(nats) = env.entry("OMNIHUB_NATS_SERVER".to_owned())
            && args.first().is_some_and(|role| role == "up" || role == "demo")
        {
            nats.insert(nats::binary().display().to_string());
        }
        let process = launch(program, &args, &env, folder.path());
        Self { program: program.to_owned(), args, env, folder, port, process }
    }

    /// Starts it again, with the same arguments, environment, folder and port; what it wrote
    /// before stays in the log.
    pub(crate) fn start_again(&mut self) {
        self.process.kill();
        self.process = launch(&self.program, &self.args, &self.env, self.folder.path());
    }

    /// Sets a variable for the next [`Hub::start_again`].
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// `http://127.0.0.1:<port>` of this role.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder it runs in; its data stands in `data` below, unless the test said otherwise.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until `/readyz` is 200.
    ///
    /// # Panics
    /// When it is not within 20 s or when the process ends; the message holds the log's tail.
    pub(crate) async fn wait_ready(&mut self) {
        let (client, url) = (reqwest::Client::new(), format!("{}/readyz", self.url()));
        let until_ready = tokio::time::timeout(READY, async {
            loop {
                let answer = client.get(&url).send().await;
                if answer.is_ok_and(|answer| answer.status().as_u16() == 200) {
                    return true;
                }
                if !self.process.is_running() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        match until_ready.await {
            Ok(true) => {}
            Ok(false) => panic!("omnihub {} ended before it was ready; its log:\n{}", self.args.join(" "), self.tail()),
            Err(_) => panic!("omnihub {} not ready within {READY:?}; its log:\n{}", self.args.join(" "), self.tail()),
        }
    }

    /// Whether the process has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its exit code; `None` while it runs and when a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.exit_code()
    }

    /// SIGKILL: what a crash looks like. A nats-server child lives on, as it would.
    pub(crate) fn kill9(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end; the message names the arguments.
    pub(crate) async fn terminate(&mut self) {
        self.process.terminate();
        let what = format!("omnihub {} ends after SIGTERM", self.args.join(" "));
        until(&what, STOP, async || !self.process.is_running()).await;
    }

    /// SIGTERM, without waiting for the end.
    pub(crate) fn ask_to_stop(&self) {
        self.process.terminate();
    }

    /// Everything it has written to stdout and stderr, over all its starts.
    pub(crate) fn log(&self) -> String {
        let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        let (out, err) = (read("stdout.log"), read("stderr.log"));
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Kills the nats-server that stands in the data folder's pid file, if it is really ours.
    fn kill_nats_child(&self) {
        let data = self.env.get("OMNIHUB_DATA_DIR").map_or("data", String::as_str);
        // An absolute setting replaces the folder.
        let data = self.folder.path().join(data);
        let Ok(written) = std::fs::read_to_string(data.join("nats/nats.pid")) else { return };
        let Ok(pid) = written.trim().parse() else { return };
        if command_line(pid).contains("nats-server") {
            signal("-KILL", pid);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.process.kill();
        self.kill_nats_child();
        if std::thread::panicking() {
            eprintln!("the end of the log of omnihub {}:\n{}", self.args.join(" "), self.tail());
        }
    }
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("omnihub-hub-").tempdir().expect("a temporary folder")
}

fn launch(program: &Path, args: &[String], env: &HashMap<String, String>, folder: &Path) -> Process {
    let log = |name| File::options().create(true).append(true).open(folder.join(name)).expect("a log file");
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env_clear();
    command.envs(INHERITED.iter().filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?))));
    command.envs(env).stdout(log("stdout.log")).stderr(log("stderr.log"));
    Process::spawn(&mut command)
}
