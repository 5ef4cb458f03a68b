//! A nats-server of one's own: JetStream on, its own ports and store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;

use crate::process::{Process, free_port};
use crate::wait::until_well;

/// The oldest version that the hub takes.
const OLDEST: [u32; 3] = [2, 15, 1];

/// A server is up in well under a second; a loaded machine, or a long store, may need longer.
const START: Duration = Duration::from_secs(30);

/// A free port may be taken before the server has it.
const TRIES: usize = 3;

/// When the server has what it confirmed on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsyncMode {
    /// nats-server's default: within two minutes.
    #[default]
    Default,
    /// Before it confirms.
    Always,
    /// Within this time.
    Every(Duration),
}

/// How a server finds the others of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    pub(crate) own_port: u16,
    pub(crate) all_ports: Vec<u16>,
}

/// A server. Killed on drop, its store deleted.
#[derive(Debug)]
pub struct Nats {
    binary: PathBuf,
    folder: TempDir,
    name: String,
    fsync: FsyncMode,
    port: u16,
    monitor: u16,
    routes: Option<Routes>,
    process: Option<Process>,
}

impl Nats {
    /// Starts a server on a free loopback port with an empty store, and waits until it is ready.
    ///
    /// # Errors
    /// When there is no usable nats-server, or when it does not start.
    pub async fn start(fsync: FsyncMode) -> anyhow::Result<Self> {
        let mut tried = 1;
        loop {
            let mut nats = Self::prepare("n1", fsync, None)?;
            nats.launch()?;
            match nats.wait_ready().await {
                Ok(()) => return Ok(nats),
                Err(_) if tried < TRIES => tried += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything but the process.
    pub(crate) fn prepare(name: &str, fsync: FsyncMode, routes: Option<Routes>) -> anyhow::Result<Self> {
        let binary = find_binary()?;
        let folder = tempfile::Builder::new().prefix("omnihub-nats-").tempdir().context("no temporary folder")?;
        let (port, monitor) = (free_port()?, free_port()?);
        let nats = Self { binary, folder, name: name.to_owned(), fsync, port, monitor, routes, process: None };
        fs::write(nats.configuration_path(), nats.configuration()).context("nats-server's configuration")?;
        Ok(nats)
    }

    /// `nats://127.0.0.1:<port>`; it stays the same for the life of this value.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port of [`Nats::url`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's name: `n1`, in a cluster also `n2` and `n3`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process, while there is one: to freeze it, to thaw it.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// The server's process id; `None` after [`Nats::kill9`].
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Kills the server (SIGKILL). The store stays.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and store, and waits until it is ready; kills it before
    /// if it still runs.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.wait_ready().await
    }

    /// Starts the process on the same port and store without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        self.kill9();
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("stderr"))?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.configuration_path()).stdout(Stdio::null()).stderr(log);
        self.process = Some(Process::spawn(&mut command)?);
        Ok(())
    }

    /// Waits until the server says that it is well: JetStream on, and in a cluster its streams
    /// caught up and a leader there.
    ///
    /// # Errors
    /// When it ends or does not get well; the error holds the end of its log.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/healthz", self.monitor);
        let process = self.process.as_mut().context("nats-server was killed")?;
        let well = until_well(process, &url, START).await;
        let well = well.with_context(|| format!("nats-server, whose log ends: {}", self.last_words()))?;
        anyhow::ensure!(well, "nats-server ended: {}", self.last_words());
        Ok(())
    }

    /// Copies the store folder to `to`, which must not exist. Of a running server the copy is what
    /// a power loss leaves: some files older than others.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn snapshot(&self, to: &Path) -> anyhow::Result<()> {
        copy_folder(&self.store(), to).context("the copy of nats-server's store")
    }

    /// Kills the server and puts a copy back in the place of its store; start it again after.
    ///
    /// # Errors
    /// When the store cannot be replaced.
    pub fn put_back(&mut self, snapshot: &Path) -> anyhow::Result<()> {
        self.kill9();
        fs::remove_dir_all(self.store()).context("nats-server's store cannot be removed")?;
        copy_folder(snapshot, &self.store()).context("nats-server's store cannot be put back")
    }

    /// The store folder; it stays over a kill.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn configuration_path(&self) -> PathBuf {
        self.folder.path().join("nats.conf")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn last_words(&self) -> String {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let log = read(self.log_path()) + &read(self.folder.path().join("stderr"));
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Source: nats-server 2.15 configuration, JetStream and cluster options.
    fn configuration(&self) -> String {
        let sync = match self.fsync {
            FsyncMode::Default => String::new(),
            FsyncMode::Always => "sync_interval: always".to_owned(),
            FsyncMode::Every(time) => format!("sync_interval: \"{}ms\"", time.as_millis()),
        };
        let mut text = format!(
            "server_name: {}\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\nlog_file: {:?}\n\
             jetstream {{\n  store_dir: {:?}\n  max_file_store: 10GB\n  {sync}\n}}\n",
            self.name,
            self.port,
            self.monitor,
            self.log_path().display().to_string(),
            self.store().display().to_string(),
        );
        if let Some(Routes { own_port, all_ports }) = &self.routes {
            let routes: Vec<String> =
                all_ports.iter().map(|port| format!("\"nats-route://127.0.0.1:{port}\"")).collect();
            // Clients keep to the addresses they were given: behind a proxy they must stay there.
            text.push_str(&format!(
                "cluster {{\n  name: omnihub\n  listen: \"127.0.0.1:{own_port}\"\n  no_advertise: true\n  \
                 routes: [{}]\n}}\n",
                routes.join(", ")
            ));
        }
        text
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let copied = match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_folder(&entry.path(), &target),
            Ok(_) => fs::copy(entry.path(), &target).map(drop),
            Err(gone) => Err(gone),
        };
        match copied {
            // A running server takes files away meanwhile.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether a NATS server listens on `port`: it speaks first, `INFO {...}`.
pub async fn nats_greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.is_ok() && line.starts_with("INFO ")
}

/// The nats-server to use: `OMNIHUB_NATS_SERVER`, `PATH`, `data/bin` here and in the folder above.
///
/// # Errors
/// When there is none, or when the one that `OMNIHUB_NATS_SERVER` names is too old.
pub(crate) fn find_binary() -> anyhow::Result<PathBuf> {
    const REMEDY: &str = "run tests/run.sh, or deploy/nats-server.sh, which installs one into data/bin";
    if let Some(named) = std::env::var_os("OMNIHUB_NATS_SERVER").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        anyhow::ensure!(is_nats_server(&named), "OMNIHUB_NATS_SERVER is no nats-server >= 2.15.1: {REMEDY}");
        return Ok(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["data/bin", "../data/bin"].map(PathBuf::from));
    let mut found = places.map(|place| place.join("nats-server")).filter(|binary| is_nats_server(binary));
    let binary = found.next().with_context(|| format!("no nats-server >= 2.15.1 found: {REMEDY}"))?;
    // Children run in folders of their own.
    binary.canonicalize().context("nats-server's path")
}

/// Whether a program is a nats-server that is new enough.
#[must_use]
pub fn is_nats_server(binary: &Path) -> bool {
    let Ok(printed) = Command::new(binary).arg("--version").output() else { return false };
    nats_server_version(&String::from_utf8_lossy(&printed.stdout)).is_some_and(|version| version >= OLDEST)
}

/// The version in `nats-server: v2.15.1`; what follows a dash is left out.
#[must_use]
pub fn nats_server_version(printed: &str) -> Option<[u32; 3]> {
    let version = printed.trim().strip_prefix("nats-server: ")?.trim_start_matches('v');
    let numbers = version.split('-').next()?.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
    numbers.try_into().ok()
}
