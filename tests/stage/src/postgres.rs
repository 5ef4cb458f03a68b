//! PostgreSQL clusters of one's own, and databases in them.
//!
//! The script `postgres.sh` makes the cluster (PostgreSQL refuses to run as root, so it needs
//! another owner then) and leaves a watcher that stops and deletes it when this process ends,
//! however it ends. The script is part of the program, so that an installed one has it too.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection};

use crate::process::kill_stranger;

/// A server that is there answers at once.
const CONNECT: Duration = Duration::from_secs(5);

const SCRIPT: &str = include_str!("../postgres.sh");

/// A running cluster; stopped and deleted on drop.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    watcher: u32,
    folder: String,
}

impl Postgres {
    /// Makes and starts a cluster on a free loopback port. It takes seconds.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(Self::start_blocking).await?
    }

    fn start_blocking() -> anyhow::Result<Self> {
        let printed = run(&["start", &std::process::id().to_string()])?;
        let mut lines = printed.lines().map(str::to_owned);
        let mut next = |what: &str| lines.next().with_context(|| format!("postgres.sh printed no {what}"));
        let (url, watcher, folder) = (next("URL")?, next("watcher")?, next("folder")?);
        Ok(Self { url, watcher: watcher.parse().context("the watcher's pid")?, folder })
    }

    /// The URL of its admin database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port it listens on; the same for the life of this value.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.url.rsplit_once('/')?.0.rsplit_once(':')?.1.parse().ok()
    }

    /// Stops it at once, without a word to its clients: what a crash looks like. The data stays.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub async fn halt(&self) -> anyhow::Result<()> {
        self.tell("halt").await
    }

    /// Starts it again on the same port and data.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.tell("again").await
    }

    async fn tell(&self, verb: &'static str) -> anyhow::Result<()> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || run(&[verb, &folder]).map(drop)).await?
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Halted first: the watcher, which deletes it, needs a moment.
        let _ = run(&["drop", &self.folder]);
        kill_stranger(self.watcher);
    }
}

fn run(args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("bash");
    // Its own group: the watcher must outlive this process to stop the cluster.
    command.args(["-c", SCRIPT, "postgres.sh"]).args(args).process_group(0);
    let ended = command.output().context("bash cannot be started")?;
    anyhow::ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr).trim());
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// A fresh, empty database in a cluster; dropped with this value, whoever is still connected.
#[derive(Debug)]
pub struct Database {
    admin: String,
    name: String,
}

impl Database {
    /// Makes one in the cluster of this admin URL.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn create(admin: &str) -> anyhow::Result<Self> {
        let name = format!("omnihub_{:016x}", rand::random::<u64>());
        // template0: nobody may be connected to the template, and tests make databases at once.
        execute(admin, &format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
        Ok(Self { admin: admin.to_owned(), name })
    }

    /// The database's URL.
    #[must_use]
    pub fn url(&self) -> String {
        let server = self.admin.rsplit_once('/').map_or(self.admin.as_str(), |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// Its URL by another loopback port: that of a proxy.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        let server = self.admin.rsplit_once('/').map_or(self.admin.as_str(), |(server, _)| server);
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        format!("{host}:{port}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, drop) = (self.admin.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A thread with a runtime of its own: a drop cannot await, and the caller's runtime may be
        // the one that is ending. A database that stays behind ends with its cluster.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&admin, &drop))
        });
        let _ = dropped.join();
    }
}

/// Runs one statement over a connection of its own.
async fn execute(url: &str, statement: &str) -> anyhow::Result<()> {
    let connection = connect_postgres(url).await?;
    connection.execute_unprepared(statement).await.with_context(|| statement.to_owned())?;
    Ok(connection.close().await?)
}

/// One connection.
///
/// # Errors
/// When the server does not take it.
pub async fn connect_postgres(url: &str) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).connect_timeout(CONNECT).acquire_timeout(CONNECT).sqlx_logging(false);
    sea_orm::Database::connect(options).await.context("no connection to PostgreSQL")
}
