//! The tables in which something lies encrypted. A new one has an arm in each `match` here.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr};

use super::SealedText;
use crate::{database, instance, key};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// `instance_configs`.
    Instances,
    /// `hub_secrets`.
    HubSecrets,
}

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Instances, Self::HubSecrets];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Instances => "instance_configs",
            Self::HubSecrets => "hub_secrets",
        }
    }

    /// The texts of the next rows after a row id, at most `limit` rows.
    pub(super) async fn page(
        self,
        database: &impl ConnectionTrait,
        after: i64,
        limit: u64,
    ) -> Result<Vec<SealedText>, DbErr> {
        match self {
            Self::Instances => instance::sealed::page(database, after, limit).await,
            Self::HubSecrets => key::sealed::page(database, after, limit).await,
        }
    }

    /// The texts of these rows.
    pub(super) async fn of_rows(self, database: &impl ConnectionTrait, rows: &[i64]) -> Result<Vec<SealedText>, DbErr> {
        match self {
            Self::Instances => instance::sealed::of_rows(database, rows).await,
            Self::HubSecrets => key::sealed::of_rows(database, rows).await,
        }
    }

    /// Puts texts into their row.
    pub(super) async fn put(
        self,
        database: &impl ConnectionTrait,
        row: i64,
        texts: &[SealedText],
    ) -> Result<(), DbErr> {
        match self {
            Self::Instances => instance::sealed::put(database, row, texts).await,
            Self::HubSecrets => key::sealed::put(database, row, texts).await,
        }
    }

    /// Begins a transaction that no other writer of this table is beside: what is read in it stays
    /// as it is until it ends. Readers do not wait.
    pub(super) async fn begin_alone(self, database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
        let transaction = database::begin_write(database).await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.name());
            transaction.execute_unprepared(&lock).await?;
        }
        Ok(transaction)
    }
}
