//! How much waits for each instance: counted by the owners, told to every ingress.
//!
//! Owners publish a [`BacklogReport`] about once a second over core NATS. Nothing is stored: a
//! count is worth nothing a second later, and one that was lost is replaced by the next. Each
//! ingress keeps in [`Backlogs`] what was last told of each partition, by its newest owner, and adds
//! it up.
//!
//! Where the reports that are fresh do not cover every partition (no worker runs, or one has just
//! died), nobody has counted; then the streams themselves are asked, by their leader, at most once
//! a second and per instance only when so much waits at all that somebody could be over a quota.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;

use super::{InstanceToken, Layout, Nats, Subjects};

/// How often a worker tells.
pub const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);
/// A report that is older counts for nothing.
const STALE_AFTER: Duration = Duration::from_secs(3);
/// What the streams said is good for so long.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The streams may take so long to answer; without an answer nobody is held back.
const PATIENCE: Duration = Duration::from_secs(2);
/// A report names so many instances at most, those with the most first.
const LARGEST: usize = 20_000;

/// What one worker counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogReport {
    /// The version of this record: [`BacklogReport::VERSION`].
    pub v: u8,
    /// The worker.
    pub worker: String,
    /// The partitions it owns.
    pub partitions: Vec<PartitionBacklog>,
}

/// What waits in one partition, as its owner counts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBacklog {
    /// The partition.
    pub number: u16,
    /// The epoch of the ownership: what an earlier owner counted is worth nothing beside it.
    pub epoch: u64,
    /// Messages that wait, by the instance's row id.
    pub counts: HashMap<i64, u64>,
}

impl BacklogReport {
    /// The version that this build writes. Until version 1 a report was about all partitions
    /// together.
    pub const VERSION: u8 = 2;

    /// A report; where very many instances wait, only those with the most.
    #[must_use]
    pub fn new(worker: &str, partitions: impl IntoIterator<Item = PartitionBacklog>) -> Self {
        let mut partitions: Vec<_> = partitions.into_iter().collect();
        let mut all = Vec::new();
        for PartitionBacklog { number, counts, .. } in &mut partitions {
            counts.retain(|_, waiting| *waiting > 0);
            all.extend(counts.iter().map(|(instance, waiting)| (*waiting, *number, *instance)));
        }
        if all.len() > LARGEST {
            let (_, too_small, _) = all.select_nth_unstable_by(LARGEST, |a, b| b.cmp(a));
            for PartitionBacklog { number, counts, .. } in &mut partitions {
                counts.retain(|instance, waiting| (*waiting, *number, *instance) > *too_small);
            }
        }
        Self { v: Self::VERSION, worker: worker.to_owned(), partitions }
    }

    /// Tells every ingress; nobody waits for it, and without a connection it is dropped.
    pub async fn publish(&self, nats: &Nats) {
        let Ok(payload) = serde_json::to_vec(self) else { return };
        if nats.connected()
            && let Err(error) = nats.js.client().publish(Subjects::backlog(&self.worker), payload.into()).await
        {
            tracing::debug!(error.message = %error, "a report of what waits was dropped");
        }
    }
}

/// What is known of each partition: decisions without I/O.
#[derive(Debug, Default)]
struct Reports(HashMap<u16, Known>);

#[derive(Debug)]
struct Known {
    at: Instant,
    epoch: u64,
    counts: HashMap<i64, u64>,
}

impl Known {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.at) < STALE_AFTER
    }
}

impl Reports {
    /// The newest ownership counts: its predecessor may still be telling, or have told a moment ago.
    fn heard(&mut self, report: BacklogReport, now: Instant) {
        for PartitionBacklog { number, epoch, counts } in report.partitions {
            if self.0.get(&number).is_none_or(|known| known.epoch <= epoch || !known.is_fresh(now)) {
                self.0.insert(number, Known { at: now, epoch, counts });
            }
        }
    }

    /// What waits for an instance; `None` when the fresh reports do not cover every partition.
    fn waiting(&self, instance: i64, partitions: u16, now: Instant) -> Option<u64> {
        let counted = |number: u16| {
            let known = self.0.get(&number).filter(|known| known.is_fresh(now))?;
            Some(known.counts.get(&instance).copied().unwrap_or_default())
        };
        (0..partitions).map(counted).sum()
    }
}

/// What waits, as an ingress knows it. Cheap to ask, shared by all tasks.
#[derive(Clone, Debug)]
pub struct Backlogs {
    nats: Nats,
    layout: Layout,
    reports: Arc<Mutex<Reports>>,
    total: Cache<(), u64>,
    asked: Cache<i64, u64>,
    _listening: Arc<AbortOnDropHandle<()>>,
}

impl Backlogs {
    /// Listens to the workers' reports from here on.
    #[must_use]
    pub fn follow(nats: Nats, layout: Layout) -> Self {
        let reports = Arc::new(Mutex::new(Reports::default()));
        let listening = tokio::spawn(listen(nats.clone(), Arc::clone(&reports)));
        Self {
            nats,
            layout,
            reports,
            total: Cache::builder().max_capacity(1).time_to_live(ASK_EVERY).build(),
            asked: Cache::builder().max_capacity(100_000).time_to_live(ASK_EVERY).build(),
            _listening: Arc::new(AbortOnDropHandle::new(listening)),
        }
    }

    /// Whether so many messages or more wait for an instance. When nobody knows, the answer is no:
    /// the stream's own limit holds in any case.
    pub async fn reaches(&self, instance: &InstanceToken, limit: u64) -> bool {
        let Some(id) = InstanceToken::row_id(instance.as_str()) else { return false };
        let counted = {
            let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.waiting(id, self.layout.partitions, Instant::now())
        };
        match counted {
            Some(waiting) => waiting >= limit,
            None => self.total().await.is_some_and(|total| total >= limit) && self.asked(instance, id).await >= limit,
        }
    }

