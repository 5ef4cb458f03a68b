//! What an account has sent lately, asked of Evolution: for a send of which nobody knows whether it
//! is out.
//!
//! Source: Evolution API 2.3.6, `/chat/findMessages`, which has what was sent over its REST API too:
//! the newest first, filtered by time (both ends or none) and by `fromMe`. Versions that know no such
//! filter answer with everything, so each row is looked at here as well. The chat is compared here
//! and not there, since WhatsApp may know a number by another form than the one that was asked for.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{
    answer::{self, SendError},
    inbound::read_message,
    outbound::Evolution,
    recipient::{address_of, phone_of},
};
use crate::channel::{InboundMessage, MediaType, MessageKind, Outgoing, OutgoingContent};

/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(6);
/// Rows of a page.
const PAGE: usize = 50;
/// Bytes of a page: rows have thumbnails.
const MAX_PAGE: usize = 8 * 1024 * 1024;

/// A message of ours that is looked for: words to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought<'a> {
    /// The number or JID that it was sent to.
    pub number: &'a str,
    /// Its kind.
    pub kind: MessageKind,
    /// Its text or caption.
    pub words: Cow<'a, str>,
}

impl<'a> Sought<'a> {
    /// A text.
    #[must_use]
    pub fn text(number: &'a str, words: impl Into<Cow<'a, str>>) -> Self {
        Self { number, kind: MessageKind::Text, words: words.into() }
    }

    /// A part of what a program sends; none where nothing tells it from another of its kind.
    #[must_use]
    pub fn of(outgoing: &'a Outgoing, number: &'a str, bubble: &'a str) -> Option<Self> {
        match &outgoing.content {
            OutgoingContent::Text { .. } => Some(Self::text(number, bubble)),
            OutgoingContent::Media { media_type, caption: Some(caption), .. } if !caption.trim().is_empty() => {
                Some(Self { number, kind: kind_of(*media_type), words: caption.into() })
            }
            _ => None,
        }
    }

    /// Whether a message is the one, by all that can be known of it.
    #[must_use]
    pub fn is(&self, message: &InboundMessage) -> bool {
        message.from_me
            && !message.provider_id.is_empty()
            && message.content.kind == self.kind
            && message.content.text.as_deref().map(str::trim) == Some(self.words.trim())
            && self.went_to(message)
    }

    fn went_to(&self, message: &InboundMessage) -> bool {
        let sender = &message.sender;
        let ids = [Some(message.chat.as_str()), Some(sender.id.as_str()), sender.alt_id.as_deref()];
        let is_digits = self.number.bytes().all(|byte| byte.is_ascii_digit());
        let jid = if is_digits { format!("{}@s.whatsapp.net", self.number) } else { self.number.to_owned() };
        let same_phone =
            |id: &str| phone_of(&jid).is_some() && phone_of(id).is_some() && address_of(id) == address_of(&jid);
        // A group's members wrote its messages; they are not whom it went to.
        ids.into_iter().flatten().take(if message.is_group { 1 } else { 3 }).any(|id| id == jid || same_phone(id))
    }
}

fn kind_of(media_type: MediaType) -> MessageKind {
    match media_type {
        MediaType::Image => MessageKind::Image,
        MediaType::Video => MessageKind::Video,
        MediaType::Audio => MessageKind::Audio,
        MediaType::Document => MessageKind::Document,
    }
}

/// A page of what an account has sent.
#[derive(Clone, Debug)]
pub struct SentPage {
    /// What is on it and was sent in time, the newest first.
    pub messages: Vec<InboundMessage>,
    /// Whether an older page may have more.
    pub goes_on: bool,
}

impl Evolution {
    /// What the account has sent since then, by pages from 1 on.
    ///
    /// # Errors
    /// When Evolution does not tell, or does not know how.
    pub async fn sent_since(&self, since: DateTime<Utc>, page: u64, headers: HeaderMap) -> Result<SentPage, SendError> {
        let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        // Its clock may be ahead of ours.
        let until = Utc::now() + TimeDelta::days(1);
        let filter = json!({"key": {"fromMe": true}, "messageTimestamp": {"gte": at(since), "lte": at(until)}});
        let body = json!({"where": filter, "page": page, "offset": PAGE});
        let url = self.at(&["chat", "findMessages", self.instance()]);
        let request = self.client().post(url).headers(headers).timeout(TIMEOUT).json(&body);
        let told = answer::accepted(self.call(request, MAX_PAGE).await?)?.body.unwrap_or_default();
        Ok(read_page(&told, since, page))
    }
}

