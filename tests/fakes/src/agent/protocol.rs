//! The protocols that the fake speaks, told apart by their paths. Pure.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{AgentCall, Answer};

/// What a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `POST /api/agent/chat`.
    Automagik,
    /// `POST /api/v1/agent/{agent}/run`.
    AutomagikV1,
    /// `POST /agents/{agent}/runs`, `POST /teams/{agent}/runs`.
    Hive,
    /// `POST /v1/chat/completions`.
    Openai,
    /// `POST /hook`.
    Webhook,
}

impl Protocol {
    /// Of a path.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/api/agent/chat" => Self::Automagik,
            "/v1/chat/completions" => Self::Openai,
            "/hook" => Self::Webhook,
            path if path.starts_with("/agents/") || path.starts_with("/teams/") => Self::Hive,
            _ => Self::AutomagikV1,
        }
    }

    /// The body as JSON; null when it is not in its form.
    pub(super) fn body(self, content_type: &str, bytes: &[u8]) -> Value {
        match self {
            Self::Hive => fields(content_type, bytes).map_or(Value::Null, Value::Object),
            _ => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        }
    }

    /// Text fields without which the agent cannot work: it answers 422.
    pub(super) fn required(self) -> &'static [&'static str] {
        match self {
            Self::Automagik => &["user_id", "session_name", "message", "message_type", "session_origin"],
            Self::AutomagikV1 => &["session_name", "message_content", "message_type"],
            Self::Hive => &["message", "stream", "session_id", "user_id"],
            Self::Openai => &["model", "user"],
            Self::Webhook => &["id", "timestamp", "instance", "channel", "conversation", "session"],
        }
    }

    /// The question; several messages one below the other.
    pub(super) fn message(self, body: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self {
            Self::Automagik | Self::Hive => text(&body["message"]),
            Self::AutomagikV1 => text(&body["message_content"]),
            Self::Openai => body["messages"]
                .as_array()
                .and_then(|all| all.last())
                .map(|last| match &last["content"] {
                    Value::Array(parts) => parts.iter().map(|part| text(&part["text"])).collect(),
                    content => text(content),
                })
                .unwrap_or_default(),
            Self::Webhook => {
                let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
                messages.iter().map(|message| text(&message["text"])).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// What tells one conversation from another.
    pub(super) fn session(self, body: &Value) -> &str {
        let name = match self {
            Self::Automagik | Self::AutomagikV1 => "session_name",
            Self::Hive => "session_id",
            Self::Openai => "user",
            Self::Webhook => "conversation",
        };
        body[name].as_str().unwrap_or_default()
    }

    /// A piece of a streamed answer; of the protocols that have no streams, nothing that anybody reads.
    pub(super) fn piece(self, call: &AgentCall, text: &str) -> String {
        match self {
            Self::Openai => openai_chunk(&json!({"content": text}), &Value::Null),
            _ => hive_event(call, "RunContent", json!({"content": text})),
        }
    }

    /// What ends a streamed answer with this text.
    pub(super) fn ending(self, call: &AgentCall, text: &str) -> String {
        match self {
            Self::Openai => openai_end(call, text),
            _ => hive_end(call, text),
        }
    }

    /// A good answer with this text, piece by piece where the call wants it so.
    pub(super) fn answer(self, call: &AgentCall, text: &str) -> Answer {
        let streams = call.body["stream"] == "true" || call.body["stream"] == true;
        let body = match self {
            Self::Automagik | Self::AutomagikV1 => automagik(call, text),
            Self::Hive if streams => return events(hive_stream(call, text)),
            Self::Hive => json!({"content": text, "session_id": call.field("session_id"), "run_id": "r1",
                "status": "COMPLETED", "metrics": usage(call, text, "input_tokens", "output_tokens")}),
            Self::Openai if streams => return events(openai_stream(call, text)),
            Self::Openai => json!({"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": text}}],
                "usage": usage(call, text, "prompt_tokens", "completion_tokens")}),
            Self::Webhook => json!({"reply": text}),
        };
        Answer::json(StatusCode::OK, &body)
    }
}

fn automagik(call: &AgentCall, text: &str) -> Value {
    let session_id = match call.field("session_id") {
        "" => format!("session-{}", call.session_name()),
        id => id.to_owned(),
    };
    let mut usage = usage(call, text, "request_tokens", "response_tokens");
    usage["tokens"] = (words(call.message()) + words(text)).into();
    json!({"message": text, "success": true, "session_id": session_id, "user_id": call.field("user_id"),
        "tool_calls": [], "tool_outputs": [], "usage": usage})
}

