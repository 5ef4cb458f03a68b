//! One turn: the next messages of a conversation, from the queue to their outcome.
//!
//! ```text
//! [fenced: begun]  ->  read, admit  ->  ask  ->  fenced: answer, sending 1  ->  send 1
//!   -> fenced: sent 1, sending 2 -> send 2 ...  ->  outcome confirmed  ->  fenced: done  ->  ack
//! ```
//!
//! Wherever it is cut, the checkpoint tells the next owner where to go on: the agent is asked
//! again with the same key, a stored answer is never asked for again, and of the bubbles only the
//! one whose send had begun may go out twice, where the channel cannot tell whether it is out.

mod admit;
mod answer;
mod ask;
mod beginning;
mod bury;
mod candidates;
mod correct;
mod doubt;
mod end;
mod forward;
#[cfg(test)]
mod goldens;
mod growing;
mod kit;
mod later;
mod leave;
mod live;
mod own;
mod pace;
mod part;
mod prepare;
mod presence;
mod progress;
mod question;
mod receipts;
mod reception;
mod retry;
mod send;
mod story;
mod takeover;
#[cfg(test)]
pub(crate) mod tests;

use std::{mem::discriminant, sync::Arc, time::Duration};

use omnihub_common::{
    channel::{InboundMessage, whatsapp::outbound::recipient},
    conversation::Decision,
    instance::{Instance, TurnSettings},
    queue::{
        Answer, Checkpoint, Command, Envelope, EnvelopeKind, LaneAddress, MessageId, OpenTurn, Phase, SharedPartition,
        WriteError,
    },
    telemetry::propagation,
    trace::{Outcome, TraceStatus},
};
use tracing::Instrument;

use crate::{breaker::Parked, files::FileRef};
pub(crate) use beginning::Beginner;
pub(crate) use bury::bury_unreadable;
pub(crate) use end::{Message, Reins, TurnEnd, Wait};
pub(crate) use kit::{Kit, TurnMetrics};
pub(crate) use later::ReplyDoor;
pub(crate) use own::OwnLids;
pub(crate) use part::is_answerable;
pub(crate) use presence::seats as typing_seats;
pub(crate) use progress::Progress;
pub(crate) use receipts::Receipts;

use admit::Ignored;
use part::Part;
use send::Parcel;
use story::Story;

/// The reason of a message that killed whoever handled it, as it seems.
const BEGUN_TOO_OFTEN: &str = "begun_too_often";

/// A turn that is about to run.
#[derive(Debug)]
pub(crate) struct Turn {
    kit: Arc<Kit>,
    partition: SharedPartition,
    lane: LaneAddress,
    items: Vec<Message>,
    /// The turn's messages. Usually those of `items`; more when some of an answer that is being sent
    /// are missing, as after a broker has lost them.
    ids: Vec<MessageId>,
    checkpoint: Checkpoint,
    reins: Reins,
    /// The instance's, once it was read.
    settings: Option<TurnSettings>,
    /// The version of the instance that this turn knows.
    known: Option<u64>,
    /// For those who ask how far it is.
    progress: Arc<Progress>,
}

