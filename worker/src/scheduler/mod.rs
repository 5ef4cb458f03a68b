//! The scheduler: one task that owns every lane of this worker and starts their turns.
//!
//! It hears of deliveries, ends of turns and changes of ownership through one channel, asks the
//! lanes what to do, and does it: read a checkpoint, start a turn, acknowledge, sleep. All that
//! waits for the network runs in tasks of its own and reports back.

mod backlog;
mod clock;
mod gather;
mod lanes;
mod lookout;
mod ring;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use omnihub_common::{
    conversation::whereabouts::Sight,
    instance::TurnSettings,
    queue::{
        Checkpoint, Command, Delivery, EnvelopeKind, InstanceToken, LaneAddress, MessageId, PayloadBudget, Redrive,
        SharedPartition, now_ms, until_confirmed,
    },
};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    settings::WorkerSettings,
    turn::{Kit, Message, Reins, Turn, TurnEnd, Wait, bury_unreadable, is_answerable},
};
pub(crate) use backlog::SharedBacklog;
use clock::BrokerClock;
use lanes::{Action, Item, Lanes, Until};
pub(crate) use lookout::Lookout;

/// An acknowledgement is sent so often before its consumer counts as doubtful.
const ACK_ATTEMPTS: u32 = 3;
const ACK_PAUSE: Duration = Duration::from_millis(500);

impl Item for Message {
    fn sequence(&self) -> u64 {
        self.delivery.sequence
    }

    fn id(&self) -> MessageId {
        self.id
    }

    fn published(&self) -> i64 {
        self.delivery.published
    }

    fn stands_alone(&self) -> bool {
        self.kind == EnvelopeKind::Send || self.is_command()
    }

    fn is_command(&self) -> bool {
        self.command.is_some_and(Command::is_immediate)
    }

    fn stops(&self) -> bool {
        self.command == Some(Command::Own)
    }
}

/// The part of an envelope that a lane needs; the rest is read when its turn begins.
#[derive(Deserialize)]
struct Head {
    id: MessageId,
    #[serde(default)]
    kind: EnvelopeKind,
    #[serde(default)]
    command: Option<Command>,
    #[serde(default)]
    answers: bool,
    #[serde(default)]
    trace_id: Option<Uuid>,
    #[serde(default)]
    received_at: Option<i64>,
    #[serde(default)]
    redrive: Option<Redrive>,
}

/// What the scheduler is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A consumer of this partition and generation begins to deliver.
    Owned(SharedPartition, u64),
    /// The partition is lost that was owned under this epoch; its turns are cancelled already.
    Lost(u16, u64),
    /// Finish what runs for the partition that is owned under this epoch, start nothing new, then
    /// say so.
    Release(u16, u64, oneshot::Sender<()>),
    /// A message.
    Arrived(Delivery),
    /// The consumer of this epoch and generation has delivered everything that was in the partition
    /// when it was made.
    CaughtUp(u16, (u64, u64)),
    /// A checkpoint was read for the consumer of this epoch and generation, and how the instance
    /// gathers.
    Loaded(Arc<LaneAddress>, (u64, u64), Checkpoint, TurnSettings),
    /// A turn has ended; with the settings of its instance, where it has read them.
    Ended(Arc<LaneAddress>, TurnEnd, Option<TurnSettings>),
    /// A lane has waited long enough, under the ownership of this epoch.
    Woken(Arc<LaneAddress>, u64),
    /// The time has come to look whether a lane has gathered its messages.
    LookedAt(Arc<LaneAddress>),
    /// Somebody asks what these conversations are doing, each with the message that matters.
    Look(Vec<(LaneAddress, Option<Uuid>)>, oneshot::Sender<Vec<Option<Sight>>>),
}

/// What the scheduler shows of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Turns that run.
    pub running: usize,
    /// Lanes with something to do.
    pub lanes: usize,
}

