//! What waits in the queue, and how it is identified.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What identifies a message at its channel. Receipts and edits share the provider's id with the
/// message they speak of, and another chat may use the same id again, so all of it counts.
#[derive(Clone, Debug)]
pub struct MessageKey<'a> {
    /// The instance's immutable row id.
    pub instance_id: i64,
    /// What kind of event it is (`message`; later `edit`, `receipt`).
    pub kind: &'a str,
    /// The chat as the channel names it.
    pub chat: &'a str,
    /// Whether our own account wrote it.
    pub from_me: bool,
    /// The channel's id.
    pub provider_id: &'a str,
    /// For receipts and edits: the status, or the time of the edit.
    pub discriminator: &'a str,
}

/// A message's identity: a hash of its [`MessageKey`]; also its `Nats-Msg-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// The id of a key.
    #[must_use]
    pub fn of(key: &MessageKey<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.instance_id.to_be_bytes());
        hasher.update(&[u8::from(key.from_me)]);
        for part in [key.kind, key.chat, key.provider_id, key.discriminator] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut id = [0_u8; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }

    /// The id of a message that our own account wrote into a conversation, which is given as its
    /// token: alike for what came from the channel and for what we have sent.
    #[must_use]
    pub fn of_own(instance_id: i64, conversation: &str, provider_id: &str) -> Self {
        let key =
            MessageKey { instance_id, kind: "own", chat: conversation, from_me: true, provider_id, discriminator: "" };
        Self::of(&key)
    }

    /// The first eight bytes: what a lane keeps of ids it has done with.
    #[must_use]
    pub fn short(self) -> u64 {
        let mut first = [0_u8; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first)
    }

    /// The id of this message when it is redriven for the nth time: always the same, so that a
    /// redrive that is repeated makes no second message.
    #[must_use]
    pub fn redriven(self, nth: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"redrive");
        hasher.update(&self.0);
        hasher.update(&nth.to_be_bytes());
        let mut id = [0_u8; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }

    /// Reads [`MessageId::to_hex`] back.
    pub(super) fn of_hex(text: &str) -> Option<Self> {
        let mut id = [0_u8; 16];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }

    /// The id in hexadecimal.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut id = [0_u8; 16];
        hex::decode_to_slice(&text, &mut id).map_err(serde::de::Error::custom)?;
        Ok(Self(id))
    }
}

/// The trace id of a message: a UUIDv8 of the provider's time and the message's id, so that the
/// same webhook delivered again answers the same trace, and traces sort by time.
///
/// `provider_at_ms` is milliseconds since 1970; a message without a time sorts first.
#[must_use]
pub fn trace_id(provider_at_ms: Option<i64>, id: MessageId) -> Uuid {
    let time = u64::try_from(provider_at_ms.unwrap_or_default()).unwrap_or_default();
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&time.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&id.0[..10]);
    // new_v8 sets the version and variant bits and leaves the rest.
    Uuid::new_v8(bytes)
}

/// What a trace id says of its message, whenever that was sent: no other message says the same.
pub(super) fn trace_tail(trace: Uuid) -> [u8; 10] {
    let mut tail = [0_u8; 10];
    tail.copy_from_slice(&trace.as_bytes()[6..]);
    tail
}

/// One accepted message as it waits in `INBOUND`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The version of this record: [`Envelope::VERSION`], [`Envelope::REDRIVEN`],
    /// [`Envelope::SEND`] or [`Envelope::ANSWER`].
    pub v: u8,
    /// What it is.
    #[serde(default, skip_serializing_if = "EnvelopeKind::is_message")]
    pub kind: EnvelopeKind,
    /// What it does to its conversation, where it is not something to be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// Whether it is an agent's later answer: [`Command::Answer`]. A field of its own, since an older
    /// version takes an envelope for unreadable whose command it does not know; this one it leaves to
    /// a newer version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answers: bool,
    /// The message's id.
    pub id: MessageId,
    /// The message's trace.
    pub trace_id: Uuid,
    /// The instance's immutable row id.
    pub instance_id: i64,
    /// The instance's name.
    pub instance: String,
    /// The channel's word.
    pub channel: String,
    /// The conversation as its people know it: `session_name` of the agent protocols.
    pub session_name: String,
    /// When ingress accepted it, in milliseconds since 1970.
    pub received_at: i64,
    /// When the provider says it was sent, in milliseconds since 1970.
    pub provider_at: Option<i64>,
    /// Our own id at the channel, where the webhook names it (WhatsApp: our JID).
    pub own_id: Option<String>,
    /// Things ingress noticed that stopped nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Set when it came back from the dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive: Option<Redrive>,
    /// The channel's own words.
    pub body: EnvelopeBody,
}

