//! One message of Evolution's, read as a turn sees it.
//!
//! The worker enters here with the `data` object that ingress has kept. Reading is total: what is
//! not understood is of the kind `unknown`, never an error. Source: the contents that
//! Evolution API 2.3.6 posts, and the Cloud API forms that it passes on.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    bounds::{ID, LINE, MENTIONS, clip, field},
    contents::Opening,
    details,
    wire::{self, word},
};
use crate::channel::{Content, InboundMessage, Person, Quoted, Referral};

/// Reads a message from the `data` object of `messages.upsert`.
#[must_use]
pub fn read_message(data: &Value) -> InboundMessage {
    let chat = wire::chat(data).unwrap_or_default();
    let opening = Opening::of(&data["message"]);
    let context = Context::of(data, opening);
    let content = Content {
        referral: context.referral().map(Box::new),
        disappearing: context.disappears() || opening.is_in(&["ephemeralMessage"]),
        ..opening.content(word(data, "messageType"))
    };
    InboundMessage {
        provider_id: field(&data["key"], "id", LINE).unwrap_or_default(),
        chat: clip(chat, ID),
        is_group: wire::is_group(chat),
        from_me: wire::from_me(data),
        sender: sender(data, chat),
        sent_at_ms: wire::timestamp_ms(&data["messageTimestamp"]),
        content,
        quoted: context.quoted(),
        mentions: context.mentions(),
    }
}

/// The author: of the chat itself when it is one person's, else the participant.
fn sender(data: &Value, chat: &str) -> Person {
    let from_me = wire::from_me(data);
    let (ids, name) = if wire::is_person(chat) {
        (wire::chat_ids(data), word(data, "pushName").filter(|_| !from_me))
    } else {
        (wire::author_ids(data), word(data, "pushName"))
    };
    let id = ids.first().copied().unwrap_or_default();
    Person {
        id: clip(id, ID),
        alt_id: ids.iter().find(|other| **other != id).map(|other| clip(other, ID)),
        phone: ids.iter().find_map(|id| wire::phone(id)).map(str::to_owned),
        name: name.map(|name| clip(name, LINE)),
    }
}

/// The places where a message says what it refers to, the best first.
struct Context<'a>([&'a Value; 4]);

impl<'a> Context<'a> {
    /// Evolution repeats the content's own context beside the message, but not that of wrapped
    /// contents; the Cloud API's is also inside `message`.
    fn of(data: &'a Value, opening: Opening<'a>) -> Self {
        let own = [&opening.body()["contextInfo"], &opening.opened["contextInfo"], &data["message"]["contextInfo"]];
        Self([&data["contextInfo"], own[0], own[1], own[2]])
    }

    fn quoted(&self) -> Option<Quoted> {
        let context = self.0.into_iter().find(|context| word(context, "stanzaId").is_some())?;
        let content = Opening::of(&context["quotedMessage"]).content(None);
        Some(Quoted {
            provider_id: field(context, "stanzaId", LINE)?,
            author: field(context, "participant", ID),
            text: content.words().map(Cow::into_owned),
        })
    }

    fn mentions(&self) -> Vec<String> {
        let ids = |context: &Value| -> Vec<String> {
            let entries = context["mentionedJid"].as_array().map(Vec::as_slice).unwrap_or_default();
            let words = entries.iter().filter_map(Value::as_str).map(str::trim).filter(|id| !id.is_empty());
            words.take(MENTIONS).map(|id| clip(id, ID)).collect()
        };
        self.0.into_iter().map(ids).find(|ids| !ids.is_empty()).unwrap_or_default()
    }

    /// What the person clicked before they wrote.
    fn referral(&self) -> Option<Referral> {
        self.0.into_iter().find_map(details::referral)
    }

