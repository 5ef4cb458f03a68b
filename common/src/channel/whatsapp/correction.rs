//! Corrections: a person edits or takes back what they had sent.
//!
//! Evolution tells of an edit with `messages.edited`, whose key is written from the sender's
//! perspective: only its id is of use, and which chat it is must be known from elsewhere. It tells
//! of a message that was deleted for everyone with `messages.delete`, whose key is that of the
//! message. The `messages.edited` that comes before it says `REVOKE` and nothing that the other
//! does not say better.

use serde_json::{Value, json};

use super::{event::Event, webhook::Part, wire};

/// The key of a body that holds what a message says now.
const EDITED: &str = "editedMessage";

/// What a person did to a message of theirs.
#[derive(Clone, Debug, PartialEq)]
pub enum Correction {
    /// It says something else now.
    Edit {
        /// The channel's id of the message.
        provider_id: String,
        /// When, in milliseconds since 1970.
        at_ms: Option<i64>,
        /// The content that takes the place of `message`.
        content: Value,
    },
    /// It is there no more.
    Revoke {
        /// The channel's id of the message.
        provider_id: String,
        /// The key of the message, from our perspective.
        key: Value,
    },
}

impl Correction {
    /// Reads an event's `data`; none where it corrects nothing that a person sent us.
    #[must_use]
    pub fn read(event: &Event, data: &Value) -> Option<Self> {
        match event {
            Event::MessagesEdited => {
                let is_edit = matches!(data["type"].as_str(), Some("MESSAGE_EDIT")) || data["type"] == 14;
                let content = data[EDITED].clone();
                let provider_id = wire::word(&data["key"], "id").filter(|_| is_edit && content.is_object())?.to_owned();
                Some(Self::Edit { provider_id, at_ms: wire::timestamp_ms(&data["timestampMs"]), content })
            }
            // What we delete ourselves comes as a row with its key inside.
            Event::MessagesDelete if !data["key"].is_object() && !wire::from_me(&json!({"key": data})) => {
                Some(Self::Revoke { provider_id: wire::word(data, "id")?.to_owned(), key: data.clone() })
            }
            _ => None,
        }
    }

    /// The channel's id of the message.
    #[must_use]
    pub fn provider_id(&self) -> &str {
        match self {
            Self::Edit { provider_id, .. } | Self::Revoke { provider_id, .. } => provider_id,
        }
    }

    /// The message that it is about, without its content, where the event itself says which chat that
    /// is in.
    #[must_use]
    pub fn place(&self) -> Option<Part> {
        let Self::Revoke { key, .. } = self else { return None };
        Part::kept(json!({ "key": key }))
    }

    /// As it is queued, for a message of this chat. It has no `message`: a build that knows no
    /// corrections takes it for a message of a type that it does not know.
    #[must_use]
    pub fn body(self, chat: &str) -> Value {
        let (provider_id, at_ms, content) = match self {
            Self::Edit { provider_id, at_ms, content } => (provider_id, at_ms, content),
            Self::Revoke { provider_id, .. } => (provider_id, None, Value::Null),
        };
        let key = json!({"remoteJid": chat, "id": provider_id, "fromMe": false});
        json!({"key": key, "messageTimestamp": at_ms, EDITED: content})
    }
}

/// A queued edit as the message that it makes.
#[must_use]
pub fn as_message(mut body: Value) -> Value {
    let content = body[EDITED].take();
    body["message"] = content;
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::whatsapp::{inbound::read_message, webhook::read_webhook};

    fn recorded(name: &str) -> Option<Correction> {
        let path = format!("{}/src/channel/whatsapp/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        read_webhook(&std::fs::read(path).unwrap(), None).unwrap().correction
    }

    #[test]
    fn edits_and_deletions_are_read_and_everything_else_is_none() {
        for (name, text) in [("46-messages-edited", "120"), ("47-messages-edited-wrapped", "130")] {
            let edit = recorded(&format!("{name}.json")).unwrap();
            assert_eq!(
                (edit.provider_id(), edit.place().map(|part| part.chat)),
                ("ACCD7ECF05133A7CC7817A3A80BF4E4C", None)
            );
            let body = edit.body("5511987654321@s.whatsapp.net");
            assert_eq!(read_message(&body).content.text, None, "as earlier builds read it");
            let message = read_message(&as_message(body));
            assert!(message.content.text.unwrap().ends_with(text));
            assert!(message.sent_at_ms.is_some() && !message.from_me);
        }
        let revoked = recorded("49-messages-delete.json").unwrap();
        assert_eq!(revoked.provider_id(), "ACCD7ECF05133A7CC7817A3A80BF4E4C");
        assert_eq!(revoked.place().unwrap().chat, "5511987654321@s.whatsapp.net");
        for name in [
            "48-messages-edited-revoke",
            "55-messages-delete-by-rest",
            "54-send-message-update",
            "05-text-conversation",
        ] {
            assert_eq!(recorded(&format!("{name}.json")), None, "{name}");
        }
    }
}
