//! What each kind of message says, field by field.
//!
//! Whatever is wrong is noted under its path; a value that stands for it is never used.

use base64::{Engine, engine::general_purpose::STANDARD};
use omnihub_common::channel::{ContactCard, File, MediaType, OutgoingContent, whatsapp::recipient::person_of};
use serde_json::Value;
use url::Url;

use super::body::{message_id, value};
use crate::admin::fields::{Fields, Given};

/// Bytes of a text at most, as of an agent's answer.
const LARGEST_TEXT: usize = 64 * 1024;
/// Cards in one message.
const MOST_CARDS: usize = 100;
/// Characters of an emoji, which may be a family.
pub(super) const LONGEST_REACTION: usize = 16;

/// `send-text`.
pub(super) fn text(fields: &mut Fields) -> OutgoingContent {
    let text = fields.verbatim("text").check(fields, "text", words);
    let text = fields.kept("text", text);
    let text = fields.require("text", text);
    let split = value(fields.flag("split_message"));
    let link_preview = value(fields.flag("link_preview"));
    OutgoingContent::Text { text, split, link_preview }
}

/// `send-media`.
pub(super) fn media(fields: &mut Fields) -> OutgoingContent {
    let known = |word: String| MediaType::parse(&word).ok_or("must be image, video, audio or document");
    let media_type = fields.text("media_type").check(fields, "media_type", known);
    let media_type = value(media_type);
    if media_type.is_none() && !fields.is_wrong("media_type") {
        fields.wrong::<()>("media_type", "is required");
    }
    let media_type = media_type.unwrap_or(MediaType::Document);
    let (file, told) = file(fields, "media_url", "media_base64");
    let caption = value(fields.verbatim("caption").check(fields, "caption", bounded));
    let caption = caption.filter(|caption| !caption.trim().is_empty());
    let filename = value(fields.text("filename"));
    if media_type == MediaType::Document && matches!(file, File::Base64(_)) && filename.is_none() {
        fields.wrong::<()>("filename", "is required for a document in base64");
    }
    let mime_type = value(fields.text("mime_type")).or(told);
    OutgoingContent::Media { media_type, file, caption, filename, mime_type }
}

/// `send-audio`.
pub(super) fn audio(fields: &mut Fields) -> OutgoingContent {
    OutgoingContent::Audio { file: file(fields, "audio_url", "audio_base64").0 }
}

/// `send-sticker`.
pub(super) fn sticker(fields: &mut Fields) -> OutgoingContent {
    OutgoingContent::Sticker { file: file(fields, "sticker_url", "sticker_base64").0 }
}

/// `send-contact`.
pub(super) fn contact(fields: &mut Fields) -> OutgoingContent {
    let cards = match fields.value("contacts") {
        Some(Value::Array(cards)) if (1..=MOST_CARDS).contains(&cards.len()) => cards,
        None | Some(Value::Null) => {
            fields.wrong::<()>("contacts", "is required");
            Vec::new()
        }
        Some(_) => {
            fields.wrong::<()>("contacts", format!("must be a list of 1 to {MOST_CARDS} contacts"));
            Vec::new()
        }
    };
    let contacts = cards.into_iter().enumerate().map(|(nth, card)| {
        let path = format!("contacts[{nth}]");
        fields.within(&path, card, |card| ContactCard {
            full_name: required(card, "full_name"),
            phone_number: {
                let person = card.text("phone_number").check(card, "phone_number", |text| person_of(&text));
                let person = card.kept("phone_number", person);
                card.require("phone_number", person)
            },
            email: value(card.text("email")),
            organization: value(card.text("organization")),
            url: value(card.text("url")),
        })
    });
    OutgoingContent::Contact { contacts: contacts.collect() }
}

/// `send-reaction`.
pub(super) fn reaction(fields: &mut Fields) -> OutgoingContent {
    let id = fields.text("message_id").check(fields, "message_id", message_id);
    let id = fields.kept("message_id", id);
    let message_id = fields.require("message_id", id);
    let short = |emoji: String| match emoji.chars().count() {
        0..=LONGEST_REACTION => Ok(emoji.trim().to_owned()),
        _ => Err("must be one emoji, or empty to take an earlier one away"),
    };
    let reaction = fields.verbatim("reaction").check(fields, "reaction", short);
    let reaction = fields.kept("reaction", reaction);
    let reaction = fields.require("reaction", reaction);
    let from_me = value(fields.flag("from_me")).unwrap_or(false);
    OutgoingContent::Reaction { message_id, from_me, reaction }
}

