//! The explanation of a message: why it was answered, ignored or delayed, in sentences.
//!
//! [`explain`] is pure: it reads the trace's row, where the message is while it has not ended, and
//! its dead letter if it is one. `reasons` has a sentence and a remedy for every reason, `steps`
//! the timetable.
//!
//! What this is not for: programs that want to decide something read the trace itself; the
//! sentences may change with every version.

mod bubbles;
mod reasons;
mod steps;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Outcome, entity::message_trace::Model};
use crate::{
    conversation::whereabouts::{Standing, Whereabouts, span},
    queue::DeadLetter,
};

pub use reasons::{remedy_of, sentence_of};
pub use steps::Step;

/// A message that took longer than this until its turn began has waited.
const WORTH_A_WORD_MS: i64 = 1_000;

/// What the sentences come down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answer was sent.
    Answered,
    /// Nothing was to be done.
    Ignored,
    /// A person has taken over.
    HandedOff,
    /// It is in the dead letters.
    Dead,
    /// It has not ended, and nothing is wrong.
    UnderWay,
    /// It has not ended, because something went wrong before.
    Delayed,
}

/// Why a message was answered, ignored or delayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The message's trace.
    pub trace_id: Uuid,
    /// What it comes down to.
    pub verdict: Verdict,
    /// The story, in order.
    pub sentences: Vec<String>,
    /// The timetable.
    pub steps: Vec<Step>,
    /// What to do, where something is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Explains a message as of `now`. `whereabouts` matters while it has not ended, `letter` when it
/// is dead.
#[must_use]
pub fn explain(
    trace: &Model,
    whereabouts: Option<&Whereabouts>,
    letter: Option<&DeadLetter>,
    now: DateTime<Utc>,
) -> Explanation {
    let outcome = trace.outcome.as_deref().and_then(Outcome::parse);
    let standing = whereabouts.map(|found| &found.standing).filter(|_| outcome.is_none());
    let mut sentences = vec![arrival(trace)];
    sentences.extend(beginning(trace));
    sentences.extend(agent(trace));
    sentences.extend(sending(trace));
    match outcome {
        Some(outcome) => sentences.extend(ending(trace, outcome, letter)),
        None => sentences.extend(present(trace, whereabouts, now)),
    }
    sentences.extend(warnings(trace));
    Explanation {
        trace_id: trace.trace_id,
        verdict: verdict(trace, outcome, standing),
        sentences,
        steps: steps::of(trace),
        remedy: remedy(trace, outcome, standing),
    }
}

fn verdict(trace: &Model, outcome: Option<Outcome>, standing: Option<&Standing>) -> Verdict {
    match outcome {
        Some(Outcome::Answered) => Verdict::Answered,
        Some(Outcome::Ignored) => Verdict::Ignored,
        Some(Outcome::HandedOff) => Verdict::HandedOff,
        Some(Outcome::Dead) => Verdict::Dead,
        None if standing.is_some_and(Standing::is_delayed) || trace.error_message.is_some() => Verdict::Delayed,
        None => Verdict::UnderWay,
    }
}

fn remedy(trace: &Model, outcome: Option<Outcome>, standing: Option<&Standing>) -> Option<String> {
    let word = match (outcome, standing) {
        (Some(_), _) => trace.outcome_reason.as_deref(),
        (None, Some(Standing::Held { why, .. } | Standing::Dead { reason: why, .. })) => Some(why.as_str()),
        (None, _) => None,
    };
    let remedy = word.and_then(remedy_of)?;
    Some(remedy.replace("instance update NAME", &format!("instance update {}", trace.instance_name)))
}

/// When it came, from whom, to whom.
fn arrival(trace: &Model) -> String {
    let phone = trace.sender_phone.as_ref().map(|phone| format!("+{phone}"));
    let person = match (&trace.sender_name, phone) {
        (Some(name), Some(phone)) => format!("{name} ({phone})"),
        (Some(name), None) => name.clone(),
        (None, Some(phone)) => phone,
        (None, None) => "an unknown sender".to_owned(),
    };
    let at = trace.received_at.format("%Y-%m-%d %H:%M:%S UTC");
    let kind = trace.message_type.as_deref().unwrap_or("unknown").replace('_', " ");
    let length = trace.message_length.map(|length| format!(", {}", count(i64::from(length), "character")));
    let (instance, length) = (&trace.instance_name, length.unwrap_or_default());
    if is_send(trace) {
        let kind = kind.trim_start_matches("send ");
        return format!(
            "It was asked over the API to be sent at {at} from {instance} to {person} over {} ({kind}{length}).",
            trace.channel_type
        );
    }
    format!("It came at {at} from {person} to {instance} over {} ({kind}{length}).", trace.channel_type)
}

/// Whether a program sent it.
fn is_send(trace: &Model) -> bool {
    trace.message_type.as_deref().is_some_and(|kind| kind.starts_with("send_"))
}

/// How long it waited, and how often it was begun.
fn beginning(trace: &Model) -> Option<String> {
    let begun = trace.processing_started_at?;
    let waited = (begun - trace.received_at).num_milliseconds();
    match trace.attempts.unwrap_or(1) {
        attempts if attempts > 1 && trace.outcome.is_none() => Some(format!(
            "It has been tried {attempts} times so far; the last attempt began {} after it came.",
            span(waited)
        )),
        attempts if attempts > 1 => {
            Some(format!("It took {attempts} attempts; the last one began {} after it came.", span(waited)))
        }
        _ if waited >= WORTH_A_WORD_MS => Some(format!(
            "It waited {} until its turn began, behind earlier messages of its conversation or for a free turn.",
            span(waited)
        )),
        _ => None,
    }
}

