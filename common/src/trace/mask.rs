//! What must not be kept of a payload: secrets, files, and what no database takes.
//!
//! A trace shows what was said to whom, not with which keys. [`mask()`] hides values by the name
//! of their key and wherever one of the instance's own secrets appears; it takes files out (a
//! photo is not a story) and U+0000 (PostgreSQL's text cannot hold it). [`cap`] bounds the rest.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::secret::Secret;

/// The most bytes of JSON that one stored payload has.
pub const PAYLOAD_CAP: usize = 64 * 1024;
/// Strings longer than this that look like base64 are files, not words.
const MEDIA_FROM: usize = 1024;
/// Nothing that a person or a program sends is nested deeper; serde_json reads 128 levels.
const MAX_DEPTH: usize = 128;
/// A shorter "secret" stands in every other word: replacing it would only garble the trace.
const SHORTEST_SECRET: usize = 4;

/// Keys whose values are secrets, in lower case without `-` and `_`.
const SECRET_KEYS: [&str; 13] = [
    "authorization",
    "proxyauthorization",
    "cookie",
    "setcookie",
    "bearer",
    "jwt",
    "jwtkey",
    "passwd",
    "pwd",
    "credentials",
    "evolutionkey",
    "mediakey",
    "privatekey",
];
/// Parts of such keys: `x-api-key`, `agent_api_key`, `webhook_secret_previous`, ...
const SECRET_PARTS: [&str; 3] = ["apikey", "secret", "password"];
/// Keys whose values are files.
const MEDIA_KEYS: [&str; 2] = ["base64", "jpegthumbnail"];

/// Masks a payload and cuts it to [`PAYLOAD_CAP`]: what a publisher does with every payload
/// before it becomes a [`StagePayload`](super::StagePayload).
#[must_use]
pub fn presentable(mut value: Value, secrets: &[&str]) -> Value {
    mask(&mut value, secrets);
    cap(value, PAYLOAD_CAP)
}

/// Hides secrets, takes files out and removes U+0000.
///
/// `secrets` are the values that the instance keeps: wherever one of them appears in a string or
/// in a key, `****` and its last four characters stand instead.
pub fn mask(value: &mut Value, secrets: &[&str]) {
    walk(value, &searchable(secrets), 0);
}

/// Hides secrets in a text and removes U+0000.
pub(super) fn mask_text(text: &mut String, secrets: &[&str]) {
    if let Cow::Owned(mended) = cleaned(text, &searchable(secrets)) {
        *text = mended;
    }
}

/// The longest first: a secret that begins with another one must vanish as a whole.
fn searchable<'a>(secrets: &[&'a str]) -> Vec<&'a str> {
    let mut secrets: Vec<&str> = secrets.iter().copied().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn walk(value: &mut Value, secrets: &[&str], depth: usize) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => *value = "[nested too deeply]".into(),
        Value::String(text) => clean(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, secrets, depth + 1)),
        Value::Object(fields) => match binary_length(fields) {
            Some(length) => *value = format!("[bytes {length}]").into(),
            None => walk_fields(fields, secrets, depth),
        },
    }
}

fn walk_fields(fields: &mut Map<String, Value>, secrets: &[&str], depth: usize) {
    for (key, value) in fields.iter_mut() {
        let plain = plain_key(key);
        if is_secret_key(&plain) {
            hide(value);
        } else if MEDIA_KEYS.contains(&plain.as_str()) && value.is_string() {
            take_media_out(value);
        } else {
            walk(value, secrets, depth + 1);
        }
    }
    if fields.keys().any(|key| matches!(cleaned(key, secrets), Cow::Owned(_))) {
        let old = std::mem::take(fields);
        fields.extend(old.into_iter().map(|(key, value)| (cleaned(&key, secrets).into_owned(), value)));
    }
}

/// A key as the lists above write it; U+0000 must not hide it from them.
fn plain_key(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '-' | '_' | '\0')).flat_map(char::to_lowercase).collect()
}

/// `token` only at the end: `agent_request_tokens` counts, it opens nothing.
fn is_secret_key(plain: &str) -> bool {
    SECRET_KEYS.contains(&plain) || plain.ends_with("token") || SECRET_PARTS.iter().any(|part| plain.contains(part))
}

/// A flag (`has_discord_bot_token`) says nothing, and so do null and the empty string.
fn hide(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => *value = Secret::new(text.as_str()).mask().into(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => *value = "****".into(),
    }
}

/// Under a key that is known to hold a file, every string that is not a link to it is one.
fn take_media_out(value: &mut Value) {
    if let Value::String(text) = value
        && !text.is_empty()
        && !text.starts_with("http")
    {
        *value = media_note(text).into();
    }
}

