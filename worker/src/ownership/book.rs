//! The book of ownership: decisions without I/O.
//!
//! [`Book`] is told what happened and answers with what to do; [`super::Ownership`] does it. A
//! partition is in one of four places:
//!
//! ```text
//!              claim                 the record is written
//!   nobody's  ------->  claiming  ---------------------------->  mine
//!      ^                                                          |  doubt -> verify
//!      |             released            not mine by rendezvous   |    ours: next generation
//!      +-------------------  leaving  <---------------------------+    theirs: dropped
//! ```
//!
//! A lapsed lease empties it at once. A record that may still say that a partition is mine although
//! it is not is waived, or nobody else could ever claim it.  Every request has a number, so that an answer that comes
//! after its question has lost its meaning changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use omnihub_common::queue::{Terms, owner_of};

/// The number of a request; a later one has a higher number.
pub(super) type Ask = u64;

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Who is ready to own partitions, read while the lease held. `from_the_dead` as in [`Terms`].
    Look { ready: Vec<String>, from_the_dead: bool },
    /// The lease has lapsed: the others may own everything by now.
    Lapsed,
    /// The connection has changed: what the broker knew may be gone, and every consumer with it.
    Reconnected,
    /// A task of the shell panicked, and which one is not known.
    Confused,
    /// A turn of this partition was fenced, or a message of it was not acknowledged.
    Doubt(u16),
    /// A claim has won the partition under this epoch.
    Claimed { partition: u16, ask: Ask, epoch: u64 },
    /// A claim has not.
    NotClaimed { partition: u16, ask: Ask },
    /// The ownership record was compared with ours.
    Verified { partition: u16, ask: Ask, verdict: Verdict },
    /// A consumer ended in doubt.
    Ended { partition: u16, epoch: u64, generation: u64 },
    /// A consumer could not be made, since one of this epoch is there.
    Superseded { partition: u16, epoch: u64, generation: u64, by: u64 },
    /// A partition that was handed over under this epoch is released, if the broker took it.
    Released { partition: u16, epoch: u64, done: bool },
    /// A record that may have said mine does not any more, if the broker took it.
    Waived { partition: u16, ask: Ask, done: bool },
    /// Give everything back and take nothing more.
    Stop,
}

/// What a look at the ownership record said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the one we wrote.
    Ours,
    /// It is another one.
    Theirs,
    /// The broker did not say.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Claim the partition and report with this number.
    Claim { partition: u16, ask: Ask, terms: Terms },
    /// Compare the ownership record and report with this number.
    Verify { partition: u16, ask: Ask },
    /// Begin a consumer of this generation in the place of an earlier one.
    Begin { partition: u16, generation: u64 },
    /// Stop everything for the partition: it is lost.
    Drop(u16),
    /// Finish what runs for the partition, then release it and report.
    HandOver(u16),
    /// See that the record does not say mine, and report with this number.
    Waive { partition: u16, ask: Ask },
    /// Everything is dropped: the next heartbeat may begin a new lease.
    LeaseAnew,
}

#[derive(Debug)]
struct Mine {
    epoch: u64,
    generation: u64,
    doubt: Doubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    /// To be verified.
    Raised,
    /// Being verified; `again` when another doubt came meanwhile.
    Asked {
        ask: Ask,
        again: bool,
    },
}

#[derive(Debug)]
enum Place {
    Claiming(Ask),
    Mine(Mine),
    Leaving(Mine),
    Waiving(Ask),
}

/// Which partitions are mine, and what is on its way to change that.
#[derive(Debug)]
pub(super) struct Book {
    me: String,
    partitions: u16,
    places: BTreeMap<u16, Place>,
    /// The highest epoch that was seen of each partition.
    epochs: HashMap<u16, u64>,
    /// Partitions that are not mine and whose record may say so: from an earlier life, from a claim
    /// without an answer, because they were dropped without a word, or because the connection
    /// changed while they were being handed over.
    unsaid: BTreeSet<u16>,
    asked: Ask,
    stopping: bool,
}

impl Book {
    /// An empty one.
    pub(super) fn new(me: impl Into<String>, partitions: u16) -> Self {
        Self {
            me: me.into(),
            partitions,
            places: BTreeMap::new(),
            epochs: HashMap::new(),
            unsaid: (0..partitions).collect(),
            asked: 0,
            stopping: false,
        }
    }

    /// Partitions that are mine and stay mine.
    pub(super) fn owned(&self) -> impl Iterator<Item = u16> {
        self.places.iter().filter(|(_, place)| matches!(place, Place::Mine(_))).map(|(partition, _)| *partition)
    }

    /// Whether nothing is mine, nor on its way here or from here.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether an answer to a claim is awaited.
    pub(super) fn is_claiming(&self) -> bool {
        self.places.values().any(|place| matches!(place, Place::Claiming(_)))
    }

