//! What a turn is given and how it ends: all that the scheduler knows of it.

use std::{sync::Arc, time::Duration};

use omnihub_common::queue::{Checkpoint, Delivery, MessageId};
use uuid::Uuid;

/// A delivery whose identity is known.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) id: MessageId,
    /// For those who ask where it is.
    pub(crate) trace_id: Option<Uuid>,
}

/// How long a lane waits before its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// At most so long.
    pub(crate) at_most: Duration,
    /// The instance as the failed attempt knew it (when it last changed, in microseconds since
    /// 1970): a newer one ends the wait.
    pub(crate) instance: Option<i64>,
}

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum TurnEnd {
    /// It has ended; the checkpoint is written and the messages may be acknowledged.
    Done(Checkpoint),
    /// Its messages stay; try again after a while, with this checkpoint in memory.
    Again(Checkpoint, Wait),
    /// The partition was lost; whoever owns it now goes on.
    Fenced,
}
