//! Idempotency keys of sends: for a day, the same key of an instance means the same send.
//!
//! ```text
//! claimed (create-if-absent)  ->  the send is confirmed by the queue  ->  marked as accepted
//! ```
//!
//! A claim holds what the send's identity is made of, so that whoever finds one that was not marked
//! publishes the same message again: the queue and its lane know it by its id for
//! [`SAFE_TO_REPEAT`]. What is marked is never published again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    DONE_IDS_KEPT_FOR, InstanceToken, Nats,
    bucket::{ABSENT, Bucket, BucketError},
    streams::IDEMPOTENCY,
};

/// The version that this build writes.
const VERSION: u8 = 1;
/// So often a claim that another one disturbs is tried.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// A claim that was not marked within this time, in milliseconds, may only be published again when
/// nothing else is known of its send.
pub const SAFE_TO_REPEAT: i64 = DONE_IDS_KEPT_FOR - 5 * 60 * 1000;

/// A key that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyClaim {
    v: u8,
    /// What the send's id is made of.
    pub seed: String,
    /// When it was claimed, in milliseconds since 1970.
    pub at: i64,
    /// A hash of what is sent.
    body: String,
    /// Whether the queue has confirmed the send.
    pub accepted: bool,
}

/// The keys do not answer.
#[derive(Debug, thiserror::Error)]
#[error("the bucket of idempotency keys does not answer")]
pub struct KeyError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl From<BucketError> for KeyError {
    fn from(error: BucketError) -> Self {
        Self(error.into())
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claiming {
    /// Nobody has used the key before.
    First(KeyClaim),
    /// It stands for this send already.
    Known(KeyClaim),
    /// It stands for another send.
    OtherBody,
}

/// The keys of every instance.
#[derive(Clone, Debug)]
pub struct IdempotencyKeys {
    bucket: Bucket,
}

impl KeyClaim {
    /// A claim of this moment for what is sent.
    ///
    /// # Errors
    /// Never for what can be queued.
    pub fn new(sent: &impl Serialize, now_ms: i64) -> Result<Self, serde_json::Error> {
        let body = blake3::hash(&serde_json::to_vec(sent)?).to_hex()[..32].to_owned();
        let seed = hex::encode(rand::random::<[u8; 16]>());
        Ok(Self { v: VERSION, seed, at: now_ms, body, accepted: false })
    }
}

impl IdempotencyKeys {
    /// Over this connection.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        Self { bucket: Bucket::new(nats.js, IDEMPOTENCY) }
    }

    /// Claims a key of an instance, or finds who has it.
    ///
    /// # Errors
    /// When the broker does not answer; claiming it again is harmless.
    pub async fn claim(&self, instance: &InstanceToken, key: &str, claim: KeyClaim) -> Result<Claiming, KeyError> {
        let key = key_of(instance, key);
        for _ in 0..ATTEMPTS {
            if let Some(known) = self.bucket.read::<KeyClaim>(&key).await?.0 {
                return Ok(if known.body == claim.body { Claiming::Known(known) } else { Claiming::OtherBody });
            }
            if self.bucket.write(&key, &claim, ABSENT).await?.is_some() {
                return Ok(Claiming::First(claim));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(KeyError("others claim it at the same time, or a newer version has".into()))
    }

    /// The queue has confirmed the send of a claim.
    ///
    /// # Errors
    /// When the broker does not answer; the next one with the key then publishes the send again.
    pub async fn accepted(&self, instance: &InstanceToken, key: &str, claim: &KeyClaim) -> Result<(), KeyError> {
        let claim = KeyClaim { accepted: true, ..claim.clone() };
        let key = key_of(instance, key);
        let (_, place) = self.bucket.read::<KeyClaim>(&key).await?;
        // Who has written meanwhile has written the same.
        self.bucket.write(&key, &claim, place).await?;
        Ok(())
    }
}

fn key_of(instance: &InstanceToken, key: &str) -> String {
    format!("{}.{}", instance.as_str(), &blake3::hash(key.as_bytes()).to_hex()[..32])
}

/// All keys of an instance.
pub(super) fn keys_of(instance: &InstanceToken) -> String {
    format!("{}.*", instance.as_str())
}
