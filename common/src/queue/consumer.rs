//! The disposable consumer of one partition.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    Subject,
    jetstream::{
        Context, Message,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
        stream::Stream,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::{LaneAddress, Subjects, partition::Partition};

/// The protocol's word for an acknowledgement.
const ACK: &str = "+ACK";
/// Longer than any turn: nothing is ever redelivered by a timer.
const ACK_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// A consumer that has been silent for twice this long is made anew: its server may have died, and
/// the request for messages with it.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After so long without a message a consumer is asked whether there is one at all.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// A consumer counts as having ended after this time at the earliest.
const SHORTEST_LIFE: Duration = Duration::from_millis(250);
/// Messages of one partition that may be with the owner at once.
const MAX_ACK_PENDING: i64 = 500_000;
/// The server removes a consumer that nobody has asked for so long.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Its removal is tried as often, with these pauses behind.
const REMOVAL_PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::ZERO];

/// One message, delivered to the owner of its partition.
pub struct Delivery {
    /// Its conversation.
    pub lane: LaneAddress,
    /// Epoch and generation of the consumer that delivered it; of an older one it is stale.
    pub tag: (u64, u64),
    /// Its place in the stream.
    pub sequence: u64,
    /// Whether it was in the stream before this consumer was made: another owner may have begun it.
    pub replayed: bool,
    /// When the broker stored it, in milliseconds since 1970 by the broker's clock.
    pub published: i64,
    /// Its bytes; absent while they are left in the stream, see [`Partition::fetch`].
    pub payload: Option<Bytes>,
    /// Its headers: the trace context.
    pub headers: Option<async_nats::HeaderMap>,
    js: Context,
    reply: Subject,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delivery({} of partition {})", self.sequence, self.lane.partition)
    }
}

impl Delivery {
    /// Acknowledges it and waits for the broker's word.
    ///
    /// # Errors
    /// When the broker did not confirm: it will come again and be known as done.
    pub async fn ack(&self) -> Result<(), async_nats::RequestError> {
        self.js.client().request(self.reply.clone(), ACK.into()).await.map(drop)
    }
}

/// Why a consumer's deliveries ended.
#[derive(Debug, PartialEq, Eq)]
pub enum PumpEnd {
    /// A consumer of this epoch, not below ours and not ours, is there: another worker owns the
    /// partition, or its record was lost.
    Superseded(u64),
    /// A gap or an error: verify the ownership and begin again with the next generation.
    Doubt(String),
    /// The partition was given up.
    Gone,
}

/// What a consumer feeds its owner with.
#[derive(Debug)]
pub enum Fed {
    /// A message.
    Message(Box<Delivery>),
    /// Everything that was in the partition when the consumer of this epoch and generation was made
    /// has been delivered; said once.
    CaughtUp(u16, (u64, u64)),
}

/// Makes the consumer of `(epoch, generation)` and hands what it feeds to `feed`, in stream order,
/// until the partition is gone or in doubt.
///
/// `listening` is called once the consumer is there; [`Partition::begin_generation`] comes first.
pub async fn pump(
    partition: Arc<Partition>,
    generation: u64,
    listening: impl FnOnce() + Send,
    feed: impl Fn(Fed) + Send,
) -> PumpEnd {
    let gone = partition.gone().clone();
    let begun = Instant::now();
    let work = async {
        let end = run(&partition, generation, listening, feed).await;
        // A consumer that fails at once would be made again at once, as fast as the broker answers.
        tokio::time::sleep(SHORTEST_LIFE.saturating_sub(begun.elapsed())).await;
        end
    };
    tokio::select! {
        biased;
        () = gone.cancelled() => PumpEnd::Gone,
        end = work => end,
    }
}

