//! The messages of a turn: read, and each one admitted or ended on its own.
//!
//! Usually there is one. Of several that were gathered, those that get an answer get it together:
//! the last of them leads, and its trace carries the reply; the others' traces point to it.

use std::sync::Arc;

use bytes::Bytes;
use omnihub_common::{
    access::Passage,
    channel::{
        InboundMessage,
        whatsapp::{correction::as_message, inbound::read_message},
    },
    instance::{Instance, Unavailable},
    queue::{Answer, Command, Envelope, EnvelopeBody, InstanceToken, MediaError, now_ms},
    trace::{Outcome, TraceDetails, TraceStatus},
};
use serde_json::Value;

use crate::files::FileRef;

use super::{
    Exit, Message, Opened, Turn,
    admit::{Ignored, admit, surely_asks, worth_an_answer},
    dead, retry,
    story::Story,
    takeover::TAKEN_OVER,
};

/// A message that is older than this when its turn begins gets no answer any more.
const ANSWER_MAX_AGE_MS: i64 = 24 * 60 * 60 * 1000;
/// A body in the object store may have so many bytes.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// One message of a turn.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) item: Message,
    /// Its bytes; none when the broker has lost them since they were delivered.
    pub(super) payload: Option<Bytes>,
    pub(super) envelope: Option<Envelope>,
    pub(super) message: Option<InboundMessage>,
    /// Where its file is.
    pub(super) file: Option<Box<FileRef>>,
    pub(super) story: Option<Story>,
    /// How it ends, where that is not how the turn ends.
    pub(super) end: Option<(Outcome, String)>,
}

impl Turn {
    /// Reads every message as ingress queued it. A newer version waits for a worker that knows it.
    pub(super) async fn read(&self, parts: &mut Vec<Part>) -> Result<(), Exit> {
        for item in &self.items {
            let payload = match &item.delivery.payload {
                Some(payload) => Some(payload.clone()),
                None => match self.partition.fetch(item.delivery.sequence).await {
                    Ok(payload) => payload,
                    Err(_) => return Err(Exit::Later(retry::PAUSE, "queue_away")),
                },
            };
            let mut part = Part::new(item.clone(), payload);
            if part.is_newer() {
                return Err(Exit::Later(retry::HOLD, "newer_version"));
            }
            part.open(|envelope| Story::new(self.kit.traces.clone(), envelope, self.turn_id(), self.attempts()));
            parts.push(part);
        }
        Ok(())
    }

    /// The instance they belong to, asked for before any of them is looked at; none when it cannot
    /// be read and they have waited for that long enough.
    pub(super) async fn instance(&mut self) -> Result<Option<Arc<Instance>>, Exit> {
        let found = match InstanceToken::row_id(&self.lane.instance) {
            Some(id) => self.kit.directory.by_id(id).await,
            None => Err(Unavailable::Unreadable),
        };
        let instance = match found {
            Ok(Some(instance)) => instance,
            Ok(None) => return Err(Exit::Vanish),
            Err(Unavailable::Away) => return Err(Exit::Later(retry::PAUSE, "database_away")),
            Err(Unavailable::SecretAway) => return Err(Exit::Later(retry::PAUSE, "secret_away")),
            Err(Unavailable::Unreadable) if self.items.iter().all(|item| is_too_old(item.counts_from)) => {
                return Ok(None);
            }
            Err(Unavailable::Unreadable) => return Err(Exit::Later(retry::HOLD, "instance_unreadable")),
        };
        self.settings = Some(instance.turns);
        self.known = Some(instance.version());
        Ok(Some(instance))
    }

    /// Its messages die as they were queued, for a reason that none of them has said anything about.
    pub(super) async fn die(
        &self,
        parts: &mut Vec<Part>,
        instance: Option<&Instance>,
        reason: &str,
        words: &str,
    ) -> Result<(), Exit> {
        self.read(parts).await?;
        for story in parts.iter_mut().filter_map(|part| part.story.as_mut()) {
            if let Some(instance) = instance {
                story.hide(instance);
            }
            story.note_error(TraceStatus::Processing.as_str(), words);
        }
        Err(dead(reason))
    }

    /// Reads what the channel said and decides who gets an answer.
    pub(super) async fn admit(&self, parts: &mut [Part], instance: &Instance) -> Result<(), Exit> {
        // An answer that came later may find that something was decided meanwhile.
        let sending = self.answer_so_far().is_some_and(Answer::is_out);
        for part in parts.iter_mut() {
            let (Some(envelope), Some(story)) = (&mut part.envelope, &mut part.story) else { continue };
            story.hide(instance);
            if is_too_old(envelope.counts_from()) {
                part.end = Some((Outcome::Dead, "too_old".to_owned()));
                continue;
            }
            // The body is not kept beyond this: thousands of turns wait for their agents with what
            // they hold, and a dead letter is made of the payload.
            let is_edit = envelope.command == Some(Command::Edit);
            let body = match std::mem::replace(&mut envelope.body, EnvelopeBody::Inline(Value::Null)) {
                EnvelopeBody::Inline(body) => Ok(body),
                EnvelopeBody::Object(name) => self.fetch_body(&name).await?,
            };
            let message = match body {
                Ok(body) => {
                    let body = as_said(body, is_edit);
                    let message = read_message(&body);
                    part.file = FileRef::of(envelope, &message, &body);
                    message
                }
                Err((reason, words)) => {
                    story.note_error(TraceStatus::Processing.as_str(), words);
                    part.end = Some((Outcome::Dead, reason.to_owned()));
                    continue;
                }
            };
            story.read(TraceDetails::of(&message));
            // Who was admitted before the first bubble went out stays so.
            let own = self.own_to(&message, envelope.own_id.as_deref()).await;
            let admitted = match sending {
                true => worth_an_answer(instance, &message, &own),
                false => admit(instance, &message, &own),
            };
            part.end = match admitted {
                Err(why) => Some((Outcome::Ignored, why.reason().to_owned())),
                Ok(()) if sending => None,
                Ok(()) => self.kept_out(instance, &envelope.session_name, &message).await?,
            };
            part.message = Some(message);
        }
        self.correct(parts, instance);
        Ok(())
    }

