//! What is said of the routes that send in the OpenAPI document.

use omnihub_common::channel::MediaType;
use serde_json::{Value, json};

use super::{LONGEST_WAIT, answer::Answer, body::LONGEST_DELAY, contents::LONGEST_REACTION};
use crate::admin::openapi::{
    Doc,
    field::{Field, Kind, field, flag, object, text},
    says,
};

/// Whom it goes to, and how.
const MANNER: [Field; 13] = [
    text("phone_number", "A phone number; one of the five that name a recipient is needed."),
    text("phone", "The same."),
    text("to", "The same, or a chat's id, as a group's."),
    field("user_id", Kind::Such(user_id), "A person of the instance, by their id, where nobody is named otherwise."),
    field("delay", Kind::Whole(0, LONGEST_DELAY), "Milliseconds for which typing is shown before."),
    field("wait", WAIT, "The same as in the query."),
    field("quoted", Kind::Such(quoted), "The message that it answers, by its id or in Evolution's form."),
    text("quoted_message_id", "The older system's name of `quoted`."),
    field("mentions", Kind::Such(texts), "In a group: whom it mentions, by phone number."),
    field("mentioned", Kind::Such(texts), "The older system's name of `mentions`."),
    flag("mention_all", "In a group: whether it mentions everybody."),
    flag("mentions_everyone", "The older system's name of `mention_all`."),
    flag("auto_parse_mentions", "In a group: whether who stands in the text with @ is mentioned; true unless said."),
];
const IDEMPOTENCY_KEY: Kind = Kind::Like("^[!-~]([ -~]{0,253}[!-~])?$");
const WAIT: Kind = Kind::Whole(0, LONGEST_WAIT.as_secs());

fn user_id() -> Value {
    json!({"type": ["integer", "string", "null"]})
}

fn quoted() -> Value {
    json!({"type": ["string", "object", "null"]})
}

fn texts() -> Value {
    json!({"type": ["array", "null"], "items": {"type": "string"}})
}

/// What is said of a kind of message: its own fields, and what it is sent with for example.
fn sends(summary: &'static str, own: &[Field], example: Value) -> Doc {
    let fields: Vec<Field> = MANNER.iter().chain(own).copied().collect();
    let mut whole = json!({"phone_number": "+5511987654321"});
    if let (Value::Object(whole), Value::Object(own)) = (&mut whole, example) {
        whole.extend(own);
    }
    says(summary)
        .more(
            "It goes through its conversation's lane, in order with the bot's own replies. 200 when it is out, 202 \
             with its trace when it still waits at the end of `wait`.",
        )
        .query([field("wait", WAIT, "Seconds to wait for the outcome; 10 unless said.")])
        .headers([field(
            "Idempotency-Key",
            IDEMPOTENCY_KEY,
            "Requests of one key within 24 h are one send: 1 to 255 characters.",
        )])
        .content("application/json", object(&fields), whole, true)
        .answers::<Answer>()
        .waits::<Answer>()
        .problem(404, "There is no such instance or person, or not for this key.")
        .problem(409, "The instance is switched off.")
        .problem(
            422,
            "Fields are wrong, the `Idempotency-Key` was used for something else, or WhatsApp refuses; see `code`.",
        )
        .problem(500, "It was not sent, for a reason that has no other status.")
        .problem(502, "Evolution did not send it.")
        .problem(504, "It was not sent in time.")
}

pub(super) fn text_message() -> Doc {
    let own = [
        text("text", "What it says.").required(),
        flag("split_message", "Whether it is cut at blank lines; as the instance is set unless said."),
        flag("link_preview", "Whether links are shown with a preview."),
    ];
    sends("Send a text", &own, json!({"text": "We open at nine."}))
}

pub(super) fn media() -> Doc {
    let own = [
        field("media_type", Kind::Such(media_types), "What it is.").required(),
        field("media_url", Kind::Url, "Where the file is; this or `media_base64` is needed."),
        text("media_base64", "The file."),
        text("mime_type", "The file's media type."),
        text("caption", "What is written below it."),
        text("filename", "The file's name; a document in base64 needs one."),
    ];
    let example = json!({"media_type": "image", "media_url": "https://example.com/menu.png", "caption": "The menu"});
    sends("Send a file", &own, example)
}

fn media_types() -> Value {
    let all = [MediaType::Image, MediaType::Video, MediaType::Audio, MediaType::Document];
    json!({"type": "string", "enum": all.map(MediaType::as_str)})
}

pub(super) fn audio() -> Doc {
    let own = [
        field("audio_url", Kind::Url, "Where the recording is; this or `audio_base64` is needed."),
        text("audio_base64", "The recording."),
    ];
    sends("Send a voice message", &own, json!({"audio_url": "https://example.com/hello.ogg"}))
}

pub(super) fn sticker() -> Doc {
    let own = [
        field("sticker_url", Kind::Url, "Where the picture is; this or `sticker_base64` is needed."),
        text("sticker_base64", "The picture."),
    ];
    sends("Send a sticker", &own, json!({"sticker_url": "https://example.com/thanks.webp"}))
}

pub(super) fn contact() -> Doc {
    let own = [field("contacts", Kind::Such(cards), "The cards, 1 to 100.").required()];
    let example = json!({"contacts": [{"full_name": "Ana Lima", "phone_number": "+5511912345678"}]});
    sends("Send contact cards", &own, example)
}

fn cards() -> Value {
    let card = object(&[
        text("full_name", "The name.").required(),
        text("phone_number", "The number.").required(),
        text("email", "The address."),
        text("organization", "Whom they work for."),
        text("url", "Their page."),
    ]);
    json!({"type": "array", "minItems": 1, "maxItems": 100, "items": card})
}

pub(super) fn reaction() -> Doc {
    let own = [
        text("message_id", "The message that is reacted to, by the channel's id.").required(),
        field("reaction", Kind::Such(emoji), "One emoji; empty takes an earlier one away.").required(),
        flag("from_me", "Whether that message is the instance's own."),
    ];
    sends("React to a message", &own, json!({"message_id": "3EB0C431C5D1B2A6F0E1", "reaction": "👍"}))
}

fn emoji() -> Value {
    json!({"type": "string", "maxLength": LONGEST_REACTION})
}

pub(super) fn location() -> Doc {
    let own = [
        field("latitude", Kind::Such(|| degrees(90)), "Degrees to the north.").required(),
        field("longitude", Kind::Such(|| degrees(180)), "Degrees to the east.").required(),
        text("name", "What is there.").required(),
        text("address", "Its address.").required(),
    ];
    let example =
        json!({"latitude": -23.5614, "longitude": -46.6559, "name": "The shop", "address": "Av. Paulista 1000"});
    sends("Send a place", &own, example)
}

fn degrees(most: i32) -> Value {
    json!({"type": "number", "minimum": -most, "maximum": most})
}

pub(super) fn poll() -> Doc {
    let own = [
        text("name", "The question.").required(),
        field("values", Kind::Such(choices), "The answers.").required(),
        field("selectable_count", Kind::Whole(0, 10), "How many may be chosen; 1 unless said, 0 is any number."),
    ];
    sends("Send a poll", &own, json!({"name": "When shall we deliver?", "values": ["Today", "Tomorrow"]}))
}

fn choices() -> Value {
    json!({"type": "array", "minItems": 2, "maxItems": 10, "uniqueItems": true, "items": {"type": "string"}})
}