async fn run(partition: &Partition, generation: u64, listening: impl FnOnce(), feed: impl Fn(Fed)) -> PumpEnd {
    let doubt = |error: &dyn std::fmt::Display| PumpEnd::Doubt(error.to_string());
    let stream = match partition.js().get_stream(partition.inbound()).await {
        Ok(stream) => stream,
        Err(error) => return doubt(&error),
    };
    let consumer = match create(&stream, partition, generation).await {
        Ok(consumer) => consumer,
        Err(end) => return end,
    };
    let messages = consumer
        .stream()
        .max_messages_per_batch(500)
        .expires(Duration::from_secs(30))
        .heartbeat(HEARTBEAT)
        .messages()
        .await;
    let mut messages = match messages {
        Ok(messages) => messages,
        Err(error) => return doubt(&error),
    };
    partition.set_listening();
    listening();
    let tag = (partition.epoch(), generation);
    let mut replay = Replay { already_there: stream.cached_info().state.last_sequence, received: 0, over: false };
    let caught_up = || feed(Fed::CaughtUp(partition.number(), tag));
    if replay.is_over_when(consumer.cached_info().num_pending == 0) {
        caught_up();
    }
    loop {
        let message = match next(&mut messages, &consumer, &replay).await {
            Ok(Some(message)) => message,
            Ok(None) => {
                if replay.is_over_when(true) {
                    caught_up();
                }
                continue;
            }
            Err(reason) => return PumpEnd::Doubt(reason),
        };
        match replay.receive(partition, tag, message) {
            Ok((delivery, over)) => {
                delivery.into_iter().for_each(|delivery| feed(Fed::Message(Box::new(delivery))));
                if replay.is_over_when(over) {
                    caught_up();
                }
            }
            Err(problem) => return PumpEnd::Doubt(problem),
        }
    }
}

/// Waits for a message. While the replay is not over it does not wait for ever, since what the last
/// delivery announced may have been removed: `None` when the server has nothing that was not
/// received. An error is the end.
async fn next(
    messages: &mut pull::Stream,
    consumer: &PullConsumer,
    replay: &Replay,
) -> Result<Option<Message>, String> {
    loop {
        let patience = if replay.over { Duration::MAX } else { IDLE_LOOK };
        match tokio::time::timeout(patience, messages.next()).await {
            Ok(Some(message)) => return message.map(Some).map_err(|error| error.to_string()),
            Ok(None) => return Err("the consumer's deliveries ended".to_owned()),
            Err(_) => match consumer.get_info().await {
                Ok(info) if replay.has_all(info.num_pending, info.delivered.consumer_sequence) => return Ok(None),
                Ok(_) => {}
                Err(error) => tracing::debug!(error.message = %error, "a silent consumer was not looked at"),
            },
        }
    }
}

/// How far the deliveries of a new consumer are.
#[derive(Debug)]
struct Replay {
    /// What has a place up to this one was in the stream before the consumer was made.
    already_there: u64,
    /// So many deliveries were received.
    received: u64,
    /// Everything that was there before has been delivered.
    over: bool,
}

impl Replay {
    /// Notes that it is over, if it is; `true` the first time.
    fn is_over_when(&mut self, over: bool) -> bool {
        over && !std::mem::replace(&mut self.over, true)
    }

    /// Whether nothing is left of what the server has: not there, and not on its way.
    fn has_all(&self, pending: u64, sent: u64) -> bool {
        pending == 0 && sent <= self.received
    }

    /// Receives a message: its delivery, none where the subject is not one of ours; and whether
    /// nothing that was there before comes after it.
    fn receive(
        &mut self,
        partition: &Partition,
        tag: (u64, u64),
        message: Message,
    ) -> Result<(Option<Delivery>, bool), String> {
        let info = message.info().map_err(|error| error.to_string())?;
        self.received += 1;
        if info.consumer_sequence != self.received {
            return Err(format!("a gap: delivery {} instead of {}", info.consumer_sequence, self.received));
        }
        let replayed = info.stream_sequence <= self.already_there;
        let over = info.pending == 0 || !replayed;
        Ok((read(partition, tag, replayed, message)?, over))
    }
}

