//! The same test on both databases.

use tempfile::TempDir;

use super::Postgres;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file.
    Sqlite,
    /// A database of its own in the cluster of the tests.
    Postgres,
}

/// An empty database; gone with this value.
#[derive(Debug)]
pub(crate) enum Store {
    /// The file's folder.
    Sqlite(TempDir),
    /// The database.
    Postgres(Postgres),
}

impl Store {
    /// Makes one.
    pub(crate) async fn new(database: Database) -> Self {
        match database {
            Database::Sqlite => Self::Sqlite(tempfile::tempdir().expect("a temporary folder")),
            Database::Postgres => Self::Postgres(Postgres::database().await),
        }
    }

    /// Its `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("omnihub.db").display()),
            Self::Postgres(postgres) => postgres.url(),
        }
    }
}

/// Makes of each `async fn name(database: Database)` a test `sqlite::name` and a test
/// `postgres::name`.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::harness::Database::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::harness::Database::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
