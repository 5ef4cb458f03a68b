//! Evolution's request for what a program sends: `/message/<operation>` and its body.
//!
//! Pure. Source: Evolution API 2.3.6, whose schemas refuse a field of the wrong kind and ignore
//! one that they do not know.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    outbound::recipient,
    recipient::{address_of, phone_of},
};
use crate::channel::{ContactCard, Outgoing, OutgoingContent, Person};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The last word of the path, as `sendText`.
    pub operation: &'static str,
    /// The body.
    pub body: Value,
    /// How long Evolution holds the request before it sends.
    pub held_for: Duration,
}

impl Call {
    /// A text to a number or JID.
    #[must_use]
    pub fn text(number: &str, text: &str) -> Self {
        let body = json!({"number": number, "text": text});
        Self { operation: "sendText", body, held_for: Duration::ZERO }
    }

    /// The same quoting a message, by its id; one that Evolution does not know is not quoted.
    #[must_use]
    pub fn quoting(mut self, id: Option<&str>) -> Self {
        if let (Some(id), Value::Object(body)) = (id, &mut self.body) {
            put(body, "quoted", Some(json!({"key": {"id": id}})));
        }
        self
    }

    /// The same mentioning a person by [`mention_of`]; the words have it already.
    #[must_use]
    pub fn mentioning(mut self, person: Option<&str>) -> Self {
        if let (Some(person), Value::Object(body)) = (person, &mut self.body) {
            put(body, "mentioned", Some(json!([person])));
        }
        self
    }

    /// A part of what a program sends: the whole of it, or of a text that is split this `bubble`.
    /// Only the `first` one replies and mentions, and shows typing.
    #[must_use]
    pub fn of(outgoing: &Outgoing, bubble: &str, first: bool) -> Self {
        let (operation, mut body) = contents(outgoing, bubble);
        let takes = options(&outgoing.content);
        let delay_ms = outgoing.delay_ms.filter(|_| first && takes != Options::None);
        put(&mut body, "delay", delay_ms);
        if first && takes == Options::All {
            put(&mut body, "quoted", outgoing.quoted.as_ref().map(|id| json!({"key": {"id": id}})));
            put(&mut body, "mentionsEveryOne", outgoing.mention_all.then_some(true));
            put(&mut body, "mentioned", Some(&outgoing.mentions).filter(|people| !people.is_empty()).cloned());
        }
        let held_for = Duration::from_millis(delay_ms.unwrap_or_default().into());
        Self { operation, body: Value::Object(body), held_for }
    }
}

/// How a person is mentioned: by the phone where it is known, else by the hidden id.
#[must_use]
pub fn mention_of(person: &Person) -> Option<&str> {
    let hidden = || {
        [Some(person.id.as_str()), person.alt_id.as_deref()]
            .into_iter()
            .flatten()
            .find(|id| id.ends_with("@lid") && !id.contains(':'))
    };
    person.phone.as_deref().or_else(hidden)
}

/// Words that begin with a mention, as WhatsApp shows one.
#[must_use]
pub fn with_mention(person: &str, words: &str) -> String {
    let name = person.split_once('@').map_or(person, |(name, _)| name);
    format!("@{name} {words}")
}

/// The words behind a mention that they begin with; those of a text without one.
#[must_use]
pub fn without_mention(words: &str) -> &str {
    let behind = || {
        let (name, rest) = words.strip_prefix('@')?.split_once(' ')?;
        (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
    };
    behind().unwrap_or(words)
}

/// What Evolution makes use of beside the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Options {
    All,
    Delay,
    None,
}

fn options(content: &OutgoingContent) -> Options {
    match content {
        OutgoingContent::Contact { .. } | OutgoingContent::Reaction { .. } => Options::None,
        OutgoingContent::Audio { .. } => Options::Delay,
        OutgoingContent::Text { .. }
        | OutgoingContent::Media { .. }
        | OutgoingContent::Sticker { .. }
        | OutgoingContent::Location { .. }
        | OutgoingContent::Poll { .. } => Options::All,
    }
}

