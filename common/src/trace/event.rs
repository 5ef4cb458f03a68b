//! What ingress and worker publish about a message, and what the recorder writes of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::mask::{head, mask_text, presentable};
use crate::channel::{InboundMessage, Outgoing, whatsapp::recipient::phone_of};

/// The most bytes kept of a message's text and of the agent's answer.
pub(super) const TEXT_CAP: usize = 64 * 1024;

/// The version that this build writes into each [`TraceEvent`].
pub const TRACE_EVENT_VERSION: u8 = 1;

/// How far a message has come; the guide's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceStatus {
    /// Ingress accepted it.
    WebhookReceived,
    /// A worker has begun its turn.
    Processing,
    /// The agent has been asked.
    AgentCalled,
    /// The agent has answered.
    AgentSuccess,
    /// The answer is cut into bubbles.
    Formatted,
    /// The turn has ended well (answered, ignored or handed off).
    Completed,
    /// The turn has ended in the dead letters.
    Error,
}

impl TraceStatus {
    /// The word in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebhookReceived => "webhook_received",
            Self::Processing => "processing",
            Self::AgentCalled => "agent_called",
            Self::AgentSuccess => "agent_success",
            Self::Formatted => "formatted",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::WebhookReceived,
            Self::Processing,
            Self::AgentCalled,
            Self::AgentSuccess,
            Self::Formatted,
            Self::Completed,
            Self::Error,
        ];
        all.into_iter().find(|status| status.as_str() == word)
    }
}

/// How a message ended. Every accepted message ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The agent's answer was sent.
    Answered,
    /// Nothing was to be done; the reason says why.
    Ignored,
    /// A person has taken over.
    HandedOff,
    /// It is in the dead letters; the reason says why.
    Dead,
}

impl Outcome {
    /// The word in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Ignored => "ignored",
            Self::HandedOff => "handed_off",
            Self::Dead => "dead",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Answered, Self::Ignored, Self::HandedOff, Self::Dead];
        all.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// The step whose payload a [`StagePayload`] holds; one row of `trace_payloads` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The message as the channel posted it: the guide's `incoming_payload`.
    WebhookReceived,
    /// What is said in the message, as a server wrote it down: `transcription_payload`.
    Transcription,
    /// What the agent was asked: `agent_request_payload`.
    AgentRequest,
    /// What the agent answered: `agent_response_payload`.
    AgentResponse,
    /// What was sent to the person and what the channel answered: `outgoing_payload`.
    ChannelSend,
}

impl Stage {
    /// All stages, in the order of a message's way.
    pub const ALL: [Self; 5] =
        [Self::WebhookReceived, Self::Transcription, Self::AgentRequest, Self::AgentResponse, Self::ChannelSend];

    /// The word in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebhookReceived => "webhook_received",
            Self::Transcription => "transcription",
            Self::AgentRequest => "agent_request",
            Self::AgentResponse => "agent_response",
            Self::ChannelSend => "channel_send",
        }
    }
}

/// Everything known of a message at one moment: a whole row of `message_traces`.
///
/// Each event carries the whole row, so that one event alone tells the story when others were
/// dropped, and the recorder needs only to keep the newest. All times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// The message's trace, the same for each delivery of the same webhook.
    pub trace_id: Uuid,
    /// The immutable row id of the instance.
    pub instance_id: i64,
    /// The instance's name.
    pub instance_name: String,
    /// The channel's word.
    pub channel_type: String,
    /// How far it has come.
    pub status: TraceStatus,
    /// When ingress accepted it.
    pub received_at: i64,
    /// Everything else, absent until known.
    #[serde(flatten)]
    pub details: TraceDetails,
}

/// The columns of a trace that are known only as the message advances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the columns of `message_traces`, described in its table in the docs")]
pub struct TraceDetails {
    pub outcome: Option<Outcome>,
    pub outcome_reason: Option<String>,
    /// The turn that answered it; messages answered together share it.
    pub turn_id: Option<String>,
    /// The trace that carries the reply, where messages were gathered and this one was not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_in: Option<Uuid>,
    /// The channel's id of the message (the older system's `whatsapp_message_id`).
    pub provider_message_id: Option<String>,
    pub sender_phone: Option<String>,
    pub sender_name: Option<String>,
    /// The channel's id of the author (the older system's `sender_jid`).
    pub sender_id: Option<String>,
    pub message_type: Option<String>,
    pub message_content: Option<String>,
    pub has_media: Option<bool>,
    pub has_quoted_message: Option<bool>,
    /// In characters.
    pub message_length: Option<i32>,
    pub session_name: Option<String>,
    pub session_id: Option<String>,
    pub user_id: Option<String>,
    pub attempts: Option<i32>,
    pub processing_started_at: Option<i64>,
    pub agent_request_at: Option<i64>,
    pub agent_response_at: Option<i64>,
    pub channel_send_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub agent_processing_time_ms: Option<i32>,
    pub total_processing_time_ms: Option<i32>,
    pub agent_response: Option<String>,
    /// In characters.
    pub agent_response_length: Option<i32>,
    pub agent_response_success: Option<bool>,
    pub agent_request_tokens: Option<i32>,
    pub agent_response_tokens: Option<i32>,
    pub agent_tools_used: Option<i32>,
    pub evolution_response_code: Option<i32>,
    pub evolution_success: Option<bool>,
    pub channel_success: Option<bool>,
    /// The channel's ids of the bubbles that were sent, in order.
    pub reply_message_ids: Vec<String>,
    pub error_stage: Option<String>,
    pub error_message: Option<String>,
    /// Things worth a look that stopped nothing.
    pub warnings: Vec<String>,
}

