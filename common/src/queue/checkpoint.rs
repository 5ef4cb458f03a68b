//! The checkpoint: what a conversation must remember so that any worker can go on with it.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::MessageId;

/// How many ids a lane remembers as done.
pub const DONE_IDS_KEPT: usize = 256;
/// How long a lane remembers an id as done, in milliseconds. Evolution retries a webhook for up to
/// 29 minutes, and a work-queue stream forgets the ids of acknowledged messages on restart.
pub const DONE_IDS_KEPT_FOR: i64 = 35 * 60 * 1000;

/// How many of our bubbles a lane remembers.
const OURS_KEPT: usize = 32;
/// And how many messages that were taken back.
const REVOKED_KEPT: usize = 16;

/// One conversation's checkpoint, in `turn.<p>.<instance>.<conversation>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of this record: [`Checkpoint::VERSION`].
    pub v: u8,
    /// Ids of messages whose turn has ended, oldest first.
    #[serde(default)]
    pub done: Vec<DoneId>,
    /// The turn that has begun and not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenTurn>,
    /// The turn that waits for another attempt while a send overtakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken: Option<OpenTurn>,
    /// What the instance's own agent calls this conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<AgentSession>,
    /// What each fallback agent calls it, by the agent's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fallback_sessions: BTreeMap<String, AgentSession>,
    /// The day (of the office) on which the person was last told that it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_closed: Option<NaiveDate>,
    /// [`MessageId::short`] of the last bubbles of ours, as [`MessageId::of_own`] names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ours: Vec<u64>,
    /// The channel's ids of messages that were taken back lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
    /// The last minute since 1970 in which messages came that were asked about, and how many turns
    /// they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<(i64, u32)>,
    /// Whether a turn was counted that was taken back before it asked: the one in its place is not
    /// counted again. Known only while its owner lives.
    #[serde(skip)]
    pub prepaid: bool,
}

/// An id that a lane has done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneId(
    /// [`MessageId::short`].
    pub u64,
    /// When its turn ended, in milliseconds since 1970.
    pub i64,
);

/// A turn between its first fenced write and its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenTurn {
    /// The messages it answers, in order.
    pub ids: Vec<MessageId>,
    /// How often the agent was asked or the channel tried, without success.
    pub attempt: u32,
    /// How often in this phase: the schedule of waits begins anew when the agent has answered.
    #[serde(default)]
    pub failures: u32,
    /// How far it is.
    pub phase: Phase,
    /// How often whoever had begun it was gone afterwards, without a word: in this phase, and
    /// beside `attempt`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beginnings: u32,
    /// Whether nothing runs for it: it waits, or was put aside in good order. One that is read
    /// back without it was cut in the middle.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
    /// The process that began it last, by a number it chose at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by: Option<u64>,
    /// An answer is waited for that the agent gives later, without anybody who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Awaiting>,
    /// Whether it is counted against the instance's budgets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub budgeted: bool,
}

impl OpenTurn {
    /// A turn about these messages of which nothing is known.
    #[must_use]
    pub fn new(ids: Vec<MessageId>) -> Self {
        Self {
            ids,
            attempt: 0,
            failures: 0,
            phase: Phase::Asking,
            beginnings: 0,
            counted: false,
            begun_by: None,
            awaiting: None,
            budgeted: false,
        }
    }
}

/// An answer that comes later. An older version does not know of it, and asks again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    /// The fallback agent that gives it; none for the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// When the agent was asked, in milliseconds since 1970.
    pub asked_at: i64,
    /// Until when it is waited for.
    pub until: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How far an open turn is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The agent is being asked, or waited for until the next attempt.
    Asking,
    /// The answer is known; its bubbles go out one by one.
    Sending(Answer),
}

/// A stored answer and how much of it has been sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The bubbles, in order.
    pub bubbles: Vec<String>,
    /// The channel's ids of the bubbles that are surely out.
    pub sent: Vec<String>,
    /// Whether the bubble after those may be out too: its send had begun.
    pub in_doubt: bool,
    /// The whole answer, for the trace.
    pub text: String,
    /// When the agent was asked and when it answered, in milliseconds since 1970.
    pub asked_at: i64,
    /// See `asked_at`.
    pub answered_at: i64,
    /// Whether the agent has not said all of it: its first bubbles go out while it speaks. Who goes on
    /// with it asks again, and sends what is not out yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub growing: bool,
    /// Tokens the agent named, of the request and of the response.
    #[serde(default)]
    pub tokens: (Option<i32>, Option<i32>),
    /// How many tools the agent says it used.
    #[serde(default)]
    pub tools_used: Option<i32>,
    /// The name of the fallback agent that gave it; none for the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Set when this is a text of the instance's own (after the last failure, or outside of its
    /// opening hours), with the reason that the turn ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

