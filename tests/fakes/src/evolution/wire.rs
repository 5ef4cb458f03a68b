//! Evolution's words: recipients, ids, answers and error bodies of 2.3.6. Pure.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// The fields of `sendPresence` that 2.3.6 knows.
const SEND_PRESENCE_FIELDS: [&str; 3] = ["number", "presence", "delay"];

/// The presences that 2.3.6 takes.
const PRESENCES: [&str; 5] = ["unavailable", "available", "composing", "recording", "paused"];

/// A `sendText` body that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) number: String,
    pub(super) text: String,
}

/// A `sendPresence` body that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) number: String,
    pub(super) presence: String,
    pub(super) delay_ms: u64,
}

/// Reads a `sendText` body.
///
/// # Errors
/// The 400 body that 2.3.6 answers.
pub(super) fn read_text(body: &Map<String, Value>) -> Result<Text, Value> {
    let number = required(body, "number")?;
    let text = required(body, "text")?;
    if text.trim().is_empty() {
        return Err(bad_request(json!(["Text is required"])));
    }
    Ok(Text { number, text })
}

/// Reads a `sendPresence` body.
///
/// # Errors
/// The 400 body that 2.3.6 answers.
pub(super) fn read_presence(body: &Map<String, Value>) -> Result<Shown, Value> {
    let number = required(body, "number")?;
    let presence = required(body, "presence")?;
    if !PRESENCES.contains(&presence.as_str()) {
        return Err(bad_request(json!([["presence is not one of enum values"]])));
    }
    let Some(delay) = body.get("delay") else {
        return Err(bad_request(json!([["instance requires property \"delay\""]])));
    };
    let Some(delay_ms) = delay.as_u64() else {
        return Err(bad_request(json!([["delay is not of a type(s) integer"]])));
    };
    Ok(Shown { number, presence, delay_ms })
}

/// Reads a `markMessageAsRead` body: the chat and the id of each message.
///
/// # Errors
/// The 400 body that 2.3.6 answers.
pub(super) fn read_marks(body: &Map<String, Value>) -> Result<Vec<(String, String)>, Value> {
    let keys = body.get("readMessages").and_then(Value::as_array).filter(|keys| !keys.is_empty());
    let read = |key: &Value| {
        key["fromMe"].as_bool()?;
        Some((key["remoteJid"].as_str()?.to_owned(), key["id"].as_str()?.to_owned()))
    };
    let keys = keys.and_then(|keys| keys.iter().map(read).collect());
    keys.ok_or_else(|| bad_request(json!([["instance requires property \"readMessages\""]])))
}

pub(super) fn required(body: &Map<String, Value>, field: &str) -> Result<String, Value> {
    match body.get(field) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(_) => Err(bad_request(json!([[format!("{field} is not of a type(s) string")]]))),
        None => Err(bad_request(json!([[format!("instance requires property \"{field}\"")]]))),
    }
}

/// The top-level fields of a `sendPresence` body that 2.3.6 would ignore.
pub(super) fn unknown_presence_fields(body: &Map<String, Value>) -> Vec<String> {
    body.keys().filter(|name| !SEND_PRESENCE_FIELDS.contains(&name.as_str())).cloned().collect()
}

