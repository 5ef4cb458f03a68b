//! The door for agents that answer later.
//!
//! An agent that was asked over the protocol `webhook` and said 202 posts its answer here, in the form in
//! which it would have answered at once. The ticket in the path is all that it shows: it opens one turn,
//! for a while. 200 means that the queue has the answer; the turn takes it in its own time, once. What
//! cannot be read is refused, since the agent would never hear of it otherwise.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
};
use omnihub_common::{
    conversation::Ticket,
    instance::Instance,
    queue::{Envelope, EnvelopeBody, EnvelopeKind, LateAnswer, MessageId, MessageKey, now_ms},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{WebhookState, refused};
use crate::{
    admin::openapi::{Doc, says},
    problem::Problem,
};

/// An answer may have so many bytes, as one that comes at once.
const LARGEST: usize = 1024 * 1024;

/// The answer to an answer that was kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplyAnswer)]
pub(super) struct Kept {
    status: &'static str,
    /// Whether it was here already: the first one counts.
    duplicate: bool,
}

/// Keeps an answer for the turn that waits for it.
pub(super) async fn answer(
    State(state): State<WebhookState>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Kept>, Problem> {
    let ticket = state.tickets.open(&ticket).ok_or_else(unknown)?;
    if ticket.until <= now_ms() {
        let detail = "the time for this answer is over: the question has ended without it";
        return Err(Problem::new(StatusCode::GONE, "reply_expired", detail));
    }
    let instance = match state.directory.by_id(ticket.instance_id).await {
        Ok(Some(instance)) => instance,
        Ok(None) => return Err(unknown()),
        Err(_) => {
            let detail = "the instance cannot be looked up; post it again";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", detail).retry_after(5));
        }
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = readable(content_type, body)?;
    let envelope = envelope(&instance, ticket, content_type, body);
    let kept = state.intake.accept(vec![envelope]).await;
    let kept = kept.map_err(|error| refused(&error, "the answer is not kept: post it again"))?;
    Ok(Json(Kept { status: "accepted", duplicate: kept.iter().any(|kept| kept.duplicate) }))
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "reply_unknown", "no question of this hub waits for an answer here")
}

/// The body, where it can be an answer.
fn readable(content_type: &str, body: Result<Bytes, BytesRejection>) -> Result<String, Problem> {
    let too_large = || {
        let detail = format!("an answer has at most {LARGEST} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "reply_too_large", detail)
    };
    let body = match body {
        Ok(body) if body.len() <= LARGEST => body,
        Err(rejection) if rejection.status() != StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body could not be read";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "body_unread", detail).retry_after(5));
        }
        Ok(_) | Err(_) => return Err(too_large()),
    };
    let text = String::from_utf8(body.into()).ok();
    text.filter(|text| is_answer(content_type, text)).ok_or_else(|| {
        let detail = "an answer is JSON with `reply` or with `parts` that hold text, or text/plain";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reply_unreadable", detail)
    })
}

/// As the worker reads it.
fn is_answer(content_type: &str, text: &str) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(answer)) if answer.get("success") != Some(&Value::Bool(false)) => {
            let is_text = |part: &Value| part["type"] == "text" && part["text"].is_string();
            answer.get("reply").is_some_and(Value::is_string)
                || answer.get("parts").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(is_text))
        }
        Ok(Value::Object(_)) => false,
        _ => content_type.to_ascii_lowercase().starts_with("text/plain"),
    }
}

/// Of one asking there is one answer, however often it is posted: each has its own time.
fn envelope(instance: &Instance, ticket: Ticket, content_type: &str, body: String) -> Envelope {
    let id = MessageId::of(&MessageKey {
        instance_id: instance.id,
        kind: "answer",
        chat: &ticket.session_name,
        from_me: true,
        provider_id: &ticket.turn_id,
        discriminator: &format!("{} {}", ticket.until, ticket.fallback.as_deref().unwrap_or_default()),
    });
    let late = LateAnswer {
        turn_id: ticket.turn_id,
        fallback: ticket.fallback,
        content_type: content_type.chars().take(256).collect(),
        body,
    };
    Envelope {
        v: Envelope::ANSWER,
        kind: EnvelopeKind::Message,
        command: None,
        answers: true,
        id,
        trace_id: ticket.trace_id,
        instance_id: instance.id,
        instance: instance.name.as_str().to_owned(),
        channel: instance.channel_type().as_str().to_owned(),
        session_name: ticket.session_name,
        received_at: now_ms(),
        provider_at: None,
        own_id: None,
        warnings: Vec::new(),
        redrive: None,
        body: EnvelopeBody::Inline(json!(late)),
    }
}

/// What is said of it in the OpenAPI document.
pub(super) fn doc() -> Doc {
    let body = json!({"type": "object", "properties": {
        "reply": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "object"}},
    }});
    says("The later answer of an agent that said 202")
        .more("The path is the `reply_url` that the agent was given with the question; no key is asked for.")
        .content("application/json", body, json!({"reply": "We open at nine."}), true)
        .content("text/plain", json!({"type": "string"}), json!("We open at nine."), true)
        .answers::<Kept>()
        .problem(404, "It is no address that this hub has given, or the instance is gone.")
        .problem(410, "The time for the answer is over.")
        .problem(413, "It is larger than 1 MiB.")
        .problem(422, "It is no answer.")
        .problem(503, "It was not kept; post it again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_could_not_read_is_refused() {
        let json = "application/json";
        for (content_type, text, is) in [
            (json, r#"{"reply": "hi"}"#, true),
            (json, r#"{"parts": [{"type": "text", "text": "hi"}]}"#, true),
            ("", r#"{"reply": ""}"#, true),
            ("text/plain; charset=utf-8", "hi", true),
            ("text/plain", "42", true),
            (json, r#"{"reply": 1}"#, false),
            (json, r#"{"parts": [{"type": "image", "url": "x"}]}"#, false),
            (json, r#"{"reply": "hi", "success": false}"#, false),
            (json, "hi", false),
            ("text/html", "<html>", false),
            ("text/plain", r#"{"error": "a traceback"}"#, false),
        ] {
            assert_eq!(is_answer(content_type, text), is, "{content_type} {text}");
        }
    }
}
