//! What became of a send, as an answer.

use axum::{
    Json,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use omnihub_common::{
    queue::SendOutcome,
    trace::{Outcome, explain::sentence_of},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::desk::End;
use crate::problem::Problem;

/// The answer to a send that did not fail; the first five are the older system's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SendAnswer)]
pub(super) struct Answer {
    success: bool,
    /// The channel's id of the message; of a text that was split, of its first part.
    message_id: Option<String>,
    status: &'static str,
    /// What went wrong so far, where it is tried again.
    error: Option<String>,
    trace_id: Uuid,
    /// The ids of all parts.
    message_ids: Vec<String>,
}

/// 200 when it is out, 202 while it waits, and a problem when it failed for good.
pub(super) fn of(trace: Uuid, end: End) -> Result<Response, Problem> {
    match end {
        End::Ended(outcome) if outcome.outcome == Outcome::Answered => {
            let message_ids: Vec<String> = outcome.message_ids.into_iter().filter(|id| !id.is_empty()).collect();
            let message_id = message_ids.first().cloned();
            let answer =
                Answer { success: true, message_id, status: "sent", error: None, trace_id: trace, message_ids };
            Ok(Json(answer).into_response())
        }
        End::Ended(outcome) => Err(failed(trace, outcome)),
        End::Queued(error) => {
            let (message_id, message_ids) = (None, Vec::new());
            let answer = Answer { success: true, message_id, status: "queued", error, trace_id: trace, message_ids };
            let location = [(LOCATION, format!("/api/v1/traces/{trace}"))];
            Ok((StatusCode::ACCEPTED, location, Json(answer)).into_response())
        }
    }
}

/// The one table from why a send failed to a status.
fn failed(trace: Uuid, outcome: SendOutcome) -> Problem {
    let refused = outcome.channel_status.is_some_and(|status| (400..500).contains(&status));
    let (status, code) = match outcome.reason.as_deref().unwrap_or_default() {
        "not_on_whatsapp" => (StatusCode::UNPROCESSABLE_ENTITY, "not_on_whatsapp"),
        "evolution_rejected" if refused => (StatusCode::UNPROCESSABLE_ENTITY, "evolution_rejected"),
        "evolution_rejected" => (StatusCode::BAD_GATEWAY, "evolution_rejected"),
        "evolution_instance_not_found" => (StatusCode::BAD_GATEWAY, "evolution_instance_not_found"),
        "evolution_redirect" => (StatusCode::BAD_GATEWAY, "evolution_redirect"),
        "channel_failed" => (StatusCode::BAD_GATEWAY, "channel_failed"),
        "inactive" => (StatusCode::CONFLICT, "inactive"),
        "too_old" => (StatusCode::GATEWAY_TIMEOUT, "too_old"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "send_failed"),
    };
    let why = outcome.reason.as_deref().map(|reason| sentence_of(reason).into_owned());
    let said = outcome.error.map(|said| format!(" ({said})"));
    let detail = format!("It was not sent: {}{}", why.unwrap_or_default(), said.unwrap_or_default());
    let sent: Vec<String> = outcome.message_ids.into_iter().filter(|id| !id.is_empty()).collect();
    Problem::new(status, code, detail.trim_end())
        .with("trace_id", Some(trace.to_string()))
        .with("reason", outcome.reason)
        .with("provider_status", outcome.channel_status)
        .with("message_ids", Some(sent).filter(|sent| !sent.is_empty()))
}