/// That a message came back from the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// For the how manieth time, from 1.
    pub nth: u32,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

impl Redrive {
    /// What the trace says of it.
    #[must_use]
    pub fn notice(self) -> String {
        format!("redriven from the dead letters, time {}", self.nth)
    }
}

impl Envelope {
    /// The version of a message as ingress accepts it.
    pub const VERSION: u8 = 1;
    /// The version of a redriven message: a worker that does not know [`Envelope::redrive`] leaves
    /// it to one that does.
    pub const REDRIVEN: u8 = 2;
    /// The version of an [`EnvelopeKind::Send`], redriven or not: a worker that does not know
    /// [`Envelope::kind`] would take it for what a customer says.
    pub const SEND: u8 = 3;
    /// The version of an agent's later answer.
    pub const ANSWER: u8 = 4;
    /// The newest version that this build knows.
    pub const NEWEST: u8 = Self::ANSWER;

    /// From when its age counts: its last redrive, else its acceptance.
    #[must_use]
    pub fn counts_from(&self) -> i64 {
        self.redrive.map_or(self.received_at, |redrive| redrive.at)
    }

    /// How often it was redriven.
    #[must_use]
    pub fn redrives(&self) -> u32 {
        self.redrive.map_or(0, |redrive| redrive.nth)
    }
}

/// What waits in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvelopeKind {
    /// What somebody wrote; the body holds the channel's own words.
    #[default]
    Message,
    /// What a program wants to be sent; the body is an [`Outgoing`](crate::channel::Outgoing).
    Send,
}

impl EnvelopeKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    fn is_message(&self) -> bool {
        *self == Self::Message
    }
}

/// What happens to a conversation beside messages that are to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Somebody wrote from our own account, as on the paired phone. Under [`Envelope::VERSION`]: a
    /// worker that does not know commands ignores it as `from_me`, as it always did.
    Own,
    /// A person has taken a message back; the body has its key. A worker that does not know
    /// commands ignores it as a message of a type that it does not know, and so the next.
    Revoke,
    /// An agent answers a question that it was asked before; the body is a
    /// [`LateAnswer`](crate::queue::LateAnswer). It is not written as a command: see
    /// [`Envelope::answers`].
    #[serde(skip)]
    Answer,
    /// A person has edited a message; the body has its key and what it says now. It waits in its
    /// place, as a message does.
    Edit,
}

impl Command {
    /// Whether it acts as soon as it is delivered, before what waits.
    #[must_use]
    pub fn is_immediate(self) -> bool {
        self != Self::Edit
    }
}

/// What an agent has answered later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAnswer {
    /// The turn that it answers.
    pub turn_id: String,
    /// The fallback agent that answered; none for the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// What kind of body it is.
    pub content_type: String,
    /// The answer as it came.
    pub body: String,
}