/// The scheduler's task.
#[derive(Debug)]
pub(crate) struct Scheduler {
    kit: Arc<Kit>,
    lanes: Lanes<Message>,
    lookout: Lookout,
    /// Shared with the tasks that acknowledge; changes are rare.
    partitions: Arc<HashMap<u16, SharedPartition>>,
    releases: HashMap<u16, Vec<oneshot::Sender<()>>>,
    /// By lane: what its running turn hears of.
    reins: HashMap<Arc<LaneAddress>, Reins>,
    /// Lanes whose running turn overtakes another one.
    overtakers: HashSet<Arc<LaneAddress>>,
    clock: BrokerClock,
    budget: PayloadBudget,
    events: mpsc::UnboundedSender<Event>,
    doubts: mpsc::UnboundedSender<u16>,
    figures: watch::Sender<Figures>,
    backlog: SharedBacklog,
    tasks: TaskTracker,
}

impl Scheduler {
    pub(crate) fn new(
        kit: Arc<Kit>,
        settings: &WorkerSettings,
        lookout: Lookout,
        events: mpsc::UnboundedSender<Event>,
        doubts: mpsc::UnboundedSender<u16>,
    ) -> (Self, watch::Receiver<Figures>) {
        let (figures, shown) = watch::channel(Figures::default());
        let lanes = Lanes::new(settings.turns, settings.turns_per_instance);
        let scheduler = Self {
            kit,
            lanes,
            lookout,
            partitions: Default::default(),
            releases: Default::default(),
            reins: HashMap::new(),
            overtakers: HashSet::new(),
            clock: BrokerClock::default(),
            budget: PayloadBudget::new(settings.payload_bytes),
            events,
            doubts,
            figures,
            backlog: SharedBacklog::default(),
            tasks: TaskTracker::new(),
        };
        (scheduler, shown)
    }

    /// What waits in this worker.
    pub(crate) fn backlog(&self) -> SharedBacklog {
        self.backlog.clone()
    }

