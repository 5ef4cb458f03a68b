//! A worker of the model: the real book and the real lease, and as much of everything else as a
//! fault can hit. Each request goes out, is applied and is answered in steps of their own.

use std::{collections::BTreeMap, time::Duration};

use omnihub_common::queue::{Lease, OwnershipRecord, Terms};

use super::{broker::TTL, fault::Fault};
use crate::ownership::book::{Action, Ask, Book, Event};

/// What is asked of the broker.
#[derive(Clone, Debug)]
pub(super) enum What {
    Look,
    /// A claim's first step.
    ReadRecord {
        partition: u16,
        ask: Ask,
        terms: Terms,
        alive: Option<Vec<String>>,
    },
    ReadAlive {
        partition: u16,
        ask: Ask,
        terms: Terms,
        record: Option<Found>,
    },
    Claim {
        partition: u16,
        ask: Ask,
        record: OwnershipRecord,
        expected: u64,
    },
    Verify {
        partition: u16,
        ask: Ask,
    },
    /// Mutated: an ownership in doubt is claimed anew.
    Bump {
        partition: u16,
        ask: Ask,
        record: OwnershipRecord,
        expected: u64,
    },
    Consume {
        partition: u16,
        epoch: u64,
        generation: u64,
    },
    /// Not a request: what the client library reports.
    ConsumerGone {
        partition: u16,
        epoch: u64,
        generation: u64,
    },
    Reconnected,
    Write {
        partition: u16,
        id: u64,
        fence: u64,
        record: OwnershipRecord,
    },
    Release {
        partition: u16,
        record: OwnershipRecord,
        fence: u64,
    },
    /// An old record: read, then written over.
    ReadOld {
        partition: u16,
        ask: Ask,
    },
    Waive {
        partition: u16,
        ask: Ask,
        epoch: u64,
        expected: u64,
    },
    Beat {
        sent: u64,
    },
}

/// An ownership record and its sequence; the outer absence is that there is none.
pub(super) type Found = Option<(OwnershipRecord, u64)>;

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Names(Vec<String>),
    Record(Found),
    Written(Option<u64>),
    Made(Result<(), u64>),
    Done(bool),
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) what: What,
    pub(super) connection: u64,
    pub(super) answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Calling(u64),
    Answered(u64),
    Writing(u64),
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) record: OwnershipRecord,
    pub(super) fence: u64,
    pub(super) verified: u64,
    pub(super) gone: bool,
    pub(super) fenced: bool,
    pub(super) listening: bool,
    pub(super) releasing: bool,
    pub(super) release_sent: bool,
    pub(super) turn: Option<Turn>,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: String,
    pub(super) incarnation: u32,
    pub(super) running: bool,
    pub(super) frozen: bool,
    /// Thawed, and its tasks have not all run since.
    pub(super) groggy: bool,
    pub(super) cut: bool,
    pub(super) stopping: bool,
    /// Frozen or cut since its lease began: it may lapse.
    pub(super) excused: bool,
    pub(super) connection: u64,
    pub(super) reconnected: u64,
    pub(super) confirmed: u64,
    pub(super) ready_from: Option<u64>,
    pub(super) next_beat: u64,
    /// Mutated: a deadline without the memory of a lapse.
    shadow: u64,
    pub(super) book: Book,
    pub(super) lease: Lease,
    pub(super) parts: BTreeMap<u16, Part>,
    pub(super) requests: Vec<Request>,
    /// Turns of these partitions were cut: their calls end.
    pub(super) cut_calls: Vec<u16>,
    pub(super) fault: Fault,
}

pub(super) fn at(now: u64) -> Duration {
    // The lease takes a deadline of 0 for none.
    Duration::from_millis(now + 1)
}

impl Worker {
    pub(super) fn new(id: &str, partitions: u16, incarnation: u32, now: u64, fault: Fault) -> Self {
        Self {
            id: id.to_owned(),
            incarnation,
            running: true,
            frozen: false,
            groggy: false,
            cut: false,
            stopping: false,
            excused: false,
            connection: 1,
            reconnected: now,
            confirmed: 0,
            ready_from: None,
            next_beat: now,
            shadow: 0,
            book: Book::new(id, partitions),
            lease: Lease::default(),
            parts: BTreeMap::new(),
            requests: Vec::new(),
            cut_calls: Vec::new(),
            fault,
        }
    }

    pub(super) fn acts(&self) -> bool {
        self.running && !self.frozen
    }

