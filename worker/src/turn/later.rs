//! Later answers: an agent that answers 202 posts its answer to the hub when it has it.
//!
//! ```text
//! asked, with an address to post to  ->  202  ->  fenced: awaiting until T  ->  the lane waits, nobody runs
//!   ->  ingress takes the answer into the lane as a command  ->  it becomes the turn's answer, and is sent
//!   ->  or T comes: that agent has failed, and the next one is asked
//! ```
//!
//! The lane waits as it does for a retry: sends go past it, a takeover ends it, and what the person writes
//! meanwhile has its turn behind. The answer is kept before the agent is told so, and taken once: of a turn
//! that has an answer, or has ended, or was taken back, another one changes nothing.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use omnihub_common::{
    conversation::{Decision, Ticket, Tickets},
    instance::{AgentProtocol, Instance},
    queue::{Answer, Awaiting, LateAnswer, MessageId, OpenTurn, Phase, now_ms},
    secret::Secret,
    trace::{Stage, TraceStatus},
};
use serde_json::Value;

use super::{
    Exit, Opened, Running, Turn,
    answer::{after, hash_of, stored},
    part::Part,
    story::Story,
};
use crate::agent::{self, AgentError};

/// The word for what the lane waits for.
const AWAITED: &str = "answer_awaited";

/// An answer is waited for until its message is so old: it is to be sent within the message's day.
const LAST_ANSWER_MS: i64 = 23 * 60 * 60 * 1000;

/// Where agents post that answer later.
#[derive(Clone, Debug)]
pub(crate) struct ReplyDoor {
    tickets: Tickets,
    /// The hub's address as agents reach it.
    public_url: Option<String>,
}

impl ReplyDoor {
    /// Below this address; without one no answer can come later.
    pub(crate) fn new(tickets: Tickets, public_url: Option<String>) -> Self {
        Self { tickets, public_url }
    }
}

impl Turn {
    /// The address at which the agent that is asked now may answer later; whoever knows it may.
    pub(super) fn reply_url(&self, opened: &Opened, story: &mut Story, asked_at: i64) -> Option<String> {
        let agent = &opened.instance.agent;
        let door = &self.kit.replies;
        let hub = door.public_url.as_deref().filter(|_| agent.protocol == AgentProtocol::Webhook)?;
        let ticket = door.tickets.seal(&Ticket {
            instance_id: opened.instance.id,
            session_name: opened.envelope.session_name.clone(),
            turn_id: self.turn_id(),
            trace_id: opened.envelope.trace_id,
            fallback: opened.fallback.clone(),
            until: until(opened, asked_at),
        })?;
        story.hide_also(Secret::new(ticket.as_str()));
        Some(format!("{}/api/v1/replies/{ticket}", hub.trim_end_matches('/')))
    }

    /// A turn whose agent may answer later is known before the agent is: its answer may come first, and
    /// find another worker.
    pub(super) async fn open_for_later(&mut self, opened: &Opened) -> Result<(), Exit> {
        let may = self.kit.replies.public_url.is_some() && opened.instance.agent.protocol == AgentProtocol::Webhook;
        if !may || self.open_turn().is_some() {
            return Ok(());
        }
        self.remember(0, 0, Phase::Asking, Running::GoesOn);
        self.write().await
    }

    /// Whether this is no failure but the promise of an answer, which can be kept.
    pub(super) fn answers_later(&self, error: &AgentError) -> bool {
        error.is_later() && self.kit.replies.public_url.is_some()
    }

    /// The agent answers later: the lane waits, and this turn ends.
    pub(super) async fn await_answer(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        promise: AgentError,
        asked_at: i64,
    ) -> Exit {
        let until = until(opened, asked_at);
        let shown = DateTime::from_timestamp_millis(until).unwrap_or_default();
        let shown = shown.to_rfc3339_opts(SecondsFormat::Secs, true);
        story.warn(format!("the agent answers later: its answer is waited for until {shown}"));
        let payload = promise.body.map(|body| (Stage::AgentResponse, promise.status, body));
        story.step(TraceStatus::AgentCalled, payload).await;
        self.wait_on(Awaiting { fallback: opened.fallback.clone(), asked_at, until })
    }

    fn wait_on(&mut self, awaiting: Awaiting) -> Exit {
        let left = u64::try_from(awaiting.until - now_ms()).unwrap_or_default();
        let (attempt, failures) = self.open_turn().map_or((0, 0), |open| (open.attempt, open.failures));
        let phase = self.out_so_far().map_or(Phase::Asking, Phase::Sending);
        self.remember(attempt, failures, phase, Running::Waits);
        if let Some(open) = &mut self.checkpoint.open {
            open.awaiting = Some(awaiting);
        }
        Exit::Retry(Duration::from_millis(left), AWAITED)
    }