fn clean(text: &mut String, secrets: &[&str]) {
    if text.len() > MEDIA_FROM && is_base64(text) {
        *text = media_note(text);
    } else if let Cow::Owned(mended) = cleaned(text, secrets) {
        *text = mended;
    }
}

/// The text without U+0000 and without any of the secrets; borrowed when nothing was to be done.
fn cleaned<'a>(text: &'a str, secrets: &[&str]) -> Cow<'a, str> {
    let mut cleaned = without_nul(text);
    for secret in secrets {
        if cleaned.contains(secret) {
            cleaned = Cow::Owned(cleaned.replace(secret, &Secret::new(*secret).mask()));
        }
    }
    cleaned
}

/// The text without U+0000, which PostgreSQL's text cannot hold.
#[must_use]
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) }
}

/// The beginning of a text, at most so many bytes, cut between two characters.
#[must_use]
pub fn head(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// A data URL, or nothing but the letters of base64 (standard or URL-safe, in lines or not).
fn is_base64(text: &str) -> bool {
    let body = base64_body(text);
    body.len() < text.len()
        || body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=' | b'\r' | b'\n'))
}

/// What follows `data:<type>;base64,`, or the whole text.
fn base64_body(text: &str) -> &str {
    match text.split_once(";base64,") {
        Some((kind, body)) if kind.starts_with("data:") => body,
        _ => text,
    }
}

/// The size is the file's own, to a byte or two.
fn media_note(text: &str) -> String {
    let letters = base64_body(text).bytes().filter(|b| !matches!(b, b'=' | b'\r' | b'\n')).count();
    format!("[media {} bytes]", letters * 3 / 4)
}

/// The length of a byte array that JavaScript wrote as an object: `{"0":137,"1":80,...}`, or as
/// a Buffer: `{"type":"Buffer","data":[137,80,...]}`.
fn binary_length(fields: &Map<String, Value>) -> Option<usize> {
    if fields.len() == 2 && fields.get("type").is_some_and(|kind| kind == "Buffer") {
        return fields.get("data")?.as_array().map(Vec::len);
    }
    let is_byte = |(key, value): (&String, &Value)| {
        let index = key.parse::<usize>().is_ok_and(|index| index < fields.len());
        index && value.as_u64().is_some_and(|byte| byte <= 255)
    };
    (fields.len() > 1 && fields.iter().all(is_byte)).then_some(fields.len())
}

/// Cuts a payload: over `max_bytes` of JSON it becomes
/// `{"truncated":true,"size":<bytes before>,"head":"<how it began>"}`, itself not over the cap.
#[must_use]
pub fn cap(value: Value, max_bytes: usize) -> Value {
    let json = value.to_string();
    if json.len() <= max_bytes {
        return value;
    }
    let frame = json!({"truncated": true, "size": json.len(), "head": ""}).to_string().len();
    let head = head_that_fits(&json, max_bytes.saturating_sub(frame));
    json!({"truncated": true, "size": json.len(), "head": head})
}

/// The longest beginning whose own JSON string, with its escapes, has at most so many bytes.
fn head_that_fits(text: &str, max_bytes: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += match c {
            '"' | '\\' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        used > max_bytes
    });
    end.map_or(text, |(index, _)| &text[..index])
}

