//! A batch of events as the rows that it comes to.
//!
//! Of the events of one message only the newest matters, since each carries the whole row; and
//! PostgreSQL refuses a statement that touches a row twice. The rows are sorted, so that two
//! recorders that write the same messages at once take their locks in the same order.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Outcome, Stage, StagePayload, TraceEvent,
    entity::{message_trace, trace_payload},
    event::TEXT_CAP,
    mask::{head, without_nul},
    payload,
};

/// The most bytes kept of an error or another text for people.
const NOTE_CAP: usize = 4 * 1024;
/// The most bytes of every other text. PostgreSQL's indexes hold at most about 2,700.
const WORD_CAP: usize = 1024;
/// The most entries kept of a list.
const LIST_CAP: usize = 100;
/// 9999-12-31T23:59:59.999Z: later years have five digits, and SQLite compares times as text.
const LAST_MOMENT: i64 = 253_402_300_799_999;

/// The rows of a batch, each key once, sorted by key.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    /// Rows of `message_traces`.
    pub(super) traces: Vec<message_trace::Model>,
    /// Rows of `trace_payloads`; their ids are the database's to give.
    pub(super) payloads: Vec<trace_payload::Model>,
}

impl Batch {
    /// Plans the rows of events, in whatever order the events are.
    pub(super) fn of<'a>(events: impl IntoIterator<Item = &'a TraceEvent>, now: DateTime<Utc>) -> io::Result<Self> {
        let mut rows: BTreeMap<Uuid, (&TraceEvent, i64)> = BTreeMap::new();
        let mut stages: BTreeMap<(Uuid, &'static str), (&TraceEvent, &StagePayload)> = BTreeMap::new();
        for event in events {
            let received_at = event.record.received_at;
            let (newest, first_received) = rows.entry(event.record.trace_id).or_insert((event, received_at));
            *first_received = received_at.min(*first_received);
            if event.revision >= newest.revision {
                *newest = event;
            }
            if let Some(payload) = &event.payload {
                keep_newest(&mut stages, event, payload);
            }
        }
        let traces = rows.into_values().map(|(event, received_at)| trace_row(event, received_at, now)).collect();
        let payloads = stages.into_values().map(|(event, payload)| payload_row(event, payload));
        Ok(Self { traces, payloads: payloads.collect::<io::Result<_>>()? })
    }
}

fn keep_newest<'a>(
    stages: &mut BTreeMap<(Uuid, &'static str), (&'a TraceEvent, &'a StagePayload)>,
    event: &'a TraceEvent,
    payload: &'a StagePayload,
) {
    match stages.entry((event.record.trace_id, payload.stage.as_str())) {
        Entry::Vacant(free) => {
            free.insert((event, payload));
        }
        Entry::Occupied(mut taken) if event.revision >= taken.get().0.revision => {
            taken.insert((event, payload));
        }
        Entry::Occupied(_) => {}
    }
}

fn trace_row(event: &TraceEvent, received_at: i64, now: DateTime<Utc>) -> message_trace::Model {
    let record = &event.record;
    let details = &record.details;
    message_trace::Model {
        trace_id: record.trace_id,
        instance_id: record.instance_id,
        instance_name: record.instance_name.clone(),
        channel_type: word(&record.channel_type),
        status: record.status.as_str().to_owned(),
        outcome: details.outcome.map(|outcome| Outcome::as_str(outcome).to_owned()),
        outcome_reason: text(&details.outcome_reason, NOTE_CAP),
        received_at: moment(received_at),
        provider_message_id: text(&details.provider_message_id, WORD_CAP),
        sender_phone: text(&details.sender_phone, WORD_CAP),
        sender_name: text(&details.sender_name, WORD_CAP),
        sender_id: text(&details.sender_id, WORD_CAP),
        message_type: text(&details.message_type, WORD_CAP),
        message_content: text(&details.message_content, TEXT_CAP),
        has_media: details.has_media,
        has_quoted_message: details.has_quoted_message,
        message_length: details.message_length,
        turn_id: text(&details.turn_id, WORD_CAP),
        answered_in: details.answered_in,
        session_name: text(&details.session_name, WORD_CAP),
        session_id: text(&details.session_id, WORD_CAP),
        user_id: text(&details.user_id, WORD_CAP),
        attempts: details.attempts,
        processing_started_at: details.processing_started_at.map(moment),
        agent_request_at: details.agent_request_at.map(moment),
        agent_response_at: details.agent_response_at.map(moment),
        channel_send_at: details.channel_send_at.map(moment),
        completed_at: details.completed_at.map(moment),
        agent_processing_time_ms: details.agent_processing_time_ms,
        total_processing_time_ms: details.total_processing_time_ms,
        agent_response: text(&details.agent_response, TEXT_CAP),
        agent_response_length: details.agent_response_length,
        agent_response_success: details.agent_response_success,
        agent_request_tokens: details.agent_request_tokens,
        agent_response_tokens: details.agent_response_tokens,
        agent_tools_used: details.agent_tools_used,
        evolution_response_code: details.evolution_response_code,
        evolution_success: details.evolution_success,
        channel_success: details.channel_success,
        reply_message_ids: list(&details.reply_message_ids, WORD_CAP),
        error_stage: text(&details.error_stage, WORD_CAP),
        error_message: text(&details.error_message, NOTE_CAP),
        warnings: list(&details.warnings, NOTE_CAP),
        revision: event.revision,
        created_at: now,
        updated_at: now,
    }
}

