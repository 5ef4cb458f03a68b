//! What stands between a message that gets an answer and the agent: opening hours and budgets.
//!
//! Outside of the opening hours a person is told so once per conversation and day of the office. The
//! text goes out as an answer does, under the same checkpoints, and the checkpoint that says it is
//! being sent also says on which day it was told: both are kept, or neither. The message ends
//! `ignored`, since nobody has answered what it asks; its trace has the text.

use omnihub_common::{
    channel::whatsapp::{outbound::Evolution, receipt::read_key},
    instance::OpeningHours,
    queue::{Answer, Phase, now_ms},
    telemetry::propagation,
    trace::Outcome,
};
use serde_json::Value;

use super::{
    Exit, Opened, Running, Turn, admit::Ignored, answer::apology, candidates::HANDED_OVER, ignored, send::evolution,
    story::Story,
};

impl Turn {
    /// What the person is told instead of an answer, when the message came outside of the opening hours.
    pub(super) fn out_of_office(&mut self, opened: &Opened) -> Result<Option<Answer>, Exit> {
        let office = &opened.instance.office;
        let came_at = opened.envelope.counts_from();
        let is_closed = |hours: &&OpeningHours| !hours.is_open(came_at);
        let Some(hours) = office.hours.as_ref().filter(is_closed) else { return Ok(None) };
        let today = hours.day(came_at);
        match office.message.as_deref() {
            Some(text) if self.checkpoint.told_closed != today => {
                self.checkpoint.told_closed = today;
                let reason = Ignored::OutOfOffice.reason();
                Ok(Some(apology(&opened.instance, text, reason, now_ms())))
            }
            _ => Err(ignored(Ignored::OutOfOffice)),
        }
    }

    /// Counts the turn against the instance's budgets, once; while the database is away they are
    /// not looked at.
    pub(super) async fn spend_turn(&mut self, opened: &Opened, story: &mut Story) -> Result<(), Exit> {
        // What is out of an answer was paid for.
        let is_paid = self.is_sending() || self.open_turn().is_some_and(|open| open.budgeted);
        if is_paid || !opened.instance.budget.is_any() {
            return Ok(());
        }
        let counted = match self.checkpoint.prepaid {
            true => Ok(Ok(())),
            false => self.kit.budgets.begin_turn(&opened.instance, now_ms()).await,
        };
        match counted {
            Ok(Ok(())) => {
                let (attempt, failures) = self.open_turn().map_or((0, 0), |open| (open.attempt, open.failures));
                self.remember(attempt, failures, Phase::Asking, Running::GoesOn);
                if let Some(open) = &mut self.checkpoint.open {
                    open.budgeted = true;
                }
            }
            Ok(Err(spent)) => return Err(ignored(Ignored::Spent(spent))),
            Err(_) => {
                let warning = "the agent was asked without a look at the budgets: the database cannot be asked";
                story.details().warnings.push(warning.to_owned());
            }
        }
        Ok(())
    }

    /// Counts the tokens of an answer; without the database they are not counted.
    pub(super) async fn spend_tokens(&self, opened: &Opened, answer: &Answer) {
        let tokens = i64::from(answer.tokens.0.unwrap_or_default()) + i64::from(answer.tokens.1.unwrap_or_default());
        if self.kit.budgets.use_tokens(&opened.instance, tokens, now_ms()).await.is_err() {
            tracing::debug!("the tokens of an answer were not counted");
        }
    }

    /// Marks the turn's messages as read, where the instance wants it. Nobody waits for it, and
    /// failures are counted and nothing else.
    pub(super) fn mark_read(&self, opened: &Opened) {
        if !opened.instance.reply.mark_read || self.attempts() > 0 {
            return;
        }
        let messages = opened.earlier.iter().chain([&opened.message]);
        let keys: Vec<Value> = messages.filter_map(read_key).collect();
        let (kit, name) = (self.kit.clone(), opened.instance.name.to_string());
        match evolution(&kit, &opened.instance) {
            Ok(evolution) if !keys.is_empty() => {
                tokio::spawn(async move {
                    if !marked(&evolution, &keys, &kit.typing).await {
                        kit.metrics.failed(&name, "mark_read");
                    }
                });
            }
            _ => {}
        }
    }
}

/// Whether Evolution took it; without a free seat it is not asked.
async fn marked(evolution: &Evolution, keys: &[Value], seats: &tokio::sync::Semaphore) -> bool {
    let Ok(_seat) = seats.try_acquire() else { return false };
    evolution.mark_read(keys, propagation::inject_current()).await.is_ok()
}

/// How a turn ends whose messages got a text of the instance's own.
pub(super) fn ended_instead(reason: String) -> Exit {
    let outcome = match reason.as_str() {
        HANDED_OVER => Outcome::HandedOff,
        other if is_out_of_office(other) => Outcome::Ignored,
        _ => Outcome::Dead,
    };
    Exit::End(outcome, reason)
}

pub(super) fn is_out_of_office(reason: &str) -> bool {
    reason == Ignored::OutOfOffice.reason()
}
