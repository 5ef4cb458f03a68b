//! One turn: the next message of a conversation, from the queue to its outcome.
//!
//! ```text
//! read, admit  ->  [fenced: asking]  ->  ask  ->  fenced: answer, sending 1  ->  send 1
//!   -> fenced: sent 1, sending 2 -> send 2 ...  ->  outcome confirmed  ->  fenced: done  ->  ack
//! ```
//!
//! Wherever it is cut, the checkpoint tells the next owner where to go on: the agent is asked
//! again with the same key, a stored answer is never asked for again, and of the bubbles only the
//! one whose send had begun may go out twice.

mod admit;
mod answer;
mod ask;
mod bury;
mod kit;
mod presence;
mod retry;
mod send;
mod story;
#[cfg(test)]
pub(crate) mod tests;

use std::{sync::Arc, time::Duration};

use omnihub_common::{
    channel::{InboundMessage, whatsapp::inbound::read_message},
    conversation::Decision,
    instance::Instance,
    queue::{
        Answer, Checkpoint, Envelope, EnvelopeBody, InstanceToken, LaneAddress, MediaError, MessageId, OpenTurn, Phase,
        SharedPartition, WriteError, now_ms,
    },
    telemetry::propagation,
    trace::{Outcome, TraceStatus},
};
use tracing::Instrument;

pub(crate) use bury::bury_unreadable;
pub(crate) use kit::{Kit, TurnMetrics};

use crate::scheduler::{Message, TurnEnd};
use admit::{Ignored, admit};
use story::Story;

/// A message that is older than this when its turn begins gets no answer any more.
const ANSWER_MAX_AGE_MS: i64 = 24 * 60 * 60 * 1000;
/// A body in the object store may have so many bytes.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// A turn that is about to run.
#[derive(Debug)]
pub(crate) struct Turn {
    kit: Arc<Kit>,
    partition: SharedPartition,
    lane: LaneAddress,
    items: Vec<Message>,
    checkpoint: Checkpoint,
}

/// What leaves the straight path of a turn.
enum Exit {
    /// It ends in this way, and its messages are done.
    End(Outcome, String),
    /// It ends without a trace: there is no instance left to tell it to. Nothing is kept either.
    Vanish,
    /// Its messages stay.
    Later(Duration),
    /// The partition is lost.
    Fenced,
}

impl From<WriteError> for Exit {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced => Self::Fenced,
            WriteError::Refused(_) => Self::End(Outcome::Dead, "checkpoint_refused".to_owned()),
        }
    }
}

/// A message with all that its turn needs.
struct Opened {
    envelope: Envelope,
    instance: Arc<Instance>,
    message: InboundMessage,
}

impl Turn {
    pub(crate) fn new(
        kit: Arc<Kit>,
        partition: SharedPartition,
        lane: LaneAddress,
        items: Vec<Message>,
        checkpoint: Checkpoint,
    ) -> Self {
        Self { kit, partition, lane, items, checkpoint }
    }

    /// Runs it; a lost partition cuts it at once.
    pub(crate) async fn run(self) -> TurnEnd {
        let span = tracing::info_span!("turn", instance.token = %self.lane.instance, trace.id = tracing::field::Empty);
        let headers = self.items.first().and_then(|item| item.delivery.headers.as_ref());
        propagation::set_parent(&span, propagation::extract_nats(headers));
        let gone = self.partition.gone().clone();
        async move {
            tokio::select! {
                biased;
                () = gone.cancelled() => TurnEnd::Fenced,
                end = self.steps() => end,
            }
        }
        .instrument(span)
        .await
    }

    async fn steps(mut self) -> TurnEnd {
        if !self.partition.may_act() {
            return TurnEnd::Fenced;
        }
        let opened = match self.open().await {
            Ok(opened) => opened,
            Err(exit) => return self.leave(None, None, exit).await,
        };
        tracing::Span::current().record("trace.id", tracing::field::display(opened.envelope.trace_id));
        let mut story = self.begin_story(&opened);
        match self.answer(&opened, &mut story).await {
            Ok(()) => self.leave(Some(&opened), Some(&mut story), Exit::End(Outcome::Answered, String::new())).await,
            Err(exit) => self.leave(Some(&opened), Some(&mut story), exit).await,
        }
    }

    /// Reads the message and the instance it belongs to.
    async fn open(&self) -> Result<Opened, Exit> {
        let Some(item) = self.items.first() else { return Err(Exit::Vanish) };
        let Ok(mut envelope) = serde_json::from_slice::<Envelope>(&item.delivery.payload) else {
            return Err(Exit::End(Outcome::Dead, "unreadable".to_owned()));
        };
        if envelope.v != Envelope::VERSION {
            return Err(Exit::End(Outcome::Dead, "unknown_version".to_owned()));
        }
        let instance = match self.kit.directory.by_id(envelope.instance_id).await {
            Ok(Some(instance)) => instance,
            Ok(None) => return Err(Exit::Vanish),
            Err(_) => return Err(Exit::Later(retry::PAUSE)),
        };
        if let EnvelopeBody::Object(name) = &envelope.body {
            let bytes = match self.kit.media.get(name, BODY_LIMIT).await {
                Ok(bytes) => bytes,
                Err(MediaError::Absent) => return Err(Exit::End(Outcome::Dead, "body_missing".to_owned())),
                Err(MediaError::Unavailable(_)) => return Err(Exit::Later(retry::PAUSE)),
            };
            let Ok(body) = serde_json::from_slice(&bytes) else {
                return Err(Exit::End(Outcome::Dead, "body_unreadable".to_owned()));
            };
            envelope.body = EnvelopeBody::Inline(body);
        }
        let EnvelopeBody::Inline(body) = &envelope.body else { return Err(Exit::Vanish) };
        let message = read_message(body);
        Ok(Opened { envelope, instance, message })
    }

