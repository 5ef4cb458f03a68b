//! What a turn is given and how it ends: all that the scheduler knows of it.

use std::{sync::Arc, time::Duration};

use omnihub_common::queue::{Checkpoint, Command, Delivery, EnvelopeKind, HeldBytes, MessageId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A delivery whose identity is known.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) id: MessageId,
    pub(crate) kind: EnvelopeKind,
    pub(crate) command: Option<Command>,
    /// For those who ask where it is.
    pub(crate) trace_id: Option<Uuid>,
    /// From when its age counts, in milliseconds since 1970.
    pub(crate) counts_from: i64,
    /// Its place in the budget of payloads; none while its payload is left in the stream.
    pub(crate) _held: Option<Arc<HeldBytes>>,
}

/// How long a lane waits before its next attempt.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    /// At most so long.
    pub(crate) at_most: Duration,
    /// Why, as a snake_case word.
    pub(crate) reason: &'static str,
    /// The instance as the failed attempt knew it ([`Instance::version`]): another one ends the wait.
    ///
    /// [`Instance::version`]: omnihub_common::instance::Instance::version
    pub(crate) instance: Option<u64>,
    /// A change here ends the wait: the breaker that the lane waits for.
    pub(crate) circuit: Option<watch::Receiver<u64>>,
}

impl Wait {
    /// A wait that nothing else ends.
    pub(crate) fn of(at_most: Duration, reason: &'static str) -> Self {
        Self { at_most, reason, instance: None, circuit: None }
    }
}

/// What a running turn can be told from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reins {
    /// Take the question back, while the agent is being asked: more messages came.
    pub(crate) withdraw: CancellationToken,
    /// Take it back unless the agent is being asked already: more messages came that belong to it.
    pub(crate) join: CancellationToken,
    /// Stop where it is, as soon as it can: a command waits.
    pub(crate) stop: CancellationToken,
}

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum TurnEnd {
    /// It has ended; the checkpoint is written and the messages may be acknowledged.
    Done(Checkpoint),
    /// Its messages stay; try again after a while, with this checkpoint in memory.
    Again(Checkpoint, Wait),
    /// Its question was withdrawn: its messages stay, for a turn together with what came since.
    Withdrawn(Checkpoint),
    /// It was cut since its partition is given back or a command waits: its messages stay, and the
    /// checkpoint says how far it is.
    Cut(Checkpoint),
    /// The partition was lost; whoever owns it now goes on.
    Fenced,
}
