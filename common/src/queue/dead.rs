//! Dead letters: messages that could not be answered, with what is needed to try again.

use async_nats::jetstream::Context;
use serde::{Deserialize, Serialize};

use super::{Envelope, LaneAddress, Subjects};

/// A message that will not be tried again by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The version of this record: [`DeadLetter::VERSION`].
    pub v: u8,
    /// Why, as a snake_case word.
    pub reason: String,
    /// Why, for people; never a secret.
    pub error_message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it died, in milliseconds since 1970.
    pub at: i64,
    /// The message as it was accepted; absent when it was unreadable.
    pub envelope: Option<Envelope>,
    /// The unreadable message's bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl DeadLetter {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;
}

/// A dead letter that the broker did not confirm.
#[derive(Debug, thiserror::Error)]
#[error("the dead letter was not confirmed")]
pub struct DeadLetterError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The dead letters of all instances.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    js: Context,
}

impl DeadLetters {
    /// The dead letters behind a connection.
    #[must_use]
    pub fn new(js: Context) -> Self {
        Self { js }
    }

    /// Keeps a dead letter; the same message again replaces it.
    ///
    /// # Errors
    /// When the broker does not confirm: the message must then stay in its lane.
    pub async fn keep(&self, lane: &LaneAddress, message: &str, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| DeadLetterError(error);
        let payload = serde_json::to_vec(letter).map_err(|error| failed(error.into()))?;
        let subject = Subjects::dead(&lane.instance, &lane.conversation, message);
        let ack = self.js.publish(subject, payload.into()).await.map_err(|error| failed(error.into()))?;
        ack.await.map(drop).map_err(|error| failed(error.into()))
    }
}
