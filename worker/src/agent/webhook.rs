//! The protocol `webhook`: `POST {url}` to anybody's own server, signed as Standard Webhooks say
//! (<https://www.standardwebhooks.com>), which answers at once, or later (202) at the `reply_url` that it
//! was given.
//!
//! The signature covers the id of the turn, the time of this attempt and the body, so that a server
//! that knows the secret need not trust the network. While the secret rotates there is one for each.
//!
//! What is absent: what becomes of a 202. The turn knows.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use omnihub_common::{
    conversation::Decision,
    instance::{Instance, signing_key},
};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    AgentError, CallContext, Question, Reply,
    answer::{self, Answer, Failure, failed, plain_text, unreadable},
    automagik::call_to,
    client::Call,
    file::{File, Show, put_beside},
};

/// The reason of an answer that is to come later.
pub(super) const LATER: &str = "agent_answers_later";

/// The body of a call. Of one turn it is the same in every attempt, but for the `reply_url`.
pub(super) fn request(instance: &Instance, question: &Question) -> Value {
    let time = |at: Option<i64>| {
        let at = DateTime::from_timestamp_millis(at?)?;
        Some(at.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    let messages = question.messages.iter().map(
        |said| json!({"id": said.id, "type": said.kind, "text": said.text, "media": said.media, "at": time(said.at_ms)}),
    );
    let messages: Vec<Value> = messages.collect();
    let mut user = question.user.clone();
    if let Some(user) = user.as_object_mut() {
        user.insert("id".to_owned(), question.user_id.as_str().into());
    }
    let mut request = json!({
        "id": question.turn_id,
        "timestamp": messages.last().map(|last| &last["at"]),
        "instance": instance.name.as_str(),
        "channel": instance.channel_type().as_str(),
        "conversation": question.session_name,
        "user": user,
        "messages": messages,
        "session": question.session_id,
    });
    if let Some(url) = &question.reply_url {
        request["reply_url"] = url.as_str().into();
    }
    request
}

/// Each file stands with its message.
pub(super) fn attach(request: &mut Value, files: &[File], show: Show) {
    let messages = request["messages"].as_array_mut().into_iter().flatten();
    let named = messages.filter_map(|message| {
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        Some((id, message.get_mut("media").filter(|about| about.is_object())?))
    });
    put_beside(named, files, show);
}

/// What goes over the wire.
pub(super) fn call(instance: &Instance, request: &Value, context: CallContext) -> Result<Call, Failure> {
    let id = context.idempotency_key.clone();
    let mut call = call_to(&instance.agent.api_url, instance, request, context)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
    let mut headers = vec![("webhook-id", id.clone()), ("webhook-timestamp", now.clone())];
    let options = &instance.agent.options;
    let secrets = options.webhook_secret.iter().chain(&options.webhook_secret_previous);
    let keys: Option<Vec<_>> = secrets.map(|secret| signing_key(secret.expose())).collect();
    let keys = keys.ok_or(Failure::SecretUnusable)?;
    if !keys.is_empty() {
        let signatures: Vec<String> = keys.iter().map(|key| signature(key, &id, &now, &call.body)).collect();
        headers.push(("webhook-signature", signatures.join(" ")));
    }
    for (name, value) in headers {
        call.headers.insert(name, HeaderValue::from_str(&value).map_err(|_| Failure::Unusable)?);
    }
    Ok(call)
}

/// One signature, with its version before it.
fn signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Reads an answer: a plain text, or JSON with `reply` or `parts`; 204 is nothing to say.
pub(super) fn read(answer: &Answer) -> Result<Reply, AgentError> {
    let status = answer.status;
    match status {
        204 => return Ok(Reply { status, ..Reply::default() }),
        202 => return Err(later(answer)),
        _ => {}
    }
    // Some servers call JSON a plain text.
    let body = match answer::json(answer) {
        Ok(body) if body.is_object() => body,
        _ => return plain_text(answer),
    };
    if body.get("success") == Some(&Value::Bool(false)) {
        return Err(failed(status, body));
    }
    let reply = body.get("reply").and_then(Value::as_str).map(str::to_owned);
    match reply.or_else(|| texts(body.get("parts")?)) {
        Some(text) => Ok(Reply { text, status, body, ..Reply::default() }),
        None => Err(unreadable(status, "the agent's answer has neither reply nor parts with text", Some(body))),
    }
}

/// The texts among parts, each a paragraph; `None` where there are only parts of other kinds.
fn texts(parts: &Value) -> Option<String> {
    let parts = parts.as_array()?;
    let texts = parts.iter().filter(|part| part.get("type").and_then(Value::as_str) == Some("text"));
    let texts: Option<Vec<&str>> = texts.map(|part| part.get("text")?.as_str()).collect();
    texts.filter(|texts| !texts.is_empty() || parts.is_empty()).map(|texts| texts.join("\n\n"))
}

fn later(answer: &Answer) -> AgentError {
    let message = "the agent answers later (202), and the hub has no OMNIHUB_PUBLIC_URL to name for that".to_owned();
    let decision = Decision::Dead(LATER.to_owned());
    AgentError { message, status: Some(answer.status), body: Some(answer::kept(&answer.bytes)), decision }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use omnihub_common::secret::Secret;

    use super::*;
    use crate::{agent::testing::question, turn::tests::instance};

    #[test]
    fn the_request_tells_each_message() {
        let body = request(&instance(), &question("Hello"));
        let messages = json!([{"id": "m1", "type": "text", "text": "Hello", "media": null,
            "at": "2025-10-09T08:53:20.000Z"}]);
        assert_eq!(body["messages"], messages);
        assert_eq!((&body["id"], &body["timestamp"]), (&json!("t"), &messages[0]["at"]));
        assert_eq!(body["user"], json!({"phone_number": "+1", "id": "u"}));
        assert_eq!(
            (&body["conversation"], &body["session"], &body["channel"]),
            (&json!("acme_1"), &json!("s"), &json!("whatsapp"))
        );
    }

    #[test]
    fn the_signature_is_the_one_of_the_standard_s_own_example() {
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    fn called(secrets: [Option<&str>; 2]) -> Result<Call, Failure> {
        let mut instance = instance();
        let [now, before] = secrets.map(|secret| secret.map(Secret::new));
        (instance.agent.options.webhook_secret, instance.agent.options.webhook_secret_previous) = (now, before);
        let context = CallContext {
            idempotency_key: "t".into(),
            request_id: "r".into(),
            trace_headers: http::HeaderMap::new(),
            heard: None,
        };
        call(&instance, &json!({"id": "t"}), context)
    }

    #[test]
    fn a_secret_that_rotates_signs_beside_the_new_one() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        let signatures = |secrets| {
            let call = called(secrets).unwrap();
            assert_eq!((call.headers["webhook-id"].as_bytes(), call.timeout), (&b"t"[..], Duration::from_secs(60)));
            call.headers.get("webhook-signature").map(|value| value.to_str().unwrap().split(' ').count())
        };
        assert_eq!(signatures([None, None]), None);
        assert_eq!(signatures([Some(one), None]), Some(1));
        assert_eq!(signatures([Some(one), Some(other)]), Some(2));
        assert_eq!(called([Some("not a key"), None]).unwrap_err(), Failure::SecretUnusable);
    }

    fn answer(status: u16, content_type: &str, body: &str) -> Result<Reply, AgentError> {
        read(&Answer { status, content_type: content_type.into(), bytes: body.into(), ..Answer::default() })
    }

    #[test]
    fn what_is_answered_now_is_read() {
        let json = "application/json";
        for (status, content_type, body, text) in [
            (200, json, r#"{"reply": "hi"}"#, "hi"),
            (200, json, r#"{"reply": ""}"#, ""),
            (
                200,
                json,
                r#"{"parts": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}"#,
                "a\n\nb",
            ),
            (200, json, r#"{"parts": []}"#, ""),
            (200, "text/plain; charset=utf-8", "hi", "hi"),
            (200, "text/plain", "42", "42"),
            (200, "text/plain", r#"{"reply": "hi"}"#, "hi"),
            (200, "", r#"{"reply": "hi"}"#, "hi"),
            (204, "", "", ""),
        ] {
            assert_eq!(answer(status, content_type, body).unwrap().text, text, "{body}");
        }
        for (status, content_type, body, reason) in [
            (200, json, r#"{"message": "hi"}"#, "agent_answer_unreadable"),
            (200, json, r#"{"parts": [{"type": "image", "url": "http://x.test"}]}"#, "agent_answer_unreadable"),
            (200, "text/html", "<html>", "agent_answer_unreadable"),
            (200, "text/plain", r#"{"error": "a traceback"}"#, "agent_answer_unreadable"),
            (200, json, "", "agent_answer_unreadable"),
            (202, json, "{}", "agent_answers_later"),
        ] {
            let error = answer(status, content_type, body).unwrap_err();
            assert_eq!(error.decision, Decision::Dead(reason.into()), "{body}");
        }
        assert_eq!(answer(200, json, r#"{"success": false}"#).unwrap_err().decision, Decision::Again(None));
    }
}