    fn begin_story(&self, opened: &Opened) -> Story {
        let attempt = self.open_turn().map_or(0, |open| open.attempt);
        let mut story = Story::new(self.kit.traces.clone(), &opened.envelope, &opened.instance, attempt);
        story.read(&opened.message);
        story.details().turn_id = Some(self.turn_id());
        story
    }

    /// The straight path.
    async fn answer(&mut self, opened: &Opened, story: &mut Story) -> Result<(), Exit> {
        let answer = match self.open_turn().map(|open| &open.phase) {
            Some(Phase::Sending(answer)) => answer.clone(),
            _ => {
                admit(&opened.instance, &opened.message, opened.envelope.own_id.as_deref()).map_err(ignored)?;
                if now_ms() - opened.envelope.received_at > ANSWER_MAX_AGE_MS {
                    return Err(Exit::End(Outcome::Dead, "too_old".to_owned()));
                }
                story.step(TraceStatus::Processing, None).await;
                self.ask(opened, story).await?
            }
        };
        self.send(opened, story, answer).await
    }

    /// Whatever happened, the one place where a turn ends.
    async fn leave(self, opened: Option<&Opened>, story: Option<&mut Story>, exit: Exit) -> TurnEnd {
        let (outcome, reason) = match exit {
            Exit::Fenced => return TurnEnd::Fenced,
            Exit::Later(after) => return TurnEnd::Again(self.checkpoint, after),
            Exit::Vanish => return self.vanish().await,
            // The instance went while the message failed.
            Exit::End(Outcome::Dead, _) if self.is_orphaned().await => return self.vanish().await,
            Exit::End(outcome, reason) => (outcome, reason),
        };
        let instance = opened.map_or(self.lane.instance.as_str(), |opened| opened.envelope.instance.as_str());
        self.kit.metrics.ended(instance, outcome.as_str());
        if outcome == Outcome::Dead && !self.bury(opened, story.as_deref(), &reason).await {
            return TurnEnd::Fenced;
        }
        if let Some(story) = story {
            let partition = self.partition.clone();
            let reason = Some(reason.as_str()).filter(|reason| !reason.is_empty());
            let payload = self.sent_payload();
            if !story.end(outcome, reason, payload, || partition.may_act()).await {
                return TurnEnd::Fenced;
            }
        }
        self.done().await
    }

    /// Whether the instance was deleted while the turn ran: then nothing more may be asked, sent
    /// or kept for it. In an outage of the database it counts as there.
    async fn is_orphaned(&self) -> bool {
        let Some(id) = InstanceToken::row_id(&self.lane.instance) else { return false };
        matches!(self.kit.directory.by_id(id).await, Ok(None))
    }

    async fn vanish(self) -> TurnEnd {
        tracing::info!(instance.token = %self.lane.instance, "a message of a deleted instance is dropped");
        match self.partition.forget(&self.lane).await {
            Ok(()) => TurnEnd::Done(Checkpoint::new()),
            Err(error) => {
                tracing::debug!(error.message = %error, "a conversation could not be forgotten");
                TurnEnd::Fenced
            }
        }
    }

    async fn done(mut self) -> TurnEnd {
        let ids = self.ids();
        self.checkpoint.close(&ids, now_ms());
        match self.partition.write(&self.lane, &self.checkpoint).await {
            Ok(()) => TurnEnd::Done(self.checkpoint),
            Err(error) => {
                tracing::debug!(error.message = %error, "a turn could not be closed");
                TurnEnd::Fenced
            }
        }
    }

    /// What a failed attempt leads to: another one, a hold, or the end. `phase` is where the next
    /// attempt begins.
    async fn fail(&mut self, story: &mut Story, step: &'static str, decision: Decision, phase: Phase) -> Exit {
        let failed = self.open_turn().map_or(0, |open| open.attempt) + 1;
        match decision {
            Decision::Dead(reason) => Exit::End(Outcome::Dead, reason),
            Decision::Hold(reason) => {
                story.warn(format!("held: {reason}")).await;
                self.remember(failed - 1, phase);
                Exit::Later(retry::HOLD)
            }
            Decision::Again(asked) => match retry::wait(failed, asked, rand::random()) {
                Some(wait) => {
                    self.remember(failed, phase);
                    Exit::Later(wait)
                }
                None => Exit::End(Outcome::Dead, format!("{step}_failed")),
            },
        }
    }

    fn remember(&mut self, attempt: u32, phase: Phase) {
        self.checkpoint.open = Some(OpenTurn { ids: self.ids(), attempt, phase, counted: true });
    }

    async fn write(&self) -> Result<(), Exit> {
        self.partition.write(&self.lane, &self.checkpoint).await.map_err(Exit::from)
    }

    fn ids(&self) -> Vec<MessageId> {
        self.items.iter().map(|item| item.id).collect()
    }

    fn open_turn(&self) -> Option<&OpenTurn> {
        self.checkpoint.open_for(&self.ids())
    }

    fn answer_so_far(&self) -> Option<&Answer> {
        match &self.open_turn()?.phase {
            Phase::Sending(answer) => Some(answer),
            Phase::Asking => None,
        }
    }

    /// The turn's id and `Idempotency-Key`: a hash of its ordered message ids.
    fn turn_id(&self) -> String {
        let ids: String = self.ids().iter().map(|id| id.to_hex()).collect();
        self::answer::hash_of(&ids)
    }
}

fn ignored(why: Ignored) -> Exit {
    Exit::End(Outcome::Ignored, why.reason().to_owned())
}
