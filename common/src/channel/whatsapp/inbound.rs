//! One message of Evolution's, read as a turn sees it.
//!
//! The worker enters here with the `data` object that ingress has kept. Reading is total: what is
//! not understood becomes [`MessageKind::Unknown`], never an error. Source: the contents that
//! Evolution API 2.3.6 posts, and the Cloud API forms that it passes on.

use serde_json::Value;

use super::wire::{self, text, word};
use crate::channel::{Content, InboundMessage, MessageKind, Person, Quoted};

/// Keys beside the content that say nothing themselves.
const COMPANIONS: [&str; 7] = [
    "messageContextInfo",
    "senderKeyDistributionMessage",
    "contextInfo",
    "base64",
    "mediaUrl",
    "mediaObject",
    "speechToText",
];

/// The longest provider's type word that is kept, in characters.
const MAX_TYPE: usize = 64;

/// The keys of content and what they hold; text last, so that an empty `conversation` beside
/// other content hides nothing.
const CONTENTS: [(&str, MessageKind); 32] = [
    ("imageMessage", MessageKind::Image),
    ("videoMessage", MessageKind::Video),
    ("ptvMessage", MessageKind::VideoNote),
    ("audioMessage", MessageKind::Audio),
    ("documentMessage", MessageKind::Document),
    ("stickerMessage", MessageKind::Sticker),
    ("locationMessage", MessageKind::Location),
    ("liveLocationMessage", MessageKind::LiveLocation),
    ("contactMessage", MessageKind::Contact),
    ("contactsArrayMessage", MessageKind::Contacts),
    ("reactionMessage", MessageKind::Reaction),
    ("pollCreationMessage", MessageKind::Poll),
    ("pollCreationMessageV2", MessageKind::Poll),
    ("pollCreationMessageV3", MessageKind::Poll),
    ("pollCreationMessageV4", MessageKind::Poll),
    ("pollCreationMessageV5", MessageKind::Poll),
    ("buttonsResponseMessage", MessageKind::ButtonReply),
    ("templateButtonReplyMessage", MessageKind::TemplateReply),
    ("listResponseMessage", MessageKind::ListReply),
    ("interactiveResponseMessage", MessageKind::InteractiveReply),
    ("templateMessage", MessageKind::Template),
    ("interactiveMessage", MessageKind::Template),
    ("buttonsMessage", MessageKind::Template),
    ("listMessage", MessageKind::Template),
    ("highlyStructuredMessage", MessageKind::Template),
    ("albumMessage", MessageKind::Album),
    ("groupInviteMessage", MessageKind::GroupInvite),
    ("pinInChatMessage", MessageKind::Pin),
    ("eventMessage", MessageKind::Event),
    ("orderMessage", MessageKind::Order),
    ("extendedTextMessage", MessageKind::Text),
    ("conversation", MessageKind::Text),
];

/// Reads a message from the `data` object of `messages.upsert`.
#[must_use]
pub fn read_message(data: &Value) -> InboundMessage {
    let chat = wire::chat(data).unwrap_or_default();
    let message = &data["message"];
    let opened = wire::open(message);
    let found = find(opened);
    let context = Context::of(data, message, opened, found.map_or(&Value::Null, |found| found.body));
    InboundMessage {
        provider_id: word(&data["key"], "id").unwrap_or_default().to_owned(),
        chat: chat.to_owned(),
        is_group: wire::is_group(chat),
        from_me: wire::from_me(data),
        sender: sender(data, chat),
        sent_at_ms: wire::timestamp_ms(&data["messageTimestamp"]),
        content: content(opened, found, word(data, "messageType")),
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
        id: id.to_owned(),
        alt_id: ids.iter().find(|other| **other != id).map(|other| (*other).to_owned()),
        phone: ids.iter().find_map(|id| wire::phone(id)).map(str::to_owned),
        name: name.map(str::to_owned),
    }
}

/// A content that was recognised, and what its key holds.
#[derive(Clone, Copy)]
struct Found<'a> {
    kind: MessageKind,
    body: &'a Value,
}

fn find(opened: &Value) -> Option<Found<'_>> {
    let present = |(name, kind): (&str, MessageKind)| {
        let body = &opened[name];
        (body.is_object() || body.is_string()).then_some(Found { kind, body })
    };
    CONTENTS.into_iter().find_map(present)
}

fn content(opened: &Value, found: Option<Found<'_>>, provider_type: Option<&str>) -> Content {
    let Some(Found { kind, body }) = found else {
        let own_key = || Some(opened.as_object()?.keys().find(|key| !COMPANIONS.contains(&key.as_str()))?.as_str());
        let word = provider_type.or_else(own_key).map(|word| word.chars().take(MAX_TYPE).collect());
        return Content { kind: MessageKind::Unknown, text: None, mimetype: None, provider_type: word };
    };
    let kind = refine(kind, body);
    let said = said(kind, body).or_else(|| kind.has_media().then(|| transcript(opened)).flatten());
    let mimetype = kind.has_media().then(|| word(body, "mimetype").or_else(|| word(body, "mime_type"))).flatten();
    Content { kind, text: said.map(str::to_owned), mimetype: mimetype.map(str::to_owned), provider_type: None }
}