    /// What was decided about the person and the conversation; none where they are answered.
    pub(super) async fn kept_out(
        &self,
        instance: &Instance,
        session_name: &str,
        message: &InboundMessage,
    ) -> Result<Option<(Outcome, String)>, Exit> {
        let ignored = |why: Ignored| Ok(Some((Outcome::Ignored, why.reason().to_owned())));
        match self.kit.gate.passage(instance, session_name, &message.sender).await {
            Ok(Passage::Open) => Ok(None),
            Ok(Passage::Blocked) => ignored(Ignored::Blocked),
            Ok(Passage::Paused) => ignored(Ignored::Paused),
            Ok(Passage::TakenOver) => Ok(Some((Outcome::HandedOff, TAKEN_OVER.to_owned()))),
            Err(_) => Err(Exit::Later(retry::PAUSE, "database_away")),
        }
    }

    /// A body from the object store, or why there is none: the reason, and the same for people.
    pub(super) async fn fetch_body(&self, name: &str) -> Result<Result<Value, (&'static str, &'static str)>, Exit> {
        match self.kit.media.get(name, BODY_LIMIT).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)
                .map_err(|_| ("body_unreadable", "the message's body in the object store is damaged"))),
            Err(MediaError::Absent) => {
                Ok(Err(("body_missing", "the message's body is not in the object store any more")))
            }
            Err(_) => Err(Exit::Later(retry::PAUSE, "object_store_away")),
        }
    }

    /// Whether the instance was deleted while the turn ran: then nothing more may be asked, sent
    /// or kept for it. In an outage of the database it counts as there.
    pub(super) async fn is_orphaned(&self) -> bool {
        let Some(id) = InstanceToken::row_id(&self.lane.instance) else { return false };
        matches!(self.kit.directory.by_id(id).await, Ok(None))
    }
}

/// A message, or what an edit makes of one.
fn as_said(body: Value, is_edit: bool) -> Value {
    if is_edit { as_message(body) } else { body }
}

pub(super) fn is_too_old(counts_from: i64) -> bool {
    now_ms() - counts_from > ANSWER_MAX_AGE_MS
}

impl Part {
    fn new(item: Message, payload: Option<Bytes>) -> Self {
        Self { item, payload, envelope: None, message: None, file: None, story: None, end: None }
    }

    fn is_newer(&self) -> bool {
        #[derive(serde::Deserialize)]
        struct Version {
            v: u8,
        }
        let read = |payload: &Bytes| serde_json::from_slice::<Version>(payload).ok();
        self.payload.as_ref().and_then(read).is_some_and(|version| version.v > Envelope::NEWEST)
    }

    fn open(&mut self, story: impl FnOnce(&Envelope) -> Story) {
        match self.payload.as_deref().map(serde_json::from_slice::<Envelope>) {
            // A broker whose store was put back has given its place to another message.
            Some(Ok(envelope)) if envelope.id != self.item.id => self.lose(),
            Some(Ok(envelope)) => {
                self.story = Some(story(&envelope));
                self.envelope = Some(envelope);
            }
            Some(Err(_)) => self.end = Some((Outcome::Dead, "unreadable".to_owned())),
            None => self.lose(),
        }
    }

    fn lose(&mut self) {
        tracing::error!(item.sequence = self.item.delivery.sequence, "the broker has lost a delivered message");
        (self.payload, self.end) = (None, Some((Outcome::Ignored, "lost".to_owned())));
    }
}

/// The message that carries the turn's reply: the last of those that get one.
pub(super) fn lead(parts: &mut [Part]) -> Option<&mut Part> {
    parts.iter_mut().rev().find(|part| part.end.is_none())
}

/// What the agent is asked about, and the story of the message that leads; none when no message
/// gets an answer.
pub(super) fn take_lead(parts: &mut [Part], instance: Arc<Instance>) -> Option<(Opened, Story)> {
    let lead = lead(parts)?;
    let (envelope, message, story) = (lead.envelope.clone()?, lead.message.clone()?, lead.story.take()?);
    let earlier = parts.iter().filter(|part| part.end.is_none() && part.story.is_some());
    let earlier = earlier.filter_map(|part| part.message.clone()).collect();
    // Every one of them that gets an answer, the leading one as well.
    let answered = parts.iter_mut().filter(|part| part.end.is_none());
    let files = answered.filter_map(|part| part.file.take()).map(|file| *file).collect();
    Some((Opened { instance, fallback: None, envelope, message, earlier, files }, story))
}

/// Tells the traces of the messages beside the leading one that their turn has begun.
pub(super) async fn tell_others(parts: &mut [Part]) {
    for part in parts.iter_mut().filter(|part| part.end.is_none()) {
        if let Some(story) = &mut part.story {
            story.step(TraceStatus::Processing, None).await;
        }
    }
}

/// Whether a message, as it was queued, may change a question that was asked before it, whatever
/// its instance says: a reaction does not.
pub(crate) fn is_answerable(payload: &[u8]) -> bool {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(payload) else { return false };
    match &envelope.body {
        EnvelopeBody::Inline(body) => {
            let message = read_message(&as_said(body.clone(), envelope.command == Some(Command::Edit)));
            surely_asks(&message, envelope.own_id.as_deref())
        }
        EnvelopeBody::Object(_) => true,
    }
}