/// Where the channel's words are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvelopeBody {
    /// Here.
    Inline(serde_json::Value),
    /// In the object store under this name, since they are too large for a queue message.
    Object(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(chat: &'a str, id: &'a str) -> MessageKey<'a> {
        MessageKey { instance_id: 1, kind: "message", chat, from_me: false, provider_id: id, discriminator: "" }
    }

    #[test]
    fn the_id_depends_on_each_part_and_on_where_parts_end() {
        let base = MessageId::of(&key("a@x", "1"));
        assert_eq!(base, MessageId::of(&key("a@x", "1")));
        assert_ne!(base, MessageId::of(&key("a@", "x1")));
        assert_ne!(base, MessageId::of(&MessageKey { from_me: true, ..key("a@x", "1") }));
        assert_ne!(base, MessageId::of(&MessageKey { instance_id: 2, ..key("a@x", "1") }));
        assert_ne!(base, MessageId::of(&MessageKey { discriminator: "READ", ..key("a@x", "1") }));
    }

    #[test]
    fn a_redriven_message_has_an_id_of_its_own_each_time_the_same() {
        let id = MessageId::of(&key("a@x", "1"));
        assert_eq!(id.redriven(1), id.redriven(1));
        assert_ne!(id.redriven(1), id);
        assert_ne!(id.redriven(1), id.redriven(2));
        assert_ne!(id.redriven(1).redriven(2), id.redriven(2));
    }

    fn json_envelope() -> serde_json::Value {
        serde_json::json!({
            "v": 1, "id": MessageId::of(&key("a@x", "1")), "trace_id": Uuid::nil(), "instance_id": 1,
            "instance": "acme", "channel": "whatsapp", "session_name": "acme_1", "received_at": 5,
            "provider_at": null, "own_id": null, "body": {"inline": {}},
        })
    }

    #[test]
    fn an_envelope_without_a_redrive_is_read_and_written_as_ever() {
        let old = json_envelope();
        let read: Envelope = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((read.redrives(), read.counts_from()), (0, 5));
        assert_eq!(serde_json::to_value(&read).unwrap(), old);
        let redriven = Envelope { redrive: Some(Redrive { nth: 3, at: 9 }), ..read };
        let read: Envelope = serde_json::from_slice(&serde_json::to_vec(&redriven).unwrap()).unwrap();
        assert_eq!((read.redrives(), read.counts_from()), (3, 9));
    }

    #[test]
    fn a_later_answer_is_left_to_those_who_know_it() {
        let read: Envelope = serde_json::from_value(json_envelope()).unwrap();
        assert!(!read.answers);
        let answer = Envelope { v: Envelope::ANSWER, answers: true, ..read };
        let written = serde_json::to_value(&answer).unwrap();
        assert_eq!((&written["v"], &written["answers"]), (&serde_json::json!(4), &serde_json::json!(true)));
        assert_eq!(written.get("command"), None, "an older version can read its head");
    }

    #[test]
    fn a_send_is_known_by_its_version_and_by_its_kind() {
        let message = json_envelope();
        let read: Envelope = serde_json::from_value(message).unwrap();
        assert_eq!(read.kind, EnvelopeKind::Message);
        let send = Envelope { v: Envelope::SEND, kind: EnvelopeKind::Send, ..read };
        let written = serde_json::to_value(&send).unwrap();
        assert_eq!((&written["v"], &written["kind"]), (&serde_json::json!(3), &serde_json::json!("send")));
        assert_eq!(serde_json::from_value::<Envelope>(written).unwrap().kind, EnvelopeKind::Send);
    }

    #[test]
    fn a_trace_tells_its_message_whenever_that_was_sent() {
        let (id, other) = (MessageId::of(&key("a@x", "1")), MessageId::of(&key("a@x", "2")));
        assert_eq!(trace_tail(trace_id(Some(1_000), id)), trace_tail(trace_id(None, id)));
        assert_ne!(trace_tail(trace_id(None, id)), trace_tail(trace_id(None, other)));
        assert_eq!(MessageId::of_hex(&id.to_hex()), Some(id));
        assert_eq!(MessageId::of_hex("x"), None);
    }

    #[test]
    fn a_trace_id_is_a_stable_version_8_that_sorts_by_time() {
        let id = MessageId::of(&key("a@x", "1"));
        let (first, later) = (trace_id(Some(1_000), id), trace_id(Some(2_000), id));
        assert_eq!(first, trace_id(Some(1_000), id));
        assert_eq!(first.get_version_num(), 8);
        assert!(first < later);
        assert!(trace_id(None, id) < first);
        assert_eq!(trace_id(Some(-5), id), trace_id(None, id));
    }
}
