//! Ownership: which partitions are mine, and the consumers that feed them to the scheduler.
//!
//! Two tasks. The heartbeat keeps membership and lease and does nothing else, so that no slow
//! round can silence it. The round claims what rendezvous gives to this worker, gives back what
//! it takes away, and makes a new consumer wherever there is doubt. It decides little itself:
//! see [`omnihub_common::queue::step`] and [`omnihub_common::queue::owner_of`].

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};
use omnihub_common::queue::{
    Claimed, Layout, Lease, Membership, MembershipError, Nats, PumpEnd, Roll, SharedPartition, claim, owner_of, pump,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinError, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use crate::scheduler::Event;

/// A planned handover waits so long for running turns, then cuts them; they repeat elsewhere with
/// the same key.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);
/// Claims in flight at once.
const CLAIMS_AT_ONCE: usize = 64;

/// Beats until told to stop.
///
/// # Errors
/// [`MembershipError::Superseded`]: another process has this worker's id.
pub(crate) async fn keep_beating(
    mut membership: Membership,
    stop: CancellationToken,
) -> Result<Membership, MembershipError> {
    let mut ticks = tokio::time::interval(membership.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(membership),
            _ = ticks.tick() => {}
        }
        match membership.beat().await {
            Ok(()) => {}
            Err(error @ MembershipError::Superseded(_)) => return Err(error),
            Err(error) => tracing::warn!(error.message = %error, "a heartbeat failed"),
        }
    }
}

struct Mine {
    partition: SharedPartition,
    pump: AbortHandle,
}

/// Who reports: partition, epoch and generation of a consumer.
type PumpId = (u16, u64, u64);

/// The task that owns partitions.
pub(crate) struct Ownership {
    pub(crate) nats: Nats,
    pub(crate) layout: Layout,
    pub(crate) me: String,
    pub(crate) roll: Roll,
    pub(crate) lease: Lease,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Partitions this worker owns now.
    pub(crate) owned: watch::Sender<Option<usize>>,
    /// Cancelled when nothing of this worker may act any more.
    pub(crate) end: CancellationToken,
}

/// What the rounds change.
struct Book {
    mine: HashMap<u16, Mine>,
    doubts: HashSet<u16>,
    pumps: JoinSet<(PumpId, PumpEnd)>,
    handovers: JoinSet<u16>,
    handing_over: HashSet<u16>,
    /// Every partition that was claimed since the last lapse of the lease acts under this.
    acting: CancellationToken,
    listening: mpsc::UnboundedSender<u16>,
}

