//! Where the events come from: one durable pull consumer per trace stream.

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{
    Client, Error,
    connection::State,
    jetstream::{
        self, AckKind, Message,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use omnihub_common::queue::streams;

use super::plan::Gaps;

/// The messages of one stream.
pub(super) struct Messages {
    stream: pull::Stream,
    line: Arc<Line>,
}

/// A message and the connection that it came by.
#[derive(Debug)]
pub(super) struct Delivered {
    message: Message,
    line: Arc<Line>,
}

impl Deref for Delivered {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// A connection to the broker, from its beginning to its loss. The broker behind the next one may
/// be one whose store was put back and which gives the same sequences to other messages: there
/// the acknowledgement of an older message would settle another one, unrecorded.
#[derive(Debug)]
struct Line {
    client: Client,
    connections: u64,
}

impl Line {
    fn of(client: Client) -> Arc<Self> {
        let connections = client.statistics().connects.load(Ordering::Relaxed);
        Arc::new(Self { client, connections })
    }

    fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
            && self.client.statistics().connects.load(Ordering::Relaxed) == self.connections
    }

    /// Returns when it is lost: messages that the next one brings are asked for anew.
    async fn lost(&self) {
        while self.is_up() {
            tokio::time::sleep(LINE_LOOK).await;
        }
    }
}

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
/// So often a connection is looked at on which nothing comes.
const LINE_LOOK: Duration = Duration::from_millis(50);
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
    // Before the first message can come, and after an answer: a connection stands.
    let line = Line::of(jetstream.client());
    let messages = consumer.stream().max_messages_per_batch(BATCH_EVENTS).heartbeat(Duration::from_secs(5)).messages();
    Ok(Messages { stream: messages.await?, line })
}

/// Fills a batch: waits for the first message as long as it takes, then for the others briefly.
///
/// Messages already in `batch` when this fails or is cancelled are good and are the caller's.
///
/// # Errors
/// When the messages ended; they are to be opened again.
pub(super) async fn fill(messages: &mut Messages, batch: &mut Vec<Delivered>) -> Result<(), Error> {
    let mut bytes = messages.take(batch).await?;
    let waited = tokio::time::sleep(BATCH_WAIT);
    tokio::pin!(waited);
    while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        tokio::select! {
            biased;
            taken = messages.take(batch) => bytes += taken?,
            () = &mut waited => break,
        }
    }
    Ok(())
}

impl Messages {
    /// Adds the next message and returns its size in bytes.
    async fn take(&mut self, batch: &mut Vec<Delivered>) -> Result<usize, Error> {
        let next = tokio::select! {
            biased;
            next = self.stream.next() => next,
            () = self.line.lost() => None,
        };
        if !self.line.is_up() {
            return Err("the connection was lost".into());
        }
        let message = next.ok_or("the broker ended the messages")??;
        let bytes = message.payload.len();
        batch.push(Delivered { message, line: Arc::clone(&self.line) });
        Ok(bytes)
    }
}

/// Gives what was already delivered, and not yet looked at, to another recorder soon, instead of
/// after [`ACK_WAIT`].
pub(super) async fn hand_back(messages: &mut Messages) {
    for _ in 0..2 * BATCH_EVENTS {
        match messages.stream.next().now_or_never() {
            Some(Some(Ok(message))) => {
                let message = Delivered { message, line: Arc::clone(&messages.line) };
                settle(&message, AckKind::Nak(Some(HAND_BACK_WAIT))).await;
            }
            Some(Some(Err(_))) => {}
            Some(None) | None => return,
        }
    }
}

/// Tells the broker what became of a message, if it is still the one that delivered it. When that
/// fails the message comes again, which does no harm.
pub(super) async fn settle(message: &Delivered, kind: AckKind) {
    if !message.line.is_up() {
        tracing::debug!("a trace event's connection was lost before its acknowledgement; it will come again");
        return;
    }
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
pub(super) fn sequence(message: &Delivered) -> u64 {
    message.info().map_or(0, |info| info.stream_sequence)
}

/// How many messages the stream dropped before those of a batch.
pub(super) fn missing(batch: &[Delivered], gaps: &mut Gaps) -> u64 {
    let mut missing = 0;
    for info in batch.iter().filter_map(|message| message.info().ok()) {
        match info.delivered {
            1 => missing += gaps.delivered(info.consumer_sequence, info.stream_sequence),
            _ => gaps.repeated(),
        }
    }
    missing
}
