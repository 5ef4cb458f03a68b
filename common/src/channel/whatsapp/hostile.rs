//! The reader under attack: recorded webhooks with parts of them replaced, moved, repeated and cut.
//!
//! Whatever comes of it, nothing panics and what is kept stays within its bounds. `PROPTEST_CASES`
//! makes as many inputs as one likes.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{bounds, goldens::recorded_bodies, inbound::read_message, webhook::read_webhook};
use crate::channel::InboundMessage;

static RECORDED: LazyLock<Vec<Value>> = LazyLock::new(|| {
    recorded_bodies().iter().map(|body| serde_json::from_slice(body).expect("a recorded body is JSON")).collect()
});

/// The words that a reader looks for, so that parts land where they are looked at.
const NAMES: [&str; 48] = [
    "message",
    "key",
    "data",
    "messages",
    "contextInfo",
    "quotedMessage",
    "mentionedJid",
    "externalAdReply",
    "ephemeralMessage",
    "viewOnceMessageV2",
    "protocolMessage",
    "editedMessage",
    "imageMessage",
    "videoMessage",
    "ptvMessage",
    "audioMessage",
    "documentMessage",
    "stickerMessage",
    "locationMessage",
    "liveLocationMessage",
    "contactMessage",
    "contactsArrayMessage",
    "contacts",
    "vcard",
    "displayName",
    "reactionMessage",
    "pollCreationMessage",
    "options",
    "optionName",
    "buttonsResponseMessage",
    "listResponseMessage",
    "singleSelectReply",
    "interactiveResponseMessage",
    "nativeFlowResponseMessage",
    "paramsJson",
    "templateMessage",
    "groupInviteMessage",
    "eventMessage",
    "location",
    "startTime",
    "orderMessage",
    "totalAmount1000",
    "extendedTextMessage",
    "matchedText",
    "conversation",
    "caption",
    "remoteJid",
    "participant",
];

/// No repetition makes more than this, so that repetitions of repetitions stay small.
const HEAVIEST: usize = 64 * 1024;

/// One change of a body, somewhere in it.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Rename(&'static str),
    Wrap(&'static str),
    Repeat(usize),
    /// Another recording takes its place.
    Graft(usize),
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,24}".prop_map(Value::from),
        (any::<i64>(), any::<i64>()).prop_map(|(low, high)| json!({"low": low, "high": high, "unsigned": true})),
        (0_usize..6000).prop_map(|length| "é".repeat(length).into()),
        "(BEGIN|TEL|EMAIL|FN|ORG|item1\\.TEL)(;waid=[0-9]{0,20})?:?[^\\n]{0,20}(\\n [a-z]{0,9}|\\\\|\\nTEL:1){0,3}"
            .prop_map(Value::from),
        "\\{\"(id|title|display_text)\":[0-9\"\\[\\]{}a]{0,9}\\}?".prop_map(Value::from),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let name = || proptest::sample::select(NAMES.to_vec());
    prop_oneof![
        4 => leaf().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        3 => name().prop_map(Change::Rename),
        2 => name().prop_map(Change::Wrap),
        1 => (2_usize..300).prop_map(Change::Repeat),
        1 => any::<usize>().prop_map(Change::Graft),
    ]
}

/// Makes the change where `way` leads: at each step one of the children, by its number.
fn make(value: &mut Value, way: &[u8], change: &Change) {
    if let [step, rest @ ..] = way {
        let step = usize::from(*step);
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let name = fields.keys().nth(step % fields.len()).cloned().expect("a field");
                if rest.is_empty() && !matches!(change, Change::Replace(_) | Change::Repeat(_)) {
                    return move_field(fields, &name, change);
                }
                return make(&mut fields[&name], rest, change);
            }
            Value::Array(entries) if !entries.is_empty() => {
                let at = step % entries.len();
                return make(&mut entries[at], rest, change);
            }
            _ => {}
        }
    }
    match change {
        Change::Replace(other) => *value = other.clone(),
        Change::Repeat(times) if weight(value) * times <= HEAVIEST => {
            *value = Value::Array(vec![value.clone(); *times])
        }
        Change::Wrap(name) => *value = json!({*name: value.clone()}),
        Change::Graft(other) => *value = RECORDED[other % RECORDED.len()].clone(),
        Change::Remove | Change::Rename(_) | Change::Repeat(_) => {}
    }
}

/// What a value takes, more or less in bytes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 1,
        Value::Array(entries) => entries.iter().map(weight).sum::<usize>() + 1,
        Value::Object(fields) => fields.iter().map(|(name, field)| name.len() + weight(field)).sum::<usize>() + 1,
        _ => 8,
    }
}

fn move_field(fields: &mut serde_json::Map<String, Value>, name: &str, change: &Change) {
    let Some(value) = fields.remove(name) else { return };
    match change {
        Change::Rename(other) => fields.insert((*other).to_owned(), value),
        Change::Wrap(wrapper) => fields.insert((*wrapper).to_owned(), json!({"message": value})),
        Change::Graft(other) => fields.insert(name.to_owned(), RECORDED[other % RECORDED.len()]["data"].clone()),
        _ => None,
    };
}

/// The longest text beside the message's own, and the longest list.
fn extent(value: &Value) -> (usize, usize) {
    match value {
        Value::String(text) => (text.chars().count(), 0),
        Value::Array(entries) => entries.iter().map(extent).fold((0, entries.len()), larger),
        // What a form answered is bounded as a whole.
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| *name != "params").map(|(_, field)| extent(field)).fold((0, 0), larger)
        }
        _ => (0, 0),
    }
}

fn larger(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0.max(other.0), one.1.max(other.1))
}

fn assert_bounded(message: &InboundMessage) -> Result<(), TestCaseError> {
    let mut kept = serde_json::to_value(message).expect("a message is JSON");
    let read: InboundMessage = serde_json::from_value(kept.clone()).expect("what was written is read");
    prop_assert_eq!(&read.content.kind, &message.content.kind);
    kept["content"]["text"] = Value::Null;
    kept["quoted"] = Value::Null;
    let (text, list) = extent(&kept);
    prop_assert!(text <= bounds::URL && list <= bounds::MENTIONS, "{text} {list}");
    if let Some(words) = message.content.words() {
        prop_assert!(!words.trim().is_empty());
    }
    Ok(())
}

fn read_all(body: &[u8]) -> Result<(), TestCaseError> {
    let Ok(webhook) = read_webhook(body, None) else { return Ok(()) };
    for mut part in webhook.parts {
        assert_bounded(&read_message(&part.data))?;
        prop_assert!(!part.address().is_empty());
        part.take_media();
        assert_bounded(&read_message(&part.data))?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_changed_recording_panics_or_outgrows_its_bounds(
        nth in any::<usize>(),
        changes in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..7), change()), 1..6),
    ) {
        let mut body = RECORDED[nth % RECORDED.len()].clone();
        for (way, change) in &changes {
            make(&mut body, way, change);
        }
        assert_bounded(&read_message(&body))?;
        read_all(body.to_string().as_bytes())?;
    }

    #[test]
    fn no_damaged_recording_panics(
        nth in any::<usize>(),
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<usize>()),
    ) {
        let mut body = RECORDED[nth % RECORDED.len()].to_string().into_bytes();
        for (place, byte) in damage {
            let length = body.len();
            body[place % length] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut % body.len());
        }
        read_all(&body)?;
    }
}
