//! The story of one message: its trace row as it grows, and what is told of it.

use omnihub_common::{
    channel::InboundMessage,
    instance::Instance,
    queue::{Answer, Envelope, TraceBus, now_ms},
    secret::Secret,
    trace::{
        Outcome, Stage, StagePayload, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus,
        hide_in_columns, presentable, revision,
    },
};
use serde_json::Value;

/// The trace of the message that a turn answers.
#[derive(Debug)]
pub(super) struct Story {
    bus: TraceBus,
    record: TraceRecord,
    attempt: u32,
    /// Values that no payload and no message may show.
    secrets: Vec<Secret>,
}

impl Story {
    pub(super) fn new(bus: TraceBus, envelope: &Envelope, instance: &Instance, attempt: u32) -> Self {
        let record = TraceRecord {
            trace_id: envelope.trace_id,
            instance_id: envelope.instance_id,
            instance_name: envelope.instance.clone(),
            channel_type: envelope.channel.clone(),
            status: TraceStatus::Processing,
            received_at: envelope.received_at,
            details: TraceDetails {
                session_name: Some(envelope.session_name.clone()),
                processing_started_at: Some(now_ms()),
                attempts: i32::try_from(attempt + 1).ok(),
                warnings: envelope.warnings.clone(),
                ..TraceDetails::default()
            },
        };
        Self { bus, record, attempt, secrets: instance.secrets().into_iter().cloned().collect() }
    }

    /// The columns, to be filled as things become known.
    pub(super) fn details(&mut self) -> &mut TraceDetails {
        &mut self.record.details
    }

    /// What the message says.
    pub(super) fn read(&mut self, message: &InboundMessage) {
        let details = &mut self.record.details;
        details.provider_message_id = Some(message.provider_id.clone());
        details.sender_phone = message.sender.phone.clone();
        details.sender_name = message.sender.name.clone();
        details.sender_id = Some(message.sender.id.clone());
        details.message_type = Some(message.content.kind.as_str().to_owned());
        details.message_content = message.content.text.clone();
        details.message_length =
            message.content.text.as_ref().and_then(|text| i32::try_from(text.chars().count()).ok());
        details.has_media = Some(message.content.kind.has_media());
        details.has_quoted_message = Some(message.quoted.is_some());
    }

    /// What the agent said, as far as a stored answer tells.
    pub(super) fn answered(&mut self, answer: &Answer) {
        let details = &mut self.record.details;
        if answer.instead_of.is_none() {
            details.agent_response_success = Some(true);
            details.agent_processing_time_ms = i32::try_from(answer.answered_at - answer.asked_at).ok();
            details.agent_request_at = Some(answer.asked_at);
            details.agent_response_at = Some(answer.answered_at);
        }
        details.agent_response = Some(answer.text.clone());
        details.agent_response_length = i32::try_from(answer.text.chars().count()).ok();
        (details.agent_request_tokens, details.agent_response_tokens) = answer.tokens;
        details.agent_tools_used = answer.tools_used;
    }

    /// A step was taken; nobody waits for its event.
    pub(super) async fn step(&mut self, status: TraceStatus, payload: Option<(Stage, Option<u16>, Value)>) {
        self.record.status = status;
        let event = self.event(None, payload);
        self.bus.step(&event).await;
    }

    /// A step failed and will be tried again: the status stays at the step.
    pub(super) async fn failed(&mut self, stage: &str, message: &str, payload: Option<(Stage, Option<u16>, Value)>) {
        self.note_error(stage, message);
        let status = self.record.status;
        self.step(status, payload).await;
    }

    /// Something an operator should see while the message waits.
    pub(super) async fn warn(&mut self, warning: String) {
        self.record.details.warnings.push(warning);
        let status = self.record.status;
        self.step(status, None).await;
    }

    /// Keeps what went wrong, for the row.
    pub(super) fn note_error(&mut self, stage: &str, message: &str) {
        let masked = presentable(Value::String(message.to_owned()), &self.secret_words());
        self.record.details.error_stage = Some(stage.to_owned());
        self.record.details.error_message = masked.as_str().map(str::to_owned);
    }

    /// What is kept of a failure for a dead letter.
    pub(super) fn error_message(&self) -> String {
        self.record.details.error_message.clone().unwrap_or_default()
    }

    /// The message has ended; publishes until it is confirmed or `may_go_on` says no.
    pub(super) async fn end(
        &mut self,
        outcome: Outcome,
        reason: Option<&str>,
        payload: Option<(Stage, Option<u16>, Value)>,
        may_go_on: impl Fn() -> bool,
    ) -> bool {
        let now = now_ms();
        self.record.status = if outcome == Outcome::Dead { TraceStatus::Error } else { TraceStatus::Completed };
        let details = &mut self.record.details;
        details.outcome = Some(outcome);
        details.outcome_reason = reason.map(str::to_owned);
        details.completed_at = Some(now);
        details.total_processing_time_ms = i32::try_from(now - self.record.received_at).ok();
        let event = self.event(Some(outcome), payload);
        self.bus.outcome_until(&event, may_go_on).await
    }

    fn event(&self, outcome: Option<Outcome>, payload: Option<(Stage, Option<u16>, Value)>) -> TraceEvent {
        let payload = payload.map(|(stage, status, body)| StagePayload {
            stage,
            at: now_ms(),
            status_code: status.map(i32::from),
            body: presentable(body, &self.secret_words()),
        });
        let mut record = self.record.clone();
        hide_in_columns(&mut record.details, &self.secret_words());
        TraceEvent {
            v: TRACE_EVENT_VERSION,
            revision: revision(self.attempt, self.record.status, outcome),
            record,
            payload,
        }
    }

    fn secret_words(&self) -> Vec<&str> {
        self.secrets.iter().map(Secret::expose).collect()
    }
}