    /// What waits for all instances together.
    async fn total(&self) -> Option<u64> {
        let ask = async {
            let mut total = 0;
            for stream in self.streams() {
                total += self.nats.js.get_stream(&stream).await?.cached_info().state.messages;
            }
            Ok::<_, async_nats::Error>(total)
        };
        let within = async { tokio::time::timeout(PATIENCE, ask).await.map_err(async_nats::Error::from)? };
        self.total.try_get_with((), within).await.ok()
    }

    /// What waits for one instance, by the streams' own counts.
    async fn asked(&self, instance: &InstanceToken, id: i64) -> u64 {
        let ask = async {
            let mut waiting = 0;
            for stream in self.streams() {
                let stream = self.nats.js.get_stream_no_info(&stream).await?;
                let mut subjects = stream.info_with_subjects(Subjects::inbound_instance(instance)).await?;
                while let Some(subject) = subjects.next().await {
                    waiting += subject?.1 as u64;
                }
            }
            Ok::<_, async_nats::Error>(waiting)
        };
        let within = async { tokio::time::timeout(PATIENCE, ask).await.map_err(async_nats::Error::from)? };
        self.asked.try_get_with(id, within).await.unwrap_or_default()
    }

    fn streams(&self) -> impl Iterator<Item = String> {
        self.layout.every_shard().map(|shard| self.layout.sharded("INBOUND", shard))
    }
}

/// Hears the reports; the client subscribes again by itself after a broken connection.
async fn listen(nats: Nats, reports: Arc<Mutex<Reports>>) {
    let mut heard = loop {
        match nats.js.client().subscribe(Subjects::backlog("*")).await {
            Ok(heard) => break heard,
            Err(error) => tracing::debug!(error.message = %error, "reports of what waits are not heard yet"),
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    while let Some(message) = heard.next().await {
        match serde_json::from_slice::<BacklogReport>(&message.payload) {
            Ok(report) if report.v <= BacklogReport::VERSION => {
                reports.lock().unwrap_or_else(PoisonError::into_inner).heard(report, Instant::now());
            }
            // Of another build: its partitions stay uncovered, and the streams are asked.
            _ => tracing::debug!("a report of what waits could not be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u16, epoch: u64, counts: &[(i64, u64)]) -> PartitionBacklog {
        PartitionBacklog { number, epoch, counts: counts.iter().copied().collect() }
    }

    /// Of partitions that are told of with their epoch and what waits in them for instance 1.
    fn report(told: &[(u16, u64, u64)]) -> BacklogReport {
        let partitions = told.iter().map(|(number, epoch, waiting)| partition(*number, *epoch, &[(1, *waiting)]));
        BacklogReport::new("a worker", partitions)
    }

    #[test]
    fn fresh_reports_that_cover_every_partition_are_added_up() {
        let (mut reports, start) = (Reports::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(reports.waiting(1, 2, start), None, "nobody has counted");
        reports.heard(report(&[(0, 1, 5)]), start);
        assert_eq!(reports.waiting(1, 2, start), None, "half the partitions");
        reports.heard(report(&[(1, 1, 7)]), later(1));
        assert_eq!(reports.waiting(1, 2, later(1)), Some(12));
        assert_eq!(reports.waiting(3, 2, later(1)), Some(0));
        reports.heard(report(&[(0, 1, 6)]), later(2));
        assert_eq!(reports.waiting(1, 2, later(2)), Some(13), "the newer report of an owner counts");
        assert_eq!(reports.waiting(1, 2, later(4)), None, "one of them is stale");
        reports.heard(report(&[(0, 1, 0), (1, 1, 0)]), later(9));
        assert_eq!(reports.waiting(1, 2, later(9)), Some(0), "what is stale is ignored");
    }

    #[test]
    fn at_a_takeover_the_newest_owner_counts_and_nobody_beside_it() {
        let (mut reports, start) = (Reports::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        reports.heard(report(&[(0, 4, 100), (1, 4, 50)]), start);
        reports.heard(report(&[(0, 5, 90)]), later(1));
        assert_eq!(reports.waiting(1, 2, later(1)), Some(140), "not both owners of partition 0");
        reports.heard(report(&[(0, 4, 100), (1, 4, 50)]), later(2));
        assert_eq!(reports.waiting(1, 2, later(2)), Some(140), "the past owner has not noticed yet");
        // A broker's store that was put back: epochs begin earlier, and the later ones fall silent.
        reports.heard(report(&[(0, 3, 10), (1, 4, 50)]), later(4));
        assert_eq!(reports.waiting(1, 2, later(4)), Some(60));
    }

    #[test]
    fn a_report_of_very_many_instances_keeps_those_with_the_most() {
        let all = |numbers: std::ops::Range<u16>| {
            numbers.map(|number| {
                // Ten instances have the same each time.
                let counts = (0..1_000).map(|id| (id, u64::from(number) * 1_000 + u64::try_from(id / 10).unwrap()));
                PartitionBacklog { number, epoch: 1, counts: counts.collect() }
            })
        };
        let report = BacklogReport::new("a", all(0..32));
        let kept: Vec<u64> =
            report.partitions.iter().flat_map(|partition| partition.counts.values().copied()).collect();
        assert_eq!((kept.len(), report.partitions.len()), (LARGEST, 32));
        assert!(kept.iter().all(|waiting| *waiting >= 12_000));
        assert!(serde_json::to_vec(&report).unwrap().len() < 1_000_000, "it fits into a message");
        let nothing = BacklogReport::new("a", [partition(1, 1, &[(1, 0)])]);
        assert!(nothing.partitions[0].counts.is_empty(), "nothing waits, nothing is said");
    }
}
