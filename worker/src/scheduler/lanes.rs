//! Lanes: decisions without I/O.
//!
//! A lane is one conversation. Its messages wait in stream order, one turn runs at a time, and
//! only the lane waits when a turn must be tried again. [`Lanes`] is told what happened and
//! answers with what to do; [`super::Scheduler`] does it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use omnihub_common::queue::{Checkpoint, LaneAddress, MessageId};

mod look;

use super::ring::Ring;
use crate::turn::{TurnEnd, Wait};

/// A message as a lane sees it.
pub(super) trait Item: Clone {
    /// Its place in the stream.
    fn sequence(&self) -> u64;
    /// Its identity.
    fn id(&self) -> MessageId;
}

/// What the scheduler is to do.
#[derive(Debug)]
pub(super) enum Action<M> {
    /// Read the lane's checkpoint.
    Load(Arc<LaneAddress>),
    /// Run a turn.
    Start { lane: Arc<LaneAddress>, items: Vec<M>, checkpoint: Box<Checkpoint> },
    /// Acknowledge these.
    Ack(Vec<M>),
    /// Wake the lane after a while.
    Sleep(Arc<LaneAddress>, Wait),
    /// No turn of the partition runs any more, and it was asked to be released.
    Drained(u16),
    /// A turn was fenced: verify the ownership of the partition.
    Doubt(u16),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Its checkpoint is being read.
    Loading,
    /// Nothing runs; ready when messages wait.
    Idle,
    /// A turn runs.
    Running,
    /// It waits before the next attempt.
    Waiting,
}

#[derive(Debug)]
struct Lane<M> {
    state: State,
    queue: VecDeque<M>,
    in_flight: Vec<M>,
    checkpoint: Option<Checkpoint>,
    /// Its turn runs for an ownership that was lost.
    orphan: bool,
}

#[derive(Debug)]
struct Owned {
    tag: (u64, u64),
    running: usize,
    releasing: bool,
    /// A turn was fenced; nothing is started until the ownership is verified.
    in_doubt: bool,
}

/// Every lane of the partitions this worker owns.
#[derive(Debug)]
pub(super) struct Lanes<M> {
    owned: HashMap<u16, Owned>,
    lanes: HashMap<Arc<LaneAddress>, Lane<M>>,
    ring: Ring<Arc<LaneAddress>>,
}

impl<M: Item> Lanes<M> {
    pub(super) fn new(turns: usize, turns_per_instance: usize) -> Self {
        Self { owned: HashMap::new(), lanes: HashMap::new(), ring: Ring::new(turns, turns_per_instance) }
    }

    /// Turns that run, and lanes that are known.
    pub(super) fn figures(&self) -> (usize, usize) {
        (self.ring.running(), self.lanes.len())
    }

    /// A consumer of this epoch and generation begins: what waited will be delivered again.
    /// Running turns go on, since a new generation keeps the fence; a new epoch is announced by
    /// [`Lanes::lost`] first.
    pub(super) fn owned(&mut self, partition: u16, tag: (u64, u64)) {
        let running = self.owned.get(&partition).map_or(0, |owned| owned.running);
        self.owned.insert(partition, Owned { tag, running, releasing: false, in_doubt: false });
        for (_, lane) in self.lanes.iter_mut().filter(|(address, _)| address.partition == partition) {
            lane.queue.clear();
        }
    }

    /// The partition is no longer ours. Its turns were cancelled and will end as fenced.
    pub(super) fn lost(&mut self, partition: u16) {
        self.owned.remove(&partition);
        self.lanes.retain(|address, lane| address.partition != partition || lane.state == State::Running);
        for (_, lane) in self.lanes.iter_mut().filter(|(address, _)| address.partition == partition) {
            // What the next owner is sent counts as new, even if that owner is this worker again.
            (lane.queue, lane.in_flight, lane.checkpoint) = (VecDeque::new(), Vec::new(), None);
            lane.orphan = true;
        }
    }

    /// The partition is to be given back: nothing new is started.
    pub(super) fn release(&mut self, partition: u16) -> Vec<Action<M>> {
        let Some(owned) = self.owned.get_mut(&partition) else { return vec![Action::Drained(partition)] };
        // Also where nothing runs: a turn that started now would be cut a moment later.
        owned.releasing = true;
        if owned.running > 0 { Vec::new() } else { vec![Action::Drained(partition)] }
    }

    /// A message was delivered by the consumer of `tag`.
    pub(super) fn arrived(&mut self, address: LaneAddress, tag: (u64, u64), item: M) -> Vec<Action<M>> {
        if self.owned.get(&address.partition).is_none_or(|owned| owned.tag != tag) {
            return Vec::new();
        }
        let address = Arc::new(address);
        let fresh = !self.lanes.contains_key(&address);
        let lane = self.lanes.entry(address.clone()).or_insert_with(|| Lane {
            state: State::Loading,
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            checkpoint: None,
            orphan: false,
        });
        if let Some(known) = lane.in_flight.iter_mut().find(|known| known.sequence() == item.sequence()) {
            // Delivered again by a new generation: this is the one to acknowledge.
            *known = item;
            return Vec::new();
        }
        lane.queue.push_back(item);
        if fresh { vec![Action::Load(address)] } else { self.advance(&address) }
    }

