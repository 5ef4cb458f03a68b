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

use async_nats::{
    HeaderMap,
    jetstream::{
        ErrorCode,
        context::{PublishError, PublishErrorKind},
        stream::LastRawMessageErrorKind,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    DONE_IDS_KEPT_FOR, InstanceToken, Nats, Subjects,
    partition::{EXPECTED_SEQUENCE, refusal},
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

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> KeyError {
    KeyError(error.into())
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
    nats: Nats,
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
        Self { nats }
    }

    /// Claims a key of an instance, or finds who has it.
    ///
    /// # Errors
    /// When the broker does not answer; claiming it again is harmless.
    pub async fn claim(&self, instance: &InstanceToken, key: &str, claim: KeyClaim) -> Result<Claiming, KeyError> {
        let subject = Subjects::idempotency(instance, key);
        for _ in 0..ATTEMPTS {
            if let Some(known) = self.read(&subject).await? {
                return Ok(if known.body == claim.body { Claiming::Known(known) } else { Claiming::OtherBody });
            }
            match self.write(&subject, &claim, Some(0)).await {
                Ok(()) => return Ok(Claiming::First(claim)),
                Err(error) if is_taken(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed("others claim it at the same time"))
    }

    /// The queue has confirmed the send of a claim.
    ///
    /// # Errors
    /// When the broker does not answer; the next one with the key then publishes the send again.
    pub async fn accepted(&self, instance: &InstanceToken, key: &str, claim: &KeyClaim) -> Result<(), KeyError> {
        let claim = KeyClaim { accepted: true, ..claim.clone() };
        self.write(&Subjects::idempotency(instance, key), &claim, None).await.map_err(failed)
    }

    /// Reads from the leader: another server may not have it yet.
    async fn read(&self, subject: &str) -> Result<Option<KeyClaim>, KeyError> {
        let stream = self.nats.js.get_stream_no_info(format!("KV_{IDEMPOTENCY}")).await.map_err(failed)?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => serde_json::from_slice(&message.payload).map(Some).map_err(failed),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn write(&self, subject: &str, claim: &KeyClaim, expected: Option<u64>) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        if let Some(sequence) = expected {
            headers.insert(EXPECTED_SEQUENCE, sequence.to_string());
        }
        let payload = serde_json::to_vec(claim).unwrap_or_default();
        self.nats.js.publish_with_headers(subject.to_owned(), headers, payload.into()).await?.await.map(drop)
    }
}

/// Whether somebody else has claimed it meanwhile, or is about to.
fn is_taken(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::WrongLastSequence
        || refusal(error) == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
