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
use serde_json::{Value, json};

/// A page of the list.
pub(super) fn page(page: &Page) -> Value {
    let letters: Vec<_> =
        page.letters.iter().map(|found| summary(&found.id, &found.instance_token, &found.summary)).collect();
    json!({
        "dead_letters": letters,
        "total": page.matched,
        "next_cursor": page.next.map(|next| next.to_string()),
    })
}

fn summary(id: &str, instance_token: &str, letter: &Summary) -> Value {
    json!({
        "id": id,
        "instance_name": InstanceToken::name(instance_token),
        "reason": letter.reason,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "died_at": moment(letter.at),
        "received_at": letter.received_at.map(moment),
        "trace_id": letter.trace_id,
        "session_name": letter.session_name,
        "phone": letter.phone,
        "redrives": letter.redrives,
        "missing": letter.missing,
    })
}

/// One letter with its payload, masked as traces are.
pub(super) fn whole(kept: &KeptLetter, instance: Option<&Instance>, why_not: Option<Skip>) -> Value {
    let secrets: Vec<&Secret> = instance.map(Instance::secrets).unwrap_or_default();
    let secrets: Vec<&str> = secrets.into_iter().map(Secret::expose).collect();
    let mut shown = summary(&kept.id, &kept.instance_token, &kept.summary());
    if let Some(letter) = &kept.letter {
        shown["error_message"] = letter.error_message.as_str().into();
        mask(&mut shown, &secrets);
        shown["payload"] = payload(letter).map_or(Value::Null, |payload| presentable(payload, &secrets));
        shown["payload_object"] = json!(letter.body_object());
        shown["objects"] = json!(letter.objects);
        shown["raw_bytes"] = json!(raw(letter).map(|raw| raw.len()));
    }
    shown["redrivable"] = why_not.is_none().into();
    shown["not_redrivable"] = why_not.map_or(Value::Null, refusal);
    shown
}

/// Why a letter cannot be redriven.
pub(super) fn refusal(skip: Skip) -> Value {
    json!({"reason": skip.as_str(), "detail": skip.detail()})
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
        let shown = whole(&kept(Some(json)), None, Some(Skip::Unreadable));
        assert_eq!(shown["payload"], json!({"apikey": "****1234", "v": "x"}));
        assert_eq!((&shown["redrivable"], &shown["instance_name"]), (&json!(false), &json!("ac-me")));
        let cut = DeadLetter::of(DeadLetter::UNREADABLE, br#"{"apikey": "planted-key-1234"#, 1);
        let shown = whole(&kept(Some(cut)), None, Some(Skip::Unreadable));
        assert_eq!((&shown["payload"], &shown["raw_bytes"]), (&Value::Null, &json!(28)));
        assert!(!shown.to_string().contains("planted"));
    }

    #[test]
    fn a_record_that_this_build_cannot_read_is_shown_as_such() {
        let shown = whole(&kept(None), None, Some(Skip::NewerVersion));
        assert_eq!(shown["reason"], "unknown_record");
        assert_eq!(shown["not_redrivable"]["reason"], "newer_version");
    }
}