/// A payload kept beside the trace, already masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagePayload {
    /// The step.
    pub stage: Stage,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The HTTP status of the other side's answer, where there is one.
    pub status_code: Option<i32>,
    /// The payload.
    pub body: serde_json::Value,
}

/// One event: the row as of now, and at most one payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// [`TRACE_EVENT_VERSION`] of the writer.
    pub v: u8,
    /// Grows with the message's progress; the recorder never lets a smaller one overwrite a
    /// larger one, in whatever order they arrive.
    pub revision: i64,
    /// The row.
    pub record: TraceRecord,
    /// The payload of the step, if it has one.
    pub payload: Option<StagePayload>,
}

impl TraceDetails {
    /// What is known of a message as soon as it is read.
    #[must_use]
    pub fn of(message: &InboundMessage) -> Self {
        let text = message.content.words();
        let text = text.as_deref();
        Self {
            provider_message_id: Some(message.provider_id.clone()),
            sender_phone: message.sender.phone.clone(),
            sender_name: message.sender.name.clone(),
            sender_id: Some(message.sender.id.clone()),
            message_type: Some(message.content.kind.as_str().to_owned()),
            message_content: text.map(|text| head(text, TEXT_CAP).to_owned()),
            message_length: text.and_then(|text| i32::try_from(text.chars().count()).ok()),
            has_media: Some(message.content.kind.has_media()),
            has_quoted_message: Some(message.quoted.is_some()),
            ..Self::default()
        }
    }

    /// What is known of a message that a program sends: the person is the one it goes to.
    #[must_use]
    pub fn of_outgoing(outgoing: &Outgoing) -> Self {
        let said = outgoing.content.said();
        Self {
            sender_phone: phone_of(&outgoing.chat).map(str::to_owned),
            sender_id: Some(outgoing.chat.clone()),
            message_type: Some(outgoing.content.kind().to_owned()),
            message_content: said.map(|said| head(said, TEXT_CAP).to_owned()),
            message_length: said.and_then(|said| i32::try_from(said.chars().count()).ok()),
            has_media: Some(outgoing.content.has_media()),
            has_quoted_message: Some(outgoing.quoted.is_some()),
            ..Self::default()
        }
    }

    /// Hides the instance's secrets in whatever people, agents and channels wrote.
    pub(super) fn mask(&mut self, secrets: &[&str]) {
        let texts = [
            &mut self.message_content,
            &mut self.sender_name,
            &mut self.agent_response,
            &mut self.error_message,
            &mut self.outcome_reason,
            &mut self.session_id,
            &mut self.user_id,
        ];
        for text in texts.into_iter().flatten().chain(&mut self.warnings) {
            mask_text(text, secrets);
        }
    }
}

impl TraceEvent {
    /// An event, fit to leave the process: secrets hidden, files out, texts within their caps.
    #[must_use]
    pub fn new(revision: i64, mut record: TraceRecord, payload: Option<StagePayload>, secrets: &[&str]) -> Self {
        record.details.mask(secrets);
        let payload = payload.map(|payload| StagePayload { body: presentable(payload.body, secrets), ..payload });
        Self { v: TRACE_EVENT_VERSION, revision, record, payload }
    }
}

/// The [`TraceEvent::revision`] of a step: attempts first, then the step, the outcome above all.
#[must_use]
pub fn revision(attempt: u32, status: TraceStatus, outcome: Option<Outcome>) -> i64 {
    let step = status as i64;
    match outcome {
        Some(_) => (1 << 40) + (i64::from(attempt) << 8) + step,
        None => (i64::from(attempt) << 8) + step,
    }
}

/// The [`TraceEvent::revision`] of a step of a message that came back from the dead letters for
/// the nth time: above everything that was told of it before, its outcome included.
#[must_use]
pub fn redriven_revision(nth: u32, revision: i64) -> i64 {
    (i64::from(nth.min(MOST_REDRIVES)) << 41) + revision
}

/// More are not told apart: a revision has 63 bits.
const MOST_REDRIVES: u32 = (1 << 21) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redriven_message_is_told_above_the_end_of_its_earlier_life() {
        let dead = revision(1_000_000, TraceStatus::Error, Some(Outcome::Dead));
        let begun = redriven_revision(1, revision(0, TraceStatus::WebhookReceived, None));
        assert!(begun > dead);
        assert!(redriven_revision(2, 0) > redriven_revision(1, dead));
        assert_eq!(redriven_revision(0, dead), dead);
        assert!(redriven_revision(u32::MAX, dead) > redriven_revision(7, dead));
    }
}