/// `send-location`.
pub(super) fn location(fields: &mut Fields) -> OutgoingContent {
    OutgoingContent::Location {
        latitude: degrees(fields, "latitude", 90.0),
        longitude: degrees(fields, "longitude", 180.0),
        name: required(fields, "name"),
        address: required(fields, "address"),
    }
}

/// `send-poll`.
pub(super) fn poll(fields: &mut Fields) -> OutgoingContent {
    let question = required(fields, "name");
    let answers = fields.texts("values").check(fields, "values", |answers| {
        let distinct: std::collections::BTreeSet<&String> = answers.iter().filter(|text| !text.is_empty()).collect();
        match distinct.len() {
            2..=10 if distinct.len() == answers.len() => Ok(answers),
            _ => Err("must be 2 to 10 different texts"),
        }
    });
    let answers = fields.kept("values", answers);
    let answers = fields.require("values", answers);
    let selectable = value(fields.number("selectable_count", 0..=10)).unwrap_or(1);
    let selectable = u8::try_from(selectable).unwrap_or(1);
    OutgoingContent::Poll { question, answers, selectable }
}

fn required(fields: &mut Fields, name: &str) -> String {
    let text = fields.text(name);
    let text = fields.kept(name, text);
    fields.require(name, text)
}

fn degrees(fields: &mut Fields, name: &str, most: f64) -> f64 {
    let given = fields.value(name).map(|degrees| degrees.as_f64());
    match given {
        Some(Some(degrees)) if (-most..=most).contains(&degrees) => degrees,
        Some(_) => {
            fields.wrong::<()>(name, format!("must be a number from -{most} to {most}"));
            0.0
        }
        None => {
            fields.wrong::<()>(name, "is required");
            0.0
        }
    }
}

/// A file by its address or in base64; with the media type that a `data:` URL names.
pub(in crate::admin) fn file(fields: &mut Fields, url: &str, base64: &str) -> (File, Option<String>) {
    fields.know(&[url, base64]);
    let nothing = (File::Url(String::new()), None);
    match fields.text(url).check(fields, url, address) {
        Given::Value(address) => return (File::Url(address), None),
        Given::Absent if fields.is_wrong(url) => return nothing,
        Given::Absent | Given::Null => {}
    }
    match fields.verbatim(base64).check(fields, base64, encoded) {
        Given::Value((file, told)) => (File::Base64(file), told),
        Given::Absent if fields.is_wrong(base64) => nothing,
        Given::Absent | Given::Null => {
            fields.wrong::<()>(url, format!("is required, or {base64}"));
            nothing
        }
    }
}

fn address(text: String) -> Result<String, &'static str> {
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text),
        _ => Err("must be a URL that begins with http:// or https://"),
    }
}

/// Base64 without its white space, and without the head of a `data:` URL, which Evolution refuses.
fn encoded(text: String) -> Result<(String, Option<String>), &'static str> {
    let expected = "must be a file in base64";
    let (told, file) = match text.trim_start().strip_prefix("data:") {
        Some(rest) => {
            let (head, file) = rest.split_once(";base64,").ok_or(expected)?;
            let told = head.split(';').next().filter(|word| word.contains('/')).map(str::to_owned);
            (told, file)
        }
        None => (None, text.as_str()),
    };
    let file: String = file.split_ascii_whitespace().collect();
    match STANDARD.decode(&file) {
        Ok(bytes) if !bytes.is_empty() => Ok((file, told)),
        _ => Err(expected),
    }
}

fn words(text: String) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { bounded(text) }
}

fn bounded(text: String) -> Result<String, String> {
    if text.len() > LARGEST_TEXT {
        Err(format!("must have at most {LARGEST_TEXT} bytes"))
    } else if text.contains('\0') {
        Err("must not contain U+0000".to_owned())
    } else {
        Ok(text)
    }
}