/// The operation, and its body without options.
fn contents(outgoing: &Outgoing, bubble: &str) -> (&'static str, Map<String, Value>) {
    let number = recipient(&outgoing.chat, None);
    match &outgoing.content {
        OutgoingContent::Text { link_preview, .. } => {
            let mut body = fields(json!({"number": number, "text": bubble}));
            put(&mut body, "linkPreview", *link_preview);
            ("sendText", body)
        }
        OutgoingContent::Media { media_type, file, caption, filename, mime_type } => {
            let body = json!({"number": number, "mediatype": media_type.as_str(), "media": file.as_str()});
            let mut body = fields(body);
            put(&mut body, "mimetype", mime_type.as_deref());
            put(&mut body, "fileName", filename.as_deref());
            put(&mut body, "caption", caption.as_deref());
            ("sendMedia", body)
        }
        OutgoingContent::Audio { file } => {
            ("sendWhatsAppAudio", fields(json!({"number": number, "audio": file.as_str()})))
        }
        OutgoingContent::Sticker { file } => {
            ("sendSticker", fields(json!({"number": number, "sticker": file.as_str()})))
        }
        OutgoingContent::Contact { contacts } => {
            let cards: Vec<Value> = contacts.iter().map(card).collect();
            ("sendContact", fields(json!({"number": number, "contact": cards})))
        }
        OutgoingContent::Reaction { message_id, from_me, reaction } => {
            let key = json!({"id": message_id, "remoteJid": known_chat(&outgoing.chat), "fromMe": from_me});
            ("sendReaction", fields(json!({"key": key, "reaction": reaction})))
        }
        OutgoingContent::Location { latitude, longitude, name, address } => {
            let body = json!({"number": number, "latitude": latitude, "longitude": longitude, "name": name,
                "address": address});
            ("sendLocation", fields(body))
        }
        OutgoingContent::Poll { question, answers, selectable } => {
            let body = json!({"number": number, "name": question, "selectableCount": selectable, "values": answers});
            ("sendPoll", fields(body))
        }
    }
}

fn card(contact: &ContactCard) -> Value {
    let ContactCard { full_name, phone_number, email, organization, url } = contact;
    let mut card = fields(json!({"fullName": full_name, "phoneNumber": phone_number}));
    put(&mut card, "email", email.as_deref());
    put(&mut card, "organization", organization.as_deref());
    put(&mut card, "url", url.as_deref());
    card.into()
}

/// The chat as WhatsApp itself names it: of a whole id Evolution changes nothing.
fn known_chat(chat: &str) -> String {
    match phone_of(chat) {
        Some(_) => format!("{}@s.whatsapp.net", address_of(chat)),
        None => chat.to_owned(),
    }
}