fn usage(call: &AgentCall, text: &str, asked: &str, answered: &str) -> Value {
    json!({asked: words(call.message()), answered: words(text)})
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn events(body: String) -> Answer {
    Answer { status: StatusCode::OK, content_type: "text/event-stream; charset=utf-8".to_owned(), body: body.into() }
}

/// An event of an AgentOS, with its name in the place for it and in the data.
fn hive_event(call: &AgentCall, name: &str, mut data: Value) -> String {
    let name = if call.path.starts_with("/teams/") { format!("Team{name}") } else { name.to_owned() };
    data["event"] = name.as_str().into();
    format!("event: {name}\r\ndata: {data}\r\n\r\n")
}

/// A chunk of a completion.
fn openai_chunk(delta: &Value, finish: &Value) -> String {
    let chunk = json!({"object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// The text in two pieces.
fn halves(text: &str) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(text.len() / 2))
}

/// A run's end, which says the whole again.
fn hive_end(call: &AgentCall, text: &str) -> String {
    let metrics = usage(call, text, "input_tokens", "output_tokens");
    let data = json!({"content": text, "session_id": call.field("session_id"), "metrics": metrics});
    hive_event(call, "RunCompleted", data)
}

/// A run as AgentOS tells it, with lines of its own kind between; its end says the whole again.
fn hive_stream(call: &AgentCall, text: &str) -> String {
    let (first, second) = halves(text);
    let session = call.field("session_id");
    let events = [
        ("RunStarted", json!({"session_id": session, "run_id": "r1"})),
        ("RunContent", json!({"content": first})),
        ("ToolCallStarted", json!({"tool": {"tool_name": "look"}})),
        ("ToolCallCompleted", json!({"content": "looked"})),
        ("RunContent", json!({"content": second})),
    ];
    let events = events.into_iter().map(|(name, data)| hive_event(call, name, data));
    events.chain([hive_end(call, text)]).collect()
}

/// A completion as OpenAI's servers stream it.
fn openai_stream(call: &AgentCall, text: &str) -> String {
    let (first, second) = halves(text);
    let mut stream = openai_chunk(&json!({"role": "assistant", "content": first}), &Value::Null);
    stream.push_str(": keep-alive\n\n");
    stream.push_str(&openai_chunk(&json!({"content": second}), &Value::Null));
    stream.push_str(&openai_end(call, text));
    stream
}

/// Its end.
fn openai_end(call: &AgentCall, text: &str) -> String {
    let mut stream = openai_chunk(&json!({}), &json!("stop"));
    if call.body["stream_options"]["include_usage"] == true {
        let usage = usage(call, text, "prompt_tokens", "completion_tokens");
        stream.push_str(&format!("data: {}\n\n", json!({"choices": [], "usage": usage})));
    }
    stream.push_str("data: [DONE]\n\n");
    stream
}

/// The fields of a multipart form, and its files in `files`, as base64; none when it is not one, byte
/// for byte.
fn fields(content_type: &str, bytes: &[u8]) -> Option<Map<String, Value>> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?;
    let inner = bytes.strip_prefix(format!("--{boundary}\r\n").as_bytes())?;
    let inner = inner.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes())?;
    let (mut fields, mut rest) = (Map::new(), Some(inner));
    while let Some(part) = rest {
        let (part, behind) = match cut(part, format!("\r\n--{boundary}\r\n").as_bytes()) {
            Some((part, behind)) => (part, Some(behind)),
            None => (part, None),
        };
        rest = behind;
        let (head, value) = cut(part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(head).ok()?.strip_prefix("Content-Disposition: form-data; name=\"")?;
        match head.strip_suffix('"').filter(|name| !name.contains('"')) {
            Some(name) => {
                fields.insert(name.to_owned(), std::str::from_utf8(value).ok()?.into());
            }
            None => {
                let (name, media_type) =
                    head.strip_prefix("files\"; filename=\"")?.split_once("\"\r\nContent-Type: ")?;
                let file = json!({"name": name, "type": media_type, "data": STANDARD.encode(value)});
                fields.entry("files").or_insert_with(|| json!([])).as_array_mut()?.push(file);
            }
        }
    }
    Some(fields)
}

/// What stands before the first of such bytes, and what behind.
fn cut<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..place], &bytes[place + at.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_byte_for_byte() {
        let form = |body: &str| Protocol::Hive.body("multipart/form-data; boundary=b", body.as_bytes());
        let part = |name: &str, value: &str| format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        let good =
            format!("--b\r\n{}\r\n--b\r\n{}\r\n--b--\r\n", part("message", "Olá\r\nyou"), part("stream", "true"));
        assert_eq!(form(&good), json!({"message": "Olá\r\nyou", "stream": "true"}));
        assert_eq!(form(&good.replace("--b--\r\n", "")), Value::Null);
        assert_eq!(Protocol::Hive.body("application/json", good.as_bytes()), Value::Null);
        let file =
            "Content-Disposition: form-data; name=\"files\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\0";
        let with_file = format!("--b\r\n{}\r\n--b\r\n{file}\r\n--b--\r\n", part("message", "hi"));
        let files = json!([{"name": "a.png", "type": "image/png", "data": "AA=="}]);
        assert_eq!(form(&with_file), json!({"message": "hi", "files": files}));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(halves("éé"), ("é", "é"));
        assert_eq!(halves("😀"), ("", "😀"));
        assert_eq!(halves(""), ("", ""));
    }
}