/// Kinds that share a key: a video that plays as a GIF, an audio that was recorded on the spot.
fn refine(kind: MessageKind, body: &Value) -> MessageKind {
    let flag = |name: &str| body[name].as_bool().unwrap_or(false);
    match kind {
        MessageKind::Video if flag("gifPlayback") => MessageKind::Gif,
        // The Cloud API says `voice` where the app says `ptt`.
        MessageKind::Audio if flag("ptt") || flag("voice") => MessageKind::Voice,
        other => other,
    }
}

/// The text of a content, or what stands for it.
fn said(kind: MessageKind, body: &Value) -> Option<&str> {
    let first = |names: &[&str]| names.iter().find_map(|name| text(body, name));
    match kind {
        MessageKind::Text if body.is_string() => body.as_str().filter(|said| !said.trim().is_empty()),
        MessageKind::Text => first(&["text"]),
        MessageKind::Image
        | MessageKind::Video
        | MessageKind::Gif
        | MessageKind::VideoNote
        | MessageKind::Audio
        | MessageKind::Voice
        | MessageKind::Document
        | MessageKind::LiveLocation => first(&["caption"]),
        MessageKind::Location => first(&["name", "address", "comment"]),
        MessageKind::Contact => first(&["displayName"]),
        MessageKind::Contacts => first(&["displayName"]).or_else(|| text(&body["contacts"][0], "displayName")),
        MessageKind::Reaction => first(&["text"]),
        MessageKind::Poll | MessageKind::Event => first(&["name"]),
        MessageKind::ButtonReply => first(&["selectedDisplayText", "selectedButtonId"]),
        MessageKind::TemplateReply => first(&["selectedDisplayText", "selectedId"]),
        MessageKind::ListReply => {
            first(&["title", "description"]).or_else(|| text(&body["singleSelectReply"], "selectedRowId"))
        }
        MessageKind::InteractiveReply => {
            text(&body["body"], "text").or_else(|| text(&body["nativeFlowResponseMessage"], "name"))
        }
        MessageKind::Template => template(body),
        MessageKind::GroupInvite => first(&["caption", "groupName"]),
        MessageKind::Order => first(&["orderTitle", "message"]),
        MessageKind::Sticker | MessageKind::Album | MessageKind::Pin | MessageKind::Unknown => None,
    }
}

/// The text of what a business sends in one of the app's older or newer forms.
fn template(body: &Value) -> Option<&str> {
    let four_rows = &body["hydratedFourRowTemplate"];
    let interactive = &body["interactiveMessageTemplate"];
    [&body["hydratedTemplate"], four_rows, interactive, body].into_iter().find_map(|form| {
        text(form, "hydratedContentText")
            .or_else(|| text(&form["body"], "text"))
            .or_else(|| text(form, "contentText"))
            .or_else(|| text(form, "hydratedTitleText"))
            .or_else(|| text(&form["header"], "title"))
            .or_else(|| text(form, "description"))
            .or_else(|| text(form, "title"))
    })
}

/// What Evolution's own speech-to-text heard, which it marks with `[audio]`.
fn transcript(opened: &Value) -> Option<&str> {
    let heard = text(opened, "speechToText")?.trim();
    Some(heard.strip_prefix("[audio]").unwrap_or(heard).trim()).filter(|heard| !heard.is_empty())
}

/// The places where a message says what it refers to, the best first.
struct Context<'a>([&'a Value; 4]);

impl<'a> Context<'a> {
    /// Evolution repeats the content's own context beside the message, but not that of wrapped
    /// contents; the Cloud API's is also inside `message`.
    fn of(data: &'a Value, message: &'a Value, opened: &'a Value, body: &'a Value) -> Self {
        Self([&data["contextInfo"], &body["contextInfo"], &opened["contextInfo"], &message["contextInfo"]])
    }

    fn quoted(&self) -> Option<Quoted> {
        let context = self.0.into_iter().find(|context| word(context, "stanzaId").is_some())?;
        let opened = wire::open(&context["quotedMessage"]);
        Some(Quoted {
            provider_id: word(context, "stanzaId")?.to_owned(),
            author: word(context, "participant").map(str::to_owned),
            text: content(opened, find(opened), None).text,
        })
    }

    fn mentions(&self) -> Vec<String> {
        let ids = |context: &Value| -> Vec<String> {
            let entries = context["mentionedJid"].as_array().map(Vec::as_slice).unwrap_or_default();
            let words = entries.iter().filter_map(Value::as_str).map(str::trim).filter(|id| !id.is_empty());
            words.map(str::to_owned).collect()
        };
        self.0.into_iter().map(ids).find(|ids| !ids.is_empty()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
