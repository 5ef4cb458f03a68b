//! What Evolution posts: an envelope around one event, split here into single messages.
//!
//! Ingress enters here. Nothing is read of a message but what names it: its id, chat, direction
//! and time. Evolution API 2.3.6 posts one `data` object per message; the other forms come from
//! bridges in front of it, and all of them are read alike.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

pub use super::event::Event;
use super::{connection::read_connection, correction::Correction, surrogates, wire};
use crate::{channel::ConnectionNews, queue::PersonIds};

/// How many envelopes or base64 layers may lie inside each other.
const MAX_LAYERS: usize = 3;

/// The longest chat id in bytes; WhatsApp's own have at most about 40. It becomes part of a subject.
const MAX_CHAT: usize = 128;

/// What the envelope repeats about the server: `apikey` is the instance's token. Never kept.
const SERVER_FIELDS: [&str; 3] = ["apikey", "server_url", "destination"];

/// Base64 as bridges write it, after [`decode`] has made the alphabet the standard one.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A webhook that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// What it tells of.
    pub event: Event,
    /// The instance that the body names: Evolution's name of it, not ours.
    pub instance: Option<String>,
    /// Our own account's JID (the body's `sender`); absent until the phone is connected.
    pub own_id: Option<String>,
    /// The messages, in the body's order; empty for every event but `messages.upsert`.
    pub parts: Vec<Part>,
    /// What a person did to a message of theirs, where the event tells that.
    pub correction: Option<Correction>,
    /// What it tells of the account's connection.
    pub connection: Option<ConnectionNews>,
}

/// One message of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The channel's id of the message; where there is none, a hash of its content.
    pub provider_id: String,
    /// The chat's JID.
    pub chat: String,
    /// Whether our own account wrote it.
    pub from_me: bool,
    /// When the channel says it was sent, in milliseconds since 1970.
    pub provider_at_ms: Option<i64>,
    /// The message as Evolution wrote it, without the server's own fields.
    pub data: Value,
}

/// Why a body cannot be read. Nothing that may still become fine ends here: the sender need not
/// try again. No variant holds any of the body's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The body, or what was in the base64, is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// `data` is a string, but not base64.
    #[error("`data` is a string that is not base64")]
    BadBase64,
    /// The body is JSON of another kind than an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// There is neither `data` nor a message.
    #[error("no message found: expected `data`, `messages` or a message with its `key`")]
    NoMessage,
    /// An entry of `messages` is no object.
    #[error("entry {index} of `messages` is not an object")]
    NotAMessage {
        /// The place in `messages`, from 0.
        index: usize,
    },
    /// A message without a field that it cannot do without.
    #[error("message {index} has no `{field}`")]
    MissingField {
        /// The place in the webhook, from 0.
        index: usize,
        /// The path of the field.
        field: &'static str,
    },
    /// A field that is longer than any real one.
    #[error("message {index}: `{field}` is longer than {MAX_CHAT} bytes")]
    TooLong {
        /// The place in the webhook, from 0.
        index: usize,
        /// The path of the field.
        field: &'static str,
    },
    /// Envelopes inside envelopes.
    #[error("`data` is nested in more than {MAX_LAYERS} layers")]
    TooDeep,
}

/// Reads a webhook's body; `event_in_path` is what follows the instance in a by-events URL.
///
/// The body's event beats the path's, and none at all means `messages.upsert`. Other events are
/// not read any further, whatever their `data` holds.
///
/// # Errors
/// When the body is no JSON object, or a `messages.upsert` whose messages cannot be told apart.
pub fn read_webhook(body: &[u8], event_in_path: Option<&str>) -> Result<Webhook, WebhookError> {
    let Value::Object(fields) = parse(body)? else {
        return Err(WebhookError::NotAnObject);
    };
    let path_event = event_in_path.and_then(Event::parse);
    let mut head = Head::of(&fields);
    let named = head.event.as_ref().or(path_event.as_ref());
    let correction = named.and_then(|event| Correction::read(event, fields.get("data")?));
    let connection = named.and_then(|event| {
        let date_time = fields.get("date_time").and_then(Value::as_str);
        read_connection(event.as_str(), fields.get("data").unwrap_or(&Value::Null), date_time)
    });
    let found = match &head.event {
        None | Some(Event::MessagesUpsert) => messages(Value::Object(fields), &mut head, MAX_LAYERS),
        Some(_) => Ok(Vec::new()),
    };
    let event = head.event.or(path_event).unwrap_or(Event::MessagesUpsert);
    let parts = match event {
        Event::MessagesUpsert => found?.into_iter().enumerate().map(|(index, data)| part(index, data)).collect(),
        _ => Ok(Vec::new()),
    }?;
    Ok(Webhook { event, instance: head.instance, own_id: head.own_id, parts, correction, connection })
}

