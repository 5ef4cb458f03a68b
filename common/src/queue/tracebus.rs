//! Where a message's story goes: steps without waiting, outcomes confirmed.

use async_nats::HeaderMap;

use super::{InstanceToken, Subjects, confirm::until_confirmed, connect::Nats};
use crate::trace::{Receipt, ReceiptEvent, TraceEvent, pack};

/// Larger payloads are left out of an event, so that it always fits into a message.
const EVENT_LIMIT: usize = 512 * 1024;

/// An outcome that the broker did not confirm.
#[derive(Debug, thiserror::Error)]
#[error("the outcome was not confirmed")]
pub struct TraceBusError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Publishes trace events.
#[derive(Clone, Debug)]
pub struct TraceBus {
    nats: Nats,
}

impl TraceBus {
    /// A bus on a connection.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Publishes a step; nobody waits for it, and without a connection it is dropped: the
    /// outcome tells the whole story again.
    pub async fn step(&self, event: &TraceEvent) {
        if !self.nats.connected() {
            return;
        }
        let subject = Subjects::step(&instance(event));
        if let Ok(payload) = encode(event)
            && let Err(error) = self.nats.js.client().publish(subject, payload.into()).await
        {
            tracing::debug!(error.message = %error, "a trace step was dropped");
        }
    }

    /// Publishes how far a bubble of an instance has come, as a step: nobody waits for it.
    pub async fn receipt(&self, instance: &InstanceToken, receipt: Receipt) {
        if !self.nats.connected() {
            return;
        }
        if let Ok(payload) = serde_json::to_vec(&ReceiptEvent::from(receipt))
            && let Err(error) = self.nats.js.client().publish(Subjects::step(instance), payload.into()).await
        {
            tracing::debug!(error.message = %error, "a receipt was dropped");
        }
    }

    /// Publishes an outcome and waits for the broker's confirmation.
    ///
    /// # Errors
    /// When it was not confirmed; publishing it again is harmless.
    pub async fn outcome(&self, event: &TraceEvent) -> Result<(), TraceBusError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| TraceBusError(error);
        let payload = pack(encode(event).map_err(|error| failed(error.into()))?);
        let mut headers = HeaderMap::new();
        let id = format!("{}-{}", event.record.trace_id, event.revision);
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        let subject = Subjects::trace(&instance(event));
        let ack = self.nats.js.publish_with_headers(subject, headers, payload.into()).await;
        ack.map_err(|error| failed(error.into()))?.await.map(drop).map_err(|error| failed(error.into()))
    }

    /// Publishes an outcome until it is confirmed or `may_go_on` says no.
    pub async fn outcome_until(&self, event: &TraceEvent, may_go_on: impl Fn() -> bool) -> bool {
        until_confirmed("outcome", may_go_on, || self.outcome(event)).await.is_some()
    }
}

fn instance(event: &TraceEvent) -> InstanceToken {
    InstanceToken::new(&event.record.instance_name, event.record.instance_id)
}

fn encode(event: &TraceEvent) -> Result<Vec<u8>, serde_json::Error> {
    let bytes = serde_json::to_vec(event)?;
    if bytes.len() <= EVENT_LIMIT {
        return Ok(bytes);
    }
    // What the payloads tell is dropped first, then the texts, so that the outcome itself is kept.
    let mut smaller = TraceEvent { payload: None, ..event.clone() };
    let bytes = serde_json::to_vec(&smaller)?;
    if bytes.len() <= EVENT_LIMIT {
        return Ok(bytes);
    }
    let details = &mut smaller.record.details;
    (details.message_content, details.agent_response) = (None, None);
    serde_json::to_vec(&smaller)
}
