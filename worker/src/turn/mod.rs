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
mod end;
mod kit;
mod presence;
mod progress;
mod receipts;
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
    trace::{Outcome, TraceEvent, TraceStatus},
};
use serde_json::Value;
use tracing::Instrument;

pub(crate) use bury::bury_unreadable;
pub(crate) use end::{Message, TurnEnd, Wait};
pub(crate) use kit::{Kit, TurnMetrics};
pub(crate) use progress::Progress;
pub(crate) use receipts::Receipts;

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
    progress: Arc<Progress>,
}

/// What leaves the straight path of a turn.
enum Exit {
    /// It ends in this way, and its messages are done.
    End(Outcome, String),
    /// It ends without a trace: there is no instance left to tell it to. Nothing is kept either.
    Vanish,
    /// Its messages stay, for at most so long.
    Later(Duration),
    /// The partition is lost.
    Fenced,
}

impl From<WriteError> for Exit {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced => Self::Fenced,
            WriteError::Refused(_) => dead("checkpoint_refused"),
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
        progress: Arc<Progress>,
    ) -> Self {
        Self { kit, partition, lane, items, checkpoint, progress }
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
        let envelope = match self.read_envelope() {
            Ok(envelope) => envelope,
            Err(exit) => return self.leave(None, None, exit).await,
        };
        tracing::Span::current().record("trace.id", tracing::field::display(envelope.trace_id));
        let attempt = self.open_turn().map_or(0, |open| open.attempt);
        let mut story = Story::new(self.kit.traces.clone(), &envelope, self.turn_id(), attempt);
        let mut known = None;
        let exit = match self.open(envelope, &mut story).await {
            Ok(opened) => {
                known = Some(opened.instance.updated_at.timestamp_micros());
                match self.answer(&opened, &mut story).await {
                    Ok(()) => Exit::End(Outcome::Answered, String::new()),
                    Err(exit) => exit,
                }
            }
            Err(exit) => exit,
        };
        self.leave(Some(&mut story), known, exit).await
    }

    /// The message as ingress queued it. A newer version waits for a worker that knows it.
    fn read_envelope(&self) -> Result<Envelope, Exit> {
        #[derive(serde::Deserialize)]
        struct Version {
            v: u8,
        }
        let payload = self.items.first().map(|item| item.delivery.payload.clone()).unwrap_or_default();
        match serde_json::from_slice::<Version>(&payload) {
            Ok(Version { v }) if v > Envelope::VERSION => {
                self.progress.hold("newer_version");
                Err(Exit::Later(retry::HOLD))
            }
            _ => serde_json::from_slice(&payload).map_err(|_| dead("unreadable")),
        }
    }

    /// Finds the instance it belongs to, and what the channel said.
    async fn open(&self, envelope: Envelope, story: &mut Story) -> Result<Opened, Exit> {
        if now_ms() - envelope.received_at > ANSWER_MAX_AGE_MS {
            return Err(dead("too_old"));
        }
        let instance = match self.kit.directory.by_id(envelope.instance_id).await {
            Ok(Some(instance)) => instance,
            Ok(None) => return Err(Exit::Vanish),
            Err(_) => return Err(Exit::Later(retry::PAUSE)),
        };
        story.hide(&instance);
        let message = match &envelope.body {
            EnvelopeBody::Inline(body) => read_message(body),
            EnvelopeBody::Object(name) => read_message(&self.fetch(name).await?),
        };
        story.read(&message);
        Ok(Opened { envelope, instance, message })
    }

    async fn fetch(&self, name: &str) -> Result<Value, Exit> {
        match self.kit.media.get(name, BODY_LIMIT).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| dead("body_unreadable")),
            Err(MediaError::Absent) => Err(dead("body_missing")),
            Err(_) => Err(Exit::Later(retry::PAUSE)),
        }
    }

    /// The straight path.
    async fn answer(&mut self, opened: &Opened, story: &mut Story) -> Result<(), Exit> {
        let answer = match self.open_turn().map(|open| &open.phase) {
            Some(Phase::Sending(answer)) => answer.clone(),
            _ => {
                admit(&opened.instance, &opened.message, opened.envelope.own_id.as_deref()).map_err(ignored)?;
                story.step(TraceStatus::Processing, None).await;
                self.ask(opened, story).await?
            }
        };
        self.send(opened, story, answer).await
    }

    /// Whatever happened, the one place where a turn ends. `instance` is when the instance that
    /// it knew had last changed.
    async fn leave(mut self, story: Option<&mut Story>, instance: Option<i64>, exit: Exit) -> TurnEnd {
        let (outcome, reason) = match exit {
            Exit::Fenced => return TurnEnd::Fenced,
            Exit::Later(at_most) => {
                let attempts = self.open_turn().map_or(0, |open| open.attempt);
                self.progress.waits(at_most, attempts + 1, story.map(|story| story.error_message()));
                return TurnEnd::Again(self.checkpoint, Wait { at_most, instance });
            }
            Exit::Vanish => return self.vanish().await,
            // The instance went while the message failed.
            Exit::End(Outcome::Dead, _) if self.is_orphaned().await => return self.vanish().await,
            Exit::End(outcome, reason) => (outcome, reason),
        };
        self.progress.finishing();
        if outcome == Outcome::Dead && !self.bury(story.as_deref(), &reason).await {
            return TurnEnd::Fenced;
        }
        if let Some(story) = story {
            self.kit.metrics.ended(story.instance(), outcome.as_str());
            let reason = Some(reason.as_str()).filter(|reason| !reason.is_empty());
            let event = story.end(outcome, reason, self.sent_payload());
            if !self.tell(&event).await {
                return TurnEnd::Fenced;
            }
        }
        let ids = self.ids();
        self.checkpoint.close(&ids, now_ms());
        match self.write().await {
            Ok(()) => {
                self.kit.receipts.forget(&self.turn_id());
                TurnEnd::Done(self.checkpoint)
            }
            Err(_) => TurnEnd::Fenced,
        }
    }

    /// Whether the instance was deleted while the turn ran: then nothing more may be asked, sent
    /// or kept for it. In an outage of the database it counts as there.
    async fn is_orphaned(&self) -> bool {
        let Some(id) = InstanceToken::row_id(&self.lane.instance) else { return false };
        matches!(self.kit.directory.by_id(id).await, Ok(None))
    }

    /// The instance is gone, and whatever was kept of it goes too.
    async fn vanish(self) -> TurnEnd {
        tracing::warn!(instance.token = %self.lane.instance, "a message of an instance that the database does not have is dropped");
        self.kit.metrics.ended(&self.lane.instance, "dropped");
        self.kit.receipts.forget(&self.turn_id());
        match self.partition.forget(&self.lane).await {
            Ok(()) => TurnEnd::Done(Checkpoint::new()),
            Err(_) => TurnEnd::Fenced,
        }
    }

    /// Publishes the outcome until it is confirmed; `false` when the partition was lost meanwhile.
    async fn tell(&self, outcome: &TraceEvent) -> bool {
        if self.kit.traces.outcome(outcome).await.is_ok() {
            return true;
        }
        // This may take as long as the broker's or the recorder's trouble: that every bubble is
        // out must not stand in memory alone meanwhile.
        if self.checkpoint.open.is_some() && self.write().await.is_err() {
            return false;
        }
        self.kit.traces.outcome_until(outcome, || self.partition.may_act()).await
    }

    /// What a failed attempt leads to: another one, a hold, or the end. `phase` is where the next
    /// attempt begins.
    fn fail(&mut self, story: &mut Story, step: &'static str, decision: Decision, phase: Phase) -> Exit {
        let (attempt, failures) = self.open_turn().map_or((0, 0), |open| (open.attempt, open.failures));
        match decision {
            Decision::Dead(reason) => Exit::End(Outcome::Dead, reason),
            Decision::Hold(reason) => {
                story.details().warnings.push(format!("held: {reason}"));
                self.progress.hold(&reason);
                self.remember(attempt, failures, phase);
                Exit::Later(retry::HOLD)
            }
            Decision::Again(asked) => match retry::wait(failures + 1, asked, rand::random()) {
                Some(wait) => {
                    self.remember(attempt + 1, failures + 1, phase);
                    Exit::Later(wait)
                }
                None => Exit::End(Outcome::Dead, format!("{step}_failed")),
            },
        }
    }

    /// Keeps the open turn in memory, for the next attempt or the next write.
    fn remember(&mut self, attempt: u32, failures: u32, phase: Phase) {
        self.checkpoint.open = Some(OpenTurn { ids: self.ids(), attempt, failures, phase, counted: true });
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

fn dead(reason: &str) -> Exit {
    Exit::End(Outcome::Dead, reason.to_owned())
}

fn ignored(why: Ignored) -> Exit {
    Exit::End(Outcome::Ignored, why.reason().to_owned())
}