/// What the agent did.
fn agent(trace: &Model) -> Option<String> {
    trace.agent_request_at?;
    let took = trace.agent_processing_time_ms.map(|ms| format!(" after {}", span(i64::from(ms)))).unwrap_or_default();
    match trace.agent_response_success {
        Some(true) => {
            let length = count(i64::from(trace.agent_response_length.unwrap_or_default()), "character");
            let tools = trace.agent_tools_used.filter(|tools| *tools > 0);
            let tools = tools.map(|tools| format!(", using {}", count(i64::from(tools), "tool"))).unwrap_or_default();
            Some(format!("The agent was asked and answered{took} with {length}{tools}."))
        }
        Some(false) => Some(format!("The agent was asked and failed{took}{}.", error(trace, "agent_called"))),
        None => None,
    }
}

/// What went out.
fn sending(trace: &Model) -> Option<String> {
    let sent = sent(trace);
    let failed = trace.error_stage.as_deref() == Some("channel_send");
    match (sent, failed) {
        (0, false) => None,
        (0, true) if is_send(trace) => Some(format!("Sending it failed{}.", error(trace, "channel_send"))),
        (0, true) => Some(format!("Sending the answer failed{}.", error(trace, "channel_send"))),
        (sent, false) if is_send(trace) => Some(format!("It went out in {}.", count(sent, "message"))),
        (sent, false) if trace.outcome_reason.as_deref() == Some("out_of_office") => {
            Some(format!("The out-of-office text went out in {}.", count(sent, "message")))
        }
        (sent, false) => Some(format!("The answer went out in {}.", count(sent, "message"))),
        (sent, true) => {
            let went = if sent == 1 { "went" } else { "had gone" };
            Some(format!(
                "{} {went} out before sending failed{}.",
                count(sent, "message"),
                error(trace, "channel_send")
            ))
        }
    }
}

/// How it ended, and why.
fn ending(trace: &Model, outcome: Outcome, letter: Option<&DeadLetter>) -> Vec<String> {
    let took = trace.total_processing_time_ms.map(|ms| format!(" {} after it came", span(i64::from(ms))));
    let took = took.unwrap_or_default();
    let why = trace.outcome_reason.as_deref().map(sentence_of);
    let ended = match (outcome, why) {
        (Outcome::Answered, _) if is_send(trace) => format!("It was sent{took}."),
        (Outcome::Answered, Some(why)) => format!("It was answered in part{took}: {why}"),
        (Outcome::Answered, _) => format!("It was answered{took}."),
        (Outcome::HandedOff, Some(why)) if trace.outcome_reason.as_deref() == Some("handed_over") => {
            format!("It was left to people: {why}")
        }
        (Outcome::HandedOff, _) => "A person has taken over the conversation, so the bot stayed silent.".to_owned(),
        (Outcome::Ignored, Some(why)) => format!("It was ignored: {why}"),
        (Outcome::Ignored, None) => "It was ignored.".to_owned(),
        (Outcome::Dead, Some(why)) => format!("It went to the dead letters{took}: {why}"),
        (Outcome::Dead, None) => format!("It went to the dead letters{took}."),
    };
    let mut sentences = vec![ended];
    if let Some(other) = trace.answered_in {
        let told = "It was handled together with a later message of the conversation, whose trace has the rest";
        sentences.push(format!("{told}: {other}."));
    }
    if outcome == Outcome::Dead {
        sentences.push(kept(letter));
        let told = matches!(trace.error_stage.as_deref(), Some("agent_called" | "channel_send"));
        if let (Some(error), false) = (&trace.error_message, told) {
            sentences.push(format!("The last error: {}.", clause(error)));
        }
    }
    sentences
}

fn kept(letter: Option<&DeadLetter>) -> String {
    match letter {
        Some(letter) => {
            format!("The dead letter is kept, after {}.", count(i64::from(letter.attempts), "attempt"))
        }
        None => "The dead letter is no longer kept.".to_owned(),
    }
}

/// Where it is, while it has not ended.
fn present(trace: &Model, whereabouts: Option<&Whereabouts>, now: DateTime<Utc>) -> Vec<String> {
    let Some(found) = whereabouts else {
        return vec![format!("It has not ended; its last known step is {}.", trace.status.replace('_', " "))];
    };
    let mut sentences = vec![found.standing.sentence(now)];
    if let Some(ahead) = &found.ahead {
        sentences.push(format!("Of the message at the front: {}", ahead.sentence(now)));
    }
    if found.owner.is_none() && !found.standing.has_ended() {
        sentences.push("No worker owns its conversation at the moment, so nothing happens until one does.".to_owned());
    }
    sentences
}

/// Things worth a look that stopped nothing.
fn warnings(trace: &Model) -> Vec<String> {
    let warnings: Vec<String> = serde_json::from_str(&trace.warnings).unwrap_or_default();
    // Why it is held now is told as where it is.
    let warnings = warnings.into_iter().filter(|warning| !warning.starts_with("held: "));
    warnings.map(|warning| format!("Worth a look: {}.", clause(&warning))).collect()
}

fn sent(trace: &Model) -> i64 {
    let ids: Vec<String> = serde_json::from_str(&trace.reply_message_ids).unwrap_or_default();
    i64::try_from(ids.len()).unwrap_or_default()
}

/// The error of a stage, as what follows a colon.
fn error(trace: &Model, stage: &str) -> String {
    let of_stage = trace.error_stage.as_deref() == Some(stage);
    let message = trace.error_message.as_deref().filter(|_| of_stage);
    message.map(|message| format!(": {}", clause(message))).unwrap_or_default()
}

/// A text of others as the end of a sentence.
fn clause(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}

fn count(n: i64, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}
