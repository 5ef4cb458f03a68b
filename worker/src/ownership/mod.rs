//! Ownership: which partitions are mine, and the consumers that feed them to the scheduler.
//!
//! The cast: `book` decides, without any I/O; `Ownership` does what it says and tells it what
//! came of it; `heart` keeps membership and lease on a thread of its own, so that nothing that
//! is slow here can silence it; `signs` shortens the wait for the next look at the others; `complaints`
//! keeps what all partitions meet at once from filling the log.
//!
//! What is absent: nothing here waits for the broker. Each request is a task that reports back, so
//! that a lapsed lease or a stop is noticed at once, however long the broker is silent.

mod book;
mod complaints;
mod heart;
mod release;
mod signs;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use omnihub_common::queue::{Claimant, Claimed, Fed, MembershipError, PumpEnd, SharedPartition, Terms, pump};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use self::{
    book::{Action, Ask, Book, Event as Change, Verdict},
    complaints::Complaints,
};
use crate::scheduler::Event;
pub(crate) use heart::{Heart, HeartError, Life};

/// A planned handover waits so long for running turns, then cuts them; they repeat elsewhere with
/// the same key.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);
/// After a stop's grace, so long for the broker to take what is given back.
const FAREWELL: Duration = Duration::from_secs(5);
/// So often the others are looked at, or six times in the time to live of a lease where that is
/// shorter: a worker that died leaves no sign, its record falls out.
const LOOK: Duration = Duration::from_millis(250);

/// What a task has to report.
#[derive(Debug)]
enum Report {
    Ready { connection: u64, ready: Result<Vec<String>, MembershipError> },
    Claimed { partition: u16, ask: Ask, won: Option<SharedPartition> },
    Verified { partition: u16, ask: Ask, verdict: Verdict },
    Ended { partition: u16, epoch: u64, generation: u64, end: PumpEnd },
    Released { partition: u16, epoch: u64, done: bool },
    Waived { partition: u16, ask: Ask, done: bool },
}

#[derive(Debug)]
struct Held {
    partition: SharedPartition,
    pump: Option<AbortHandle>,
}

/// What a worker owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// How many partitions.
    pub partitions: usize,
    /// Whether partition 0 is among them: one worker at a time has it, so its owner does what one
    /// of them is enough for. While it changes hands there may be two for a moment, or none.
    pub first: bool,
}

/// The task that owns partitions.
pub(crate) struct Ownership {
    claimant: Claimant,
    events: mpsc::UnboundedSender<Event>,
    /// What this worker owns now; `None` until it is settled for the first time.
    owned: watch::Sender<Option<Owned>>,
    /// Cancelled when nothing of this worker may act any more.
    end: CancellationToken,
    life: Life,
    book: Book,
    /// What the book calls mine or leaving.
    held: HashMap<u16, Held>,
    /// Every partition that was claimed since the last lapse of the lease acts under this.
    acting: CancellationToken,
    tasks: JoinSet<Report>,
    /// The look that is on its way, by the connection it uses.
    looking: Option<u64>,
    looked: bool,
    /// The connection that is known of, and since when.
    connection: (u64, Instant),
    listening: mpsc::UnboundedSender<u16>,
    patience: Duration,
    complaints: Arc<Complaints>,
}

impl Ownership {
    /// Owns nothing yet. `listens` of [`Ownership::run`] is the other end of `listening`.
    pub(crate) fn new(
        claimant: Claimant,
        events: mpsc::UnboundedSender<Event>,
        owned: watch::Sender<Option<Owned>>,
        end: CancellationToken,
        life: Life,
    ) -> Self {
        let (listening, _) = mpsc::unbounded_channel();
        Self {
            book: Book::new(&claimant.me, claimant.layout.partitions),
            acting: end.child_token(),
            events,
            owned,
            end,
            life,
            held: HashMap::new(),
            tasks: JoinSet::new(),
            looking: None,
            looked: false,
            connection: (claimant.nats.connection(), Instant::now()),
            listening,
            patience: HANDOVER_PATIENCE,
            complaints: Arc::default(),
            claimant,
        }
    }

