//! What Evolution's REST API answers, and what it asks of the sender.
//!
//! Pure: a status and a body in, a receipt or an error with its [`Decision`] out. Source:
//! Evolution API 2.3.6: error bodies are
//! `{"status", "error", "response": {"message"}}` (main.ts), where `message` is a string, an array
//! of strings, an array of arrays or `[{"jid", "exists", "number"}]`; every failure while sending
//! is a 400, whatever its cause; the Cloud API's error object is passed on with 201.

use std::time::Duration;

use serde_json::Value;

use super::wire::{text, word};
use crate::conversation::Decision;

/// How much of Evolution's words an error repeats, in characters.
const MAX_WORDS: usize = 200;

/// Runs of digits from this length on may be a phone number and are not repeated.
const PHONE_LENGTH: usize = 8;

/// The longest `Retry-After` that is honoured: a server cannot park a conversation for a day.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Words in a 400 that mean that Evolution's own connection to WhatsApp was down. There is no
/// other sign of it: neither status nor code differ from those of a refused message.
const PASSING: [&str; 3] = ["connection closed", "timed out", "reading 'sendmessage'"];

/// A message that Evolution has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// WhatsApp's id of the new message, by which its receipts and its echo are known.
    pub message_id: Option<String>,
    /// The chat as WhatsApp addresses it, which may differ from the number asked for.
    pub chat: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// Evolution's answer.
    pub body: Value,
}

/// A message that Evolution has not taken, or not surely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Evolution did not take the message: {message}")]
pub struct SendError {
    /// The HTTP status; none when there was no answer.
    pub status: Option<u16>,
    /// Evolution's words, short, without keys and phone numbers.
    pub message: String,
    /// What is to be done.
    pub decision: Decision,
    /// Whether the message may have reached WhatsApp all the same (a timeout, a broken answer).
    pub may_have_sent: bool,
}

/// An answer as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Retry-After`, where it is in seconds.
    pub(super) retry_after: Option<Duration>,
    /// The body; none when it is not JSON or too long.
    pub(super) body: Option<Value>,
}

/// Reads the answer to a send.
pub(super) fn read_sent(answer: Answer) -> Result<Sent, SendError> {
    let Answer { status, body, .. } = accepted(answer)?;
    let Some(body) = body.filter(Value::is_object) else {
        return Err(refused(status, "the answer cannot be read", Decision::Again(None), true));
    };
    let message_id = word(&body["key"], "id").map(str::to_owned);
    if message_id.is_none() && is_error(&body) {
        let words = words(&body).unwrap_or_else(|| "an error without words".to_owned());
        return Err(refused(status, &words, dead("evolution_rejected"), false));
    }
    Ok(Sent { message_id, chat: word(&body["key"], "remoteJid").map(str::to_owned), status, body })
}

/// Passes a 2xx on and turns everything else into its error.
pub(super) fn accepted(answer: Answer) -> Result<Answer, SendError> {
    let Answer { status, retry_after, body } = &answer;
    let (status, body) = (*status, body.as_ref().unwrap_or(&Value::Null));
    let again = || Decision::Again(retry_after.map(|wait| wait.min(MAX_RETRY_AFTER)));
    let (decision, may_have_sent) = match status {
        200..=299 => return Ok(answer),
        300..=399 => (dead("evolution_redirect"), false),
        401 | 403 => (Decision::Hold("evolution_key_refused".to_owned()), false),
        404 => (dead("evolution_instance_not_found"), false),
        400 => bad_request(body),
        425 | 429 => (again(), false),
        408 | 500.. => (again(), true),
        _ => (dead("evolution_rejected"), false),
    };
    let words = words(body).unwrap_or_else(|| format!("status {status} without words"));
    Err(refused(status, &words, decision, may_have_sent))
}

