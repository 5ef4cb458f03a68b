//! The tail: a line for each step that a message takes, for those who watch.
//!
//! A line is made of an event that was masked where it was made. It holds a text's beginning and
//! no payload, so that many lines fit into little memory.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Outcome, TraceRecord, TraceStatus, mask::head};
use crate::key::Reach;

/// So many bytes of a text stand in a line.
const TEXT_CAP: usize = 200;

/// One step of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TailLine {
    /// When it was heard of.
    pub at: DateTime<Utc>,
    /// The message's trace.
    pub trace_id: Uuid,
    /// The instance's name.
    pub instance_name: String,
    /// How far it has come.
    pub status: TraceStatus,
    /// How it ended, when it has.
    pub outcome: Option<Outcome>,
    /// Why it ended so.
    pub outcome_reason: Option<String>,
    /// Who wrote it.
    pub sender_phone: Option<String>,
    /// What it says, or how that begins.
    pub message: Option<String>,
    /// Which attempt this is, from 1.
    pub attempts: Option<i32>,
    /// Where an attempt failed.
    pub error_stage: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// How long the agent took.
    pub agent_processing_time_ms: Option<i32>,
    /// How long everything took, when it has ended.
    pub total_processing_time_ms: Option<i32>,
    /// How many messages the answer has become so far.
    pub sent: usize,
}

impl TailLine {
    /// The line of an event.
    #[must_use]
    pub fn of(record: TraceRecord, at: DateTime<Utc>) -> Self {
        let details = record.details;
        let short = |text: Option<String>| text.map(|text| head(&text, TEXT_CAP).to_owned());
        Self {
            at,
            trace_id: record.trace_id,
            instance_name: record.instance_name,
            status: record.status,
            outcome: details.outcome,
            outcome_reason: short(details.outcome_reason),
            sender_phone: short(details.sender_phone),
            message: short(details.message_content),
            attempts: details.attempts,
            error_stage: short(details.error_stage),
            error_message: short(details.error_message),
            agent_processing_time_ms: details.agent_processing_time_ms,
            total_processing_time_ms: details.total_processing_time_ms,
            sent: details.reply_message_ids.len(),
        }
    }

    /// Whether it tells of something that went wrong.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self.outcome {
            Some(outcome) => outcome == Outcome::Dead,
            None => self.error_message.is_some(),
        }
    }
}

/// What a watcher wants to see.
#[derive(Clone, Debug)]
pub struct TailFilter {
    /// The tenants that the watcher may see at all.
    pub reach: Reach,
    /// Of this instance only.
    pub instance_name: Option<String>,
    /// Only ends of this kind.
    pub outcome: Option<Outcome>,
    /// Only what went wrong.
    pub errors: bool,
}

impl TailFilter {
    /// Whether the watcher wants this line.
    #[must_use]
    pub fn takes(&self, line: &TailLine) -> bool {
        let visible = self.reach.includes(&line.instance_name);
        visible
            && self.instance_name.as_ref().is_none_or(|name| *name == line.instance_name)
            && self.outcome.is_none_or(|outcome| line.outcome == Some(outcome))
            && (!self.errors || line.is_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{key::Everyone, trace::fixture::event};

    fn line(change: impl FnOnce(&mut TailLine)) -> TailLine {
        let mut line = TailLine::of(event(1, 1, TraceStatus::AgentCalled).record, DateTime::UNIX_EPOCH);
        change(&mut line);
        line
    }

    #[test]
    fn a_line_holds_the_beginning_of_a_text() {
        let mut record = event(1, 1, TraceStatus::AgentCalled).record;
        record.details.message_content = Some("ã".repeat(10_000));
        assert_eq!(TailLine::of(record, DateTime::UNIX_EPOCH).message.map(|text| text.len()), Some(TEXT_CAP));
    }

    #[test]
    fn a_watcher_sees_what_it_asked_for_and_nothing_of_others() {
        let all = || TailFilter {
            reach: Reach::Everyone(Everyone::for_admin()),
            instance_name: None,
            outcome: None,
            errors: false,
        };
        let (step, failed) = (line(|_| {}), line(|line| line.error_message = Some("no".into())));
        let dead = line(|line| line.outcome = Some(Outcome::Dead));
        let mended = line(|line| {
            line.outcome = Some(Outcome::Answered);
            line.error_message = Some("the first attempt failed".into());
        });
        let seen = |filter: TailFilter| [&step, &failed, &dead, &mended].map(|line| filter.takes(line));
        assert_eq!(seen(all()), [true; 4]);
        assert_eq!(seen(TailFilter { errors: true, ..all() }), [false, true, true, false]);
        assert_eq!(seen(TailFilter { outcome: Some(Outcome::Dead), ..all() }), [false, false, true, false]);
        assert_eq!(seen(TailFilter { instance_name: Some("globex".into()), ..all() }), [false; 4]);
        let reach = Reach::one("globex");
        assert_eq!(seen(TailFilter { reach, ..all() }), [false; 4]);
    }
}