    /// Owns what it should until told to stop, then gives everything back within `grace`.
    pub(crate) async fn run(
        mut self,
        mut doubts: mpsc::UnboundedReceiver<u16>,
        stop: CancellationToken,
        grace: Duration,
    ) {
        let (listening, mut listens) = mpsc::unbounded_channel();
        self.listening = listening;
        let mut changes = self.claimant.nats.changes.clone();
        if *changes.borrow_and_update() != self.connection.0 {
            self.connection_changed();
        }
        let mut signs = signs::watch(&self.claimant.nats, self.end.clone());
        let mut ticks = tokio::time::interval(LOOK.min(self.claimant.layout.lease_ttl / 6));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut farewell = None;
        while farewell.is_none() || !self.book.is_empty() {
            self.life.show();
            let lapse = self.claimant.lease.left().unwrap_or(LOOK);
            tokio::select! {
                () = stop.cancelled(), if farewell.is_none() => {
                    farewell = Some(tokio::time::Instant::now() + grace + FAREWELL);
                    self.patience = grace;
                    self.change(Change::Stop);
                }
                () = until(farewell) => break,
                () = self.end.cancelled() => break,
                () = tokio::time::sleep(lapse) => {}
                _ = ticks.tick() => self.look(),
                Ok(()) = signs.changed() => self.look(),
                Some(partition) = doubts.recv() => self.change(Change::Doubt(partition)),
                Ok(()) = changes.changed() => self.connection_changed(),
                Some(ended) = self.tasks.join_next() => self.reported(ended),
                Some(_) = listens.recv() => while listens.try_recv().is_ok() {},
            }
            self.drop_all_if_lapsed();
            self.show();
        }
        self.owned.send_replace(Some(Owned { partitions: 0, first: false }));
    }

    /// Tells how many partitions are owned, once nothing is on its way and all are listened to.
    fn show(&self) {
        let listening = |number| self.held.get(&number).is_some_and(|held| held.partition.is_listening());
        if self.looked && !self.book.is_claiming() && self.claimant.lease.holds() && self.book.owned().all(listening) {
            let first = self.book.owned().any(|partition| partition == 0);
            self.owned.send_replace(Some(Owned { partitions: self.book.owned().count(), first }));
        }
    }

    /// Asks who is there, unless that is being asked over the connection that stands.
    fn look(&mut self) {
        let (nats, roll) = (&self.claimant.nats, self.claimant.roll.clone());
        let connection = nats.connection();
        if self.looking == Some(connection) || !self.claimant.lease.holds() || !nats.connected() {
            return;
        }
        self.looking = Some(connection);
        self.tasks.spawn(async move { Report::Ready { connection, ready: roll.ready().await } });
    }

    fn connection_changed(&mut self) {
        self.connection = (self.claimant.nats.connection(), Instant::now());
        if self.claimant.nats.connected() {
            self.change(Change::Reconnected);
            self.look();
        }
    }

    fn drop_all_if_lapsed(&mut self) {
        if !self.claimant.lease.lapsed() {
            return;
        }
        tracing::warn!("the lease has lapsed: every partition is dropped");
        self.acting.cancel();
        self.acting = self.end.child_token();
        self.change(Change::Lapsed);
    }

    fn reported(&mut self, report: Result<Report, JoinError>) {
        match report {
            Ok(Report::Ready { connection, ready }) => self.ready(connection, ready),
            Ok(Report::Claimed { partition, ask, won }) => self.claimed(partition, ask, won),
            Ok(Report::Verified { partition, ask, verdict }) => {
                self.change(Change::Verified { partition, ask, verdict })
            }
            Ok(Report::Ended { partition, epoch, generation, end }) => {
                self.consumer_ended(partition, epoch, generation, end)
            }
            Ok(Report::Released { partition, epoch, done }) => {
                self.held.retain(|number, held| (*number, held.partition.epoch()) != (partition, epoch));
                self.change(Change::Released { partition, epoch, done });
            }
            Ok(Report::Waived { partition, ask, done }) => self.change(Change::Waived { partition, ask, done }),
            Err(error) if error.is_panic() => {
                tracing::error!(error.message = %error, "a task of the ownership panicked: everything is verified");
                self.looking = None;
                self.change(Change::Confused);
            }
            // A consumer that was replaced.
            Err(_) => {}
        }
    }

    fn ready(&mut self, connection: u64, ready: Result<Vec<String>, MembershipError>) {
        if self.looking == Some(connection) {
            self.looking = None;
        }
        match ready {
            Ok(ready) if self.claimant.lease.holds() && self.connection.0 == connection => {
                self.looked = true;
                let from_the_dead = self.connection.1.elapsed() > self.claimant.layout.lease_ttl;
                self.change(Change::Look { ready, from_the_dead });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error.message = %error, "the other workers could not be read, trying again"),
        }
    }

    fn claimed(&mut self, number: u16, ask: Ask, won: Option<SharedPartition>) {
        let Some(partition) = won else { return self.change(Change::NotClaimed { partition: number, ask }) };
        let epoch = partition.epoch();
        let actions = self.book.on(Change::Claimed { partition: number, ask, epoch });
        if actions.is_empty() {
            // Its question was out of date: nobody acts for this one.
            partition.gone().cancel();
            return;
        }
        tracing::debug!(partition.number = number, partition.epoch = epoch, "partition claimed");
        self.held.insert(number, Held { partition, pump: None });
        self.perform(actions);
    }

