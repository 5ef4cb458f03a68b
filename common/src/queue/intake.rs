//! The intake: ingress's side of the queue.

use std::sync::Arc;

use async_nats::{
    HeaderMap,
    jetstream::{
        Context, ErrorCode,
        context::{PublishError, PublishErrorKind},
    },
};
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::{
    Envelope, EnvelopeBody, InstanceToken, LaneAddress, Layout, Media, MediaError, Subjects, connect::Nats,
    partition::refusal, partition_of, token,
};
use crate::telemetry::propagation;

/// A queue message's body may have so many bytes; larger ones go to the object store.
const INLINE_LIMIT: usize = 256 * 1024;

/// A message that the queue has confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Whether the queue knew it already (the same webhook again within two minutes).
    pub duplicate: bool,
}

/// Why the queue did not take a message; all of them are a 503 to the sender.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// More publishes are in flight than we allow.
    #[error("too many messages are being accepted at once")]
    Busy,
    /// The stream or the object store is at its limit.
    #[error("the queue is full")]
    Full,
    /// The broker does not confirm.
    #[error("the queue does not confirm")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Publishes accepted messages and waits for the broker's confirmation.
#[derive(Clone, Debug)]
pub struct Intake {
    nats: Nats,
    layout: Layout,
    media: Media,
    in_flight: Arc<Semaphore>,
}

impl Intake {
    /// An intake with at most `in_flight` unconfirmed publishes.
    #[must_use]
    pub fn new(nats: Nats, layout: Layout, media: Media, in_flight: usize) -> Self {
        Self { nats, layout, media, in_flight: Arc::new(Semaphore::new(in_flight)) }
    }

    /// Stores an object that an envelope refers to; before the envelope itself.
    ///
    /// # Errors
    /// When the store does not confirm.
    pub async fn store(&self, name: &str, bytes: &[u8]) -> Result<(), IntakeError> {
        self.check_connected()?;
        self.media.put(name, bytes).await.map_err(|error| match error {
            MediaError::Full => IntakeError::Full,
            error => IntakeError::Unavailable(error.into()),
        })
    }

    /// Accepts messages: in order and one at a time within a conversation, all conversations at
    /// once. The answer is in the order of `envelopes`.
    ///
    /// # Errors
    /// When only a part was confirmed: the sender posts all of it again, and what was confirmed
    /// is known then.
    pub async fn accept(&self, envelopes: Vec<Envelope>) -> Result<Vec<Accepted>, IntakeError> {
        self.check_connected()?;
        let mut conversations: Vec<Vec<(usize, Envelope)>> = Vec::new();
        for (index, envelope) in envelopes.into_iter().enumerate() {
            match conversations.iter_mut().find(|c| c[0].1.session_name == envelope.session_name) {
                Some(conversation) => conversation.push((index, envelope)),
                None => conversations.push(vec![(index, envelope)]),
            }
        }
        let confirmed = try_join_all(conversations.into_iter().map(|conversation| async move {
            let mut accepted = Vec::with_capacity(conversation.len());
            for (index, envelope) in conversation {
                accepted.push((index, self.accept_one(envelope).await?));
            }
            Ok::<_, IntakeError>(accepted)
        }));
        let mut accepted: Vec<_> = confirmed.await?.into_iter().flatten().collect();
        accepted.sort_by_key(|(index, _)| *index);
        Ok(accepted.into_iter().map(|(_, accepted)| accepted).collect())
    }

    /// Without a connection every request would wait for its timeout, and the sender with it.
    fn check_connected(&self) -> Result<(), IntakeError> {
        match self.nats.connected() {
            true => Ok(()),
            false => Err(IntakeError::Unavailable("the connection to NATS is down".into())),
        }
    }

    async fn accept_one(&self, envelope: Envelope) -> Result<Accepted, IntakeError> {
        let _seat = self.in_flight.try_acquire().map_err(|_| IntakeError::Busy)?;
        let instance = InstanceToken::new(&envelope.instance, envelope.instance_id);
        let lane = LaneAddress {
            partition: partition_of(envelope.instance_id, &envelope.session_name, self.layout.partitions),
            instance: instance.as_str().to_owned(),
            conversation: token(&envelope.session_name),
        };
        let id = envelope.id.to_hex();
        let payload = self.thinned(envelope, &instance).await?;
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        propagation::inject_nats(&mut headers);
        let ack = publish(&self.nats.js, Subjects::inbound(&lane), headers, payload).await.map_err(refused)?;
        Ok(Accepted { duplicate: ack })
    }

    /// The envelope's bytes, its body in the object store when they would be too many.
    async fn thinned(&self, mut envelope: Envelope, instance: &InstanceToken) -> Result<Bytes, IntakeError> {
        let encode = |value: &Envelope| serde_json::to_vec(value).map_err(|e| IntakeError::Unavailable(e.into()));
        let bytes = encode(&envelope)?;
        let EnvelopeBody::Inline(body) = &envelope.body else { return Ok(bytes.into()) };
        if bytes.len() <= INLINE_LIMIT {
            return Ok(bytes.into());
        }
        let name = Media::name(instance, envelope.id, "body");
        let body = serde_json::to_vec(body).map_err(|e| IntakeError::Unavailable(e.into()))?;
        self.store(&name, &body).await?;
        envelope.body = EnvelopeBody::Object(name);
        Ok(encode(&envelope)?.into())
    }
}

async fn publish(js: &Context, subject: String, headers: HeaderMap, payload: Bytes) -> Result<bool, PublishError> {
    Ok(js.publish_with_headers(subject, headers, payload).await?.await?.duplicate)
}

fn refused(error: PublishError) -> IntakeError {
    let full = matches!(refusal(&error), Some(ErrorCode::STREAM_STORE_FAILED | ErrorCode::STORAGE_RESOURCES_EXCEEDED));
    match error.kind() {
        PublishErrorKind::MaxAckPending => IntakeError::Busy,
        _ if full => IntakeError::Full,
        _ => IntakeError::Unavailable(error.into()),
    }
}
