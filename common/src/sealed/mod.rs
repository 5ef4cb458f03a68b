//! Everything that lies encrypted in the database, over all tables.
//!
//! [`SealedValues`] counts it by key ([`Survey`]), encrypts it anew with the ring's first key
//! ([`Rotation`]), and says before a process begins which keys are missing ([`MissingKeys`]). `table`
//! is the closed list of the tables; how a secret is encrypted is [`crate::secret`]'s.
//!
//! A key is changed in four steps, each of which may take as long as it likes: the new key goes
//! behind the old one in the ring of every process; then in front of it; then everything is
//! encrypted anew; then the old key goes. Nothing is unreadable to anybody at any moment.

mod missing;
mod rotation;
mod survey;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use sea_orm::DatabaseConnection;

use crate::secret::{Keyring, Place};

pub use missing::MissingKeys;
pub use rotation::{Rotation, Stuck};
pub use survey::{KeyCount, Survey};

/// How many rows are looked at in one query, and changed in one transaction.
const PAGE: u64 = 50;

/// An encrypted text and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct SealedText {
    /// Its place, which it is encrypted for.
    pub(crate) place: Place,
    /// The text as it is stored.
    pub(crate) text: String,
}

/// Everything that is encrypted.
#[derive(Clone, Debug)]
pub struct SealedValues {
    database: DatabaseConnection,
    keyring: Arc<Keyring>,
}

impl SealedValues {
    /// In a database, with the ring of this process.
    #[must_use]
    pub fn new(database: DatabaseConnection, keyring: Arc<Keyring>) -> Self {
        Self { database, keyring }
    }
}
