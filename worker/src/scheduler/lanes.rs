//! Lanes: decisions without I/O.
//!
//! A lane is one conversation. Its messages wait in stream order, one turn runs at a time, and
//! only the lane waits when a turn must be tried again. [`Lanes`] is told what happened and
//! answers with what to do; [`super::Scheduler`] does it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use omnihub_common::{
    instance::{Overlap, TurnSettings},
    queue::{Checkpoint, LaneAddress, MessageId},
};

mod commands;
mod copies;
mod look;
mod overtaking;

use super::{
    gather::{Knowledge, Taking, take},
    ring::Ring,
};
use crate::turn::{TurnEnd, Wait};
use copies::Copies;

/// What a question is made of is not waited for longer than that.
const LONGEST_PREPARATION: Duration = Duration::from_secs(600);

/// A message as a lane sees it.
pub(super) trait Item: Clone {
    /// Its place in the stream.
    fn sequence(&self) -> u64;
    /// Its identity.
    fn id(&self) -> MessageId;
    /// When the broker stored it, in milliseconds since 1970.
    fn published(&self) -> i64;
    /// Whether it is a turn of its own, whatever stands beside it.
    fn stands_alone(&self) -> bool;
    /// Whether it acts on the lane, before everything else in it; one that does stands alone.
    fn is_command(&self) -> bool;
    /// Whether it is a command for which a running turn stops.
    fn stops(&self) -> bool;
}

/// What the scheduler is to do.
#[derive(Debug)]
pub(super) enum Action<M> {
    /// Read the lane's checkpoint for the consumer of this epoch and generation.
    Load(Arc<LaneAddress>, (u64, u64)),
    /// Run a turn; one that `overtakes` leaves another one waiting.
    Start { lane: Arc<LaneAddress>, items: Vec<M>, checkpoint: Box<Checkpoint>, overtakes: bool },
    /// Acknowledge these.
    Ack(Vec<M>),
    /// Wake the lane after a while.
    Sleep(Arc<LaneAddress>, Wait),
    /// Look at the lane again at this time of the broker's clock, in milliseconds since 1970.
    LookAt(Arc<LaneAddress>, i64),
    /// This message arrived while the turn of those before it runs: withdraw the question, if the
    /// message is one that gets an answer and it is early enough for that.
    Supersede(Arc<LaneAddress>, M, Until),
    /// A command waits: the running turn is to stop where it is.
    Stop(Arc<LaneAddress>),
    /// No turn of the partition runs any more, and it was asked to be released.
    Drained(u16),
    /// A turn was fenced: verify the ownership of the partition.
    Doubt(u16),
}

/// Until when a question may be withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until its agent is asked: while files are fetched and voice messages listened to.
    Asked,
    /// Until its agent has answered.
    Answered,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Its checkpoint is being read.
    Loading,
    /// Nothing runs; ready, or gathering, when messages wait.
    Idle,
    /// A turn runs.
    Running,
    /// It waits before the next attempt, until about this time of the broker's clock (in
    /// milliseconds since 1970) and for this reason, a snake_case word.
    Waiting { until: i64, reason: &'static str },
}

#[derive(Debug)]
struct Lane<M> {
    state: State,
    queue: VecDeque<M>,
    in_flight: Vec<M>,
    /// What was posted once more while its first copy is in `queue` or `in_flight`.
    copies: Copies<M>,
    checkpoint: Option<Checkpoint>,
    settings: TurnSettings,
    /// So many of the waiting messages, from the front, belong to one turn already.
    together: usize,
    /// Somebody will look at it when its messages are gathered.
    looked_at: bool,
    /// Its turn runs for an ownership that was lost.
    orphan: bool,
    /// While a turn runs that overtakes: what the lane does for the one before it.
    beside: Option<State>,
    /// Whether a send may overtake the turn that waits.
    yields: bool,
    /// It is a command that waits for its next attempt.
    obeys: bool,
}

impl<M: Item> Lane<M> {
    fn new() -> Self {
        Self {
            state: State::Loading,
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            copies: Copies::default(),
            checkpoint: None,
            settings: TurnSettings::default(),
            together: 0,
            looked_at: false,
            orphan: false,
            beside: None,
            yields: false,
            obeys: false,
        }
    }