/// The delivery of a message; none where the subject is not one of ours.
fn read(partition: &Partition, tag: (u64, u64), replayed: bool, message: Message) -> Result<Option<Delivery>, String> {
    let info = message.info().map_err(|error| error.to_string())?;
    let sequence = info.stream_sequence;
    let published = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let message = message.message;
    let Some(reply) = message.reply else { return Err("a delivery that cannot be acknowledged".to_owned()) };
    let Some(lane) = LaneAddress::read(&message.subject) else {
        // Nobody of ours publishes such a subject; whoever did will find it there.
        tracing::error!(nats.subject = %message.subject, "a message with a foreign subject is left in the queue");
        return Ok(None);
    };
    Ok(Some(Delivery {
        lane,
        tag,
        sequence,
        replayed,
        published,
        payload: Some(message.payload),
        headers: message.headers,
        js: partition.js().clone(),
        reply,
    }))
}

/// The server refuses a second consumer on one filter, so the older ones go first; a newer one
/// means that we were replaced.
async fn create(stream: &Stream, partition: &Partition, generation: u64) -> Result<PullConsumer, PumpEnd> {
    let me = (partition.epoch(), generation);
    let names: Vec<String> =
        stream.consumer_names().try_collect().await.map_err(|error| PumpEnd::Doubt(error.to_string()))?;
    for name in names {
        match read_name(&name) {
            // Never ours: a generation is begun once.
            Some((p, tag)) if p == partition.number() && tag >= me => return Err(PumpEnd::Superseded(tag.0)),
            Some((p, _)) if p == partition.number() => {
                // One that is gone already, or stays, shows when ours is made.
                if let Err(error) = stream.delete_consumer(&name).await {
                    tracing::debug!(consumer.name = name, error.message = %error, "an old consumer was not deleted");
                }
            }
            _ => {}
        }
    }
    let config = pull::Config {
        durable_name: Some(name_of(partition, generation)),
        filter_subject: Subjects::inbound_partition(partition.number()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        inactive_threshold: ABANDONED_AFTER,
        // It is disposable: what it knows is rebuilt from the stream, so no disk need wait for it.
        memory_storage: true,
        ..Default::default()
    };
    stream.create_consumer(config).await.map_err(|error| PumpEnd::Doubt(error.to_string()))
}

/// Removes the consumer of a partition that is given back: tried again, since a cluster may be busy,
/// or still making the consumer. One that stays does no harm: the next owner removes it.
pub(super) async fn remove(partition: &Partition) {
    let name = name_of(partition, partition.generation());
    for pause in REMOVAL_PAUSES {
        let removed = match partition.js().get_stream_no_info(partition.inbound()).await {
            Ok(stream) => stream.delete_consumer(&name).await.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let Err(error) = removed else { return };
        tracing::debug!(consumer.name = name, error.message = error, "a consumer was not removed");
        tokio::time::sleep(pause).await;
    }
}

/// No name is used twice, not even after the broker has lost its latest records: an
/// acknowledgement on its way to an older consumer would take a message of this one.
fn name_of(partition: &Partition, generation: u64) -> String {
    format!("p{}-e{}-g{generation}-{}", partition.number(), partition.epoch(), partition.nonce())
}

/// Partition, epoch and generation out of a consumer's name; older versions gave it no nonce.
fn read_name(name: &str) -> Option<(u16, (u64, u64))> {
    let (partition, rest) = name.strip_prefix('p')?.split_once("-e")?;
    let (epoch, rest) = rest.split_once("-g")?;
    let generation = rest.split_once('-').map_or(rest, |(generation, _)| generation);
    Some((partition.parse().ok()?, (epoch.parse().ok()?, generation.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_over_once_and_not_before_everything_was_received() {
        let mut replay = Replay { already_there: 9, received: 3, over: false };
        assert!(!replay.has_all(1, 3), "one more is there");
        assert!(!replay.has_all(0, 4), "one more is on its way");
        assert!(replay.has_all(0, 3));
        assert!(!replay.is_over_when(false) && replay.is_over_when(true) && !replay.is_over_when(true));
    }

    #[test]
    fn a_consumer_name_says_partition_epoch_and_generation() {
        assert_eq!(read_name("p3-e12-g4"), Some((3, (12, 4))));
        assert!(read_name("p3-e12-g4").map(|n| n.1) < read_name("p3-e13-g0").map(|n| n.1));
        assert_eq!(read_name("p3-e12-g4-0a1b2c3d4e5f"), Some((3, (12, 4))));
        assert_eq!(read_name("recorder"), None);
    }
}
