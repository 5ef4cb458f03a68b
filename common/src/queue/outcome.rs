//! How a send ended: told by the worker to the ingress whose caller waits for it.
//!
//! Over core NATS, on a subject of the send's own that the ingress listens to before it publishes
//! the send. Nothing is kept: who was not listening reads the same in the trace's row.

use async_nats::Subscriber;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Nats, Subjects};
use crate::trace::{Outcome, TraceEvent, entity::message_trace};

/// The version that this build writes.
const VERSION: u8 = 1;

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendOutcome {
    /// The version of this record.
    v: u8,
    /// How; [`Outcome::Answered`] means that it is out.
    pub outcome: Outcome,
    /// Why, as a snake_case word, when it is not.
    #[serde(default)]
    pub reason: Option<String>,
    /// Why, for people; secrets and numbers are hidden.
    #[serde(default)]
    pub error: Option<String>,
    /// The channel's status, where it answered.
    #[serde(default)]
    pub channel_status: Option<i32>,
    /// The channel's ids of what is out.
    #[serde(default)]
    pub message_ids: Vec<String>,
}

impl SendOutcome {
    /// What the last event of a trace says; none when it is not the last one.
    #[must_use]
    pub fn of_event(event: &TraceEvent) -> Option<Self> {
        let details = &event.record.details;
        Some(Self {
            v: VERSION,
            outcome: details.outcome?,
            reason: details.outcome_reason.clone(),
            error: details.error_message.clone(),
            channel_status: details.evolution_response_code,
            message_ids: details.reply_message_ids.clone(),
        })
    }

    /// What a trace's row says; none while it has not ended.
    #[must_use]
    pub fn of_row(row: &message_trace::Model) -> Option<Self> {
        Some(Self {
            v: VERSION,
            outcome: Outcome::parse(row.outcome.as_deref()?)?,
            reason: row.outcome_reason.clone(),
            error: row.error_message.clone(),
            channel_status: row.evolution_response_code,
            message_ids: serde_json::from_str(&row.reply_message_ids).unwrap_or_default(),
        })
    }
}

/// A failure to listen.
#[derive(Debug, thiserror::Error)]
#[error("the outcome of a send cannot be listened for")]
pub struct ListenError(#[source] async_nats::SubscribeError);

/// Tells and hears how sends end.
#[derive(Clone, Debug)]
pub struct SendOutcomes {
    nats: Nats,
}

/// Hears how one send ends.
#[derive(Debug)]
pub struct Listening(Subscriber);

impl SendOutcomes {
    /// Over this connection.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Tells whoever listens.
    pub async fn tell(&self, trace: Uuid, outcome: &SendOutcome) {
        if !self.nats.connected() {
            return;
        }
        if let Ok(payload) = serde_json::to_vec(outcome)
            && let Err(error) = self.nats.js.client().publish(Subjects::outcome(trace), payload.into()).await
        {
            tracing::debug!(error.message = %error, "the outcome of a send was not told");
        }
    }

    /// Listens from here on.
    ///
    /// # Errors
    /// When there is no connection any more.
    pub async fn listen(&self, trace: Uuid) -> Result<Listening, ListenError> {
        self.nats.js.client().subscribe(Subjects::outcome(trace)).await.map(Listening).map_err(ListenError)
    }
}

impl Listening {
    /// The outcome, once it is told; none when the connection has ended.
    pub async fn heard(&mut self) -> Option<SendOutcome> {
        while let Some(message) = self.0.next().await {
            match serde_json::from_slice::<SendOutcome>(&message.payload) {
                Ok(outcome) if outcome.v == VERSION => return Some(outcome),
                _ => tracing::debug!("an outcome of another version was told"),
            }
        }
        None
    }
}