fn fields(body: Value) -> Map<String, Value> {
    match body {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    body.extend(value.map(|value| (name.to_owned(), value.into())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_stands_before_the_words_and_is_found_again() {
        let person = |id: &str, phone: Option<&str>| Person {
            id: id.into(),
            phone: phone.map(str::to_owned),
            ..Person::default()
        };
        assert_eq!(mention_of(&person("7@lid", Some("5511"))), Some("5511"));
        assert_eq!(mention_of(&person("7@lid", None)), Some("7@lid"));
        assert_eq!(mention_of(&person("7@g.us", None)), None);
        for person in ["5511", "7@lid"] {
            assert_eq!(without_mention(&with_mention(person, "hi @5 there")), "hi @5 there");
        }
        assert_eq!(with_mention("7@lid", "hi"), "@7 hi");
        for words in ["", "@", "@ana hi", "hi @5511 you", "@5511"] {
            assert_eq!(without_mention(words), words);
        }
        let call = Call::text("1@g.us", "@5511 hi").mentioning(Some("5511"));
        assert_eq!(call.body, json!({"number": "1@g.us", "text": "@5511 hi", "mentioned": ["5511"]}));
        assert_eq!(Call::text("1", "hi").mentioning(None), Call::text("1", "hi"));
    }

    fn outgoing(content: OutgoingContent) -> Outgoing {
        Outgoing {
            chat: "5511987654321@s.whatsapp.net".into(),
            by: "root".into(),
            content,
            quoted: None,
            mentions: Vec::new(),
            mention_all: false,
            delay_ms: None,
        }
    }

    #[test]
    fn a_text_has_what_was_asked_for_and_nothing_else() {
        let text = OutgoingContent::Text { text: "a\n\nb".into(), split: None, link_preview: None };
        let plain = Call::of(&outgoing(text), "a", true);
        assert_eq!(plain, Call::text("5511987654321", "a"));

        let content = OutgoingContent::Text { text: "a\n\nb".into(), split: None, link_preview: Some(false) };
        let full = Outgoing {
            chat: "120363041234567890@g.us".into(),
            quoted: Some("3EB0".into()),
            mentions: vec!["5511".into()],
            mention_all: true,
            delay_ms: Some(1500),
            ..outgoing(content)
        };
        let first = Call::of(&full, "a", true);
        let expected = json!({"number": "120363041234567890@g.us", "text": "a", "linkPreview": false, "delay": 1500,
            "quoted": {"key": {"id": "3EB0"}}, "mentionsEveryOne": true, "mentioned": ["5511"]});
        assert_eq!((first.body, first.held_for), (expected, Duration::from_millis(1500)));
        let second = Call::of(&full, "b", false);
        assert_eq!(second.body, json!({"number": "120363041234567890@g.us", "text": "b", "linkPreview": false}));
        assert_eq!(second.held_for, Duration::ZERO);
    }

    #[test]
    fn a_text_quotes_what_it_is_told_to() {
        let plain = Call::text("5511987654321", "a");
        assert_eq!(plain.clone().quoting(None), plain);
        let quoting = json!({"number": "5511987654321", "text": "a", "quoted": {"key": {"id": "3EB0"}}});
        assert_eq!(plain.quoting(Some("3EB0")).body, quoting);
    }

    #[test]
    fn every_kind_has_its_operation_and_only_the_options_it_knows() {
        use crate::channel::{File, MediaType};
        let file = File::Base64("aGk=".into());
        let contacts = vec![ContactCard { full_name: "Ana".into(), phone_number: "551".into(), ..Default::default() }];
        let media = OutgoingContent::Media {
            media_type: MediaType::Document,
            file: File::Url("https://files.test/a.pdf".into()),
            caption: Some("read".into()),
            filename: Some("a.pdf".into()),
            mime_type: None,
        };
        let reaction = OutgoingContent::Reaction { message_id: "3EB0".into(), from_me: true, reaction: "👍".into() };
        let location =
            OutgoingContent::Location { latitude: -23.5, longitude: 46.25, name: "n".into(), address: "a".into() };
        let poll = OutgoingContent::Poll { question: "q".into(), answers: vec!["a".into(), "b".into()], selectable: 1 };
        let n = "5531987654321";
        let key = json!({"id": "3EB0", "remoteJid": "553187654321@s.whatsapp.net", "fromMe": true});
        for (content, operation, body, takes) in [
            (
                media,
                "sendMedia",
                json!({"number": n, "mediatype": "document", "media": "https://files.test/a.pdf",
                "caption": "read", "fileName": "a.pdf"}),
                "delay quoted",
            ),
            (
                OutgoingContent::Audio { file: file.clone() },
                "sendWhatsAppAudio",
                json!({"number": n, "audio": "aGk="}),
                "delay",
            ),
            (OutgoingContent::Sticker { file }, "sendSticker", json!({"number": n, "sticker": "aGk="}), "delay quoted"),
            (
                OutgoingContent::Contact { contacts },
                "sendContact",
                json!({"number": n, "contact": [{"fullName": "Ana", "phoneNumber": "551"}]}),
                "",
            ),
            (reaction, "sendReaction", json!({"key": key, "reaction": "👍"}), ""),
            (
                location,
                "sendLocation",
                json!({"number": n, "latitude": -23.5, "longitude": 46.25, "name": "n", "address": "a"}),
                "delay quoted",
            ),
            (
                poll,
                "sendPoll",
                json!({"number": n, "name": "q", "selectableCount": 1, "values": ["a", "b"]}),
                "delay quoted",
            ),
        ] {
            let plain = Outgoing { chat: format!("{n}@s.whatsapp.net"), ..outgoing(content) };
            let call = Call::of(&plain, "", true);
            assert_eq!((call.operation, &call.body), (operation, &body));
            let full = Outgoing { quoted: Some("Q".into()), delay_ms: Some(5), ..plain };
            let full = Call::of(&full, "", true).body;
            let added: Vec<&str> =
                full.as_object().unwrap().keys().filter(|name| body.get(name).is_none()).map(String::as_str).collect();
            assert_eq!(added.join(" "), takes, "{operation}");
        }
    }
}