impl Part {
    /// A message as Evolution keeps it (`findMessages`), which is how it posts it too; none of what
    /// cannot be told apart.
    #[must_use]
    pub fn kept(record: Value) -> Option<Self> {
        part(0, record).ok()
    }

    /// The conversation's address: the digits of the person's phone where any of the message's
    /// ids is one, else the local part of the chat (`@lid`, group, newsletter), `status` for
    /// `status@broadcast`. No country prefix is invented.
    #[must_use]
    pub fn address(&self) -> String {
        wire::address(&self.data)
    }

    /// The same in a group for one member of it: the group's address, `_`, and the member's own
    /// (the digits of the phone where they are known). Elsewhere [`Part::address`].
    #[must_use]
    pub fn member_address(&self) -> String {
        wire::member_address(&self.data)
    }

    /// How the person is called whose conversation it is; `by_member` where in groups each member has
    /// one. Nothing of what is no person's.
    #[must_use]
    pub fn person(&self, by_member: bool) -> PersonIds {
        let ids = wire::person_ids(&self.data, by_member);
        let of = |read: fn(&str) -> Option<&str>| ids.iter().find_map(|id| read(id)).map(str::to_owned);
        PersonIds { lid: of(wire::lid), phone: of(wire::phone) }
    }

    /// The address of the person's conversation whose own part of it is this.
    #[must_use]
    pub fn address_of(&self, person: &str) -> String {
        match wire::is_group(&self.chat) {
            true => format!("{}_{person}", wire::address(&self.data)),
            false => person.to_owned(),
        }
    }

    /// Writes the person's phone where Evolution would have written it.
    pub fn tell_phone(&mut self, phone: &str) {
        let name = if wire::is_group(&self.chat) { "participantAlt" } else { "remoteJidAlt" };
        if let Some(Value::Object(key)) = self.data.get_mut("key") {
            key.insert(name.to_owned(), format!("{phone}@s.whatsapp.net").into());
        }
    }

    /// Removes the file that Evolution put into the message (`webhookBase64`) and returns it, as
    /// base64.
    pub fn take_media(&mut self) -> Option<String> {
        wire::take_media(self.data.get_mut("message")?)
    }

    /// Notes in the message where its file is kept: `message.mediaObject`.
    pub fn put_media_ref(&mut self, object: &str) {
        let Value::Object(data) = &mut self.data else { return };
        let message = data.entry("message").or_insert(Value::Null);
        if !message.is_object() {
            *message = Value::Object(Map::new());
        }
        message["mediaObject"] = Value::from(object);
    }
}

/// What an envelope says about its content.
#[derive(Default)]
struct Head {
    event: Option<Event>,
    instance: Option<String>,
    own_id: Option<String>,
}

impl Head {
    fn of(fields: &Map<String, Value>) -> Self {
        let word = |name| fields.get(name).and_then(Value::as_str).map(str::trim).filter(|word| !word.is_empty());
        Self {
            event: word("event").and_then(Event::parse),
            instance: word("instance").map(str::to_owned),
            own_id: word("sender").map(str::to_owned),
        }
    }

    /// Takes from an inner envelope what the outer one did not say.
    fn fill(&mut self, inner: Self) {
        self.event = self.event.take().or(inner.event);
        self.instance = self.instance.take().or(inner.instance);
        self.own_id = self.own_id.take().or(inner.own_id);
    }
}

