//! Our own hidden id (`@lid`) on an account, as messages in groups have shown it: in the bucket
//! `accounts`, beside how the account is connected.
//!
//! It counts for the phone that it was learnt with: an account that is paired with another phone has
//! another one.

use serde::{Deserialize, Serialize};

use super::{accounts::Accounts, bucket::BucketError};

/// The version that this build writes.
const VERSION: u8 = 1;

/// Our hidden id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLid {
    v: u8,
    /// The phone that the account had, as the channel writes it.
    pub phone: String,
    /// The id (`112233@lid`).
    pub lid: String,
}

impl OwnLid {
    /// Of an account with this phone.
    #[must_use]
    pub fn new(phone: &str, lid: &str) -> Self {
        Self { v: VERSION, phone: phone.to_owned(), lid: lid.to_owned() }
    }
}

impl Accounts {
    /// What is known of an account.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn own_lid(&self, instance: i64) -> Result<Option<OwnLid>, BucketError> {
        Ok(self.bucket.read(&key(instance)).await?.0)
    }

    /// Keeps it. What another one has written at the same time stays.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn keep_own_lid(&self, instance: i64, own: &OwnLid) -> Result<(), BucketError> {
        let (_, sequence) = self.bucket.read::<OwnLid>(&key(instance)).await?;
        self.bucket.write(&key(instance), own, sequence).await?;
        Ok(())
    }
}

/// Its place in the bucket.
pub(super) fn key(instance: i64) -> String {
    format!("lid-{instance}")
}
