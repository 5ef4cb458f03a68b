//! The database connection: SQLite in a file for one machine, PostgreSQL for many.
//!
//! What is absent: no table and no query. Each room keeps its own entities and repository; the
//! tables are made by the migrations.

mod connect;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

pub use connect::{DatabaseError, connect, connect_read_only};

/// Whether the database is away: nobody answers, or it is starting or stopping. Anything else that
/// it says is about what it was asked.
#[must_use]
pub fn is_away(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => connect::is_starting(error),
        _ => false,
    }
}

/// Begins a transaction that will write.
///
/// On SQLite it takes the write lock at once (`BEGIN IMMEDIATE`): a transaction that reads first
/// and writes later fails without waiting when another process wrote in between, and no busy
/// timeout helps. On PostgreSQL it is a plain transaction.
///
/// # Errors
/// When the database cannot be reached, or is locked for longer than the busy timeout.
pub async fn begin_write(database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    database.begin_with_options(TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() }).await
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::Path};

    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::{config::DatabaseSettings, secret::Secret};

    async fn open(path: &Path) -> DatabaseConnection {
        let url = Secret::new(format!("sqlite://{}", path.display()));
        connect(&DatabaseSettings { url, connections: 10 }).await.unwrap()
    }

    async fn pragma(database: &DatabaseConnection, name: &str) -> String {
        let row = database
            .query_one_raw(sea_orm::Statement::from_string(
                sea_orm::DbBackend::Sqlite,
                format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"),
            ))
            .await
            .unwrap()
            .unwrap();
        row.try_get_by_index(0).unwrap()
    }

    #[tokio::test]
    async fn the_sqlite_file_is_private_and_durable_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/omnihub.db");
        let database = open(&path).await;
        database.execute_unprepared("CREATE TABLE a (b INTEGER)").await.unwrap();
        assert_eq!(pragma(&database, "journal_mode").await, "wal");
        assert_eq!(pragma(&database, "foreign_keys").await, "1");
        assert_eq!(pragma(&database, "synchronous").await, "1");
        for file in ["omnihub.db", "omnihub.db-wal"] {
            let mode = std::fs::metadata(path.with_file_name(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[tokio::test]
    async fn two_processes_that_read_then_write_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("omnihub.db");
        let (one, two) = (open(&path).await, open(&path).await);
        one.execute_unprepared("CREATE TABLE a (b INTEGER); INSERT INTO a VALUES (0)").await.unwrap();
        let count = |database: DatabaseConnection| async move {
            for _ in 0..25 {
                let transaction = begin_write(&database).await.unwrap();
                transaction.execute_unprepared("SELECT b FROM a").await.unwrap();
                transaction.execute_unprepared("UPDATE a SET b = b + 1").await.unwrap();
                transaction.commit().await.unwrap();
            }
        };
        tokio::join!(count(one.clone()), count(one.clone()), count(two.clone()), count(two));
        let row = one
            .query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT b FROM a"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 100);
    }

    #[tokio::test]
    async fn what_is_opened_for_reading_is_neither_made_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        let settings = DatabaseSettings::named("SOURCE", &path.display().to_string()).unwrap();
        assert!(connect_read_only(&settings).await.unwrap_err().to_string().contains("theirs.db"));
        assert!(!path.exists());
        open(&path).await.execute_unprepared("CREATE TABLE a (b INTEGER)").await.unwrap();
        let theirs = connect_read_only(&settings).await.unwrap();
        assert!(theirs.execute_unprepared("SELECT b FROM a").await.is_ok());
        assert!(theirs.execute_unprepared("INSERT INTO a VALUES (1)").await.is_err());
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_is_named_without_its_password() {
        let url = Secret::new("postgresql://user:planted@127.0.0.1:1/d?sslmode=planted");
        let error = connect(&DatabaseSettings { url, connections: 1 }).await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains("user:planted"));
    }
}
