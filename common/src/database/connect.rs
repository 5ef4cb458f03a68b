//! Opening the database.
//!
//! The pools are made with sqlx and handed to sea-orm, because sea-orm's own connector records
//! the URL, password and all, in a span.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    str::FromStr as _,
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable as _};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{
    ConnectOptions as _, Connection as _,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::config::DatabaseSettings;

/// How long a caller waits for a connection, and a statement for SQLite's write lock. Above any
/// honest wait, below the patience of whoever posts a webhook.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a start waits for PostgreSQL, which often starts beside us.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// An idle connection older than this is tried before it is handed out: firewalls forget idle
/// connections, and a hot one needs no second round trip.
const TRY_AFTER_IDLE: Duration = Duration::from_secs(30);

/// The database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The SQLite file or its folder cannot be made.
    #[error("the database file {place} cannot be made; check DATABASE_URL and the folder's permissions")]
    File {
        /// The file.
        place: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else's database cannot be read.
    #[error("the database {place} cannot be opened for reading")]
    Read {
        /// The file or server, without the password.
        place: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The database refused, or did not answer in time.
    #[error("the database {place} cannot be opened; check DATABASE_URL and that it is running")]
    Open {
        /// The file or server, without the password.
        place: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
}

impl DatabaseError {
    /// Whether the database may be there later: nobody answers, or it is starting or stopping.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Open { source, .. } if is_starting(source))
    }
}

/// Opens the database; a PostgreSQL that is still starting is waited for, up to 30 seconds.
///
/// # Errors
/// When it cannot be opened; the error names the place and never the password.
pub async fn connect(settings: &DatabaseSettings) -> Result<DatabaseConnection, DatabaseError> {
    let opened = if settings.is_sqlite() { sqlite(settings).await? } else { postgres(settings).await };
    opened.map_err(|source| DatabaseError::Open { place: settings.place(), source })
}

/// Opens somebody else's database for reading: nothing can be written over this connection, and a
/// file that is not there is not made.
///
/// # Errors
/// When it cannot be opened; the error names the place and never the password.
pub async fn connect_read_only(settings: &DatabaseSettings) -> Result<DatabaseConnection, DatabaseError> {
    let opened = if settings.is_sqlite() { read_sqlite(settings).await } else { read_postgres(settings).await };
    opened.map_err(|source| DatabaseError::Read { place: settings.place(), source })
}

async fn read_sqlite(settings: &DatabaseSettings) -> Result<DatabaseConnection, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(settings.url.expose())?;
    let options = options.read_only(true).busy_timeout(PATIENCE).disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options);
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.await?))
}

async fn read_postgres(settings: &DatabaseSettings) -> Result<DatabaseConnection, sqlx::Error> {
    let options = PgConnectOptions::from_str(settings.url.expose())?
        .application_name("omnihub")
        // Whatever its own settings say: read-only, and times in one form.
        .options([("default_transaction_read_only", "on"), ("DateStyle", "ISO"), ("TimeZone", "UTC")])
        .disable_statement_logging();
    try_once(&options).await?;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(options);
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// One connection, for reads and writes alike.
///
/// SQLite has one writer anyway. With more connections, two transactions that read and then
/// write fail at once with `SQLITE_BUSY`, which no timeout mends, and every caller would need to
/// know it; waiters on a pool of one stand in a fair queue instead. Statements take well under a
/// millisecond, and what every message needs is cached above. [`super::begin_write`] covers other
/// processes on the same file.
async fn sqlite(settings: &DatabaseSettings) -> Result<Result<DatabaseConnection, sqlx::Error>, DatabaseError> {
    let options = match SqliteConnectOptions::from_str(settings.url.expose()) {
        Ok(options) => options,
        Err(error) => return Ok(Err(error)),
    };
    if !settings.url.expose().contains(":memory:") {
        make_private(&options).map_err(|source| DatabaseError::File { place: settings.place(), source })?;
    }
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // With WAL, NORMAL loses no consistency on a power cut, at most the last commits; and
        // what matters is in the queue until it is committed here.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await;
    Ok(pool.map(SqlxSqliteConnector::from_sqlx_sqlite_pool))
}

/// SQLite would make the file with the usual mode; its side files then take the file's own.
fn make_private(options: &SqliteConnectOptions) -> io::Result<()> {
    let path = options.get_filename();
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

async fn postgres(settings: &DatabaseSettings) -> Result<DatabaseConnection, sqlx::Error> {
    let options =
        PgConnectOptions::from_str(settings.url.expose())?.application_name("omnihub").disable_statement_logging();
    // One connection by hand first: the pool would report every cause as a timeout.
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .with_total_delay(Some(START_PATIENCE));
    (|| try_once(&options))
        .retry(waits)
        .when(is_starting)
        .notify(|error, wait| {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(error.message = %error, retry.wait_ms = wait_ms, "waiting for the database");
        })
        .await?;
    let pool = PgPoolOptions::new()
        .max_connections(settings.connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= TRY_AFTER_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

async fn try_once(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let connection =
        tokio::time::timeout(PATIENCE, options.connect()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    connection.close().await
}

/// Whether waiting may help: nobody answers yet (`Io`, which holds unknown host names too: a
/// container's name appears with it; `Protocol` when the other end hangs up on the first words), or
/// PostgreSQL says that it is starting (57P03), stopping (57P01, 57P02) or full (53300). A wrong
/// password will not mend itself.
pub(crate) fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| matches!(&*code, "57P01" | "57P02" | "57P03" | "53300"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_time_may_mend_is_waited_for() {
        assert!(is_starting(&sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into())));
        assert!(is_starting(&sqlx::Error::PoolTimedOut));
        assert!(!is_starting(&sqlx::Error::RowNotFound));
    }
}
