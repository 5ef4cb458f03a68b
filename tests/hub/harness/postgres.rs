//! A PostgreSQL database of the test's own.
//!
//! A cluster takes seconds to make, and nextest runs each test in a process of its own: so
//! `tests/run.sh` starts one cluster for the whole run and names it in `OMNIHUB_TEST_POSTGRES`.
//! Without that variable the process starts its own, whose watcher stops it when the process
//! ends, however it ends.

use omnihub_stage::Database;
use tokio::sync::OnceCell;

/// A URL of the cluster's admin database.
const SHARED: &str = "OMNIHUB_TEST_POSTGRES";

/// A fresh, empty database; dropped with this value, whoever is still connected.
#[derive(Debug)]
pub(crate) struct Postgres(Database);

impl Postgres {
    /// Makes a database in the shared cluster.
    ///
    /// # Panics
    /// When there is no PostgreSQL to start, or when it refuses.
    pub(crate) async fn database() -> Self {
        let made = Database::create(Self::shared().await).await;
        Self(made.unwrap_or_else(|problem| panic!("{problem:#}")))
    }

    /// The URL of the shared cluster's admin database.
    ///
    /// # Panics
    /// When there is no PostgreSQL to start.
    pub(crate) async fn shared() -> &'static str {
        static CLUSTER: OnceCell<String> = OnceCell::const_new();
        CLUSTER.get_or_init(cluster).await
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> String {
        self.0.url()
    }
}

async fn cluster() -> String {
    match std::env::var(SHARED) {
        Ok(url) => url,
        Err(_) => {
            let started = omnihub_stage::Postgres::start().await.unwrap_or_else(|problem| panic!("{problem:#}"));
            let url = started.url().to_owned();
            // For the life of the process: no test of it is the last one to use it.
            std::mem::forget(started);
            url
        }
    }
}