    /// Chats that forget say after how many seconds.
    fn disappears(&self) -> bool {
        self.0.into_iter().any(|context| wire::int64(&context["expiration"]).is_some_and(|seconds| seconds > 0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::channel::MessageKind;

    fn said_by(message: Value) -> (MessageKind, Option<String>) {
        let read = read_message(&json!({"key": {"remoteJid": "5511987654321@s.whatsapp.net"}, "message": message}));
        (read.content.kind, read.content.text)
    }

    #[test]
    fn opens_wrappers_however_they_nest() {
        let inner = json!({"imageMessage": {"caption": "hi", "mimetype": "image/png"}});
        let once = json!({"viewOnceMessage": {"message": inner}});
        let twice = json!({"messageContextInfo": {}, "ephemeralMessage": {"message": once}});
        assert_eq!(said_by(twice), (MessageKind::Image, Some("hi".into())));
        let edited = json!({"editedMessage": {"message": {"protocolMessage": {
            "type": "MESSAGE_EDIT", "editedMessage": {"extendedTextMessage": {"text": "new"}}}}}});
        assert_eq!(said_by(edited), (MessageKind::Text, Some("new".into())));
    }

    #[test]
    fn finds_a_quote_in_every_place() {
        let context = json!({"stanzaId": "Q1", "participant": "", "quotedMessage":
            {"ephemeralMessage": {"message": {"imageMessage": {"caption": "which one?"}}}}});
        let text = |context: &Value| json!({"extendedTextMessage": {"text": "this", "contextInfo": context}});
        let expected = Quoted { provider_id: "Q1".into(), author: None, text: Some("which one?".into()) };
        for data in [
            json!({"message": {"conversation": "this"}, "contextInfo": context}),
            json!({"message": text(&context), "contextInfo": null}),
            json!({"message": {"ephemeralMessage": {"message": text(&context)}}}),
            json!({"message": {"conversation": "this", "contextInfo": context}}),
        ] {
            let read = read_message(&data);
            assert_eq!(read.quoted.as_ref(), Some(&expected), "{data}");
            assert_eq!(read.content.text.as_deref(), Some("this"));
        }
    }

    #[test]
    fn an_author_is_the_participant_in_a_group_and_the_chat_elsewhere() {
        let group = json!({"key": {"remoteJid": "1203@g.us", "participant": "77@lid",
            "participantAlt": "5511987654321:4@s.whatsapp.net"}, "pushName": "  Ana "});
        let sender = read_message(&group).sender;
        assert_eq!((sender.id.as_str(), sender.phone.as_deref()), ("77@lid", Some("5511987654321")));
        assert_eq!(sender.name.as_deref(), Some("Ana"));

        let blank = json!({"key": {"remoteJid": "1203@g.us", "participant": ""}, "pushName": " "});
        assert_eq!(read_message(&blank).sender, Person::default());

        let own = json!({"key": {"remoteJid": "5511987654321@s.whatsapp.net", "fromMe": true}, "pushName": "Acme"});
        let read = read_message(&own);
        assert!(read.from_me && read.sender.name.is_none(), "our own name is not the customer's");
        assert_eq!(read.sender.phone.as_deref(), Some("5511987654321"));
    }

    #[test]
    fn a_transcript_stands_for_a_voice_message() {
        let voice = json!({"audioMessage": {"ptt": true}, "speechToText": "[audio] bom dia"});
        assert_eq!(said_by(voice), (MessageKind::Voice, Some("bom dia".into())));
        let image = json!({"imageMessage": {"caption": "mine"}, "speechToText": "[audio] not this"});
        assert_eq!(said_by(image), (MessageKind::Image, Some("mine".into())));
    }

    #[test]
    fn an_unknown_type_keeps_its_word() {
        let read = read_message(&json!({"message": {"keepInChatMessage": {}}, "messageType": "keepInChatMessage"}));
        assert_eq!(read.content.provider_type.as_deref(), Some("keepInChatMessage"));
        let unnamed = read_message(&json!({"message": {"messageContextInfo": {}, "newThingMessage": {}}}));
        assert_eq!(unnamed.content.kind, MessageKind::Unknown);
        assert_eq!(unnamed.content.provider_type.as_deref(), Some("newThingMessage"));
        assert_eq!(read_message(&Value::Null).content.kind, MessageKind::Unknown);
    }

    #[test]
    fn blank_text_is_none_and_kept_text_is_untouched() {
        assert_eq!(said_by(json!({"conversation": "  "})), (MessageKind::Text, None));
        assert_eq!(said_by(json!({"conversation": " a\n"})), (MessageKind::Text, Some(" a\n".into())));
    }
}