/// A 400 has three meanings: nobody there, Evolution itself disconnected, or refused.
fn bad_request(body: &Value) -> (Decision, bool) {
    let message = &body["response"]["message"];
    let mut entries = message.as_array().into_iter().flatten();
    if entries.any(|entry| entry["exists"] == Value::Bool(false)) {
        return (dead("not_on_whatsapp"), false);
    }
    let said = words(body).unwrap_or_default().to_lowercase();
    match PASSING.into_iter().find(|passing| said.contains(passing)) {
        // Evolution waited for WhatsApp's confirmation in vain: the message may be out.
        Some(passing) => (Decision::Again(None), passing == "timed out"),
        None => (dead("evolution_rejected"), false),
    }
}

/// Whether a 2xx body without a message's key is an error: Evolution's `error: true`, or the
/// Cloud API's error object, bare or under `error`.
fn is_error(body: &Value) -> bool {
    let flagged = match &body["error"] {
        Value::Bool(flag) => *flag,
        Value::Null => false,
        _ => true,
    };
    flagged || body["error_data"].is_object() || (body["message"].is_string() && !body["code"].is_null())
}

/// Evolution's words, wherever they are.
fn words(body: &Value) -> Option<String> {
    let response = &body["response"]["message"];
    let places = [response, &body["error"]["message"], &body["message"], &body["error"]];
    let said = places.into_iter().find_map(first_words)?;
    Some(shorten(said))
}

/// The first string in a string, an array or an array of arrays; of a number that is not on
/// WhatsApp a sentence of our own, since Evolution's entry holds only the number.
fn first_words(value: &Value) -> Option<&str> {
    match value {
        Value::String(said) if !said.trim().is_empty() => Some(said.trim()),
        Value::Array(entries) => entries.iter().find_map(|entry| match entry {
            Value::Array(inner) => inner.iter().find_map(Value::as_str),
            Value::Object(_) if entry["exists"] == Value::Bool(false) => Some("the number is not on WhatsApp"),
            Value::Object(_) => text(entry, "message"),
            _ => first_words(entry),
        }),
        _ => None,
    }
}

/// Cuts to one short line and hides what may be a phone number.
fn shorten(said: &str) -> String {
    let mut line = String::new();
    let mut digits = String::new();
    for c in said.chars().take(MAX_WORDS).chain([' ']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        line.push_str(if digits.len() >= PHONE_LENGTH { "[number]" } else { &digits });
        digits.clear();
        line.push(if c.is_control() { ' ' } else { c });
    }
    line.trim_end().to_owned()
}

/// Replaces the key in every string of an answer: a server that echoes it must not carry it into
/// a trace.
pub(super) fn hide(body: &mut Value, key: &str) {
    match body {
        Value::String(said) if !key.is_empty() && said.contains(key) => *said = said.replace(key, "[hidden]"),
        Value::Array(entries) => entries.iter_mut().for_each(|entry| hide(entry, key)),
        Value::Object(fields) => fields.values_mut().for_each(|field| hide(field, key)),
        _ => {}
    }
}

/// An error of an answer.
fn refused(status: u16, message: &str, decision: Decision, may_have_sent: bool) -> SendError {
    SendError { status: Some(status), message: message.to_owned(), decision, may_have_sent }
}