    fn consumer_ended(&mut self, partition: u16, epoch: u64, generation: u64, end: PumpEnd) {
        match end {
            PumpEnd::Gone => {}
            PumpEnd::Doubt(reason) => {
                tracing::info!(partition.number = partition, reason, "a consumer ended");
                self.change(Change::Ended { partition, epoch, generation });
            }
            PumpEnd::Superseded(by) => {
                tracing::info!(partition.number = partition, consumer.epoch = by, "another consumer is there");
                self.change(Change::Superseded { partition, epoch, generation, by });
            }
        }
    }

    fn change(&mut self, change: Change) {
        let actions = self.book.on(change);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Claim { partition, ask, terms } => self.claim(partition, ask, terms),
                Action::Verify { partition, ask } => self.verify(partition, ask),
                Action::Begin { partition, generation } => self.begin(partition, generation),
                Action::Drop(partition) => self.drop_partition(partition),
                Action::HandOver(partition) => self.hand_over(partition),
                Action::Waive { partition, ask } => self.waive(partition, ask),
                Action::LeaseAnew => self.claimant.lease.begin_again(),
            }
        }
    }

    fn claim(&mut self, partition: u16, ask: Ask, terms: Terms) {
        let (claimant, acting) = (self.claimant.clone(), self.acting.clone());
        let complaints = self.complaints.clone();
        self.tasks.spawn(async move {
            let won = match claimant.claim(partition, terms, &acting).await {
                Ok(Claimed::Mine(won)) => Some(won),
                Ok(Claimed::NotYet) => None,
                Err(error) => {
                    complaints.note(&error);
                    // A claim that the broker refuses is a sign to all who listen, this worker
                    // included: reported at once it would be made again at once, by all of them.
                    tokio::time::sleep(LOOK).await;
                    None
                }
            };
            Report::Claimed { partition, ask, won }
        });
    }

    fn verify(&mut self, number: u16, ask: Ask) {
        let Some(partition) = self.held.get(&number).map(|held| held.partition.clone()) else { return };
        let complaints = self.complaints.clone();
        self.tasks.spawn(async move {
            let verdict = match partition.verify().await {
                Ok(true) if !partition.gone().is_cancelled() => Verdict::Ours,
                Ok(_) => {
                    tracing::info!(partition.number = number, "the partition has another owner");
                    Verdict::Theirs
                }
                Err(error) => {
                    complaints.note(&error);
                    Verdict::Unknown
                }
            };
            Report::Verified { partition: number, ask, verdict }
        });
    }

    /// A new consumer for an owned partition; the scheduler hears of it before its first delivery.
    fn begin(&mut self, number: u16, generation: u64) {
        let Some(held) = self.held.get_mut(&number) else { return };
        if let Some(pump) = held.pump.take() {
            pump.abort();
        }
        let partition = held.partition.clone();
        // Now, and not when its task first runs: until then it would look as if it listened.
        partition.begin_generation(generation);
        let _ = self.events.send(Event::Owned(partition.clone(), generation));
        let (events, listening) = (self.events.clone(), self.listening.clone());
        held.pump = Some(self.tasks.spawn(async move {
            let epoch = partition.epoch();
            let feed = move |fed| {
                let _ = events.send(match fed {
                    Fed::Message(delivery) => Event::Arrived(*delivery),
                    Fed::CaughtUp(partition, tag) => Event::CaughtUp(partition, tag),
                });
            };
            let listening = move || {
                let _ = listening.send(number);
            };
            let end = pump(partition, generation, listening, feed).await;
            Report::Ended { partition: number, epoch, generation, end }
        }));
    }

    /// One that is being handed over is cut; its release goes on and ends by itself. Only what the
    /// book has forgotten as well may be claimed again before.
    fn drop_partition(&mut self, number: u16) {
        let Some(held) = self.held.get_mut(&number) else { return };
        held.partition.gone().cancel();
        if let Some(pump) = held.pump.take() {
            pump.abort();
        }
        let _ = self.events.send(Event::Lost(number, held.partition.epoch()));
        if !self.book.is_leaving(number) {
            self.held.remove(&number);
        }
    }

    /// Gives a partition to its new owner: running turns end first.
    fn hand_over(&mut self, number: u16) {
        let Some(held) = self.held.get_mut(&number) else { return };
        let (partition, pump) = (held.partition.clone(), held.pump.take());
        let (events, patience) = (self.events.clone(), self.patience);
        self.tasks.spawn(async move {
            let epoch = partition.epoch();
            let done = release::release(partition, pump, events, patience).await;
            Report::Released { partition: number, epoch, done }
        });
    }

    fn waive(&mut self, partition: u16, ask: Ask) {
        let (claimant, complaints) = (self.claimant.clone(), self.complaints.clone());
        self.tasks.spawn(async move {
            let waived = claimant.waive(partition).await;
            if let Err(error) = &waived {
                complaints.note(error);
            }
            Report::Waived { partition, ask, done: waived.is_ok() }
        });
    }
}

async fn until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