    /// What waits is forgotten: it will be delivered again.
    fn forget_waiting(&mut self) {
        self.queue.clear();
        self.copies.begin_again(&self.in_flight);
        self.together = 0;
    }

    fn taking(&self, caught_up: bool, now: i64) -> Taking {
        let open = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.open.as_ref());
        take(&self.queue, Knowledge { open, together: self.together, settings: &self.settings, caught_up, now })
    }

    /// Acknowledges what the checkpoint knows as done.
    fn drop_done(&mut self) -> Vec<Action<M>> {
        let Some(checkpoint) = &self.checkpoint else { return Vec::new() };
        let known = checkpoint.done_ids();
        let is_done = |item: &M| known.contains(&item.id().short());
        let together = self.queue.iter().take(self.together).filter(|item| !is_done(item)).count();
        let (done, waiting) = self.queue.drain(..).partition::<VecDeque<M>, _>(is_done);
        (self.queue, self.together) = (waiting, together);
        let done = self.copies.join(done.into());
        if done.is_empty() { Vec::new() } else { vec![Action::Ack(done)] }
    }

    fn put_back(&mut self, items: Vec<M>) {
        for item in items.into_iter().rev() {
            let place = self.queue.iter().take_while(|waiting| waiting.sequence() < item.sequence()).count();
            self.queue.insert(place, item);
        }
    }

    /// Until when a message that has just arrived may change the question of the turn that runs.
    ///
    /// Where messages are gathered, what is fetched and listened to for a question prolongs that.
    fn supersedes(&self, item: &M) -> Option<Until> {
        let first = self.in_flight.first()?;
        let since = u64::try_from(item.published() - first.published()).unwrap_or_default();
        // Behind one that stands alone it cannot join those that are asked about.
        let joins = !self.queue.iter().chain([item]).any(Item::stands_alone);
        if self.state != State::Running || !joins {
            return None;
        }
        let (since, longest) = (Duration::from_millis(since), self.settings.debounce_max());
        let supersedes = self.settings.overlap == Overlap::Supersede && since < longest;
        let gathers = self.settings.debounce_ms > 0 && since < longest + LONGEST_PREPARATION;
        supersedes.then_some(Until::Answered).or_else(|| gathers.then_some(Until::Asked))
    }
}

#[derive(Debug)]
struct Owned {
    tag: (u64, u64),
    running: usize,
    releasing: bool,
    /// Everything that was in the stream when its consumer was made has been delivered.
    caught_up: bool,
    /// A turn was fenced; nothing is started until the ownership is verified.
    in_doubt: bool,
}

/// Every lane of the partitions this worker owns.
#[derive(Debug)]
pub(super) struct Lanes<M> {
    owned: HashMap<u16, Owned>,
    lanes: HashMap<Arc<LaneAddress>, Lane<M>>,
    ring: Ring<Arc<LaneAddress>>,
    /// The broker's clock, in milliseconds since 1970.
    now: i64,
}

impl<M: Item> Lanes<M> {
    pub(super) fn new(turns: usize, turns_per_instance: usize) -> Self {
        Self { owned: HashMap::new(), lanes: HashMap::new(), ring: Ring::new(turns, turns_per_instance), now: 0 }
    }

    /// Turns that run, and lanes that are known.
    pub(super) fn figures(&self) -> (usize, usize) {
        (self.ring.running(), self.lanes.len())
    }

    /// The broker's clock has gone on, to so many milliseconds since 1970.
    pub(super) fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// A consumer of this epoch and generation begins: what waited will be delivered again, and a
    /// checkpoint that is being read is read again then. Running turns go on, since a new generation
    /// keeps the fence; with a new epoch everything of an older one is lost.
    pub(super) fn owned(&mut self, partition: u16, tag: (u64, u64)) {
        if let Some(before) = self.owned.get(&partition).map(|owned| owned.tag.0)
            && before != tag.0
        {
            self.lost(partition, before);
        }
        self.lanes.retain(|address, lane| address.partition != partition || lane.state != State::Loading);
        let running = self.owned.get(&partition).map_or(0, |owned| owned.running);
        self.owned.insert(partition, Owned { tag, running, releasing: false, caught_up: false, in_doubt: false });
        for (_, lane) in self.lanes.iter_mut().filter(|(address, _)| address.partition == partition) {
            lane.forget_waiting();
        }
    }