    /// The turn has begun again while an answer is waited for: it waits on, or the agent has failed.
    pub(super) async fn still_awaited(
        &mut self,
        opened: &mut Opened,
        parts: &mut [Part],
        story: &mut Story,
        awaiting: Awaiting,
    ) -> Result<Answer, Exit> {
        if awaiting.until > now_ms() {
            return Err(self.wait_on(awaiting));
        }
        let error = AgentError {
            message: "the agent did not answer in the time that it was given for a later answer".to_owned(),
            status: None,
            body: None,
            decision: Decision::Dead("agent_never_answered".to_owned()),
        };
        let failed = awaiting.fallback.as_deref();
        // Those before it may answer by now.
        let decision = if self.is_first(opened, failed) { error.decision } else { Decision::Again(None) };
        let error = AgentError { decision, ..error };
        Box::pin(self.ask_behind((opened, parts, story), failed, (error, awaiting.asked_at))).await
    }

    /// What an agent has answered later becomes the answer of the turn that waits for it.
    pub(super) fn take_answer(&mut self, instance: &Instance, body: Value) {
        let Ok(late) = serde_json::from_value::<LateAnswer>(body) else { return };
        let Some(open) = self.checkpoint.overtaken.as_mut().filter(|open| is_about(open, &late)) else { return };
        let now = now_ms();
        let asked_at = open.awaiting.as_ref().map_or(now, |awaiting| awaiting.asked_at);
        match agent::read_later(&late.content_type, late.body.into_bytes()) {
            Ok(reply) => {
                let answer = Answer { by: late.fallback, ..stored(instance, &reply, asked_at, now) };
                let out = match std::mem::replace(&mut open.phase, Phase::Asking) {
                    Phase::Sending(out) => Some(out),
                    Phase::Asking => None,
                };
                open.phase = Phase::Sending(after(out, answer));
                (open.failures, open.beginnings, open.awaiting) = (0, 0, None);
            }
            // It will not come again.
            Err(_) => open.awaiting = Some(Awaiting { fallback: late.fallback, asked_at, until: now }),
        }
    }
}

/// Until when an answer is waited for, in milliseconds since 1970: as the instance says, and not until
/// the message is too old to be answered.
fn until(opened: &Opened, asked_at: i64) -> i64 {
    let wanted = asked_at + i64::from(opened.instance.agent.options.late_answer_minutes) * 60_000;
    wanted.min(opened.envelope.counts_from() + LAST_ANSWER_MS)
}

/// Whether the turn still wants this answer. It may come before the turn knows that it is to wait.
fn is_about(open: &OpenTurn, late: &LateAnswer) -> bool {
    let from_another = open.awaiting.as_ref().is_some_and(|awaiting| awaiting.fallback != late.fallback);
    let is_asking = match &open.phase {
        Phase::Asking => true,
        Phase::Sending(answer) => answer.growing,
    };
    is_asking && !from_another && turn_id(&open.ids) == late.turn_id
}

/// A turn's id, of its ordered message ids.
pub(super) fn turn_id(ids: &[MessageId]) -> String {
    let ids: String = ids.iter().map(|id| id.to_hex()).collect();
    hash_of(&ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_wanted_by_its_own_turn_until_there_is_one() {
        let ids = vec![MessageId::of_own(1, "acme_1", "a")];
        let late =
            LateAnswer { turn_id: turn_id(&ids), fallback: None, content_type: "text/plain".into(), body: "hi".into() };
        let asking = OpenTurn::new(ids.clone());
        assert!(is_about(&asking, &late), "it came before the 202");
        let awaiting =
            |fallback: Option<&str>| Some(Awaiting { fallback: fallback.map(str::to_owned), asked_at: 1, until: 2 });
        assert!(is_about(&OpenTurn { awaiting: awaiting(None), ..asking.clone() }, &late));
        assert!(!is_about(&OpenTurn { awaiting: awaiting(Some("backup")), ..asking.clone() }, &late));
        assert!(!is_about(&OpenTurn { phase: Phase::Sending(Answer::default()), ..asking }, &late));
        let other = OpenTurn::new(vec![MessageId::of_own(1, "acme_1", "b")]);
        assert!(!is_about(&other, &late));
    }
}
