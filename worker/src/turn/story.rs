//! The story of one message: its trace row as it grows, and what is told of it.

use omnihub_common::{
    instance::Instance,
    queue::{Answer, Envelope, Redrive, TraceBus, now_ms},
    secret::Secret,
    trace::{
        Outcome, Stage, StagePayload, TraceDetails, TraceEvent, TraceRecord, TraceStatus, redriven_revision, revision,
    },
};
use serde_json::Value;
use uuid::Uuid;

/// The trace of the message that a turn answers.
#[derive(Debug)]
pub(super) struct Story {
    bus: TraceBus,
    record: TraceRecord,
    attempt: u32,
    /// How often the message was redriven.
    redrives: u32,
    /// From when its time counts.
    counts_from: i64,
    /// Values that no payload and no message may show.
    secrets: Vec<Secret>,
}

impl Story {
    pub(super) fn new(bus: TraceBus, envelope: &Envelope, turn_id: String, attempt: u32) -> Self {
        let record = TraceRecord {
            trace_id: envelope.trace_id,
            instance_id: envelope.instance_id,
            instance_name: envelope.instance.clone(),
            channel_type: envelope.channel.clone(),
            status: TraceStatus::Processing,
            received_at: envelope.received_at,
            details: TraceDetails {
                turn_id: Some(turn_id),
                session_name: Some(envelope.session_name.clone()),
                processing_started_at: Some(now_ms()),
                attempts: i32::try_from(attempt + 1).ok(),
                warnings: warnings(envelope),
                ..TraceDetails::default()
            },
        };
        let (redrives, counts_from) = (envelope.redrives(), envelope.counts_from());
        Self { bus, record, attempt, redrives, counts_from, secrets: Vec::new() }
    }

    /// The instance's name.
    pub(super) fn instance(&self) -> &str {
        &self.record.instance_name
    }

    /// The message's trace.
    pub(super) fn trace_id(&self) -> Uuid {
        self.record.trace_id
    }

    /// How often the message was redriven.
    pub(super) fn redrives(&self) -> u32 {
        self.redrives
    }

    /// The sender's phone, as far as it is known.
    pub(super) fn phone(&self) -> Option<String> {
        self.record.details.sender_phone.clone()
    }

    /// The columns, to be filled as things become known.
    pub(super) fn details(&mut self) -> &mut TraceDetails {
        &mut self.record.details
    }

    /// What the message says.
    pub(super) fn read(&mut self, read: TraceDetails) {
        let known = std::mem::take(&mut self.record.details);
        self.record.details = TraceDetails {
            session_name: known.session_name,
            processing_started_at: known.processing_started_at,
            attempts: known.attempts,
            turn_id: known.turn_id,
            warnings: known.warnings,
            ..read
        };
    }

    /// From here on the instance's secrets are hidden.
    pub(super) fn hide(&mut self, instance: &Instance) {
        self.secrets = instance.secrets().into_iter().cloned().collect();
    }

    /// And this one too.
    pub(super) fn hide_also(&mut self, secret: Secret) {
        self.secrets.push(secret);
    }

    /// Notes something odd that stopped nothing, once.
    pub(super) fn warn(&mut self, warning: String) {
        let warnings = &mut self.record.details.warnings;
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// What the agent said, as far as a stored answer tells.
    pub(super) fn answered(&mut self, answer: &Answer) {
        if let Some(name) = &answer.by {
            self.warn(format!("agent `{name}` answered"));
        }
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

    /// Keeps what went wrong, for the row.
    pub(super) fn note_error(&mut self, stage: &str, message: &str) {
        self.record.details.error_stage = Some(stage.to_owned());
        self.record.details.error_message = Some(message.to_owned());
    }

    /// What is kept of a failure for a dead letter, with secrets hidden.
    pub(super) fn error_message(&self) -> String {
        let event = self.event(None, None);
        event.record.details.error_message.unwrap_or_default()
    }

    /// The message has ended: the event that says so.
    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        reason: Option<&str>,
        payload: Option<(Stage, Option<u16>, Value)>,
    ) -> TraceEvent {
        let now = now_ms();
        self.record.status = if outcome == Outcome::Dead { TraceStatus::Error } else { TraceStatus::Completed };
        let details = &mut self.record.details;
        details.outcome = Some(outcome);
        details.outcome_reason = reason.map(str::to_owned);
        details.completed_at = Some(now);
        details.total_processing_time_ms = i32::try_from(now - self.counts_from).ok();
        self.event(Some(outcome), payload)
    }

    fn event(&self, outcome: Option<Outcome>, payload: Option<(Stage, Option<u16>, Value)>) -> TraceEvent {
        let payload = payload.map(|(stage, status, body)| StagePayload {
            stage,
            at: now_ms(),
            status_code: status.map(i32::from),
            body,
        });
        let revision = redriven_revision(self.redrives, revision(self.attempt, self.record.status, outcome));
        TraceEvent::new(revision, self.record.clone(), payload, &self.secret_words())
    }

    fn secret_words(&self) -> Vec<&str> {
        self.secrets.iter().map(Secret::expose).collect()
    }
}

/// What ingress noticed, and that the message has come back.
fn warnings(envelope: &Envelope) -> Vec<String> {
    let redriven = envelope.redrive.map(Redrive::notice);
    envelope.warnings.iter().cloned().chain(redriven).collect()
}