    /// Runs until every sender of events is gone or the task is dropped.
    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut batch = Vec::with_capacity(256);
        while events.recv_many(&mut batch, 256).await > 0 {
            for event in batch.drain(..) {
                self.lanes.set_now(self.clock.now(now_ms()));
                let actions = self.decide(event);
                self.perform(actions);
            }
            let actions = self.lanes.dispatch();
            self.perform(actions);
            let (running, lanes) = self.lanes.figures();
            self.figures.send_replace(Figures { running, lanes });
        }
    }

    fn decide(&mut self, event: Event) -> Vec<Action<Message>> {
        match event {
            Event::Owned(partition, generation) => {
                self.lanes.owned(partition.number(), (partition.epoch(), generation));
                self.backlog.with(|backlog| backlog.owned(partition.number(), (partition.epoch(), generation)));
                self.lookout.watch(&partition, &self.events);
                Arc::make_mut(&mut self.partitions).insert(partition.number(), partition);
                Vec::new()
            }
            Event::Lost(partition, epoch) => {
                if !self.lanes.lost(partition, epoch) {
                    return Vec::new();
                }
                self.releases.remove(&partition);
                self.backlog.with(|backlog| backlog.lost(partition));
                self.lookout.lost(partition);
                Arc::make_mut(&mut self.partitions).remove(&partition);
                Vec::new()
            }
            Event::Release(partition, epoch, done) => {
                if !self.lanes.owns(partition, epoch) {
                    // Nothing of it is left; who waits hears that from the end of `done`.
                    return Vec::new();
                }
                self.releases.entry(partition).or_default().push(done);
                self.lanes.release(partition)
            }
            Event::Arrived(delivery) => self.arrived(delivery),
            Event::CaughtUp(partition, tag) => self.lanes.caught_up(partition, tag),
            Event::Loaded(lane, tag, checkpoint, settings) => self.lanes.loaded(&lane, tag, checkpoint, settings),
            Event::Ended(lane, end, settings) => {
                self.reins.remove(&lane);
                if !self.overtakers.remove(&lane) {
                    self.lookout.ended(&lane, &end);
                }
                self.lanes.ended(&lane, end, settings)
            }
            Event::Woken(lane, epoch) => self.lanes.woken(&lane, epoch),
            Event::LookedAt(lane) => self.lanes.looked_at(&lane),
            Event::Look(sought, reply) => {
                let look = |(lane, asked)| self.lookout.sight(&self.lanes, &lane, asked);
                let _ = reply.send(sought.into_iter().map(look).collect());
                Vec::new()
            }
        }
    }

    fn arrived(&mut self, mut delivery: Delivery) -> Vec<Action<Message>> {
        self.backlog.with(|backlog| backlog.arrived(&delivery.lane, delivery.tag));
        if !delivery.replayed {
            self.clock.observe(delivery.published, now_ms());
        }
        let payload = delivery.payload.as_deref().unwrap_or_default();
        match serde_json::from_slice::<Head>(payload) {
            Ok(head) => {
                let held = self.budget.hold(payload.len()).map(Arc::new);
                if held.is_none() {
                    delivery.payload = None;
                }
                let (lane, tag) = (delivery.lane.clone(), delivery.tag);
                let Head { id, kind, command, answers, trace_id, received_at, redrive } = head;
                let command = if answers { Some(Command::Answer) } else { command };
                let counts_from = redrive.map(|redrive| redrive.at).or(received_at).unwrap_or(delivery.published);
                let delivery = Arc::new(delivery);
                let message = Message { delivery, id, kind, command, trace_id, counts_from, _held: held };
                self.lanes.arrived(lane, tag, message)
            }
            Err(error) => {
                // It has no identity, so no lane can hold it up.
                let Some(partition) = self.partitions.get(&delivery.lane.partition).cloned() else { return Vec::new() };
                let kit = self.kit.clone();
                self.backlog.with(|backlog| backlog.done(&delivery.lane, delivery.tag));
                self.tasks.spawn(async move { bury_unreadable(&kit, &partition, &delivery, &error).await });
                Vec::new()
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action<Message>>) {
        for action in actions {
            match action {
                Action::Load(lane, tag) => self.load(lane, tag),
                Action::Start { lane, items, checkpoint, overtakes } => self.start(lane, items, *checkpoint, overtakes),
                Action::Ack(items) => self.acknowledge(items),
                Action::Sleep(lane, after) => self.sleep(lane, after),
                Action::LookAt(lane, at) => self.look_at(lane, at),
                Action::Supersede(lane, item, until) => self.supersede(&lane, item, until),
                Action::Stop(lane) => self.reins.get(&lane).into_iter().for_each(|reins| reins.stop.cancel()),
                Action::Drained(partition) => {
                    for done in self.releases.remove(&partition).unwrap_or_default() {
                        let _ = done.send(());
                    }
                }
                Action::Doubt(partition) => {
                    let _ = self.doubts.send(partition);
                }
            }
        }
    }

    /// Reads a checkpoint. Where that ends without one the ownership is lost, or it is doubtful, and
    /// the next consumer delivers the lane's messages again.
    fn load(&self, lane: Arc<LaneAddress>, tag: (u64, u64)) {
        let Some(partition) = self.partitions.get(&lane.partition).cloned() else { return };
        let (kit, events, doubts) = (self.kit.clone(), self.events.clone(), self.doubts.clone());
        self.tasks.spawn(async move {
            let settings = turn_settings(&kit, &lane).await;
            let read = || partition.read(&lane);
            let may_go_on = || partition.may_act();
            match until_confirmed("checkpoint read", may_go_on, read).await {
                Some(checkpoint) => {
                    let checkpoint = checkpoint.unwrap_or_else(Checkpoint::new);
                    let _ = events.send(Event::Loaded(lane, tag, checkpoint, settings));
                }
                None if partition.gone().is_cancelled() => {}
                None => {
                    let _ = doubts.send(partition.number());
                }
            }
        });
    }

    fn start(&mut self, lane: Arc<LaneAddress>, items: Vec<Message>, checkpoint: Checkpoint, overtakes: bool) {
        let (kit, events) = (self.kit.clone(), self.events.clone());
        let Some(partition) = self.partitions.get(&lane.partition).cloned() else { return };
        let reins = Reins::default();
        self.reins.insert(lane.clone(), reins.clone());
        // Of the conversation what it waits for is told on.
        let progress = if overtakes { Arc::default() } else { self.lookout.began(&lane) };
        if overtakes {
            self.overtakers.insert(lane.clone());
        }
        let turn = Turn::new(kit, partition, (*lane).clone(), items, checkpoint, reins).telling(progress);
        let turn = Box::new(turn);
        self.tasks.spawn(async move {
            let mut seat = Seat { lane, events, ended: false };
            let (end, settings) = turn.run().await;
            seat.give_back(end, settings);
        });
    }

    /// Takes the running turn's question back, if the message is one that gets an answer.
    ///
    /// It is read for that before any beginning of it was counted. So it happens once, when it
    /// first comes, and apart from here: a message that nobody survives reading is found out by
    /// its own turn when it is delivered again.
    fn supersede(&self, lane: &Arc<LaneAddress>, item: Message, until: Until) {
        let Some(reins) = self.reins.get(lane).filter(|_| !item.delivery.replayed).cloned() else { return };
        self.tasks.spawn(async move {
            if item.delivery.payload.as_deref().is_some_and(is_answerable) {
                match until {
                    Until::Asked => reins.join.cancel(),
                    Until::Answered => reins.withdraw.cancel(),
                }
            }
        });
    }

    fn look_at(&self, lane: Arc<LaneAddress>, at: i64) {
        let after = u64::try_from(at - self.clock.now(now_ms())).unwrap_or_default();
        let events = self.events.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let _ = events.send(Event::LookedAt(lane));
        });
    }

    fn acknowledge(&self, items: Vec<Message>) {
        self.backlog.with(|backlog| {
            items.iter().for_each(|item| backlog.done(&item.delivery.lane, item.delivery.tag));
        });
        let (partitions, doubts) = (self.partitions.clone(), self.doubts.clone());
        self.tasks.spawn(async move {
            for item in items {
                let Some(partition) = partitions.get(&item.delivery.lane.partition) else { continue };
                if !acknowledged(&item.delivery, partition).await {
                    let _ = doubts.send(partition.number());
                }
            }
        });
    }

    fn sleep(&self, lane: Arc<LaneAddress>, wait: Wait) {
        let Some(partition) = self.partitions.get(&lane.partition).cloned() else { return };
        let (kit, events) = (self.kit.clone(), self.events.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = partition.gone().cancelled() => {}
                () = kit.wait_for_retry(&lane, wait) => {
                    let _ = events.send(Event::Woken(lane, partition.epoch()));
                }
            }
        });
    }
}

