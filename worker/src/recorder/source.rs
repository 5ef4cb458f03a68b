//! Where the events come from: one durable pull consumer per trace stream.

use std::time::Duration;

use async_nats::{
    Error,
    jetstream::{
        self, AckKind, Message,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use omnihub_common::queue::streams;

use super::plan::Gaps;

/// The messages of one stream.
pub(super) type Messages = pull::Stream;

/// A batch is written when it has so many events ...
const BATCH_EVENTS: usize = 500;
/// ... or so many bytes (events carry texts and payloads of up to 64 KiB each) ...
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// ... or when its first event has waited so long: far below what a person who looks at a trace
/// notices, and enough to make one transaction of what arrives together.
const BATCH_WAIT: Duration = Duration::from_millis(25);
/// A batch that a dead recorder held goes to another one after this long.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// What is handed back is offered again after this long: not at once, when it would come to the
/// very recorder that is leaving.
pub(super) const HAND_BACK_WAIT: Duration = Duration::from_secs(1);
/// Over all recorders: enough for twenty of them with a batch in hand and one on the way.
const MAX_ACK_PENDING: i64 = 20_000;

/// Opens the stream's messages, with the durable consumer made if it is missing. `gaps` hears
/// what the consumer had delivered before.
///
/// # Errors
/// When the broker does not answer or the stream does not exist.
pub(super) async fn open(jetstream: &jetstream::Context, stream: &str, gaps: &mut Gaps) -> Result<Messages, Error> {
    let stream = jetstream.get_stream(stream).await?;
    let config = pull::Config {
        durable_name: Some(streams::RECORDER.to_owned()),
        description: Some("writes trace events to the database".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.get_or_create_consumer(streams::RECORDER, config).await?;
    let delivered = &consumer.cached_info().delivered;
    gaps.opened(delivered.consumer_sequence, delivered.stream_sequence);
    let messages = consumer.stream().max_messages_per_batch(BATCH_EVENTS).heartbeat(Duration::from_secs(5)).messages();
    Ok(messages.await?)
}

/// Fills a batch: waits for the first message as long as it takes, then for the others briefly.
///
/// Messages already in `batch` when this fails or is cancelled are good and are the caller's.
///
/// # Errors
/// When the messages ended; they are to be opened again.
pub(super) async fn fill(messages: &mut Messages, batch: &mut Vec<Message>) -> Result<(), Error> {
    let mut bytes = take(messages.next().await, batch)?;
    let waited = tokio::time::sleep(BATCH_WAIT);
    tokio::pin!(waited);
    while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        tokio::select! {
            biased;
            next = messages.next() => bytes += take(next, batch)?,
            () = &mut waited => break,
        }
    }
    Ok(())
}

/// Adds a message and returns its size in bytes.
fn take<E: Into<Error>>(next: Option<Result<Message, E>>, batch: &mut Vec<Message>) -> Result<usize, Error> {
    let message = next.ok_or("the broker ended the messages")?.map_err(Into::into)?;
    let bytes = message.payload.len();
    batch.push(message);
    Ok(bytes)
}

/// Gives what was already delivered, and not yet looked at, to another recorder soon, instead of
/// after [`ACK_WAIT`].
pub(super) async fn hand_back(messages: &mut Messages) {
    for _ in 0..2 * BATCH_EVENTS {
        match messages.next().now_or_never() {
            Some(Some(Ok(message))) => settle(&message, AckKind::Nak(Some(HAND_BACK_WAIT))).await,
            Some(Some(Err(_))) => {}
            Some(None) | None => return,
        }
    }
}

/// Tells the broker what became of a message. When that fails the message comes again, which
/// does no harm.
pub(super) async fn settle(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!(error.message = %error, "a trace event could not be acknowledged and will come again");
    }
}

/// Waits until the acknowledgements are out, but not for a broker that is away.
pub(super) async fn flush(jetstream: &jetstream::Context) {
    if tokio::time::timeout(Duration::from_secs(1), jetstream.client().flush()).await.is_err() {
        tracing::debug!("the last acknowledgements may not have left; their events will come again");
    }
}

/// The stream sequence of a message; 0 when the broker did not name it.
pub(super) fn sequence(message: &Message) -> u64 {
    message.info().map_or(0, |info| info.stream_sequence)
}

/// How many messages the stream dropped before those of a batch.
pub(super) fn missing(batch: &[Message], gaps: &mut Gaps) -> u64 {
    let mut missing = 0;
    for info in batch.iter().filter_map(|message| message.info().ok()) {
        match info.delivered {
            1 => missing += gaps.delivered(info.consumer_sequence, info.stream_sequence),
            _ => gaps.repeated(),
        }
    }
    missing
}