fn payload_row(event: &TraceEvent, kept: &StagePayload) -> io::Result<trace_payload::Model> {
    let packed = payload::compress(&kept.body)?;
    Ok(trace_payload::Model {
        id: 0,
        trace_id: event.record.trace_id,
        stage: Stage::as_str(kept.stage).to_owned(),
        at: moment(kept.at),
        status_code: kept.status_code,
        payload: packed.bytes,
        payload_size_original: i32::try_from(packed.size_original).unwrap_or(i32::MAX),
        revision: event.revision,
    })
}

fn text(text: &Option<String>, cap: usize) -> Option<String> {
    text.as_deref().map(|text| head(&without_nul(text), cap).to_owned())
}

fn word(text: &str) -> String {
    head(&without_nul(text), WORD_CAP).to_owned()
}

fn list(items: &[String], cap: usize) -> String {
    let items: Vec<_> = items.iter().take(LIST_CAP).map(|item| head(&without_nul(item), cap).to_owned()).collect();
    serde_json::Value::from(items).to_string()
}

pub(super) fn moment(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms.clamp(0, LAST_MOMENT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::trace::{TraceStatus, fixture::event};

    fn batch(events: &[TraceEvent]) -> Batch {
        Batch::of(events, DateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn of_each_message_only_the_newest_row_is_left_in_any_order() {
        let first = event(1, 10, TraceStatus::WebhookReceived);
        let last = event(1, 30, TraceStatus::Completed);
        let middle = event(1, 20, TraceStatus::AgentCalled);
        let other = event(0, 5, TraceStatus::Processing);
        let rows = batch(&[first, last, middle, other]).traces;
        let seen: Vec<_> = rows.iter().map(|row| (row.revision, row.status.as_str())).collect();
        assert_eq!(seen, [(5, "processing"), (30, "completed")]);
    }

    #[test]
    fn the_same_revision_again_takes_the_later_one_and_keeps_the_first_arrival() {
        let mut first = event(1, 10, TraceStatus::WebhookReceived);
        let mut again = first.clone();
        first.record.received_at = 1_000;
        again.record.received_at = 2_000;
        again.record.details.sender_name = Some("Ana".into());
        let rows = batch(&[first, again]).traces;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].sender_name.as_deref(), Some("Ana"));
        assert_eq!(rows[0].received_at, moment(1_000));
    }

    #[test]
    fn each_stage_keeps_its_newest_payload() {
        let with = |revision, stage, body| {
            let mut event = event(1, revision, TraceStatus::AgentCalled);
            event.payload = Some(StagePayload { stage, at: 7, status_code: Some(200), body });
            event
        };
        let rows = batch(&[
            with(3, Stage::AgentRequest, json!("second try")),
            with(1, Stage::AgentRequest, json!("first try")),
            with(2, Stage::AgentResponse, json!("answer")),
        ])
        .payloads;
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.stage.as_str(), row.revision, payload::decompress(&row.payload).unwrap()))
            .collect();
        assert_eq!(seen, [("agent_request", 3, json!("second try")), ("agent_response", 2, json!("answer"))]);
    }

    #[test]
    fn texts_are_cut_between_characters_and_have_no_nul() {
        let mut event = event(1, 1, TraceStatus::Completed);
        event.record.details.message_content = Some("ã".repeat(TEXT_CAP));
        event.record.details.session_name = Some("a\0b".into());
        event.record.details.warnings = vec!["w\0".into(); 2 * LIST_CAP];
        event.record.details.completed_at = Some(i64::MAX);
        event.record.received_at = i64::MIN;
        let row = &batch(&[event]).traces[0];
        assert_eq!(row.message_content.as_ref().map(String::len), Some(TEXT_CAP));
        assert_eq!(row.session_name.as_deref(), Some("ab"));
        assert_eq!(serde_json::from_str::<Vec<String>>(&row.warnings).unwrap(), vec!["w"; LIST_CAP]);
        assert_eq!(row.completed_at.unwrap().to_rfc3339(), "9999-12-31T23:59:59.999+00:00");
        assert_eq!(row.received_at, DateTime::UNIX_EPOCH);
    }
}