    /// What the turns ask before each call and each write.
    pub(super) fn may_act(&self, partition: u16, now: u64) -> bool {
        let holds = match self.fault {
            Fault::ZombieCalls => at(now).as_millis() < u128::from(self.shadow),
            _ => self.lease.holds_at(at(now)),
        };
        holds && self.parts.get(&partition).is_some_and(|part| !part.gone)
    }

    pub(super) fn renewed(&mut self, now: u64, sent: u64) {
        if self.fault == Fault::LapseForgotten && self.lease.lapsed_at(at(now)) {
            self.lease.begin_again();
        }
        let ttl = Duration::from_millis(TTL);
        self.lease.renewed_at(at(now), at(sent), ttl);
        self.shadow = sent + 1 + TTL * 8 / 10;
    }

    pub(super) fn ask(&mut self, what: What) {
        let connection = self.connection;
        self.requests.push(Request { what, connection, answer: None });
    }

    /// What a task that waits for the client library is told.
    pub(super) fn tell(&mut self, what: What) {
        let connection = self.connection;
        self.requests.push(Request { what, connection, answer: Some(Answer::Failed) });
    }

    /// The connection is gone and comes back: nothing that was asked is answered.
    pub(super) fn reconnect(&mut self) {
        self.connection += 2;
        self.fail_requests();
        self.tell(What::Reconnected);
    }

    /// A release goes on by itself: its answer may have come before, and the client library may
    /// send it again over the next connection.
    pub(super) fn fail_requests(&mut self) {
        for request in self.requests.iter_mut().filter(|request| !matches!(request.what, What::Release { .. })) {
            request.answer = Some(Answer::Failed);
        }
    }

    pub(super) fn on(&mut self, event: Event) {
        for action in self.book.on(event) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Claim { partition, ask, terms } if self.fault == Fault::LivenessFirst => {
                self.ask(What::ReadAlive { partition, ask, terms, record: None });
            }
            Action::Claim { partition, ask, terms } => {
                self.ask(What::ReadRecord { partition, ask, terms, alive: None });
            }
            Action::Verify { partition, ask } => {
                let Some(part) = self.parts.get(&partition) else { return };
                if self.fault == Fault::ResyncBumpsEpoch {
                    let record = OwnershipRecord::new(&self.id, part.record.epoch + 1);
                    let expected = part.fence;
                    self.ask(What::Bump { partition, ask, record, expected });
                } else {
                    self.ask(What::Verify { partition, ask });
                }
            }
            Action::Begin { partition, generation } => self.begin(partition, generation),
            Action::Drop(partition) => self.lose(partition),
            Action::HandOver(partition) => {
                if let Some(part) = self.parts.get_mut(&partition) {
                    part.releasing = true;
                }
            }
            Action::Waive { partition, ask } => self.ask(What::ReadOld { partition, ask }),
            Action::LeaseAnew => {
                self.lease.begin_again();
                // Until a heartbeat of its own time has begun the next one.
                self.excused = true;
            }
        }
    }

    pub(super) fn begin(&mut self, partition: u16, generation: u64) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        (part.listening, part.fenced) = (false, false);
        let epoch = part.record.epoch;
        self.ask(What::Consume { partition, epoch, generation });
    }

    fn lose(&mut self, partition: u16) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        part.gone = true;
        if part.turn.take().is_some() {
            self.cut_calls.push(partition);
        }
        if self.book.is_leaving(partition) {
            return;
        }
        if let Some(Part { releasing: true, release_sent: false, record, fence, .. }) = self.parts.remove(&partition) {
            // The task of its release goes on by itself.
            self.ask(What::Release { partition, record, fence });
        }
    }

    /// The release of a partition that runs nothing, or is cut.
    pub(super) fn release(&mut self, partition: u16, cut: bool) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        if !part.releasing || part.release_sent || (part.turn.is_some() && !cut) {
            return;
        }
        (part.release_sent, part.gone) = (true, true);
        if part.turn.take().is_some() {
            self.cut_calls.push(partition);
        }
        let (record, fence) = (part.record.clone(), part.fence);
        self.ask(What::Release { partition, record, fence });
    }

    /// The shell's timer and its look after every event; `true` when the lease had lapsed.
    pub(super) fn notice_lapse(&mut self, now: u64) -> bool {
        let lapsed = self.lease.lapsed_at(at(now));
        if lapsed {
            self.on(Event::Lapsed);
        }
        self.groggy = false;
        lapsed
    }
}