    /// The lane's checkpoint was read (a conversation without one has an empty one).
    /// `epoch` is the ownership it was read under: what an older one read may be out of date.
    pub(super) fn loaded(&mut self, address: &Arc<LaneAddress>, epoch: u64, checkpoint: Checkpoint) -> Vec<Action<M>> {
        let current = self.owned.get(&address.partition).is_some_and(|owned| owned.tag.0 == epoch);
        match self.lanes.get_mut(address) {
            Some(lane) if current && lane.state == State::Loading => {
                lane.state = State::Idle;
                lane.checkpoint = Some(checkpoint);
                self.advance(address)
            }
            _ => Vec::new(),
        }
    }

    /// A turn has ended.
    pub(super) fn ended(&mut self, address: &Arc<LaneAddress>, end: TurnEnd) -> Vec<Action<M>> {
        self.ring.ended(&address.instance);
        let Some(lane) = self.lanes.get_mut(address) else { return Vec::new() };
        if std::mem::take(&mut lane.orphan) {
            return self.load_again(address);
        }
        let mut actions = Vec::new();
        if let Some(owned) = self.owned.get_mut(&address.partition) {
            owned.running = owned.running.saturating_sub(1);
            owned.in_doubt |= matches!(end, TurnEnd::Fenced);
            if owned.releasing && owned.running == 0 {
                actions.push(Action::Drained(address.partition));
            }
        }
        let items = std::mem::take(&mut lane.in_flight);
        match end {
            TurnEnd::Done(checkpoint) => {
                lane.state = State::Idle;
                lane.checkpoint = Some(checkpoint);
                actions.push(Action::Ack(items));
            }
            TurnEnd::Again(checkpoint, after) => {
                lane.state = State::Waiting;
                lane.checkpoint = Some(checkpoint);
                for item in items.into_iter().rev() {
                    lane.queue.push_front(item);
                }
                actions.push(Action::Sleep(address.clone(), after));
            }
            TurnEnd::Fenced => {
                actions.push(Action::Doubt(address.partition));
                actions.extend(self.load_again(address));
                return actions;
            }
        }
        actions.extend(self.advance(address));
        actions
    }

    /// Begins a lane anew: what it knew may be out of date.
    fn load_again(&mut self, address: &Arc<LaneAddress>) -> Vec<Action<M>> {
        match self.lanes.get_mut(address) {
            Some(lane) if !lane.queue.is_empty() => {
                (lane.state, lane.checkpoint) = (State::Loading, None);
                vec![Action::Load(address.clone())]
            }
            _ => {
                self.lanes.remove(address);
                Vec::new()
            }
        }
    }

    /// The lane has waited long enough.
    pub(super) fn woken(&mut self, address: &Arc<LaneAddress>, epoch: u64) -> Vec<Action<M>> {
        let current = self.owned.get(&address.partition).is_some_and(|owned| owned.tag.0 == epoch);
        match self.lanes.get_mut(address) {
            Some(lane) if current && lane.state == State::Waiting => {
                lane.state = State::Idle;
                self.advance(address)
            }
            _ => Vec::new(),
        }
    }

    /// Starts turns as far as the caps allow.
    pub(super) fn dispatch(&mut self) -> Vec<Action<M>> {
        let mut actions = Vec::new();
        loop {
            let (lanes, owned) = (&self.lanes, &self.owned);
            let next = self.ring.next(|address| {
                let serving = owned.get(&address.partition).is_some_and(|owned| !owned.releasing && !owned.in_doubt);
                serving && lanes.get(address).is_some_and(|lane| lane.state == State::Idle && !lane.queue.is_empty())
            });
            let Some(address) = next else { return actions };
            let Some(lane) = self.lanes.get_mut(&address) else { continue };
            let Some(item) = lane.queue.pop_front() else { continue };
            lane.state = State::Running;
            lane.in_flight = vec![item.clone()];
            if let Some(owned) = self.owned.get_mut(&address.partition) {
                owned.running += 1;
            }
            let checkpoint = Box::new(lane.checkpoint.clone().unwrap_or_else(Checkpoint::new));
            actions.push(Action::Start { lane: address, items: vec![item], checkpoint });
        }
    }

    /// Drops what is done already, then lines the lane up or forgets it.
    fn advance(&mut self, address: &Arc<LaneAddress>) -> Vec<Action<M>> {
        let Some(lane) = self.lanes.get_mut(address) else { return Vec::new() };
        if lane.state != State::Idle {
            return Vec::new();
        }
        let mut done = VecDeque::new();
        if let Some(checkpoint) = &lane.checkpoint {
            let (known, waiting) = lane.queue.drain(..).partition(|item| checkpoint.has_done(item.id()));
            (done, lane.queue) = (known, waiting);
        }
        if lane.queue.is_empty() {
            self.lanes.remove(address);
        } else {
            self.ring.line_up(&address.instance, address.clone());
        }
        if done.is_empty() { Vec::new() } else { vec![Action::Ack(done.into())] }
    }
}

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
