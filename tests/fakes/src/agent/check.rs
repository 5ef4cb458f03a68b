//! What every call must look like. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::protocol::Protocol;

/// Text fields of `context`.
const CONTEXT: [&str; 2] = ["instance", "channel"];

/// Headers of every call, also of every retry.
const HEADERS: [&str; 3] = ["idempotency-key", "traceparent", "x-request-id"];

/// Field and header names that only the channel's own secrets have.
const CHANNEL_SECRETS: [&str; 7] = [
    "apikey",
    "evolution_key",
    "jwt_key",
    "webhook_secret",
    "discord_bot_token",
    "slack_bot_token",
    "slack_signing_secret",
];

/// The required fields that a body lacks.
pub(super) fn missing_fields(protocol: Protocol, body: &Value) -> Vec<&'static str> {
    let present = |name: &&str| body.get(*name).and_then(Value::as_str).is_some_and(|value| !value.is_empty());
    protocol.required().iter().copied().filter(|name| !present(name)).collect()
}

/// Whether either of the two headers carries `key`; servers read one of them.
pub(super) fn is_authorized(headers: &BTreeMap<String, String>, key: &str) -> bool {
    bearer(headers) == Some(key) || header(headers, "x-api-key") == Some(key)
}

/// What is wrong with a call that a lenient agent would still answer.
pub(super) fn problems(path: &str, headers: &BTreeMap<String, String>, body: &Value, key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if bearer(headers) != Some(key) {
        problems.push("Authorization: Bearer does not carry the agent's key".to_owned());
    }
    if header(headers, "x-api-key") != Some(key) {
        problems.push("x-api-key does not carry the agent's key".to_owned());
    }
    for name in HEADERS {
        if header(headers, name).is_none_or(str::is_empty) {
            problems.push(format!("header {name} is missing"));
        }
    }
    if header(headers, "traceparent").is_some_and(|value| !is_traceparent(value)) {
        problems.push("header traceparent is malformed".to_owned());
    }
    match Protocol::of(path) {
        Protocol::Automagik => note_chat_fields(headers, body, &mut problems),
        // Who asks, or what the agent calls them.
        Protocol::AutomagikV1 if body["user"].is_object() == body["user_id"].is_string() => {
            problems.push("exactly one of the fields user and user_id is wanted".to_owned());
        }
        Protocol::Hive if !matches!(body["stream"].as_str(), Some("true" | "false")) => {
            problems.push("field stream is neither true nor false".to_owned());
        }
        Protocol::Openai => note_completion_fields(body, &mut problems),
        Protocol::Webhook => note_webhook_fields(headers, body, &mut problems),
        Protocol::AutomagikV1 | Protocol::Hive => {}
    }
    problems.extend(headers.keys().filter(|name| is_channel_secret(name)).map(|name| format!("header {name} leaks")));
    note_secret_fields(body, &mut problems);
    problems
}

fn note_chat_fields(headers: &BTreeMap<String, String>, body: &Value, problems: &mut Vec<String>) {
    for name in CONTEXT {
        if body["context"].get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            problems.push(format!("field context.{name} is missing"));
        }
    }
    if !body["user"].is_object() {
        problems.push("field user is missing".to_owned());
    }
    if body["context"]["agent_id"].as_str() != header(headers, "x-agent-id") {
        problems.push("header x-agent-id and field context.agent_id differ".to_owned());
    }
}

/// Roles take turns and the person has the last word.
fn note_completion_fields(body: &Value, problems: &mut Vec<String>) {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let roles = messages.iter().map(|message| message["role"].as_str().unwrap_or_default());
    let roles: Vec<&str> = roles.skip_while(|role| *role == "system").collect();
    let in_turn = |(nth, role): (usize, &&str)| *role == if nth.is_multiple_of(2) { "user" } else { "assistant" };
    if roles.len().is_multiple_of(2) || !roles.iter().enumerate().all(in_turn) {
        problems.push(format!("the roles of the messages are {roles:?}"));
    }
    let is_empty = |content: &Value| match content {
        Value::Array(parts) => parts.is_empty(),
        content => content.as_str().is_none_or(str::is_empty),
    };
    if messages.iter().any(|message| is_empty(&message["content"])) {
        problems.push("a message has no content".to_owned());
    }
    if !body["stream"].is_boolean() {
        problems.push("field stream is neither true nor false".to_owned());
    }
}

