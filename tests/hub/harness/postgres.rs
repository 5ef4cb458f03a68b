//! A PostgreSQL database of the test's own.
//!
//! A cluster takes seconds to make, and nextest runs each test in a process of its own: so
//! `tests/run.sh` starts one cluster for the whole run and names it in `OMNIHUB_TEST_POSTGRES`.
//! Without that variable the process starts its own, by the same script, and the script's watcher
//! stops it when the process ends, however it ends.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tokio::sync::OnceCell;

use super::workspace;

/// A URL of the cluster's admin database.
const SHARED: &str = "OMNIHUB_TEST_POSTGRES";

/// A fresh, empty database; dropped with this value, whoever is still connected.
#[derive(Debug)]
pub(crate) struct Postgres {
    admin: String,
    name: String,
}

impl Postgres {
    /// Makes a database in the shared cluster.
    ///
    /// # Panics
    /// When there is no PostgreSQL to start, or when it refuses.
    pub(crate) async fn database() -> Self {
        let admin = Self::shared().await.to_owned();
        let name = format!("omnihub_{:016x}", rand::random::<u64>());
        // template0: nobody may be connected to the template, and tests make databases at once.
        execute(&admin, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Self { admin, name }
    }

    /// The URL of the shared cluster's admin database.
    ///
    /// # Panics
    /// When there is no PostgreSQL to start.
    pub(crate) async fn shared() -> &'static str {
        static CLUSTER: OnceCell<String> = OnceCell::const_new();
        CLUSTER.get_or_init(async || std::env::var(SHARED).unwrap_or_else(|_| start_cluster())).await
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> String {
        let (server, _) = self.admin.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let (admin, drop) = (self.admin.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A thread with a runtime of its own: a drop cannot await, and the test's runtime may be
        // the one that is ending. A database that stays behind ends with its cluster.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(execute(&admin, &drop));
        });
        let _ = dropped.join();
    }
}

/// Runs one statement over a connection of its own.
async fn execute(url: &str, statement: &str) {
    let connection = connect(url).await;
    connection.execute_unprepared(statement).await.unwrap_or_else(|problem| panic!("{statement}: {problem}"));
    connection.close().await.expect("closing a connection");
}

/// One connection.
pub(super) async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap_or_else(|problem| panic!("PostgreSQL at {url}: {problem}"))
}

/// Starts a cluster that lives as long as this process, and answers its URL.
fn start_cluster() -> String {
    let script = workspace().join("tests/hub/harness/postgres.sh");
    let mut command = Command::new(&script);
    command.arg("start").arg(std::process::id().to_string());
    // Its own group: the watcher must outlive this process to stop the cluster.
    command.process_group(0);
    let started = command.output().unwrap_or_else(|problem| panic!("{}: {problem}", script.display()));
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let printed = String::from_utf8_lossy(&started.stdout);
    printed.lines().next().expect("the script prints the URL first").to_owned()
}
