//! Dead letters as the admin API shows them.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use omnihub_common::{
    instance::Instance,
    queue::{
        EnvelopeBody, InstanceToken,
        dead::{DeadLetter, KeptLetter, Page, Skip, Summary},
    },
    secret::Secret,
    trace::{mask, presentable},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// A dead letter in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct LetterView {
    /// By which it is named.
    id: String,
    instance_name: String,
    /// Why it died, as a word.
    reason: String,
    /// The same for people.
    error_message: String,
    /// How often it was tried.
    attempts: u32,
    died_at: Option<DateTime<Utc>>,
    received_at: Option<DateTime<Utc>>,
    /// Of its message; none when that was unreadable.
    trace_id: Option<Uuid>,
    session_name: Option<String>,
    phone: Option<String>,
    /// How often it was redriven.
    redrives: u32,
    /// Files that it refers to and that were not kept.
    missing: Vec<String>,
}

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(super) struct PageView {
    dead_letters: Vec<LetterView>,
    /// How many there are in all.
    total: u64,
    /// The `cursor` of the next page; none when this is the last.
    next_cursor: Option<String>,
}

/// A dead letter with its payload, masked as traces are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterDetail)]
pub(super) struct WholeView {
    #[serde(flatten)]
    #[schema(value_type = LetterView)]
    letter: Value,
    /// The message as the channel sent it, or what is JSON of an unreadable one.
    payload: Option<Value>,
    /// Where the payload is kept when it is large.
    payload_object: Option<String>,
    /// Files that it refers to.
    objects: Vec<String>,
    /// The size of an unreadable one.
    raw_bytes: Option<usize>,
    redrivable: bool,
    /// Why it cannot be redriven.
    not_redrivable: Option<Refusal>,
}

/// Why a letter cannot be redriven.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterRefusal)]
pub(super) struct Refusal {
    /// As a word.
    pub(super) reason: &'static str,
    /// For people.
    detail: &'static str,
}

impl From<Skip> for Refusal {
    fn from(skip: Skip) -> Self {
        Self { reason: skip.as_str(), detail: skip.detail() }
    }
}

/// A page of the list.
pub(super) fn page(page: &Page) -> PageView {
    let letters = page.letters.iter().map(|found| summary(&found.id, &found.instance_token, &found.summary));
    PageView {
        dead_letters: letters.collect(),
        total: page.matched,
        next_cursor: page.next.map(|next| next.to_string()),
    }
}

fn summary(id: &str, instance_token: &str, letter: &Summary) -> LetterView {
    LetterView {
        id: id.to_owned(),
        instance_name: InstanceToken::name(instance_token).to_owned(),
        reason: letter.reason.clone(),
        error_message: letter.error_message.clone(),
        attempts: letter.attempts,
        died_at: moment(letter.at),
        received_at: letter.received_at.and_then(moment),
        trace_id: letter.trace_id,
        session_name: letter.session_name.clone(),
        phone: letter.phone.clone(),
        redrives: letter.redrives,
        missing: letter.missing.clone(),
    }
}

/// One letter with its payload, masked as traces are.
pub(super) fn whole(kept: &KeptLetter, instance: Option<&Instance>, why_not: Option<Skip>) -> WholeView {
    let secrets: Vec<&Secret> = instance.map(Instance::secrets).unwrap_or_default();
    let secrets: Vec<&str> = secrets.into_iter().map(Secret::expose).collect();
    let mut shown = json!(summary(&kept.id, &kept.instance_token, &kept.summary()));
    let letter = kept.letter.as_ref();
    if let Some(letter) = letter {
        shown["error_message"] = letter.error_message.as_str().into();
        mask(&mut shown, &secrets);
    }
    WholeView {
        letter: shown,
        payload: letter.and_then(payload).map(|payload| presentable(payload, &secrets)),
        payload_object: letter.and_then(DeadLetter::body_object).map(str::to_owned),
        objects: letter.map(|letter| letter.objects.clone()).unwrap_or_default(),
        raw_bytes: letter.and_then(raw).map(|raw| raw.len()),
        redrivable: why_not.is_none(),
        not_redrivable: why_not.map(Refusal::from),
    }
}

/// The message's words, or what is JSON of an unreadable one. What is not even JSON is not shown:
/// nobody could tell where a secret stands in it.
fn payload(letter: &DeadLetter) -> Option<Value> {
    match letter.envelope.as_ref().map(|envelope| &envelope.body) {
        Some(EnvelopeBody::Inline(body)) => Some(body.clone()),
        Some(EnvelopeBody::Object(_)) => None,
        None => serde_json::from_slice(&raw(letter)?).ok(),
    }
}

fn raw(letter: &DeadLetter) -> Option<Vec<u8>> {
    STANDARD.decode(letter.raw.as_ref()?).ok()
}

fn moment(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_shown(kept: &KeptLetter, why_not: Skip) -> Value {
        json!(whole(kept, None, Some(why_not)))
    }

    fn kept(letter: Option<DeadLetter>) -> KeptLetter {
        KeptLetter {
            id: "raw-1".into(),
            instance_token: "ac-me-7".into(),
            subject: "dead.ac-me-7.c.raw-1".into(),
            sequence: 3,
            letter,
        }
    }

    #[test]
    fn an_unreadable_message_shows_no_secret() {
        let json = DeadLetter::of(DeadLetter::UNREADABLE, br#"{"apikey": "planted-key-1234", "v": "x"}"#, 1);
        let shown = as_shown(&kept(Some(json)), Skip::Unreadable);
        assert_eq!(shown["payload"], json!({"apikey": "****1234", "v": "x"}));
        assert_eq!((&shown["redrivable"], &shown["instance_name"]), (&json!(false), &json!("ac-me")));
        let cut = DeadLetter::of(DeadLetter::UNREADABLE, br#"{"apikey": "planted-key-1234"#, 1);
        let shown = as_shown(&kept(Some(cut)), Skip::Unreadable);
        assert_eq!((&shown["payload"], &shown["raw_bytes"]), (&Value::Null, &json!(28)));
        assert!(!shown.to_string().contains("planted"));
    }

    #[test]
    fn a_record_that_this_build_cannot_read_is_shown_as_such() {
        let shown = as_shown(&kept(None), Skip::NewerVersion);
        assert_eq!(shown["reason"], "unknown_record");
        assert_eq!(shown["not_redrivable"]["reason"], "newer_version");
    }
}