/// What leaves the straight path of a turn.
enum Exit {
    /// It ends in this way, and its messages are done.
    End(Outcome, String),
    /// It ends without a trace: there is no instance left to tell it to. Nothing is kept either.
    Vanish,
    /// Its messages stay, for at most so long, for this reason.
    Later(Duration, &'static str),
    /// The same after a failed attempt, which the checkpoint is to know of.
    Retry(Duration, &'static str),
    /// Its messages stay until a server that fails may be called again.
    Parked(Parked, &'static str),
    /// The question was withdrawn, since more messages came.
    Withdrawn,
    /// It stops where it is, for a command.
    Stopped,
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

/// Whether a turn goes on after the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    GoesOn,
    Waits,
}

/// What the agent is asked about: the last message that gets an answer, and those before it.
#[derive(Clone)]
struct Opened {
    instance: Arc<Instance>,
    /// The name of the agent that is asked; none for the instance's own.
    fallback: Option<String>,
    envelope: Envelope,
    message: InboundMessage,
    earlier: Vec<InboundMessage>,
    /// Where the files of these messages are.
    files: Vec<FileRef>,
}

impl Turn {
    /// A turn with these messages.
    pub(crate) fn new(
        kit: Arc<Kit>,
        partition: SharedPartition,
        lane: LaneAddress,
        items: Vec<Message>,
        mut checkpoint: Checkpoint,
        reins: Reins,
    ) -> Self {
        let ids = ids_of(&mut checkpoint.open, items.iter().map(|item| item.id).collect());
        let progress = Arc::default();
        Self { kit, partition, lane, items, ids, checkpoint, reins, settings: None, known: None, progress }
    }

    /// The same, telling here how far it is.
    pub(crate) fn telling(self, progress: Arc<Progress>) -> Self {
        Self { progress, ..self }
    }

    /// Runs it; a lost partition cuts it at once. Also answers the instance's settings, where it
    /// has read them.
    pub(crate) async fn run(mut self: Box<Self>) -> (TurnEnd, Option<TurnSettings>) {
        let span = tracing::info_span!("turn", instance.token = %self.lane.instance, trace.id = tracing::field::Empty);
        let headers = self.items.last().and_then(|item| item.delivery.headers.as_ref());
        propagation::set_parent(&span, propagation::extract_nats(headers));
        let (gone, closing) = (self.partition.gone().clone(), self.partition.closing().clone());
        let (kit, turn_id) = (self.kit.clone(), self.turn_id());
        async move {
            let _watch = kit.beginner.watch(turn_id);
            let end = tokio::select! {
                biased;
                () = gone.cancelled() => TurnEnd::Fenced,
                () = closing.cancelled() => Box::pin(self.cut()).await,
                end = self.steps() => end,
            };
            (end, self.settings)
        }
        .instrument(span)
        .await
    }

    async fn steps(&mut self) -> TurnEnd {
        if !self.partition.may_act() {
            return TurnEnd::Fenced;
        }
        let mut parts = Vec::new();
        let exit = match self.walk(&mut parts).await {
            Ok(()) => Exit::End(Outcome::Answered, String::new()),
            Err(exit) => exit,
        };
        Box::pin(self.leave(parts, exit)).await
    }

    /// From the messages to the last bubble. `parts` are the messages as far as they were read.
    ///
    /// What comes before and after the agent is boxed: a future is as large as its largest step,
    /// and a turn is nearly always waiting for its agent.
    async fn walk(&mut self, parts: &mut Vec<Part>) -> Result<(), Exit> {
        let Some(instance) = Box::pin(self.instance()).await? else {
            let words = "what the database holds of the instance could not be read for more than a day";
            return Box::pin(self.die(parts, None, "instance_unreadable", words)).await;
        };
        match Box::pin(self.begin(&instance)).await {
            Ok(true) => {}
            Ok(false) => {
                let words = "the turn was begun and cut too often";
                return Box::pin(self.die(parts, Some(&instance), BEGUN_TOO_OFTEN, words)).await;
            }
            // It ends before any of its messages was looked at: they are, so that none is lost.
            Err(Exit::End(_, reason)) => {
                let words = "the broker does not take the turn's checkpoint";
                return Box::pin(self.die(parts, Some(&instance), &reason, words)).await;
            }
            Err(exit) => return Err(exit),
        }
        Box::pin(self.read(parts)).await?;
        if self.is_send() {
            return Box::pin(self.forward(parts, &instance)).await;
        }
        if self.is_command() {
            return Box::pin(self.obey(parts, &instance)).await;
        }
        Box::pin(self.admit(parts, &instance)).await?;
        // Where none gets an answer, each ends as was decided.
        let Some((mut opened, mut story)) = part::take_lead(parts, instance) else { return Ok(()) };
        tracing::Span::current().record("trace.id", tracing::field::display(opened.envelope.trace_id));
        let done = self.answer(&mut opened, parts, &mut story).await;
        if let Some(lead) = part::lead(parts) {
            lead.story = Some(story);
        }
        done
    }

    /// The straight path.
    async fn answer(&mut self, opened: &mut Opened, parts: &mut [Part], story: &mut Story) -> Result<(), Exit> {
        let known = match self.answer_so_far().cloned() {
            Some(answer) => {
                Box::pin(self.find_not_taken_over(opened, story, &answer)).await?;
                if answer.bubbles.is_empty() && !answer.growing {
                    return Err(ignored(Ignored::EmptyAnswer));
                }
                Some(answer).filter(|answer| !answer.growing)
            }
            None => self.out_of_office(opened)?,
        };
        let answer = match known {
            Some(answer) => answer,
            None => self.consult(opened, parts, story).await?,
        };
        story.answered(&answer);
        let number = recipient(&opened.message.chat, opened.message.sender.alt_id.as_deref());
        let parcel = Parcel::answer(opened, &number);
        Box::pin(self.send(&parcel, story, answer)).await
    }

    /// Asks the agents that may be asked, or waits on for one that answers later.
    async fn consult(&mut self, opened: &mut Opened, parts: &mut [Part], story: &mut Story) -> Result<Answer, Exit> {
        if let Some(awaiting) = self.open_turn().and_then(|open| open.awaiting.clone()) {
            return Box::pin(self.still_awaited(opened, parts, story, awaiting)).await;
        }
        // What waits for a breaker is not counted again each time that it looks.
        let mut line = Box::new(self.line(opened)?);
        self.count_turn(opened)?;
        Box::pin(self.spend_turn(opened, story)).await?;
        self.mark_read(opened);
        Box::pin(story.step(TraceStatus::Processing, None)).await;
        Box::pin(part::tell_others(parts)).await;
        if let Some(first) = line.first() {
            line.prepared = Some(Box::pin(self.prepare(opened, parts, story, &first)).await?);
        }
        Box::pin(self.ask_in_turn(opened, story, *line, None)).await
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
                self.remember(attempt, failures, phase, Running::Waits);
                Exit::Retry(retry::HOLD, "held")
            }
            Decision::Again(asked) => match retry::wait(failures + 1, asked, rand::random()) {
                Some(wait) => {
                    self.remember(attempt + 1, failures + 1, phase, Running::Waits);
                    Exit::Retry(wait, step)
                }
                None => Exit::End(Outcome::Dead, format!("{step}_failed")),
            },
        }
    }

    /// Keeps the open turn in memory, for the next attempt or the next write. In a new phase its
    /// beginnings count anew: it has outlived those of the one before.
    fn remember(&mut self, attempt: u32, failures: u32, phase: Phase, running: Running) {
        let same_phase = |open: &&OpenTurn| discriminant(&open.phase) == discriminant(&phase);
        let beginnings = self.open_turn().filter(same_phase).map_or(0, |open| open.beginnings);
        let (counted, begun_by) = (running == Running::Waits, Some(self.kit.beginner.nonce()));
        let (ids, budgeted) = (self.ids.clone(), self.open_turn().is_some_and(|open| open.budgeted));
        self.checkpoint.open =
            Some(OpenTurn { ids, attempt, failures, phase, beginnings, counted, begun_by, awaiting: None, budgeted });
    }

    /// How often it was tried and came to nothing, for people.
    fn attempts(&self) -> u32 {
        self.open_turn().map_or(0, |open| open.attempt + open.beginnings)
    }

    async fn write(&self) -> Result<(), Exit> {
        self.partition.write(&self.lane, &self.checkpoint).await.map_err(Exit::from)
    }

    /// Whether any of its messages may have been handled before, here or elsewhere.
    fn was_delivered_before(&self) -> bool {
        self.items.iter().any(|item| item.delivery.replayed)
    }

    fn open_turn(&self) -> Option<&OpenTurn> {
        self.checkpoint.open_for(&self.ids)
    }

    /// Whether it is what a program wants to be sent, which is always alone.
    fn is_send(&self) -> bool {
        self.items.iter().any(|item| item.kind == EnvelopeKind::Send)
    }

    /// Whether it is what acts on the conversation, which is always alone.
    fn is_command(&self) -> bool {
        self.items.iter().any(|item| item.command.is_some_and(Command::is_immediate))
    }

    /// Whether its answer is known, and may be out in part.
    fn is_sending(&self) -> bool {
        self.answer_so_far().is_some()
    }

    fn answer_so_far(&self) -> Option<&Answer> {
        match &self.open_turn()?.phase {
            Phase::Sending(answer) => Some(answer),
            Phase::Asking => None,
        }
    }

    /// The turn's id and `Idempotency-Key`: a hash of its ordered message ids.
    fn turn_id(&self) -> String {
        later::turn_id(&self.ids)
    }
}

/// The messages of a turn of which these are here. Those of an open turn that are not here were
/// answered with the others once their answer is being sent; before, they may still come, and get
/// an answer of their own.
fn ids_of(open: &mut Option<OpenTurn>, here: Vec<MessageId>) -> Vec<MessageId> {
    match open {
        Some(open) if here.iter().all(|id| open.ids.contains(id)) => {
            if matches!(open.phase, Phase::Asking) {
                open.ids = here;
            }
            open.ids.clone()
        }
        _ => here,
    }
}

fn dead(reason: &str) -> Exit {
    Exit::End(Outcome::Dead, reason.to_owned())
}

fn ignored(why: Ignored) -> Exit {
    Exit::End(Outcome::Ignored, why.reason().to_owned())
}