fn read_page(told: &Value, since: DateTime<Utc>, page: u64) -> SentPage {
    // Older versions answer with the rows alone.
    let rows = told["messages"]["records"].as_array().or_else(|| told.as_array());
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    let since = since.timestamp() * 1000;
    let in_time = |message: &InboundMessage| message.sent_at_ms.is_some_and(|at| at >= since);
    let messages: Vec<_> = rows.iter().map(read_message).collect();
    let goes_on = page < told["messages"]["pages"].as_u64().unwrap_or(1) && messages.last().is_some_and(in_time);
    SentPage { messages: messages.into_iter().filter(|message| message.from_me && in_time(message)).collect(), goes_on }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::File;

    fn row(chat: &str, id: &str, message: Value) -> Value {
        json!({"key": {"remoteJid": chat, "fromMe": true, "id": id}, "message": message,
            "messageTimestamp": 1_795_310_417})
    }

    fn said(chat: &str, text: &str) -> InboundMessage {
        read_message(&row(chat, "3EB0", json!({ "conversation": text })))
    }

    #[test]
    fn the_same_words_to_the_same_chat_are_the_one() {
        let person = Sought::text("5531987654321", " Olá! ");
        assert!(person.is(&said("5531987654321@s.whatsapp.net", "Olá!\n")));
        assert!(person.is(&said("553187654321@s.whatsapp.net", "Olá!")), "without the ninth digit");
        assert!(!person.is(&said("5531987654322@s.whatsapp.net", "Olá!")), "to somebody else");
        assert!(!person.is(&said("5531987654321@s.whatsapp.net", "Olá")), "other words");
        let mut theirs = row("5531987654321@s.whatsapp.net", "3EB0", json!({"conversation": "Olá!"}));
        theirs["key"]["fromMe"] = false.into();
        assert!(!person.is(&read_message(&theirs)), "of somebody else");

        let by_lid = Sought::text("99887766554433@lid", "a");
        assert!(by_lid.is(&said("99887766554433@lid", "a")) && !by_lid.is(&said("1@lid", "a")));
        let mut replaced = row("5511987654321@s.whatsapp.net", "3EB0", json!({"conversation": "a"}));
        replaced["key"]["remoteJidAlt"] = "99887766554433@lid".into();
        assert!(by_lid.is(&read_message(&replaced)));

        let group = Sought::text("120363041234567890@g.us", "a");
        assert!(group.is(&said("120363041234567890@g.us", "a")) && !group.is(&said("120363041234567891@g.us", "a")));
    }

    #[test]
    fn a_file_is_known_by_its_caption() {
        let media = |caption: Option<&str>| Outgoing {
            chat: "1@g.us".into(),
            by: "root".into(),
            content: OutgoingContent::Media {
                media_type: MediaType::Image,
                file: File::Base64("aGk=".into()),
                caption: caption.map(str::to_owned),
                filename: None,
                mime_type: None,
            },
            quoted: None,
            mentions: Vec::new(),
            mention_all: false,
            delay_ms: None,
        };
        let captioned = media(Some("the map"));
        let sought = Sought::of(&captioned, "1@g.us", "media").unwrap();
        assert!(sought.is(&read_message(&row("1@g.us", "A", json!({"imageMessage": {"caption": "the map"}})))));
        assert!(!sought.is(&said("1@g.us", "the map")));
        assert_eq!(Sought::of(&media(None), "1@g.us", "media"), None);
    }

    #[test]
    fn only_what_was_sent_in_time_counts_and_pages_end() {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let rows = json!([row("1@lid", "B", Value::Null), row("1@lid", "A", Value::Null)]);
        let told = json!({"messages": {"pages": 3, "records": rows}});
        let page = read_page(&told, at(1_795_310_417), 1);
        assert_eq!((page.messages.len(), page.goes_on), (2, true));
        assert!(!read_page(&told, at(1_795_310_417), 3).goes_on);
        let late = read_page(&told, at(1_795_310_418), 1);
        assert_eq!((late.messages.len(), late.goes_on), (0, false), "versions without the filter");
        assert_eq!(read_page(&rows, at(0), 1).messages.len(), 2, "the rows alone");
        assert!(read_page(&Value::Null, at(0), 1).messages.is_empty());
    }
}