/// Opens envelopes and base64 until messages are found.
fn messages(value: Value, head: &mut Head, layers: usize) -> Result<Vec<Value>, WebhookError> {
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::Array(entries) => return Ok(entries),
        Value::String(text) => {
            let layers = layers.checked_sub(1).ok_or(WebhookError::TooDeep)?;
            return messages(decode(&text)?, head, layers);
        }
        _ => return Err(WebhookError::NoMessage),
    };
    if fields.get("key").is_some_and(Value::is_object) {
        return Ok(vec![Value::Object(fields)]);
    }
    if let Some(data) = fields.get_mut("data").map(Value::take).filter(|data| !data.is_null()) {
        let layers = layers.checked_sub(1).ok_or(WebhookError::TooDeep)?;
        head.fill(Head::of(&fields));
        return messages(data, head, layers);
    }
    match fields.get_mut("messages").map(Value::take) {
        Some(Value::Array(entries)) => {
            head.fill(Head::of(&fields));
            Ok(entries)
        }
        _ if fields.get("message").is_some_and(Value::is_object) => Ok(vec![Value::Object(fields)]),
        _ => Err(WebhookError::NoMessage),
    }
}

/// Names one message.
fn part(index: usize, mut data: Value) -> Result<Part, WebhookError> {
    let Value::Object(fields) = &mut data else {
        return Err(WebhookError::NotAMessage { index });
    };
    for name in SERVER_FIELDS {
        fields.remove(name);
    }
    let field = "key.remoteJid";
    let chat = wire::chat(&data).ok_or(WebhookError::MissingField { index, field })?;
    if chat.len() > MAX_CHAT {
        return Err(WebhookError::TooLong { index, field });
    }
    Ok(Part {
        provider_id: wire::word(&data["key"], "id").map_or_else(|| content_id(&data), str::to_owned),
        chat: chat.to_owned(),
        from_me: wire::from_me(&data),
        provider_at_ms: wire::timestamp_ms(&data["messageTimestamp"]),
        data,
    })
}

/// An id for a message that has none: the same content, the same id, in whatever order the
/// object's keys came.
fn content_id(data: &Value) -> String {
    let mut hasher = blake3::Hasher::new();
    hash_into(&mut hasher, data);
    format!("content-{}", hasher.finalize().to_hex())
}

fn hash_into(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Array(entries) => {
            hasher.update(b"[");
            for entry in entries {
                hash_into(hasher, entry);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_unstable_by_key(|(name, _)| *name);
            hasher.update(b"{");
            for (name, field) in names {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                hash_into(hasher, field);
            }
            hasher.update(b"}");
        }
        // Strings are written with their quotes, so that "1" and 1 differ.
        scalar => {
            hasher.update(scalar.to_string().as_bytes());
        }
    }
}

/// Parses JSON; serde_json's recursion limit keeps deep bodies out. A half of a surrogate pair,
/// which JavaScript writes without complaint and Rust refuses, is replaced: the alternative would
/// be to lose the message.
fn parse(body: &[u8]) -> Result<Value, WebhookError> {
    serde_json::from_slice(body).or_else(|error| {
        let mended = surrogates::mend(body).ok_or_else(|| not_json(&error))?;
        serde_json::from_slice(&mended).map_err(|error| not_json(&error))
    })
}

/// Where the JSON goes wrong, without quoting it.
fn not_json(error: &serde_json::Error) -> WebhookError {
    let what = if error.is_eof() { "ends too early" } else { "syntax error" };
    WebhookError::NotJson(format!("{what} at line {} column {}", error.line(), error.column()))
}

/// Base64 of JSON in the standard or the URL-safe alphabet, padded or not, with line breaks or not.
fn decode(text: &str) -> Result<Value, WebhookError> {
    let standard = |byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(standard).collect();
    let bytes = LENIENT.decode(compact).map_err(|_| WebhookError::BadBase64)?;
    parse(&bytes)
}

#[cfg(test)]
mod tests;
