//! Traces as the admin API shows them.

use chrono::{DateTime, Utc};
use omnihub_common::trace::{
    BubbleState, Stage, decompress,
    entity::{message_trace, trace_payload},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// A trace, every column, and again under the older system's names where those differ.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trace)]
pub(super) struct TraceView {
    #[serde(flatten)]
    trace: message_trace::Model,
    whatsapp_message_id: Option<String>,
    sender_jid: Option<String>,
    agent_session_id: Option<String>,
    evolution_send_at: Option<DateTime<Utc>>,
}

impl From<message_trace::Model> for TraceView {
    fn from(trace: message_trace::Model) -> Self {
        Self {
            whatsapp_message_id: trace.provider_message_id.clone(),
            sender_jid: trace.sender_id.clone(),
            agent_session_id: trace.session_id.clone(),
            evolution_send_at: trace.channel_send_at,
            trace,
        }
    }
}

/// A trace with its payloads under the architecture guide's names; null where there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TraceDetail {
    #[serde(flatten)]
    trace: TraceView,
    incoming_payload: Option<Value>,
    transcription_payload: Option<Value>,
    agent_request_payload: Option<Value>,
    agent_response_payload: Option<Value>,
    outgoing_payload: Option<Value>,
    /// How far each bubble of `reply_message_ids` has come on its way to the person.
    reply_states: Vec<BubbleState>,
}

impl TraceDetail {
    pub(super) fn new(
        trace: message_trace::Model,
        payloads: &[trace_payload::Model],
        reply_states: Vec<BubbleState>,
    ) -> Self {
        let of = |stage: Stage| payloads.iter().find(|payload| payload.stage == stage.as_str()).and_then(unpacked);
        Self {
            trace: trace.into(),
            incoming_payload: of(Stage::WebhookReceived),
            transcription_payload: of(Stage::Transcription),
            agent_request_payload: of(Stage::AgentRequest),
            agent_response_payload: of(Stage::AgentResponse),
            outgoing_payload: of(Stage::ChannelSend),
            reply_states,
        }
    }
}

/// One payload; `timestamp` is the older system's name of `at`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TracePayload)]
pub(super) struct PayloadView {
    id: i64,
    trace_id: Uuid,
    stage: String,
    payload_type: &'static str,
    at: DateTime<Utc>,
    timestamp: DateTime<Utc>,
    status_code: Option<i32>,
    payload: Option<Value>,
    payload_size_original: i32,
    payload_size_compressed: usize,
    compression_ratio: Option<f64>,
    contains_media: bool,
    /// Files are taken out of a payload before it is kept.
    contains_base64: bool,
}

impl PayloadView {
    /// Of a row of this trace, with or without the payload itself.
    pub(super) fn new(row: &trace_payload::Model, trace: &message_trace::Model, include: bool) -> Self {
        let (original, compressed) = (row.payload_size_original, row.payload.len());
        Self {
            id: row.id,
            trace_id: row.trace_id,
            stage: row.stage.clone(),
            payload_type: payload_type(&row.stage),
            at: row.at,
            timestamp: row.at,
            status_code: row.status_code,
            payload: include.then(|| unpacked(row)).flatten(),
            payload_size_original: original,
            payload_size_compressed: compressed,
            compression_ratio: (original > 0).then(|| rounded(compressed as f64 / f64::from(original))),
            contains_media: row.stage == Stage::WebhookReceived.as_str() && trace.has_media == Some(true),
            contains_base64: false,
        }
    }
}

/// With two decimals, as the older system had it.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// The older system's word for the direction of a stage.
fn payload_type(stage: &str) -> &'static str {
    match stage {
        "webhook_received" => "webhook",
        "agent_response" | "transcription" => "response",
        _ => "request",
    }
}

/// A payload that cannot be read is shown as absent: the rest of the trace is worth seeing.
fn unpacked(row: &trace_payload::Model) -> Option<Value> {
    decompress(&row.payload)
        .inspect_err(|error| {
            tracing::warn!(
                trace.id = %row.trace_id,
                trace.stage = row.stage,
                error.message = %error,
                "a stored payload cannot be read"
            );
        })
        .ok()
}
