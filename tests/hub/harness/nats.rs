//! A nats-server of the test's own: JetStream on, its own port and store.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::process::Process;
use super::{until, workspace};

/// The oldest version that the hub takes.
const OLDEST: [u32; 3] = [2, 15, 1];

/// A server is up in well under a second; a loaded machine may need longer.
const START: Duration = Duration::from_secs(20);

/// A running server. Killed on drop, its store deleted.
#[derive(Debug)]
pub(crate) struct Nats {
    binary: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Nats {
    /// Starts a server on a free loopback port with an empty store.
    ///
    /// # Panics
    /// When there is no usable nats-server, or when it does not start.
    pub(crate) async fn start() -> Self {
        let binary = binary();
        let folder = tempfile::Builder::new().prefix("omnihub-nats-").tempdir().expect("a temporary folder");
        let mut nats = Self { binary, folder, port: 0, process: None };
        let process = nats.spawn("-1");
        let pid = process.id();
        nats.process = Some(process);
        let name = nats.binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ports = nats.folder.path().join(format!("{name}_{pid}.ports"));
        until("nats-server writes its ports file", START, async || {
            nats.port = read_port(&ports).unwrap_or_default();
            nats.port != 0
        })
        .await;
        nats.wait_ready().await;
        nats
    }

    /// `nats://127.0.0.1:<port>`; it stays the same over [`Nats::stop`] and [`Nats::start_again`].
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server's process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    /// Kills the server (SIGKILL). The store stays.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and store.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) async fn start_again(&mut self) {
        self.stop();
        self.process = Some(self.spawn(&self.port.to_string()));
        self.wait_ready().await;
    }

    /// Starts it again on the same port with an empty store, as after the loss of its disk.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) async fn start_again_empty(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.folder.path().join("store")).expect("a store to remove");
        self.start_again().await;
    }

    fn spawn(&self, port: &str) -> Process {
        let folder = self.folder.path();
        let mut command = Command::new(&self.binary);
        command.args(["--jetstream", "--addr", "127.0.0.1", "--port", port]);
        command.arg("--store_dir").arg(folder.join("store"));
        command.arg("--ports_file_dir").arg(folder);
        command.arg("--log").arg(self.log_path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Process::spawn(&mut command)
    }

    /// Waits for the server's greeting.
    async fn wait_ready(&mut self) {
        let (port, log) = (self.port, self.log_path());
        let process = self.process.as_mut().expect("a started server");
        until("nats-server greets", START, async || {
            assert!(process.is_running(), "nats-server ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
            greets(port).await
        })
        .await;
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// Whether a NATS server listens on `port`: it speaks first, `INFO {...}`.
pub(super) async fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.is_ok() && line.starts_with("INFO ")
}

/// The client port of a ports file, once it is whole.
fn read_port(file: &Path) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// The nats-server to use: `OMNIHUB_NATS_SERVER`, `PATH`, `data/bin` of the workspace.
///
/// # Panics
/// When there is none, or when the one that `OMNIHUB_NATS_SERVER` names is too old.
pub(super) fn binary() -> PathBuf {
    const REMEDY: &str = "run tests/run.sh, or deploy/nats-server.sh, which installs one into data/bin";
    if let Some(named) = std::env::var_os("OMNIHUB_NATS_SERVER").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        assert!(is_usable(&named), "OMNIHUB_NATS_SERVER is no nats-server >= 2.15.1: {REMEDY}");
        return named;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push(workspace().join("data/bin"));
    let found = places.into_iter().map(|place| place.join("nats-server")).find(|binary| is_usable(binary));
    found.unwrap_or_else(|| panic!("no nats-server >= 2.15.1 found: {REMEDY}"))
}

fn is_usable(binary: &Path) -> bool {
    let Ok(printed) = Command::new(binary).arg("--version").output() else { return false };
    version(&String::from_utf8_lossy(&printed.stdout)).is_some_and(|version| version >= OLDEST)
}

/// The version in `nats-server: v2.15.1`; what follows a dash is left out.
pub(super) fn version(printed: &str) -> Option<[u32; 3]> {
    let version = printed.trim().strip_prefix("nats-server: ")?.trim_start_matches('v');
    let numbers = version.split('-').next()?.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
    numbers.try_into().ok()
}
