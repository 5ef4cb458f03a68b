//! The timetable of a message.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::trace::entity::message_trace::Model;

/// One step of a message's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// When it was reached.
    pub at: DateTime<Utc>,
    /// How long after the step before.
    pub took_ms: i64,
    /// What was reached.
    pub what: String,
}

/// The steps that the trace knows, in the order of time.
pub(super) fn of(trace: &Model) -> Vec<Step> {
    let attempt = trace.attempts.unwrap_or(1);
    let begun = if attempt > 1 { format!("attempt {attempt} begun") } else { "turn begun".to_owned() };
    let sent = if trace.error_stage.as_deref() == Some("channel_send") { "last message sent" } else { "answer sent" };
    let known = [
        (Some(trace.received_at), "accepted".to_owned()),
        (trace.processing_started_at, begun),
        (trace.agent_request_at, "agent asked".to_owned()),
        (trace.agent_response_at, "agent answered".to_owned()),
        (agent_failed_at(trace), "agent failed".to_owned()),
        (trace.channel_send_at, sent.to_owned()),
        (trace.completed_at, trace.outcome.as_deref().unwrap_or("ended").replace('_', " ")),
    ];
    let mut known: Vec<_> = known.into_iter().filter_map(|(at, what)| Some((at?, what))).collect();
    // An answer that was stored in an earlier attempt is older than the last beginning.
    known.sort_by_key(|(at, _)| *at);
    let mut before = trace.received_at;
    let steps = known.into_iter().map(|(at, what)| {
        let took_ms = (at - before).num_milliseconds();
        before = at;
        Step { at, took_ms, what }
    });
    steps.collect()
}

fn agent_failed_at(trace: &Model) -> Option<DateTime<Utc>> {
    let (false, None) = (trace.agent_response_success?, trace.agent_response_at) else { return None };
    let took = chrono::TimeDelta::milliseconds(i64::from(trace.agent_processing_time_ms?));
    trace.agent_request_at?.checked_add_signed(took)
}
