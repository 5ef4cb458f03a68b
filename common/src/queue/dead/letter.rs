//! The record of a dead letter, its summary and its id.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    channel::whatsapp::inbound::read_message,
    queue::{Envelope, EnvelopeBody},
    trace::head,
};

/// So much of an error is in a summary, in bytes.
const ERROR_SHOWN: usize = 300;
/// No id is longer.
const LONGEST_ID: usize = 64;

/// A message that will not be tried again by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The version of this record: [`DeadLetter::VERSION`].
    pub v: u8,
    /// Why, as a snake_case word.
    pub reason: String,
    /// Why, for people; never a secret.
    pub error_message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it died, in milliseconds since 1970.
    pub at: i64,
    /// The message as it was accepted; absent when it was unreadable.
    pub envelope: Option<Envelope>,
    /// The unreadable message's bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The sender's phone, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Objects that the message refers to and that are kept with the letter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// Objects that it refers to and that could not be kept: they were gone, or there was no room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What a list shows of a letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Why, as a snake_case word.
    pub reason: String,
    /// The beginning of why, for people.
    pub error_message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it died, in milliseconds since 1970.
    pub at: i64,
    /// When it was accepted, in milliseconds since 1970.
    pub received_at: Option<i64>,
    /// The message's trace; absent when it was unreadable.
    pub trace_id: Option<Uuid>,
    /// The conversation's name.
    pub session_name: Option<String>,
    /// The sender's phone.
    pub phone: Option<String>,
    /// How often it was redriven.
    pub redrives: u32,
    /// Objects that it refers to and that were not kept.
    pub missing: Vec<String>,
}

impl DeadLetter {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;
    /// The reason of a message that is no [`Envelope`].
    pub const UNREADABLE: &str = "unreadable";

    /// The letter of a message as it was queued.
    #[must_use]
    pub fn of(reason: &str, payload: &[u8], at: i64) -> Self {
        let letter = Self::unread(reason, payload, at);
        let phone = letter.envelope.as_ref().and_then(|envelope| match &envelope.body {
            EnvelopeBody::Inline(body) => read_message(body).sender.phone,
            EnvelopeBody::Object(_) => None,
        });
        Self { phone, ..letter }
    }

    /// The same without a look at what the channel said: for a message that may kill whoever
    /// reads it.
    #[must_use]
    pub fn unread(reason: &str, payload: &[u8], at: i64) -> Self {
        let envelope = serde_json::from_slice::<Envelope>(payload).ok();
        Self {
            v: Self::VERSION,
            reason: reason.to_owned(),
            error_message: String::new(),
            attempts: 1,
            at,
            raw: envelope.is_none().then(|| STANDARD.encode(payload)),
            envelope,
            phone: None,
            objects: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// What a list shows of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let envelope = self.envelope.as_ref();
        Summary {
            reason: self.reason.clone(),
            error_message: head(&self.error_message, ERROR_SHOWN).to_owned(),
            attempts: self.attempts,
            at: self.at,
            received_at: envelope.map(|envelope| envelope.received_at),
            trace_id: envelope.map(|envelope| envelope.trace_id),
            session_name: envelope.map(|envelope| envelope.session_name.clone()),
            phone: self.phone.clone(),
            redrives: envelope.map_or(0, Envelope::redrives),
            missing: self.missing.clone(),
        }
    }
}

impl Summary {
    /// As a header holds it.
    pub(super) fn to_header(&self) -> Result<String, serde_json::Error> {
        Ok(STANDARD.encode(serde_json::to_vec(self)?))
    }

    /// Reads a header back.
    pub(super) fn of_header(text: &str) -> Option<Self> {
        serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
    }
}

/// A letter's id: the trace id of its message, which people know from everywhere else. A message
/// that was redriven and has died again keeps it, so that of one message there is one letter. An
/// unreadable message has no trace: its id is `raw-` and a hash of its bytes and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterId(String);

impl LetterId {
    /// The id of a message's letter.
    #[must_use]
    pub fn of_trace(trace: Uuid) -> Self {
        Self(trace.to_string())
    }

    /// The id of a message that cannot be read, by its place in the queue and its bytes.
    #[must_use]
    pub fn unreadable(partition: u16, sequence: u64, payload: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&partition.to_be_bytes()).update(&sequence.to_be_bytes()).update(payload);
        Self(format!("raw-{}", &hasher.finalize().to_hex()[..32]))
    }

    /// Reads an id as somebody wrote it; `None` when no letter has such a one. What passes is one
    /// plain subject token, so that nobody's id can stand for many letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(trace) = Uuid::try_parse(text) {
            return Some(Self::of_trace(trace));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ((1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The id as it stands in subjects and URLs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::queue::{EnvelopeKind, MessageId, MessageKey};

    pub(crate) fn envelope() -> Envelope {
        let key = MessageKey {
            instance_id: 1,
            kind: "message",
            chat: "5511987654321@s.whatsapp.net",
            from_me: false,
            provider_id: "A",
            discriminator: "",
        };
        Envelope {
            v: Envelope::VERSION,
            kind: EnvelopeKind::Message,
            command: None,
            answers: false,
            id: MessageId::of(&key),
            trace_id: Uuid::from_u128(7),
            instance_id: 1,
            instance: "acme".into(),
            channel: "whatsapp".into(),
            session_name: "acme_5511987654321".into(),
            received_at: 1_000,
            provider_at: Some(900),
            own_id: None,
            warnings: Vec::new(),
            redrive: None,
            body: EnvelopeBody::Inline(json!({"key": {"remoteJid": "5511987654321@s.whatsapp.net"}})),
        }
    }

    #[test]
    fn a_letter_knows_its_message_or_keeps_its_bytes() {
        let letter = DeadLetter::of("too_old", &serde_json::to_vec(&envelope()).unwrap(), 5_000);
        assert!(letter.raw.is_none());
        let summary = letter.summary();
        assert_eq!((summary.trace_id, summary.received_at), (Some(Uuid::from_u128(7)), Some(1_000)));
        assert_eq!(summary.phone.as_deref(), Some("5511987654321"));
        assert_eq!(Summary::of_header(&summary.to_header().unwrap()), Some(summary));
        let letter = DeadLetter::of(DeadLetter::UNREADABLE, b"{", 5_000);
        assert_eq!((letter.raw.as_deref(), letter.summary().trace_id), (Some("ew=="), None));
        assert_eq!(Summary::of_header("{}"), None);
    }

    #[test]
    fn a_letter_of_an_earlier_build_is_read() {
        let old = json!({"v": 1, "reason": "x", "error_message": "", "attempts": 2, "at": 3, "envelope": envelope()});
        let letter: DeadLetter = serde_json::from_value(old).unwrap();
        assert_eq!((letter.attempts, letter.objects.len(), letter.phone), (2, 0, None));
    }

    #[test]
    fn an_id_is_one_plain_word() {
        let trace = Uuid::from_u128(7);
        for text in [trace.to_string(), trace.simple().to_string(), trace.to_string().to_uppercase()] {
            assert_eq!(LetterId::parse(&text), Some(LetterId::of_trace(trace)), "{text}");
        }
        let raw = LetterId::unreadable(3, 17, b"{");
        assert_eq!(LetterId::parse(raw.as_str()), Some(raw.clone()));
        assert_ne!(LetterId::unreadable(3, 18, b"{"), raw);
        for text in ["", "*", ">", "a.b", "a b", "é", &"a".repeat(65)] {
            assert_eq!(LetterId::parse(text), None, "{text}");
        }
    }
}
