//! The protocol `automagik`: `POST {url}/api/agent/chat`. Source: the architecture guide.

use http::HeaderValue;
use omnihub_common::instance::Instance;
use serde_json::Value;

use super::{
    AgentError, CallContext, Question, Reply,
    answer::{Answer, Failure, failed, json, plain_text, tokens, unreadable, word},
    client::Call,
    file::{File, Show, put_beside},
};

/// The fields an answer may carry its text in, in order.
const TEXT_FIELDS: [&str; 4] = ["message", "text", "content", "response"];

/// The body of a call.
#[must_use]
pub fn request(instance: &Instance, question: &Question) -> Value {
    let mut context = serde_json::json!({
        "instance": instance.name.as_str(),
        "channel": instance.channel_type().as_str(),
        "agent_id": instance.agent.effective_agent(),
    });
    if let Some(quoted) = &question.quoted {
        context["quoted_message"] = quoted.clone();
    }
    if !question.contents.is_empty() {
        context["contents"] = question.contents.clone().into();
    }
    let mut body = serde_json::json!({
        "user_id": question.user_id,
        "session_id": question.session_id,
        "session_name": question.session_name,
        "message": question.message,
        "message_type": question.message_type,
        "session_origin": instance.channel_type().as_str(),
        "user": question.user,
        "context": context,
    });
    if !question.media_contents.is_empty() {
        body["media_contents"] = question.media_contents.clone().into();
    }
    body
}

/// Each file stands with what is told of it.
pub(super) fn attach(request: &mut Value, files: &[File], show: Show) {
    let told = request["media_contents"].as_array_mut().into_iter().flatten();
    let named = told.map(|about| (about["message_id"].as_str().unwrap_or_default().to_owned(), about));
    put_beside(named, files, show);
}

/// What goes over the wire.
pub(super) fn call(instance: &Instance, request: &Value, context: CallContext) -> Result<Call, Failure> {
    let url = format!("{}/api/agent/chat", instance.agent.api_url.trim_end_matches('/'));
    call_to(&url, instance, request, context)
}

/// A call with the headers that both generations of the protocol have.
pub(super) fn call_to(url: &str, instance: &Instance, request: &Value, context: CallContext) -> Result<Call, Failure> {
    let key = instance.agent.api_key.expose();
    let mut headers = context.trace_headers;
    for (name, value) in [
        ("authorization", &format!("Bearer {key}")),
        ("x-api-key", &key.to_owned()),
        ("x-agent-id", &instance.agent.effective_agent().to_owned()),
        ("x-request-id", &context.request_id),
        ("idempotency-key", &context.idempotency_key),
        ("content-type", &"application/json".to_owned()),
    ] {
        let mut value = HeaderValue::from_str(value).map_err(|_| Failure::Unusable)?;
        value.set_sensitive(matches!(name, "authorization" | "x-api-key"));
        headers.insert(name, value);
    }
    Call::new(url, headers, request, instance.agent.timeout)
}

/// Reads an answer: JSON with one of the text fields; a plain text is the message itself.
pub(super) fn read(answer: &Answer) -> Result<Reply, AgentError> {
    let status = answer.status;
    let body = match json(answer) {
        Ok(body) if body.is_object() => body,
        _ => return plain_text(answer),
    };
    if body.get("success") == Some(&Value::Bool(false)) {
        return Err(failed(status, body));
    }
    let Some(text) = TEXT_FIELDS.iter().find_map(|field| body.get(field)?.as_str()) else {
        return Err(unreadable(status, "the agent's answer has no text", Some(body)));
    };
    Ok(Reply {
        text: text.to_owned(),
        session_id: word(&body, "session_id"),
        user_id: word(&body, "user_id"),
        tokens: tokens(body.get("usage")),
        tools_used: body.get("tool_calls").and_then(Value::as_array).and_then(|calls| i32::try_from(calls.len()).ok()),
        status,
        body,
    })
}

#[cfg(test)]
mod tests {
    use omnihub_common::conversation::Decision;

    use serde_json::json;

    use super::*;
    use crate::{agent::testing::question, turn::tests::instance};

    fn answer(content_type: &str, bytes: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, content_type: content_type.to_owned(), bytes: bytes.into(), ..Answer::default() }
    }

    fn json_answer(body: &Value) -> Result<Reply, AgentError> {
        read(&answer("application/json", body.to_string()))
    }

    #[test]
    fn the_request_has_the_guide_s_fields() {
        let question = question("Hello");
        let body = request(&instance(), &question);
        assert_eq!(body["user_id"], "u");
        assert_eq!(body["session_origin"], "whatsapp");
        assert_eq!(body["context"], json!({"instance": "acme", "channel": "whatsapp", "agent_id": "helper"}));
    }

    #[test]
    fn the_text_is_taken_from_the_first_field_that_has_one() {
        for (body, text) in [
            (json!({"message": "a", "text": "b"}), "a"),
            (json!({"message": null, "text": "b"}), "b"),
            (json!({"content": "c", "response": "d"}), "c"),
            (json!({"response": "d", "success": true}), "d"),
            (json!({"message": ""}), ""),
        ] {
            assert_eq!(json_answer(&body).unwrap().text, text);
        }
        assert_eq!(read(&answer("text/plain; charset=utf-8", "plain")).unwrap().text, "plain");
    }

    #[test]
    fn session_user_usage_and_tools_are_kept() {
        let reply = json_answer(&json!({"message": "m", "session_id": "s1", "user_id": "u1",
            "tool_calls": [{}, {}], "usage": {"request_tokens": 5, "output_tokens": 7}}))
        .unwrap();
        assert_eq!((reply.session_id.as_deref(), reply.user_id.as_deref()), (Some("s1"), Some("u1")));
        assert_eq!((reply.tokens, reply.tools_used), ((Some(5), Some(7)), Some(2)));
    }

    #[test]
    fn what_cannot_be_read_is_dead_and_what_failed_is_tried_again() {
        let dead = |result: Result<Reply, AgentError>| match result.unwrap_err().decision {
            Decision::Dead(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(dead(read(&answer("text/html", "<html>"))), "agent_answer_unreadable");
        assert_eq!(dead(read(&answer("text/plain", [0xff, 0xfe]))), "agent_answer_unreadable");
        assert_eq!(dead(json_answer(&json!({"reply": 1}))), "agent_answer_unreadable");
        assert_eq!(dead(json_answer(&json!([]))), "agent_answer_unreadable");
        assert_eq!(dead(json_answer(&json!({"success": false, "code": 422}))), "agent_unsuccessful");
        let failed = json_answer(&json!({"success": false, "message": "traceback ..."})).unwrap_err();
        assert_eq!(failed.decision, Decision::Again(None));
        assert!(!failed.message.contains("traceback"));
    }
}