fn dead(reason: &str) -> Decision {
    Decision::Dead(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: Value) -> Answer {
        Answer { status, retry_after: None, body: Some(body) }
    }

    fn error_body(status: u16, message: Value) -> Value {
        json!({"status": status, "error": "Bad Request", "response": {"message": message}})
    }

    #[test]
    fn reads_the_recorded_receipt() {
        let body: Value = serde_json::from_str(include_str!("fixtures/rest-sendText-201.json")).expect("JSON");
        let sent = read_sent(answer(201, body.clone())).expect("sent");
        assert_eq!(sent.message_id.as_deref(), Some("3EB02C3EDF8A9C18812E91"));
        assert_eq!(sent.chat.as_deref(), Some("5511987654321@s.whatsapp.net"));
        assert_eq!((sent.status, sent.body), (201, body));
    }

    #[test]
    fn every_refusal_has_its_decision() {
        let again = || Decision::Again(None);
        let hold = || Decision::Hold("evolution_key_refused".into());
        let gone = json!([{"jid": "5511977770000@s.whatsapp.net", "exists": false, "number": "5511977770000"}]);
        let unset = json!(["TypeError: Cannot read properties of undefined (reading 'sendMessage')"]);
        for (status, message, decision, may_have_sent) in [
            (400, gone, dead("not_on_whatsapp"), false),
            (400, json!(["Error: Connection Closed"]), again(), false),
            (400, json!(["Error: Timed Out"]), again(), true),
            (400, unset, again(), false),
            (400, json!(["Text is required"]), dead("evolution_rejected"), false),
            (400, json!([["instance requires property \"number\""]]), dead("evolution_rejected"), false),
            (401, json!("Unauthorized"), hold(), false),
            (403, json!("Forbidden"), hold(), false),
            (404, json!(["The \"acme\" instance does not exist"]), dead("evolution_instance_not_found"), false),
            (422, json!(null), dead("evolution_rejected"), false),
            (408, json!(null), again(), true),
            (425, json!(null), again(), false),
            (429, json!(null), again(), false),
            (500, json!("Cannot read properties of undefined"), again(), true),
            (503, json!(null), again(), true),
            (302, json!(null), dead("evolution_redirect"), false),
        ] {
            let error = read_sent(answer(status, error_body(status, message.clone()))).expect_err("refused");
            assert_eq!(error.decision, decision, "{status} {message}");
            assert_eq!((error.status, error.may_have_sent), (Some(status), may_have_sent), "{status} {message}");
        }
    }

    #[test]
    fn a_success_that_is_an_error_is_none() {
        let meta = json!({"message": "(#131030) Recipient not in allowed list", "type": "OAuthException",
            "code": 131_030, "error_data": {"messaging_product": "whatsapp"}, "fbtrace_id": "x"});
        for body in [meta.clone(), json!({ "error": meta }), json!({"error": true, "message": "no"})] {
            let error = read_sent(answer(201, body)).expect_err("refused");
            assert_eq!(error.decision, dead("evolution_rejected"));
            assert!(!error.message.is_empty());
        }
        let unnamed = read_sent(answer(200, json!({"status": "PENDING"}))).expect("sent");
        assert_eq!((unnamed.message_id, unnamed.status), (None, 200));
    }

    #[test]
    fn what_cannot_be_read_is_tried_again() {
        for body in [None, Some(json!("ok")), Some(json!(null))] {
            let error = read_sent(Answer { status: 200, retry_after: None, body }).expect_err("unreadable");
            assert_eq!((error.decision, error.may_have_sent), (Decision::Again(None), true));
        }
    }

    #[test]
    fn retry_after_is_honoured_within_reason() {
        for (asked, expected) in [(7, 7), (999_999, 3600)] {
            let answer = Answer { status: 429, retry_after: Some(Duration::from_secs(asked)), body: None };
            let error = read_sent(answer).expect_err("busy");
            assert_eq!(error.decision, Decision::Again(Some(Duration::from_secs(expected))));
        }
    }

    #[test]
    fn words_are_short_and_hold_no_number() {
        let said = |message: Value| read_sent(answer(400, error_body(400, message))).expect_err("refused").message;
        let told = said(json!(["Error: no session for 5511987654321@s.whatsapp.net\nat 12:30"]));
        assert_eq!(told, "Error: no session for [number]@s.whatsapp.net at 12:30");
        assert_eq!(said(json!([{"exists": false, "number": "5511987654321"}])), "the number is not on WhatsApp");
        assert!(said(json!(["x".repeat(5000)])).len() <= MAX_WORDS);
        assert_eq!(said(json!(null)), "Bad Request");
    }

    #[test]
    fn an_echoed_key_is_hidden() {
        let mut body = json!({"a": ["planted-key", {"b": "Bearer planted-key!"}]});
        hide(&mut body, "planted-key");
        assert_eq!(body, json!({"a": ["[hidden]", {"b": "Bearer [hidden]!"}]}));
    }
}
