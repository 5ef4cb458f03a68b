//! What a program asks to be sent, field by field.
//!
//! The names are those of the older system, and shorter ones beside them.

use std::time::Duration;

use omnihub_common::channel::{
    Outgoing, OutgoingContent,
    whatsapp::{
        mentions::mentioned_in,
        recipient::{chat_of, is_group, person_of},
    },
};
use serde_json::Value;

use super::{LONGEST_WAIT, Manner};
use crate::{
    admin::fields::{Fields, Given},
    problem::Problem,
};

/// How long a send is waited for when nobody says, in seconds.
const DEFAULT_WAIT: u64 = 10;
/// How long typing may be shown before, in milliseconds: its conversation waits as long.
pub(super) const LONGEST_DELAY: u64 = 20_000;
/// No provider's id of a message is longer.
const LONGEST_ID: usize = 128;
/// As many people as a group may have.
const MOST_MENTIONS: usize = 1024;
/// No idempotency key is longer.
const LONGEST_KEY: usize = 255;

/// Where a send goes: the first that is given.
const RECIPIENTS: [&str; 3] = ["to", "phone_number", "phone"];
/// Each name that stands for another of the same, the newer one first.
const QUOTED: [&str; 2] = ["quoted", "quoted_message_id"];
const MENTIONS: [&str; 2] = ["mentions", "mentioned"];
const MENTION_ALL: [&str; 2] = ["mention_all", "mentions_everyone"];

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) outgoing: Outgoing,
    pub(super) wait: Duration,
    pub(super) key: Option<String>,
}

/// The person that a body names by their row id, where it names nobody otherwise.
pub(in crate::admin) fn user_id(fields: &mut Fields) -> Option<i64> {
    let is_named = RECIPIENTS.iter().any(|name| fields.value(name).is_some_and(|value| !value.is_null()));
    let id = fields.value("user_id").filter(|_| !is_named)?;
    id.as_i64().or_else(|| id.as_str()?.trim().parse().ok())
}

/// Reads a body; everything that is wrong is named at once. `person` is the number of whom
/// [`user_id`] names.
pub(super) fn read(
    mut fields: Fields,
    manner: Manner,
    person: Option<&str>,
    content: impl FnOnce(&mut Fields) -> OutgoingContent,
) -> Result<Asked, Problem> {
    fields.know(&[QUOTED.as_slice(), &MENTIONS, &MENTION_ALL].concat());
    let chat = recipient(&mut fields, person);
    let content = content(&mut fields);
    let quoted = quoted(&mut fields);
    let (mentions, mention_all) = mentions(&mut fields, &chat, &content);
    let delay_ms = value(fields.number("delay", 0..=LONGEST_DELAY));
    let delay_ms = delay_ms.and_then(|delay| u32::try_from(delay).ok()).filter(|delay| *delay > 0);
    let wait = wait(&mut fields, manner.wait);
    let key = key(&mut fields, manner.key);
    fields.finish()?;
    let outgoing = Outgoing { chat, by: String::new(), content, quoted, mentions, mention_all, delay_ms };
    Ok(Asked { outgoing, wait, key })
}

/// The chat that a body names. `person` is the number of whom [`user_id`] names.
pub(in crate::admin) fn recipient(fields: &mut Fields, person: Option<&str>) -> String {
    fields.know(&[RECIPIENTS.as_slice(), &["user_id"]].concat());
    for name in RECIPIENTS {
        match fields.text(name).check(fields, name, |text| chat_of(&text)) {
            Given::Value(chat) => return chat,
            // Noted as wrong, or not there.
            Given::Absent | Given::Null => {}
        }
    }
    if let Some(phone) = person {
        match chat_of(phone) {
            Ok(chat) => return chat,
            Err(problem) => fields.wrong::<()>("user_id", problem),
        };
    } else if fields.value("user_id").is_some_and(|id| !id.is_null()) {
        fields.wrong::<()>("user_id", "must be the id of a person, a whole number");
    } else if !RECIPIENTS.iter().any(|name| fields.is_wrong(name)) {
        fields.wrong::<()>("phone_number", "is required, or a chat's id as to");
    }
    String::new()
}

/// The id of a message, or Evolution's form of it.
fn quoted(fields: &mut Fields) -> Option<String> {
    for name in QUOTED {
        let given = match fields.value(name) {
            Some(Value::Object(object)) => {
                let key = object.get("key").unwrap_or(&Value::Null);
                match key["id"].as_str().or_else(|| object.get("id")?.as_str()).map(str::to_owned) {
                    Some(id) => Given::Value(id),
                    None => fields.wrong("quoted.key.id", "is required"),
                }
            }
            _ => fields.text(name),
        };
        if let Given::Value(id) = given.check(fields, name, message_id) {
            return Some(id);
        }
    }
    None
}

/// The id of a message at its channel.
pub(super) fn message_id(id: String) -> Result<String, String> {
    match id.len() {
        0..=LONGEST_ID => Ok(id),
        _ => Err(format!("must have at most {LONGEST_ID} characters")),
    }
}

/// Only a group has people to mention. Who is named in a list is mentioned, else who stands in the
/// text with `@` and a number.
fn mentions(fields: &mut Fields, chat: &str, content: &OutgoingContent) -> (Vec<String>, bool) {
    let listed = MENTIONS.into_iter().find_map(|name| people(fields, name));
    let parse = value(fields.flag("auto_parse_mentions")).unwrap_or(true);
    let all = MENTION_ALL.into_iter().find_map(|name| value(fields.flag(name)));
    if !is_group(chat) {
        return (Vec::new(), false);
    }
    let found = || content.said().filter(|_| parse).map(mentioned_in);
    (listed.or_else(found).unwrap_or_default(), all.unwrap_or(false))
}

fn people(fields: &mut Fields, name: &str) -> Option<Vec<String>> {
    let listed = value(fields.texts(name))?;
    if listed.len() > MOST_MENTIONS {
        fields.wrong::<()>(name, format!("must name at most {MOST_MENTIONS} people"));
    }
    let mut people: Vec<String> = Vec::new();
    for (nth, text) in listed.iter().take(MOST_MENTIONS).enumerate() {
        match person_of(text) {
            Ok(person) if people.contains(&person) => {}
            Ok(person) => people.push(person),
            Err(problem) => {
                fields.wrong::<()>(&format!("{name}[{nth}]"), problem);
            }
        }
    }
    (!people.is_empty()).then_some(people)
}

/// Seconds; the query's before the body's.
fn wait(fields: &mut Fields, in_query: Option<String>) -> Duration {
    let range = 0..=LONGEST_WAIT.as_secs();
    let in_body = value(fields.number("wait", range.clone()));
    let seconds = match in_query.map(|text| text.trim().parse().ok().filter(|seconds| range.contains(seconds))) {
        None => in_body,
        Some(Some(seconds)) => Some(seconds),
        Some(None) => {
            let expected = format!("must be a whole number from {} to {}", range.start(), range.end());
            value(fields.wrong("wait", expected))
        }
    };
    Duration::from_secs(seconds.unwrap_or(DEFAULT_WAIT))
}

fn key(fields: &mut Fields, given: Option<Result<String, ()>>) -> Option<String> {
    let key = given?.unwrap_or_default();
    let is_key =
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match is_key {
        true => Some(key),
        false => {
            let expected = format!("must have 1 to {LONGEST_KEY} printable ASCII characters");
            value(fields.wrong("Idempotency-Key", expected))
        }
    }
}

pub(super) fn value<T>(given: Given<T>) -> Option<T> {
    match given {
        Given::Value(value) => Some(value),
        Given::Absent | Given::Null => None,
    }
}