/// The id is the one of every attempt, and each message is told.
fn note_webhook_fields(headers: &BTreeMap<String, String>, body: &Value, problems: &mut Vec<String>) {
    let ids = ["webhook-id", "idempotency-key"].map(|name| header(headers, name));
    if ids != [body["id"].as_str(); 2] {
        problems.push("header webhook-id, header idempotency-key and field id differ".to_owned());
    }
    if header(headers, "webhook-timestamp").is_none_or(|time| time.parse::<u64>().is_err()) {
        problems.push("header webhook-timestamp is no number".to_owned());
    }
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_whole = |message: &Value| ["id", "type", "text", "at"].iter().all(|name| message[*name].is_string());
    if messages.is_empty() || !messages.iter().all(is_whole) {
        problems.push("field messages lacks something".to_owned());
    }
    if body["user"]["id"].as_str().is_none_or(str::is_empty) {
        problems.push("field user.id is missing".to_owned());
    }
}

fn note_secret_fields(value: &Value, problems: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_channel_secret(name) {
                    problems.push(format!("field {name} leaks"));
                }
                note_secret_fields(value, problems);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| note_secret_fields(value, problems)),
        _ => {}
    }
}

fn is_channel_secret(name: &str) -> bool {
    CHANNEL_SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// W3C trace context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zero.
fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return false };
    let hex = |part: &str, digits: usize| part.len() == digits && part.bytes().all(|digit| digit.is_ascii_hexdigit());
    let not_zero = |part: &str| part.bytes().any(|digit| digit != b'0');
    version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2) && not_zero(trace) && not_zero(span)
}

fn bearer(headers: &BTreeMap<String, String>) -> Option<&str> {
    header(headers, "authorization")?.strip_prefix("Bearer ")
}

fn header<'a>(headers: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    headers.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CHAT: &str = "/api/agent/chat";

    fn good() -> (BTreeMap<String, String>, Value) {
        let headers = [
            ("authorization", "Bearer k"),
            ("x-api-key", "k"),
            ("idempotency-key", "t1"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("x-request-id", "r1"),
            ("x-agent-id", "support"),
        ];
        let body = json!({
            "user_id": "u", "session_name": "acme_1", "message": "hi", "message_type": "text",
            "session_origin": "whatsapp", "user": {"phone_number": "+1"},
            "context": {"instance": "acme", "channel": "whatsapp", "agent_id": "support"},
        });
        (headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), body)
    }

    #[test]
    fn a_good_call_has_no_problems() {
        let (headers, body) = good();
        assert_eq!(problems(CHAT, &headers, &body, "k"), Vec::<String>::new());
        assert_eq!(missing_fields(Protocol::Automagik, &body), Vec::<&str>::new());
        assert!(is_authorized(&headers, "k") && !is_authorized(&headers, "other"));
    }

    #[test]
    fn each_lack_is_named() {
        let (mut headers, mut body) = good();
        headers.remove("idempotency-key");
        headers.remove("x-api-key");
        headers.insert("traceparent".into(), "00-00000000000000000000000000000000-00f067aa0ba902b7-01".into());
        headers.insert("apikey".into(), "evolution's".into());
        body["media_contents"] = json!([{"raw": {"apikey": "evolution's"}}]);
        body["context"] = json!({"instance": "acme", "agent_id": "support"});
        let expected = [
            "x-api-key does not carry the agent's key",
            "header idempotency-key is missing",
            "header traceparent is malformed",
            "field context.channel is missing",
            "header apikey leaks",
            "field apikey leaks",
        ];
        assert_eq!(problems(CHAT, &headers, &body, "k"), expected);
    }

    #[test]
    fn an_empty_required_field_is_a_missing_one() {
        let (_, mut body) = good();
        body["user_id"] = json!("");
        body["message"] = json!(1);
        assert_eq!(missing_fields(Protocol::Automagik, &body), ["user_id", "message"]);
    }

    #[test]
    fn the_older_protocol_has_fields_of_its_own() {
        let (headers, _) = good();
        let path = "/api/v1/agent/helper/run";
        let mut body = json!({"message_content": "hi", "message_type": "text", "session_name": "s", "user": {}});
        assert_eq!(problems(path, &headers, &body, "k"), Vec::<String>::new());
        body["user_id"] = json!("u");
        assert_eq!(problems(path, &headers, &body, "k").len(), 1);
        assert_eq!(
            missing_fields(Protocol::AutomagikV1, &json!({})),
            ["session_name", "message_content", "message_type"]
        );
    }
}