impl Answer {
    /// Whether any of it is out, or may be.
    #[must_use]
    pub fn is_out(&self) -> bool {
        !self.sent.is_empty() || self.in_doubt
    }
}

/// The names an agent gave to a conversation and its person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSession {
    /// The agent's session id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The agent's user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// What is read first, since a newer version may have another shape.
#[derive(Deserialize)]
struct Version {
    v: u8,
}

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a checkpoint.
    #[error("the checkpoint is unreadable")]
    Unreadable(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("the checkpoint has version {0}, which this build does not know")]
    Version(u8),
}

impl Checkpoint {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;

    /// An empty checkpoint.
    #[must_use]
    pub fn new() -> Self {
        Self { v: Self::VERSION, ..Self::default() }
    }

    /// Reads a stored checkpoint.
    ///
    /// # Errors
    /// When it is unreadable or of a newer version.
    pub fn read(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let Version { v } = serde_json::from_slice(bytes)?;
        if v == Self::VERSION { Ok(serde_json::from_slice(bytes)?) } else { Err(CheckpointError::Version(v)) }
    }

    pub(super) fn to_bytes(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }

    /// What an agent calls this conversation; `fallback` is its name, none for the instance's own.
    #[must_use]
    pub fn session_with(&self, fallback: Option<&str>) -> Option<&AgentSession> {
        match fallback {
            None => self.session.as_ref(),
            Some(name) => self.fallback_sessions.get(name),
        }
    }

    /// Remembers what an agent calls this conversation; see [`Checkpoint::session_with`].
    pub fn keep_session(&mut self, fallback: Option<&str>, session: AgentSession) {
        let session = Some(session).filter(|session| *session != AgentSession::default());
        match (fallback, session) {
            (None, session) => self.session = session,
            (Some(name), Some(session)) => {
                self.fallback_sessions.insert(name.to_owned(), session);
            }
            (Some(name), None) => {
                self.fallback_sessions.remove(name);
            }
        }
    }

