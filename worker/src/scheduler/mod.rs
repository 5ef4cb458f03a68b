//! The scheduler: one task that owns every lane of this worker and starts their turns.
//!
//! It hears of deliveries, ends of turns and changes of ownership through one channel, asks the
//! lanes what to do, and does it: read a checkpoint, start a turn, acknowledge, sleep. All that
//! waits for the network runs in tasks of its own and reports back.

mod lanes;
mod lookout;
mod ring;

use std::{collections::HashMap, sync::Arc, time::Duration};

use omnihub_common::{
    conversation::whereabouts::Sight,
    queue::{Checkpoint, Delivery, LaneAddress, MessageId, SharedPartition, until_confirmed},
};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    settings::WorkerSettings,
    turn::{Kit, Message, Turn, TurnEnd, Wait, bury_unreadable},
};
use lanes::{Action, Item, Lanes};
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
}

/// The part of an envelope that a lane needs; the rest is read when its turn begins.
#[derive(Deserialize)]
struct Head {
    id: MessageId,
    #[serde(default)]
    trace_id: Option<Uuid>,
}

/// What the scheduler is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A consumer of this partition and generation begins to deliver.
    Owned(SharedPartition, u64),
    /// The partition is lost; its turns are cancelled already.
    Lost(u16),
    /// Finish what runs for the partition, start nothing new, then say so.
    Release(u16, oneshot::Sender<()>),
    /// A message.
    Arrived(Delivery),
    /// A checkpoint was read under the ownership of this epoch.
    Loaded(Arc<LaneAddress>, u64, Checkpoint),
    /// A turn has ended.
    Ended(Arc<LaneAddress>, TurnEnd),
    /// A lane has waited long enough, under the ownership of this epoch.
    Woken(Arc<LaneAddress>, u64),
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
    events: mpsc::UnboundedSender<Event>,
    doubts: mpsc::UnboundedSender<u16>,
    figures: watch::Sender<Figures>,
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
            events,
            doubts,
            figures,
            tasks: TaskTracker::new(),
        };
        (scheduler, shown)
    }

    /// Runs until every sender of events is gone or the task is dropped.
    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut batch = Vec::with_capacity(256);
        while events.recv_many(&mut batch, 256).await > 0 {
            for event in batch.drain(..) {
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
                self.lookout.watch(&partition, &self.events);
                Arc::make_mut(&mut self.partitions).insert(partition.number(), partition);
                Vec::new()
            }
            Event::Lost(partition) => {
                self.lanes.lost(partition);
                self.lookout.lost(partition);
                Arc::make_mut(&mut self.partitions).remove(&partition);
                Vec::new()
            }
            Event::Release(partition, done) => {
                self.releases.entry(partition).or_default().push(done);
                self.lanes.release(partition)
            }
            Event::Arrived(delivery) => self.arrived(delivery),
            Event::Loaded(lane, epoch, checkpoint) => self.lanes.loaded(&lane, epoch, checkpoint),
            Event::Ended(lane, end) => {
                self.lookout.ended(&lane, &end);
                self.lanes.ended(&lane, end)
            }
            Event::Woken(lane, epoch) => self.lanes.woken(&lane, epoch),
            Event::Look(sought, reply) => {
                let look = |(lane, asked)| self.lookout.sight(&self.lanes, &lane, asked);
                let _ = reply.send(sought.into_iter().map(look).collect());
                Vec::new()
            }
        }
    }

    fn arrived(&mut self, delivery: Delivery) -> Vec<Action<Message>> {
        match serde_json::from_slice::<Head>(&delivery.payload) {
            Ok(head) => {
                let (lane, tag) = (delivery.lane.clone(), delivery.tag);
                self.lanes.arrived(
                    lane,
                    tag,
                    Message { delivery: Arc::new(delivery), id: head.id, trace_id: head.trace_id },
                )
            }
            Err(error) => {
                // It has no identity, so no lane can hold it up.
                let Some(partition) = self.partitions.get(&delivery.lane.partition).cloned() else { return Vec::new() };
                let kit = self.kit.clone();
                self.tasks.spawn(async move { bury_unreadable(&kit, &partition, &delivery, &error).await });
                Vec::new()
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action<Message>>) {
        for action in actions {
            match action {
                Action::Load(lane) => self.load(lane),
                Action::Start { lane, items, checkpoint } => self.start(lane, items, *checkpoint),
                Action::Ack(items) => self.acknowledge(items),
                Action::Sleep(lane, after) => self.sleep(lane, after),
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

    fn load(&self, lane: Arc<LaneAddress>) {
        let Some(partition) = self.partitions.get(&lane.partition).cloned() else { return };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let read = || partition.read(&lane);
            let may_go_on = || partition.may_act();
            if let Some(checkpoint) = until_confirmed("checkpoint read", may_go_on, read).await {
                let checkpoint = checkpoint.unwrap_or_else(Checkpoint::new);
                let _ = events.send(Event::Loaded(lane, partition.epoch(), checkpoint));
            }
        });
    }

    fn start(&mut self, lane: Arc<LaneAddress>, items: Vec<Message>, checkpoint: Checkpoint) {
        let (kit, events) = (self.kit.clone(), self.events.clone());
        let Some(partition) = self.partitions.get(&lane.partition).cloned() else { return };
        let progress = self.lookout.began(&lane);
        self.tasks.spawn(async move {
            let mut seat = Seat { lane: lane.clone(), events, ended: false };
            let end = Turn::new(kit, partition, (*lane).clone(), items, checkpoint, progress).run().await;
            seat.give_back(end);
        });
    }

    fn acknowledge(&self, items: Vec<Message>) {
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
    fn give_back(&mut self, end: TurnEnd) {
        self.ended = true;
        let _ = self.events.send(Event::Ended(self.lane.clone(), end));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.ended {
            self.give_back(TurnEnd::Fenced);
        }
    }
}
