//! What is recorded of a run: plain facts, from which the ledger is balanced.
//!
//! All times are milliseconds since the load began.

use std::collections::HashMap;

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

/// The nth worker.
pub type Worker = usize;

/// The time in which a worker owned a conversation's partition, by the ownership records that the
/// broker kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Who; `None` when a record between was missed, so that it may have been anybody.
    pub worker: Option<Worker>,
    /// From its record until the next one's.
    pub span: Span,
}

/// Who owned what, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// The partition of each conversation.
    pub partition: HashMap<Conversation, u16>,
    /// The tenures of each partition, in their order.
    pub tenures: HashMap<u16, Vec<Tenure>>,
}

impl Owners {
    /// Whether a worker owned a conversation at some moment of a time.
    #[must_use]
    pub fn held(&self, conversation: Conversation, worker: Worker, when: Span) -> bool {
        let tenures = self.partition.get(&conversation).and_then(|partition| self.tenures.get(partition));
        tenures.is_some_and(|all| {
            all.iter().any(|one| one.worker.is_none_or(|one| one == worker) && one.span.overlaps(when))
        })
    }
}

/// A fault as it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Its kind.
    pub kind: FaultKind,
    /// The worker that it hurts alone; `None` when it hurts all of them.
    pub worker: Option<Worker>,
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

/// How long what a process wrote just before it was struck may be on its way: on a busy machine
/// the other side notes it so much later.
pub const ARRIVING_MS: u64 = 100;

/// How long after a SIGCONT what was begun before the SIGSTOP may still go out.
pub const THAWING_MS: u64 = 500;

impl Done {
    /// The same until the workers that it took the broker from are well again: each has shown that
    /// it is alive, or has lost its lease. `beats` are the times of the workers' heartbeats.
    #[must_use]
    pub fn until_well(mut self, beats: &HashMap<Worker, Vec<u64>>, lease_ms: u64) -> Self {
        if self.cuts_sends && matches!(self.kind, FaultKind::Nats | FaultKind::Cut | FaultKind::Stall) {
            let over = self.span.to;
            let hurt = beats.iter().filter(|(worker, _)| self.worker.is_none_or(|one| one == **worker));
            let next = hurt.map(|(_, beats)| beats.iter().copied().find(|at| *at > over).unwrap_or(u64::MAX));
            self.span.to = next.max().unwrap_or(over).min(over + lease_ms);
        }
        self
    }

    /// When something must have been in flight to be cut by it: a kill and a freeze strike once,
    /// at their beginning, everything else as long as it lasts.
    #[must_use]
    pub fn strikes(&self) -> Span {
        match self.kind {
            FaultKind::Kill9 | FaultKind::Freeze => Span { from: self.span.from, to: self.span.from + ARRIVING_MS },
            _ => self.span,
        }
    }

    /// When a worker that it hurt may still say what it had begun before: just after a SIGCONT, and
    /// as long as it is cut off.
    #[must_use]
    pub fn last_words(&self) -> Option<Span> {
        match self.kind {
            FaultKind::Freeze => Some(Span { from: self.span.to.saturating_sub(THAWING_MS), ..self.span }),
            FaultKind::Cut => Some(self.span),
            _ => None,
        }
    }

    /// Whether it hurt the worker that owned a conversation, or all workers.
    #[must_use]
    pub fn touches(&self, conversation: Conversation, owners: &Owners) -> bool {
        self.worker.is_none_or(|worker| owners.held(conversation, worker, self.span))
    }
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
    /// Who owned the conversations.
    pub owners: Owners,
    /// When each worker showed that it was alive.
    pub beats: HashMap<Worker, Vec<u64>>,
    /// What the fakes accuse the hub of.
    pub violations: Vec<String>,
}