/// The JID of a recipient: a full JID stays; 18 digits and more are a group; a Brazilian mobile
/// number (55, area code from 31 on, 13 digits) loses its ninth digit, as in `createJid.ts`.
pub(super) fn jid(number: &str) -> String {
    if number.contains('@') {
        return number.to_owned();
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if digits.len() >= 18 {
        return format!("{digits}@g.us");
    }
    let area = digits.get(2..4).and_then(|area| area.parse::<u8>().ok()).unwrap_or_default();
    if digits.starts_with("55") && digits.len() == 13 && area >= 31 {
        let (head, tail) = digits.split_at(4);
        return format!("{head}{}@s.whatsapp.net", tail.get(1..).unwrap_or_default());
    }
    format!("{digits}@s.whatsapp.net")
}

/// `3EB0` and 18 hexadecimal digits.
pub(super) fn message_id(n: u64) -> String {
    format!("3EB0{n:018X}")
}

/// The 201 of `sendText`, as recorded from 2.3.6.
pub(super) fn sent_message(text: &Text, id: &str, at_seconds: u64, body: &Value) -> Value {
    let (kind, message) = content(text, body);
    json!({
        "key": { "remoteJid": jid(&text.number), "fromMe": true, "id": id },
        "pushName": "Você",
        "status": "PENDING",
        "message": message,
        "contextInfo": null,
        "messageType": kind,
        "messageTimestamp": at_seconds,
        "instanceId": INSTANCE_ID,
        "source": "web",
    })
}

/// What a sent message holds: a file with its caption, or words.
fn content(text: &Text, body: &Value) -> (String, Value) {
    match body["mediatype"].as_str() {
        Some(kind) => (format!("{kind}Message"), json!({ format!("{kind}Message"): {"caption": text.text} })),
        None => ("conversation".to_owned(), json!({ "conversation": text.text })),
    }
}

/// The `instanceId` in the answer to every send; nothing may rely on it.
const INSTANCE_ID: &str = "20b548da-2cca-4941-bffd-8ae8c4db9b12";

/// One row of `fetchInstances`.
pub(super) fn instance_row(name: &str, id: &str, key: &str, connection: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "connectionStatus": connection,
        "ownerJid": "5511999990000@s.whatsapp.net",
        "profileName": name,
        "profilePicUrl": null,
        "integration": "WHATSAPP-BAILEYS",
        "number": null,
        "businessId": null,
        "token": key,
        "clientName": "evolution_exchange",
        "_count": { "Message": 0, "Contact": 0, "Chat": 0 },
    })
}

/// Evolution's error body.
pub(super) fn error(status: StatusCode, message: &Value) -> Value {
    json!({
        "status": status.as_u16(),
        "error": status.canonical_reason().unwrap_or("Error"),
        "response": { "message": message },
    })
}

/// A 400 body.
pub(super) fn bad_request(message: Value) -> Value {
    error(StatusCode::BAD_REQUEST, &message)
}

/// The 400 body of a send while the phone is not connected.
pub(super) fn not_connected() -> Value {
    bad_request(json!(["TypeError: Cannot read properties of undefined (reading 'sendMessage')"]))
}

/// The 404 body of an unknown instance.
pub(super) fn no_such_instance(name: &str) -> Value {
    error(StatusCode::NOT_FOUND, &json!([format!("The \"{name}\" instance does not exist")]))
}

/// The 401 body.
pub(super) fn unauthorized() -> Value {
    error(StatusCode::UNAUTHORIZED, &json!("Unauthorized"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn recipients_become_jids_as_in_2_3_6() {
        let cases = [
            ("5511987654321", "5511987654321@s.whatsapp.net"),
            ("5531987654321", "553187654321@s.whatsapp.net"),
            ("+1 (415) 555-0100", "14155550100@s.whatsapp.net"),
            ("120363041234567890", "120363041234567890@g.us"),
            ("99887766554433@lid", "99887766554433@lid"),
        ];
        for (number, expected) in cases {
            assert_eq!(jid(number), expected, "{number}");
        }
    }

    #[test]
    fn a_text_needs_a_string_number_and_words() {
        let good = read_text(&body(&json!({"number": "1", "text": "hi"}))).unwrap();
        assert_eq!(good, Text { number: "1".into(), text: "hi".into() });
        let cases = [
            (json!({"number": 1, "text": "hi"}), json!([["number is not of a type(s) string"]])),
            (json!({"number": "1"}), json!([["instance requires property \"text\""]])),
            (json!({"number": "1", "text": " \n"}), json!(["Text is required"])),
        ];
        for (value, message) in cases {
            let refused = read_text(&body(&value)).unwrap_err();
            assert_eq!(refused, json!({"status": 400, "error": "Bad Request", "response": {"message": message}}));
        }
    }

    #[test]
    fn ids_have_the_real_form() {
        let id = message_id(u64::MAX);
        assert_eq!(id.len(), 22);
        assert!(id.starts_with("3EB0") && id.chars().all(|digit| digit.is_ascii_hexdigit()));
    }
}
