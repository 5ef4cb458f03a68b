//! What is recorded of a run: plain facts, from which the ledger is balanced.
//!
//! All times are milliseconds since the load began.

use serde::Serialize;

use super::schedule::FaultKind;

/// A conversation, by its number.
pub type Conversation = usize;

/// A message that an ingress accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Whose.
    pub conversation: Conversation,
    /// Its place in the conversation, from 0.
    pub nth: usize,
    /// How many bubbles its answer has.
    pub bubbles: usize,
    /// When it was confirmed.
    pub at: u64,
    /// The trace that the ingress named.
    pub trace: String,
}

/// From its arrival to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// When it came.
    pub from: u64,
    /// When it was over.
    pub to: u64,
}

impl Span {
    /// Whether they have a moment in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// The same with so much more at its end.
    #[must_use]
    pub fn longer(self, by: u64) -> Self {
        Self { to: self.to.saturating_add(by), ..self }
    }
}

/// A bubble that reached the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bubble {
    /// Whose.
    pub conversation: Conversation,
    /// Which message it answers.
    pub nth: usize,
    /// Its place in the answer, from 0.
    pub part: usize,
    /// From the arrival of the send to its answer.
    pub span: Span,
}

/// A call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose.
    pub conversation: Conversation,
    /// Its `Idempotency-Key`.
    pub key: String,
    /// From its arrival to its answer, or to the end of its connection.
    pub span: Span,
}

/// A fault as it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Its kind.
    pub kind: FaultKind,
    /// What it was, in words.
    pub what: String,
    /// From its beginning until what it hurt was well again.
    pub span: Span,
    /// Whether a send depends on what it hurt (a worker, the broker, a worker's link to it), and
    /// was not to be finished first (SIGTERM).
    pub cuts_sends: bool,
    /// Whether an agent call depends on what it hurt.
    pub cuts_calls: bool,
}

/// A trace, as the hub shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: String,
    /// How its message ended; `None` while it has not.
    pub outcome: Option<String>,
}

/// Everything that was recorded.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Messages that were accepted.
    pub accepted: Vec<Accepted>,
    /// How many messages were never accepted, however often they were posted.
    pub never_accepted: usize,
    /// Bubbles, in the order of their arrival.
    pub bubbles: Vec<Bubble>,
    /// Texts that reached a person and are no bubble of an answer.
    pub strange: Vec<String>,
    /// Agent calls, in the order of their arrival.
    pub calls: Vec<Call>,
    /// The faults.
    pub faults: Vec<Done>,
    /// All traces.
    pub traces: Vec<Trace>,
    /// What is left at the end that should not be: messages in the queue, open checkpoints.
    pub left: Vec<String>,
    /// Processes that gave up by themselves, naming the cause, and were started again.
    pub gave_up: Vec<String>,
    /// What the fakes accuse the hub of.
    pub violations: Vec<String>,
}