impl Ownership {
    /// Runs rounds until told to stop, then gives everything back within `grace`.
    pub(crate) async fn run(self, mut doubts: mpsc::UnboundedReceiver<u16>, stop: CancellationToken, grace: Duration) {
        let (listening, mut listens) = mpsc::unbounded_channel();
        let mut book = Book {
            mine: HashMap::new(),
            doubts: HashSet::new(),
            pumps: JoinSet::new(),
            handovers: JoinSet::new(),
            handing_over: HashSet::new(),
            acting: self.end.child_token(),
            listening,
        };
        let mut changes = self.nats.changes.clone();
        changes.mark_unchanged();
        let mut ticks = tokio::time::interval(self.layout.lease_ttl / 6);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
                Some(partition) = doubts.recv() => { book.doubts.insert(partition); }
                Ok(()) = changes.changed() => book.doubts.extend(book.mine.keys().copied()),
                Some(ended) = book.pumps.join_next() => book.pump_ended(ended),
                Some(ended) = book.handovers.join_next() => book.handed_over(ended),
                Some(_) = listens.recv() => {
                    while listens.try_recv().is_ok() {}
                    self.show(&book);
                    continue;
                }
            }
            book.collect_ended();
            if let Err(error) = self.round(&mut book).await {
                tracing::warn!(error.message = %error, "an ownership round failed, trying again");
            }
            self.show(&book);
        }
        self.give_everything_back(book, grace).await;
    }

    /// Tells how many partitions are owned, once all of them are listened to.
    fn show(&self, book: &Book) {
        if book.mine.values().all(|mine| mine.partition.is_listening()) && self.lease.holds() {
            self.owned.send_replace(Some(book.mine.len()));
        }
    }

    async fn round(&self, book: &mut Book) -> Result<(), MembershipError> {
        if self.lease.lapsed() {
            tracing::warn!("the lease has lapsed: every partition is dropped");
            // Those that are being handed over act under it too.
            book.acting.cancel();
            book.acting = self.end.child_token();
            for partition in book.mine.keys().copied().collect::<Vec<_>>() {
                self.drop_partition(book, partition);
            }
            self.lease.begin_again();
        }
        if !self.lease.holds() || !self.nats.connected() {
            return Ok(());
        }
        let ready = self.roll.ready().await?;
        let should_be_mine = |partition: u16| owner_of(partition, &ready) == Some(self.me.as_str());
        let leaving: Vec<u16> = book.mine.keys().copied().filter(|p| !should_be_mine(*p)).collect();
        for partition in leaving {
            self.hand_over(book, partition);
        }
        self.settle_doubts(book).await;
        let missing: Vec<u16> = (0..self.layout.partitions)
            .filter(|p| should_be_mine(*p) && !book.mine.contains_key(p) && !book.handing_over.contains(p))
            .collect();
        self.claim_missing(book, missing).await;
        Ok(())
    }

    async fn claim_missing(&self, book: &mut Book, missing: Vec<u16>) {
        let acting = book.acting.clone();
        let acting = &acting;
        let claims = stream::iter(missing)
            .map(|partition| async move {
                claim(&self.nats.js, &self.layout, partition, &self.me, &self.roll, &self.lease, acting).await
            })
            .buffer_unordered(CLAIMS_AT_ONCE)
            .collect::<Vec<_>>();
        for claimed in claims.await {
            match claimed {
                Ok(Claimed::Mine(partition)) => {
                    tracing::debug!(
                        partition.number = partition.number(),
                        partition.epoch = partition.epoch(),
                        "partition claimed"
                    );
                    self.begin(book, partition, 0);
                }
                Ok(Claimed::NotYet) => {}
                Err(error) => tracing::warn!(error.message = %error, "a claim failed, trying again"),
            }
        }
    }

    /// A new consumer for an owned partition; the scheduler hears of it before its first delivery.
    fn begin(&self, book: &mut Book, partition: SharedPartition, generation: u64) {
        let number = partition.number();
        let _ = self.events.send(Event::Owned(partition.clone(), generation));
        let (events, listening, pumped) = (self.events.clone(), book.listening.clone(), partition.clone());
        let pump = book.pumps.spawn(async move {
            let deliver = move |delivery| {
                let _ = events.send(Event::Arrived(delivery));
            };
            let listening = move || {
                let _ = listening.send(number);
            };
            let id = (number, pumped.epoch(), generation);
            (id, pump(pumped, generation, listening, deliver).await)
        });
        book.mine.insert(number, Mine { partition, pump });
    }

    /// Where there was a gap, an error or a new connection: still ours by the record means the
    /// same fence and the next generation of the consumer; otherwise the partition is lost.
    async fn settle_doubts(&self, book: &mut Book) {
        let doubtful: Vec<SharedPartition> =
            book.doubts.drain().filter_map(|number| Some(book.mine.get(&number)?.partition.clone())).collect();
        let verified = join_all(doubtful.into_iter().map(|partition| async move {
            let verified = partition.verify().await;
            (partition, verified)
        }));
        for (partition, verified) in verified.await {
            let number = partition.number();
            match verified {
                Ok(true) if !partition.gone().is_cancelled() => {
                    if let Some(mine) = book.mine.get(&number) {
                        mine.pump.abort();
                    }
                    let next = partition.generation() + 1;
                    self.begin(book, partition, next);
                }
                Ok(_) => {
                    tracing::info!(partition.number = number, "the partition has another owner");
                    self.drop_partition(book, number);
                }
                Err(error) => {
                    tracing::warn!(error.message = %error, "an ownership could not be verified, trying again");
                    book.doubts.insert(number);
                    // The others would wait as long for a broker that does not answer, and a stop
                    // or a lapsed lease would wait with them.
                    return;
                }
            }
        }
    }

    fn drop_partition(&self, book: &mut Book, number: u16) {
        if let Some(mine) = book.mine.remove(&number) {
            mine.partition.gone().cancel();
            mine.pump.abort();
            let _ = self.events.send(Event::Lost(number));
        }
    }

    /// Gives a partition to its new owner: running turns end first.
    fn hand_over(&self, book: &mut Book, number: u16) {
        let Some(mine) = book.mine.remove(&number) else { return };
        book.handing_over.insert(number);
        book.handovers.spawn(release(mine, self.events.clone(), HANDOVER_PATIENCE));
    }

    async fn give_everything_back(&self, mut book: Book, grace: Duration) {
        for (_, mine) in book.mine.drain() {
            book.handovers.spawn(release(mine, self.events.clone(), grace));
        }
        while book.handovers.join_next().await.is_some() {}
        self.owned.send_replace(Some(0));
    }
}

impl Book {
    /// Everything that has ended beside what woke the round.
    fn collect_ended(&mut self) {
        while let Some(ended) = self.pumps.try_join_next() {
            self.pump_ended(ended);
        }
        while let Some(ended) = self.handovers.try_join_next() {
            self.handed_over(ended);
        }
    }

    fn pump_ended(&mut self, ended: Result<(PumpId, PumpEnd), JoinError>) {
        match ended {
            Ok(((partition, epoch, generation), end)) => {
                let current =
                    self.mine.get(&partition).map(|mine| (mine.partition.epoch(), mine.partition.generation()));
                if current != Some((epoch, generation)) {
                    return;
                }
                if let PumpEnd::Superseded = end
                    && let Some(mine) = self.mine.get(&partition)
                {
                    // Either somebody else owns it, or a consumer outlived the record of its
                    // owner: claimed again, under a higher epoch, it shows.
                    mine.partition.gone().cancel();
                }
                tracing::info!(partition.number = partition, end = ?end, "a consumer ended");
                self.doubts.insert(partition);
            }
            Err(error) if error.is_panic() => {
                tracing::error!(error.message = %error, "a consumer panicked: every partition is verified");
                self.doubts.extend(self.mine.keys().copied());
            }
            Err(_) => {}
        }
    }

    fn handed_over(&mut self, ended: Result<u16, JoinError>) {
        match ended {
            Ok(partition) => {
                self.handing_over.remove(&partition);
            }
            Err(error) => {
                tracing::error!(error.message = %error, "a handover panicked");
                self.handing_over.clear();
            }
        }
    }
}

async fn release(mine: Mine, events: mpsc::UnboundedSender<Event>, patience: Duration) -> u16 {
    let number = mine.partition.number();
    let (drained, wait) = oneshot::channel();
    let _ = events.send(Event::Release(number, drained));
    if tokio::time::timeout(patience, wait).await.is_err() {
        tracing::warn!(partition.number = number, "turns were cut at a handover");
    }
    mine.partition.gone().cancel();
    mine.pump.abort();
    let _ = events.send(Event::Lost(number));
    if let Err(error) = mine.partition.release().await {
        tracing::warn!(error.message = %error, "a partition could not be released");
    }
    number
}
