//! Whereabouts: what a person's message is doing right now.
//!
//! The cast: a [`Standing`] is one state in the words of the field. The owner of a partition
//! answers a [`Look`] from its memory with [`Seen`], a [`Sight`] per conversation. Whoever asked
//! makes [`Whereabouts`] of it, or of what the streams and the database say where nobody owns the
//! partition.
//!
//! What this is not for: it decides nothing. A standing is true at the moment it was asked for,
//! and the next moment may be another.

mod words;

pub use words::span;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::trace::Outcome;

/// The version that this build writes into each [`Look`], [`Seen`] and [`Whereabouts`].
pub const WHEREABOUTS_VERSION: u8 = 1;

/// What happens to a message now, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
#[schema(as = MessageStanding)]
pub enum Standing {
    /// It waits for its turn.
    Queued {
        /// How many messages of its conversation come first; absent when there are too many to
        /// look through.
        before: Option<u64>,
    },
    /// Its turn waits for further messages of the person, to answer them together.
    Gathering {
        /// At the latest until then.
        until: DateTime<Utc>,
    },
    /// Its turn has begun and reads the message.
    Starting {
        /// Since when.
        since: Option<DateTime<Utc>>,
    },
    /// The agent is being asked.
    Asking {
        /// Since when; absent when only the streams were asked.
        since: Option<DateTime<Utc>>,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// An attempt failed, and the next one waits.
    Retrying {
        /// When the next attempt begins, at the latest.
        until: DateTime<Utc>,
        /// Which attempt that will be.
        attempt: u32,
        /// What went wrong, for people.
        why: String,
    },
    /// Nothing is tried until somebody has changed something.
    Held {
        /// Why, as a snake_case word.
        why: String,
        /// What went wrong, for people.
        error: Option<String>,
        /// When it is looked at again, if nothing changes before.
        until: Option<DateTime<Utc>>,
    },
    /// The answer goes out.
    Sending {
        /// Which bubble is being sent, from 1.
        bubble: u32,
        /// Of how many.
        of: u32,
        /// Since when the bubble is being sent; absent when only the streams were asked.
        since: Option<DateTime<Utc>>,
    },
    /// Everything is done, and its end is being made known.
    Finishing {
        /// Since when.
        since: Option<DateTime<Utc>>,
    },
    /// It has left the queue, and the database does not have its outcome yet.
    Recording,
    /// It is in the dead letters.
    Dead {
        /// Since when.
        at: Option<DateTime<Utc>>,
        /// Why, as a snake_case word.
        reason: String,
        /// How often it was tried.
        attempts: Option<u32>,
        /// What went wrong, for people.
        error: Option<String>,
    },
    /// It has ended in another way than death.
    Done {
        /// When.
        at: Option<DateTime<Utc>>,
        /// How.
        outcome: Outcome,
        /// Why, as a snake_case word, where there is a reason.
        reason: Option<String>,
    },
    /// A state that this build does not know: a newer worker answered.
    #[serde(other)]
    Unknown,
}

impl Standing {
    /// Whether nothing will happen to it any more by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Recording | Self::Dead { .. } | Self::Done { .. })
    }

    /// Whether it waits because something went wrong.
    #[must_use]
    pub fn is_delayed(&self) -> bool {
        matches!(self, Self::Retrying { .. } | Self::Held { .. })
    }
}

/// One conversation that is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sought {
    /// The instance's token.
    pub instance: String,
    /// The conversation's token.
    pub conversation: String,
    /// The message that matters, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Uuid>,
}

/// The question to the owner of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// [`WHEREABOUTS_VERSION`] of the asker.
    pub v: u8,
    /// The conversations.
    pub lanes: Vec<Sought>,
}

/// The owner's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// [`WHEREABOUTS_VERSION`] of the worker.
    pub v: u8,
    /// The worker's name.
    pub worker: String,
    /// In the order of the question; none where the conversation has nothing to do.
    pub lanes: Vec<Option<Sight>>,
}

/// One conversation as seen in a worker's memory, or in the streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// The message that is handled now, or comes next.
    pub trace_id: Option<Uuid>,
    /// What happens to it.
    pub standing: Standing,
    /// How many messages wait behind it.
    pub waiting: u64,
    /// What happens to the message that was asked for; absent when it is not there.
    pub asked: Option<Standing>,
}