/// The size of a payload before [`cap`] cut it, in bytes; `None` when it was not cut.
#[must_use]
pub fn original_size(value: &Value) -> Option<usize> {
    let is_cut = value.get("truncated")?.as_bool()? && value.get("head")?.is_string();
    is_cut.then(|| value.get("size")?.as_u64().and_then(|size| usize::try_from(size).ok())).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::TraceDetails;

    fn masked(mut value: Value, secrets: &[&str]) -> Value {
        mask(&mut value, secrets);
        value
    }

    #[test]
    fn secrets_are_hidden_by_the_name_of_their_key() {
        let shown = masked(
            json!({
                "apikey": "B6D711FCDE4D4FD5936544120E713976",
                "headers": {"X-API-Key": "short", "Authorization": ["Bearer abc"], "x-request-id": "7"},
                "agent_api_key": "sk-live-0123456789", "evolution_key": 12345, "mediaKey": {"0": 1, "1": 2},
                "webhook_secret_previous": "old-secret-value", "token": "", "access_token": null,
                "has_discord_bot_token": true, "agent_request_tokens": 7, "key": {"id": "3EB0"},
            }),
            &[],
        );
        assert_eq!(
            shown,
            json!({
                "apikey": "****3976",
                "headers": {"X-API-Key": "****", "Authorization": "****", "x-request-id": "7"},
                "agent_api_key": "****6789", "evolution_key": "****", "mediaKey": "****",
                "webhook_secret_previous": "****alue", "token": "", "access_token": null,
                "has_discord_bot_token": true, "agent_request_tokens": 7, "key": {"id": "3EB0"},
            })
        );
    }

    #[test]
    fn known_secrets_are_hidden_wherever_they_stand() {
        let shown = masked(
            json!({"url": "https://a.example/?k=planted-value-1&x=planted-value-1-more", "planted-value-1": ["planted\0-value-1"]}),
            &["planted-value-1", "planted-value-1-more", "", "x"],
        );
        assert_eq!(shown, json!({"url": "https://a.example/?k=****ue-1&x=****more", "****ue-1": ["****ue-1"]}));
    }

    #[test]
    fn files_are_taken_out() {
        let photo = "iVBORw0KGgo".repeat(200);
        let shown = masked(
            json!({
                "base64": "aGVsbG8=", "jpegThumbnail": {"0": 255, "1": 216, "2": 255, "10": 1, "3": 1, "4": 1, "5": 1, "6": 1, "7": 1, "8": 1, "9": 1},
                "photo": photo, "url": format!("data:image/png;base64,{photo}"),
                "fileSha256": {"type": "Buffer", "data": [1, 2, 3]},
                "scores": {"0": 300, "1": 2}, "text": "words ".repeat(500), "image": {"base64": "https://cdn.example/a.jpg"},
            }),
            &[],
        );
        assert_eq!(shown["base64"], "[media 5 bytes]");
        assert_eq!(shown["jpegThumbnail"], "[bytes 11]");
        assert_eq!(shown["photo"], "[media 1650 bytes]");
        assert_eq!(shown["url"], "[media 1650 bytes]");
        assert_eq!(shown["fileSha256"], "[bytes 3]");
        assert_eq!(shown["scores"], json!({"0": 300, "1": 2}));
        assert_eq!(shown["text"], "words ".repeat(500));
        assert_eq!(shown["image"]["base64"], "https://cdn.example/a.jpg");
    }

    #[test]
    fn nul_is_removed_from_strings_and_keys() {
        let shown = masked(json!({"a\0b": "c\0d", "api\0key": "hidden-by-name"}), &[]);
        assert_eq!(shown, json!({"ab": "cd", "apikey": "****name"}));
    }

    #[test]
    fn what_is_nested_too_deeply_is_cut() {
        let mut value = json!("bottom");
        for _ in 0..1000 {
            value = json!([value]);
        }
        mask(&mut value, &[]);
        let text = value.to_string();
        assert!(text.contains("[nested too deeply]") && !text.contains("bottom"));
    }

    #[test]
    fn a_payload_over_the_cap_keeps_its_head() {
        let small = json!({"a": 1});
        assert_eq!(cap(small.clone(), 100), small);
        assert_eq!(original_size(&small), None);

        for text in ["\"\\\n".repeat(1000), "👋".repeat(1000), "word ".repeat(1000)] {
            let large = json!({"text": text});
            let cut = cap(large.clone(), 500);
            assert!((450..=500).contains(&cut.to_string().len()), "{}", cut.to_string().len());
            assert!(large.to_string().starts_with(cut["head"].as_str().unwrap()));
            assert_eq!(original_size(&cut), Some(large.to_string().len()));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            "[a-z\0\"]{0,8}(planted-agent-key-9876)?[ -~]{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z_\0]{0,6}(planted-agent-key-9876)?", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_planted_secret_and_no_nul_survives(value in any_json()) {
            let shown = presentable(value, &["planted-agent-key-9876"]).to_string();
            prop_assert!(!shown.contains("planted-agent-key-9876"));
            prop_assert!(!shown.contains("\\u0000"));
        }
    }

    #[test]
    fn columns_hide_the_words_of_others_and_keep_what_identifies() {
        let says = |text: &str| Some(text.to_owned());
        let mut details = TraceDetails {
            message_content: says("is planted-agent-key the key?"),
            agent_response: says("yes, planted-agent-key"),
            session_name: says("planted-agent-key"),
            sender_name: says("Maria"),
            warnings: vec!["planted-agent-key".to_owned()],
            ..TraceDetails::default()
        };
        details.mask(&["planted-agent-key", "is"]);
        assert_eq!(details.message_content.as_deref(), Some("is ****-key the key?"));
        assert_eq!(details.agent_response.as_deref(), Some("yes, ****-key"));
        assert_eq!(details.warnings, ["****-key"]);
        assert_eq!((details.session_name, details.sender_name), (says("planted-agent-key"), says("Maria")));
    }
}