/// How the lane's instance gathers; in an outage of the database, where it is not known, each
/// message is a turn.
async fn turn_settings(kit: &Kit, lane: &LaneAddress) -> TurnSettings {
    let Some(id) = InstanceToken::row_id(&lane.instance) else { return TurnSettings::default() };
    match kit.directory.by_id(id).await {
        Ok(Some(instance)) => instance.turns,
        _ => TurnSettings::default(),
    }
}

/// Acknowledges a delivery; `false` when its consumer does not confirm although it should be there:
/// the message must then be delivered again, while its lane still knows it as done. A consumer that
/// was replaced meanwhile has had all its messages delivered again.
async fn acknowledged(delivery: &Delivery, partition: &SharedPartition) -> bool {
    for _ in 0..ACK_ATTEMPTS {
        let current = (partition.epoch(), partition.generation());
        if delivery.tag != current || !partition.may_act() {
            return true;
        }
        match delivery.ack().await {
            Ok(()) => return true,
            Err(error) => tracing::debug!(error.message = %error, "an acknowledgement was not confirmed"),
        }
        tokio::time::sleep(ACK_PAUSE).await;
    }
    false
}

/// A turn's place. It is given back even when the turn panics: the lane then counts as fenced and
/// its messages are replayed.
struct Seat {
    lane: Arc<LaneAddress>,
    events: mpsc::UnboundedSender<Event>,
    ended: bool,
}

impl Seat {
    fn give_back(&mut self, end: TurnEnd, settings: Option<TurnSettings>) {
        self.ended = true;
        let _ = self.events.send(Event::Ended(self.lane.clone(), end, settings));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.ended {
            self.give_back(TurnEnd::Fenced, None);
        }
    }
}
