//! Why the table of instances cannot serve.

use sea_orm::DbErr;

use crate::{database, instance::channel_settings::ChannelSettingsError, secret::SourceError};

/// Why the table cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another instance has this name.
    #[error("an instance of this name exists")]
    NameTaken,
    /// It is not what the change was decided on.
    #[error("somebody else has changed the instance")]
    Changed,
    /// The database failed.
    #[error("the database did not do it")]
    Database(#[from] DbErr),
    /// The row is there, and this process cannot read it.
    #[error("instance `{name}` cannot be read")]
    Unreadable {
        /// The instance.
        name: String,
        /// Why.
        #[source]
        source: RowError,
    },
    /// A secret of it is kept somewhere else, and cannot be had there.
    #[error("a secret of instance `{name}` cannot be had")]
    Unresolved {
        /// The instance.
        name: String,
        /// Why.
        #[source]
        source: SourceError,
    },
}

impl StoreError {
    /// Whether the database is away, so that the same may succeed later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_away(error))
    }

    /// The error with what caused it, on one line, for the one place that logs it.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        message
    }
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Its channel settings, or a secret.
    #[error(transparent)]
    Channel(#[from] ChannelSettingsError),
    /// A column has a value that this version does not know.
    #[error("column `{0}` has a value that this version does not know")]
    Column(&'static str),
}