    /// Whether the partition is owned under this epoch.
    pub(super) fn owns(&self, partition: u16, epoch: u64) -> bool {
        self.owned.get(&partition).is_some_and(|owned| owned.tag.0 == epoch)
    }

    /// The partition is no longer ours that was owned under this epoch; `false` when that is old
    /// news. Its turns were cancelled and will end as fenced.
    pub(super) fn lost(&mut self, partition: u16, epoch: u64) -> bool {
        if !self.owns(partition, epoch) {
            return false;
        }
        self.owned.remove(&partition);
        self.lanes.retain(|address, lane| address.partition != partition || lane.state == State::Running);
        for (_, lane) in self.lanes.iter_mut().filter(|(address, _)| address.partition == partition) {
            // What the next owner is sent counts as new, even if that owner is this worker again.
            (lane.in_flight, lane.checkpoint, lane.beside) = (Vec::new(), None, None);
            lane.forget_waiting();
            lane.orphan = true;
        }
        true
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
        let lane = self.lanes.entry(address.clone()).or_insert_with(Lane::new);
        // A sequence alone would not do: a broker whose store was put back counts from there.
        let same = |known: &&mut M| known.sequence() == item.sequence() && known.id() == item.id();
        if let Some(known) = lane.in_flight.iter_mut().find(same) {
            // Delivered again by a new generation: this is the one to acknowledge.
            *known = item;
            return Vec::new();
        }
        if lane.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.has_done(item.id())) {
            return vec![Action::Ack(vec![item])];
        }
        let Some(item) = lane.copies.first(item) else { return Vec::new() };
        let supersedes = lane.supersedes(&item).map(|until| (item.clone(), until));
        let stops = lane.stops_for(&item);
        lane.queue.push_back(item);
        if fresh {
            return vec![Action::Load(address, tag)];
        }
        let mut actions = self.advance(&address);
        actions.extend(stops.then(|| Action::Stop(address.clone())));
        actions.extend(supersedes.map(|(item, until)| Action::Supersede(address, item, until)));
        actions
    }

    /// Everything that was in the stream when the consumer of `tag` was made has been delivered:
    /// what waited for that may begin.
    pub(super) fn caught_up(&mut self, partition: u16, tag: (u64, u64)) -> Vec<Action<M>> {
        match self.owned.get_mut(&partition) {
            Some(owned) if owned.tag == tag && !owned.caught_up => owned.caught_up = true,
            _ => return Vec::new(),
        }
        let waiting = |(address, lane): &(&Arc<LaneAddress>, &Lane<M>)| {
            address.partition == partition && lane.state == State::Idle && !lane.queue.is_empty()
        };
        let lanes: Vec<_> = self.lanes.iter().filter(waiting).map(|(address, _)| address.clone()).collect();
        lanes.iter().flat_map(|address| self.advance(address)).collect()
    }

    /// The lane's checkpoint was read (a conversation without one has an empty one).
    /// `tag` is the consumer it was read for: what was read for an older one may be out of date.
    pub(super) fn loaded(
        &mut self,
        address: &Arc<LaneAddress>,
        tag: (u64, u64),
        checkpoint: Checkpoint,
        settings: TurnSettings,
    ) -> Vec<Action<M>> {
        let current = self.owned.get(&address.partition).is_some_and(|owned| owned.tag == tag);
        match self.lanes.get_mut(address) {
            Some(lane) if current && lane.state == State::Loading => {
                lane.state = State::Idle;
                lane.know(checkpoint);
                lane.settings = settings;
                let mut actions = lane.drop_done();
                actions.extend(self.advance(address));
                actions
            }
            _ => Vec::new(),
        }
    }

    /// A turn has ended; `settings` are its instance's, where it has read them.
    pub(super) fn ended(
        &mut self,
        address: &Arc<LaneAddress>,
        end: TurnEnd,
        settings: Option<TurnSettings>,
    ) -> Vec<Action<M>> {
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
        lane.settings = settings.unwrap_or(lane.settings);
        let items = std::mem::take(&mut lane.in_flight);
        // Behind a command that is done everything is looked at anew.
        let obeyed = items.iter().any(Item::is_command);
        let beside = lane.beside.take().filter(|_| !obeyed);
        match end {
            TurnEnd::Done(checkpoint) => {
                lane.know(checkpoint);
                actions.extend(lane.drop_done());
                if beside.is_none() && !obeyed {
                    lane.together = if lane.settings.overlap == Overlap::Merge { lane.queue.len() } else { 0 };
                }
                lane.state = beside.unwrap_or(State::Idle);
                actions.push(Action::Ack(lane.copies.join(items)));
            }
            TurnEnd::Again(checkpoint, after) => {
                let at_most = i64::try_from(after.at_most.as_millis()).unwrap_or_default();
                lane.state = State::Waiting { until: self.now + at_most, reason: after.reason };
                // One that has overtaken and failed would only fail again.
                lane.yields = beside.is_none() && !obeyed;
                lane.obeys = obeyed;
                lane.know(checkpoint);
                lane.put_back(items);
                actions.push(Action::Sleep(address.clone(), after));
            }
            TurnEnd::Withdrawn(checkpoint) => {
                lane.state = State::Idle;
                lane.know(checkpoint);
                lane.put_back(items);
                lane.together = lane.queue.len();
            }
            TurnEnd::Cut(checkpoint) => {
                lane.state = State::Idle;
                lane.know(checkpoint);
                lane.put_back(items);
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
        let tag = self.owned.get(&address.partition).map(|owned| owned.tag);
        match (self.lanes.get_mut(address), tag) {
            (Some(lane), Some(tag)) if !lane.queue.is_empty() => {
                (lane.state, lane.checkpoint, lane.beside) = (State::Loading, None, None);
                vec![Action::Load(address.clone(), tag)]
            }
            _ => {
                self.lanes.remove(address);
                Vec::new()
            }
        }
    }

    /// The lane has waited long enough.
    pub(super) fn woken(&mut self, address: &Arc<LaneAddress>, epoch: u64) -> Vec<Action<M>> {
        let current = self.owns(address.partition, epoch);
        match self.lanes.get_mut(address) {
            Some(lane) if current && matches!(lane.state, State::Waiting { .. }) => {
                lane.state = State::Idle;
                self.advance(address)
            }
            Some(Lane { beside: Some(beside), .. }) if current => {
                *beside = State::Idle;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The time has come that was asked for with [`Action::LookAt`].
    pub(super) fn looked_at(&mut self, address: &Arc<LaneAddress>) -> Vec<Action<M>> {
        let Some(lane) = self.lanes.get_mut(address) else { return Vec::new() };
        lane.looked_at = false;
        self.advance(address)
    }

    /// Starts turns as far as the caps allow.
    pub(super) fn dispatch(&mut self) -> Vec<Action<M>> {
        let mut actions = Vec::new();
        loop {
            let (lanes, owned, now) = (&self.lanes, &self.owned, self.now);
            let mut ready = 0..0;
            let next = self.ring.next(|address| {
                let (Some(owned), Some(lane)) = (owned.get(&address.partition), lanes.get(address)) else {
                    return false;
                };
                let Some(range) = lane.ready(owned.caught_up, now) else { return false };
                ready = range;
                !owned.releasing && !owned.in_doubt
            });
            let Some(address) = next else { return actions };
            let Some(lane) = self.lanes.get_mut(&address) else { continue };
            let (items, checkpoint, overtakes) = lane.begin(ready);
            if let Some(owned) = self.owned.get_mut(&address.partition) {
                owned.running += 1;
            }
            actions.push(Action::Start { lane: address, items, checkpoint: Box::new(checkpoint), overtakes });
        }
    }

    /// Lines the lane up when a turn of it may begin, and forgets it when nothing waits.
    fn advance(&mut self, address: &Arc<LaneAddress>) -> Vec<Action<M>> {
        let Some(lane) = self.lanes.get_mut(address) else { return Vec::new() };
        let caught_up = self.owned.get(&address.partition).is_some_and(|owned| owned.caught_up);
        if lane.ready(caught_up, self.now).is_some() {
            self.ring.line_up(&address.instance, address.clone());
            return Vec::new();
        }
        if lane.state != State::Idle {
            return Vec::new();
        }
        if lane.queue.is_empty() {
            self.lanes.remove(address);
            return Vec::new();
        }
        match lane.taking(caught_up, self.now) {
            Taking::At(at) if !std::mem::replace(&mut lane.looked_at, true) => {
                vec![Action::LookAt(address.clone(), at)]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod schedules;
#[cfg(test)]
pub(super) mod tests;