/// Who told where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenIn {
    /// The memory of the worker that owns the conversation: true at this moment.
    Memory,
    /// The streams, since no worker owns the conversation now.
    Streams,
    /// The database: it has ended.
    Traces,
}

/// Where a message is, or a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whereabouts {
    /// The version of this form, by its writer.
    pub v: u8,
    /// The instance's name.
    pub instance_name: String,
    /// The conversation, as `session_name` has it.
    pub conversation: String,
    /// The message that this is about: the one asked for, else the one that is handled now.
    pub trace_id: Option<Uuid>,
    /// The worker that owns the conversation; null when nobody does.
    pub owner: Option<String>,
    /// Who told.
    pub seen_in: SeenIn,
    /// What happens to the message.
    #[serde(flatten)]
    pub standing: Standing,
    /// What the conversation is doing, where the message waits behind others.
    pub ahead: Option<Standing>,
    /// How many messages of the conversation wait behind what is handled now.
    pub waiting: u64,
}

impl Whereabouts {
    /// Of a conversation that was seen; `asked` is the message that was asked for.
    #[must_use]
    pub fn of(instance: &str, conversation: &str, owner: Option<String>, sight: Sight, asked: Option<Uuid>) -> Self {
        let (standing, ahead) = match sight.asked {
            Some(queued @ Standing::Queued { .. }) if asked != sight.trace_id => (queued, Some(sight.standing)),
            Some(asked) => (asked, None),
            None => (sight.standing, None),
        };
        Self {
            v: WHEREABOUTS_VERSION,
            instance_name: instance.to_owned(),
            conversation: conversation.to_owned(),
            trace_id: asked.or(sight.trace_id),
            seen_in: if owner.is_some() { SeenIn::Memory } else { SeenIn::Streams },
            owner,
            standing,
            ahead,
            waiting: sight.waiting,
        }
    }

    /// Of a message that is no longer in the queue.
    #[must_use]
    pub fn ended(instance: &str, conversation: &str, trace_id: Option<Uuid>, standing: Standing) -> Self {
        Self {
            v: WHEREABOUTS_VERSION,
            instance_name: instance.to_owned(),
            conversation: conversation.to_owned(),
            trace_id,
            owner: None,
            seen_in: SeenIn::Traces,
            standing,
            ahead: None,
            waiting: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sight(asked: Option<Standing>) -> Sight {
        let standing = Standing::Asking { since: None, attempt: 1 };
        Sight { trace_id: Some(Uuid::from_u128(1)), standing, waiting: 2, asked }
    }

    #[test]
    fn a_message_behind_others_tells_what_it_waits_for() {
        let queued = Standing::Queued { before: Some(1) };
        let second = Some(Uuid::from_u128(2));
        let found = Whereabouts::of("acme", "acme_1", Some("w1".into()), sight(Some(queued.clone())), second);
        assert_eq!((found.standing, found.trace_id, found.seen_in), (queued, second, SeenIn::Memory));
        assert_eq!(found.ahead, Some(Standing::Asking { since: None, attempt: 1 }));

        let first = Some(Uuid::from_u128(1));
        let front = Whereabouts::of("acme", "acme_1", None, sight(None), None);
        assert_eq!((front.trace_id, front.seen_in, front.ahead), (first, SeenIn::Streams, None));
    }

    #[test]
    fn the_state_stands_flat_and_an_unheard_of_one_is_read_as_unknown() {
        let queued = Standing::Queued { before: Some(1) };
        let found = Whereabouts::of("acme", "acme_1", None, sight(Some(queued)), Some(Uuid::from_u128(2)));
        let told = serde_json::to_value(&found).unwrap();
        assert_eq!(
            (&told["state"], &told["before"], &told["ahead"]["state"]),
            (&json!("queued"), &json!(1), &json!("asking"))
        );
        assert_eq!(serde_json::from_value::<Whereabouts>(told).unwrap(), found);
        let newer = json!({"state": "levitating", "height": 3});
        assert_eq!(serde_json::from_value::<Standing>(newer).unwrap(), Standing::Unknown);
    }
}