    /// Whether the partition is being handed over.
    pub(super) fn is_leaving(&self, partition: u16) -> bool {
        matches!(self.places.get(&partition), Some(Place::Leaving(_)))
    }

    /// Decides.
    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Look { ready, from_the_dead } => self.look(&ready, from_the_dead),
            Event::Lapsed => self.lapsed(),
            Event::Reconnected => self.reconnected(),
            Event::Confused => self.confused(),
            Event::Doubt(partition) => self.doubt(partition),
            Event::Claimed { partition, ask, epoch } => self.claimed(partition, ask, epoch),
            Event::NotClaimed { partition, ask } => {
                if self.awaits(partition, ask) {
                    self.forget(partition);
                }
                self.unsaid.insert(partition);
                Vec::new()
            }
            Event::Verified { partition, ask, verdict } => self.verified(partition, ask, verdict),
            Event::Ended { partition, epoch, generation } => match self.current(partition) {
                Some(current) if current == (epoch, generation) => self.doubt(partition),
                _ => Vec::new(),
            },
            Event::Superseded { partition, epoch, generation, by } => {
                self.saw(partition, by);
                match self.current(partition) {
                    // Either somebody else owns it, or a consumer outlived the record of its
                    // owner: claimed again, under a higher epoch, it shows.
                    Some(current) if current == (epoch, generation) => self.lose(partition),
                    _ => Vec::new(),
                }
            }
            Event::Released { partition, epoch, done } => {
                // One that was cut in the meantime may be ours again by now.
                if matches!(self.places.get(&partition), Some(Place::Leaving(mine)) if mine.epoch == epoch) {
                    // What the broker took before a reconnection says nothing of the store since.
                    self.gone(partition, done && !self.unsaid.contains(&partition));
                }
                Vec::new()
            }
            Event::Waived { partition, ask, done } => {
                if matches!(self.places.get(&partition), Some(Place::Waiving(asked)) if *asked == ask) {
                    self.gone(partition, done);
                }
                Vec::new()
            }
            Event::Stop => self.stop(),
        }
    }

    /// Gives away what others should own, asks again what is in doubt, claims what is missing.
    fn look(&mut self, ready: &[String], from_the_dead: bool) -> Vec<Action> {
        let mut actions = Vec::new();
        for partition in 0..self.partitions {
            let wanted = !self.stopping && owner_of(partition, ready) == Some(self.me.as_str());
            match self.places.get(&partition) {
                Some(Place::Mine(_)) if !wanted => actions.extend(self.hand_over(partition)),
                Some(Place::Mine(mine) | Place::Leaving(mine)) if mine.doubt == Doubt::Raised => {
                    actions.extend(self.verify(partition));
                }
                None if wanted => {
                    let ask = self.next_ask();
                    self.places.insert(partition, Place::Claiming(ask));
                    let above = self.epochs.get(&partition).copied().unwrap_or_default();
                    actions.push(Action::Claim { partition, ask, terms: Terms { above, from_the_dead } });
                }
                None if self.unsaid.contains(&partition) => {
                    let ask = self.next_ask();
                    self.places.insert(partition, Place::Waiving(ask));
                    actions.push(Action::Waive { partition, ask });
                }
                _ => {}
            }
        }
        actions
    }

    /// Those that are being handed over act under the lease too; their release goes on.
    fn lapsed(&mut self) -> Vec<Action> {
        let lost = self.places.iter().filter(|(_, place)| matches!(place, Place::Mine(_) | Place::Leaving(_)));
        let mut actions: Vec<Action> = lost.map(|(partition, _)| Action::Drop(*partition)).collect();
        self.forget_all_but(|place| matches!(place, Place::Leaving(_)));
        actions.push(Action::LeaseAnew);
        actions
    }

    /// What was asked over the old connection gets no answer: claims are made anew by the next
    /// look, and everything that is ours is verified at once.
    fn reconnected(&mut self) -> Vec<Action> {
        self.forget_all_but(|place| matches!(place, Place::Mine(_) | Place::Leaving(_)));
        // A store put back may name me for what I have given to another since, who could wait for
        // as long as I live.
        let strange = (0..self.partitions).filter(|number| !matches!(self.places.get(number), Some(Place::Mine(_))));
        self.unsaid.extend(strange);
        let ours: Vec<u16> = self.places.keys().copied().collect();
        ours.into_iter().flat_map(|partition| self.verify(partition)).collect()
    }

    /// The task of a release may be the one that is gone: what is being handed over is cut, so that
    /// nothing of it runs when its record is waived or claimed anew.
    fn confused(&mut self) -> Vec<Action> {
        let leaving = self.places.iter().filter(|(_, place)| matches!(place, Place::Leaving(_)));
        let mut actions: Vec<Action> = leaving.map(|(partition, _)| Action::Drop(*partition)).collect();
        self.forget_all_but(|place| matches!(place, Place::Mine(_)));
        actions.extend(self.reconnected());
        actions
    }

    fn claimed(&mut self, partition: u16, ask: Ask, epoch: u64) -> Vec<Action> {
        self.saw(partition, epoch);
        if !self.awaits(partition, ask) {
            self.unsaid.insert(partition);
            return Vec::new();
        }
        self.unsaid.remove(&partition);
        self.places.insert(partition, Place::Mine(Mine { epoch, generation: 0, doubt: Doubt::None }));
        if self.stopping {
            return self.hand_over(partition);
        }
        vec![Action::Begin { partition, generation: 0 }]
    }

    fn verified(&mut self, partition: u16, answered: Ask, verdict: Verdict) -> Vec<Action> {
        let Some(Place::Mine(mine) | Place::Leaving(mine)) = self.places.get_mut(&partition) else {
            return Vec::new();
        };
        let Doubt::Asked { ask, again } = mine.doubt else { return Vec::new() };
        match verdict {
            _ if ask != answered => Vec::new(),
            Verdict::Theirs => self.lose(partition),
            Verdict::Unknown => {
                mine.doubt = Doubt::Raised;
                Vec::new()
            }
            Verdict::Ours if again => self.verify(partition),
            Verdict::Ours => {
                mine.doubt = Doubt::None;
                self.next_generation(partition)
            }
        }
    }

    /// Still ours: the same fence, and a new consumer, which begins where nothing is in doubt.
    fn next_generation(&mut self, partition: u16) -> Vec<Action> {
        // What is being handed over needs no messages any more.
        let Some(Place::Mine(mine)) = self.places.get_mut(&partition) else { return Vec::new() };
        mine.generation += 1;
        vec![Action::Begin { partition, generation: mine.generation }]
    }

    fn doubt(&mut self, partition: u16) -> Vec<Action> {
        if let Some(Place::Mine(mine) | Place::Leaving(mine)) = self.places.get_mut(&partition) {
            match &mut mine.doubt {
                Doubt::Asked { again, .. } => *again = true,
                Doubt::None | Doubt::Raised => return self.verify(partition),
            }
        }
        Vec::new()
    }

    fn verify(&mut self, partition: u16) -> Vec<Action> {
        let ask = self.next_ask();
        let Some(Place::Mine(mine) | Place::Leaving(mine)) = self.places.get_mut(&partition) else {
            return Vec::new();
        };
        mine.doubt = Doubt::Asked { ask, again: false };
        vec![Action::Verify { partition, ask }]
    }

    /// One that is being handed over stays in the book until its release has ended.
    fn lose(&mut self, partition: u16) -> Vec<Action> {
        if matches!(self.places.get(&partition), Some(Place::Mine(_))) {
            self.forget(partition);
        }
        vec![Action::Drop(partition)]
    }

    fn hand_over(&mut self, partition: u16) -> Vec<Action> {
        let Some(Place::Mine(mine)) = self.places.remove(&partition) else { return Vec::new() };
        let unverified = mine.doubt != Doubt::None;
        self.places.insert(partition, Place::Leaving(mine));
        let mut actions = vec![Action::HandOver(partition)];
        if unverified {
            // Its turns can write nothing before.
            actions.extend(self.verify(partition));
        }
        actions
    }

    fn stop(&mut self) -> Vec<Action> {
        self.stopping = true;
        let mine: Vec<u16> = self.owned().collect();
        mine.into_iter().flat_map(|partition| self.hand_over(partition)).collect()
    }

    /// The partition is in no place, and its record may say anything.
    fn forget(&mut self, partition: u16) {
        self.gone(partition, false);
    }

    fn forget_all_but(&mut self, kept: impl Fn(&Place) -> bool) {
        let others: Vec<u16> =
            self.places.iter().filter(|(_, place)| !kept(place)).map(|(partition, _)| *partition).collect();
        others.into_iter().for_each(|partition| self.forget(partition));
    }

    /// The partition is in no place; `said` when its record is known not to say mine.
    fn gone(&mut self, partition: u16, said: bool) {
        self.places.remove(&partition);
        if said {
            self.unsaid.remove(&partition);
        } else {
            self.unsaid.insert(partition);
        }
    }

    fn current(&self, partition: u16) -> Option<(u64, u64)> {
        match self.places.get(&partition) {
            Some(Place::Mine(mine)) => Some((mine.epoch, mine.generation)),
            _ => None,
        }
    }

    fn awaits(&self, partition: u16, ask: Ask) -> bool {
        matches!(self.places.get(&partition), Some(Place::Claiming(asked)) if *asked == ask)
    }

    fn saw(&mut self, partition: u16, epoch: u64) {
        let highest = self.epochs.entry(partition).or_default();
        *highest = epoch.max(*highest);
    }

    fn next_ask(&mut self) -> Ask {
        self.asked += 1;
        self.asked
    }
}
#[cfg(test)]
mod model;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