    /// Whether no turn is open.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open.is_none() && self.overtaken.is_none()
    }

    /// The turn that was overtaken is the open one again, once the send that overtook it has ended.
    pub fn resume(&mut self) {
        if self.open.is_none() {
            self.open = self.overtaken.take();
        }
    }

    /// Remembers a bubble that we have sent.
    pub fn sent(&mut self, id: MessageId) {
        let short = id.short();
        if !self.ours.contains(&short) {
            self.ours.push(short);
        }
        let excess = self.ours.len().saturating_sub(OURS_KEPT);
        self.ours.drain(..excess);
    }

    /// Remembers that a message was taken back.
    pub fn revoke(&mut self, provider_id: &str) {
        if !self.revoked.iter().any(|known| known == provider_id) {
            self.revoked.push(provider_id.to_owned());
        }
        let excess = self.revoked.len().saturating_sub(REVOKED_KEPT);
        self.revoked.drain(..excess);
    }

    /// Counts a turn that is about to ask, by when its message came; `false` when the conversation
    /// had `most` of that minute already. 0 is no limit.
    pub fn may_ask(&mut self, came_ms: i64, most: u32) -> bool {
        let now = came_ms.div_euclid(60_000);
        let before = self.minute.filter(|(minute, _)| *minute == now).map_or(0, |(_, turns)| turns);
        let may = most == 0 || before < most;
        if most > 0 && may {
            self.minute = Some((now, before + 1));
        }
        may
    }

    /// Whether a message's turn has ended already.
    #[must_use]
    pub fn has_done(&self, id: MessageId) -> bool {
        self.done.iter().any(|done| done.0 == id.short())
    }

    /// [`MessageId::short`] of every message whose turn has ended.
    #[must_use]
    pub fn done_ids(&self) -> HashSet<u64> {
        self.done.iter().map(|done| done.0).collect()
    }

    /// Ends the open turn: its messages are done.
    pub fn close(&mut self, ids: &[MessageId], now_ms: i64) {
        self.open = None;
        self.done.extend(ids.iter().map(|id| DoneId(id.short(), now_ms)));
        self.done.retain(|done| now_ms - done.1 < DONE_IDS_KEPT_FOR);
        let excess = self.done.len().saturating_sub(DONE_IDS_KEPT);
        self.done.drain(..excess);
    }

    /// The open turn, if it is about exactly these messages.
    #[must_use]
    pub fn open_for(&self, ids: &[MessageId]) -> Option<&OpenTurn> {
        self.open.as_ref().filter(|open| open.ids == ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::MessageKey;

    fn id(n: usize) -> MessageId {
        let provider_id = n.to_string();
        let key = MessageKey {
            instance_id: 1,
            kind: "message",
            chat: "c",
            from_me: false,
            provider_id: &provider_id,
            discriminator: "",
        };
        MessageId::of(&key)
    }

    #[test]
    fn done_ids_are_kept_for_a_while_and_never_without_bound() {
        let mut checkpoint = Checkpoint::new();
        checkpoint.close(&[id(0)], 0);
        assert!(checkpoint.has_done(id(0)));
        checkpoint.close(&[id(1)], DONE_IDS_KEPT_FOR - 1);
        assert!(checkpoint.has_done(id(0)));
        checkpoint.close(&[id(2)], DONE_IDS_KEPT_FOR + 1);
        assert!(!checkpoint.has_done(id(0)) && checkpoint.has_done(id(1)));

        let many: Vec<_> = (10..1000).map(id).collect();
        checkpoint.close(&many, DONE_IDS_KEPT_FOR + 2);
        assert_eq!(checkpoint.done.len(), DONE_IDS_KEPT);
        assert!(checkpoint.has_done(id(999)) && !checkpoint.has_done(id(10)));
    }

    #[test]
    fn our_last_bubbles_are_remembered_once_each() {
        let mut checkpoint = Checkpoint::new();
        for n in 0..40 {
            checkpoint.sent(id(n));
            checkpoint.sent(id(n));
            checkpoint.revoke(&n.to_string());
            checkpoint.revoke(&n.to_string());
        }
        assert_eq!((checkpoint.revoked.len(), checkpoint.revoked.last().unwrap().as_str()), (REVOKED_KEPT, "39"));
        assert_eq!(checkpoint.ours.len(), OURS_KEPT);
        assert!(checkpoint.ours.contains(&id(39).short()) && !checkpoint.ours.contains(&id(7).short()));
    }

    #[test]
    fn a_minute_has_so_many_turns_and_the_next_one_as_many() {
        let mut checkpoint = Checkpoint::new();
        let asked = |checkpoint: &mut Checkpoint, now| (0..5).filter(|_| checkpoint.may_ask(now, 3)).count();
        assert_eq!((asked(&mut checkpoint, 59_999), asked(&mut checkpoint, 59_999)), (3, 0));
        assert_eq!(asked(&mut checkpoint, 60_000), 3);
        assert!((0..100).all(|_| checkpoint.may_ask(60_000, 0)), "no limit");
    }

    #[test]
    fn an_open_turn_is_resumed_only_for_its_own_messages() {
        let mut checkpoint = Checkpoint::new();
        let begun = OpenTurn { attempt: 2, begun_by: Some(u64::MAX), ..OpenTurn::new(vec![id(1)]) };
        checkpoint.open = Some(begun);
        assert!(checkpoint.open_for(&[id(1)]).is_some());
        assert!(checkpoint.open_for(&[id(1), id(2)]).is_none());
        let bytes = checkpoint.to_bytes().unwrap();
        assert_eq!(Checkpoint::read(&bytes).unwrap(), checkpoint);
        assert!(matches!(Checkpoint::read(br#"{"v":9}"#), Err(CheckpointError::Version(9))));
    }

    #[test]
    fn each_agent_has_its_own_names_and_an_older_checkpoint_those_of_the_first() {
        let named = |id: &str| AgentSession { session_id: Some(id.to_owned()), user_id: None };
        let mut checkpoint = Checkpoint::read(br#"{"v":1,"session":{"session_id":"old"}}"#).unwrap();
        assert_eq!((checkpoint.session_with(None), checkpoint.session_with(Some("b"))), (Some(&named("old")), None));
        checkpoint.keep_session(Some("b"), named("theirs"));
        checkpoint.keep_session(None, named("ours"));
        let read = Checkpoint::read(&checkpoint.to_bytes().unwrap()).unwrap();
        assert_eq!(read.session_with(Some("b")), Some(&named("theirs")));
        assert_eq!(read.session_with(None), Some(&named("ours")));
        checkpoint.keep_session(Some("b"), AgentSession::default());
        assert_eq!(checkpoint.session_with(Some("b")), None);
    }

    #[test]
    fn an_overtaken_turn_is_kept_until_it_goes_on() {
        let waits = OpenTurn { attempt: 2, ..OpenTurn::new(vec![id(1)]) };
        let mut checkpoint = Checkpoint { overtaken: Some(waits.clone()), ..Checkpoint::new() };
        checkpoint.open = Some(OpenTurn::new(vec![id(2)]));
        checkpoint.resume();
        assert!(checkpoint.open_for(&[id(2)]).is_some(), "the send has not ended");
        checkpoint.close(&[id(2)], 1);
        assert!(!checkpoint.is_closed());
        checkpoint.resume();
        assert_eq!((checkpoint.open, checkpoint.overtaken), (Some(waits), None));
    }
}
