//! How much waits for each instance: counted by the owners, told to every ingress.
//!
//! Owners publish a [`BacklogReport`] about once a second over core NATS. Nothing is stored: a
//! count is worth nothing a second later, and one that was lost is replaced by the next. Each
//! ingress keeps the last report of each worker in [`Backlogs`] and adds them up.
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
    /// How many partitions it owns.
    pub partitions: usize,
    /// Messages that wait, by the instance's row id.
    pub counts: Vec<(i64, u64)>,
}

impl BacklogReport {
    /// The version that this build writes.
    pub const VERSION: u8 = 1;

    /// A report; of very many instances only those with the most.
    #[must_use]
    pub fn new(worker: &str, partitions: usize, counts: impl IntoIterator<Item = (i64, u64)>) -> Self {
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, waiting)| *waiting > 0).collect();
        if counts.len() > LARGEST {
            counts.select_nth_unstable_by(LARGEST, |a, b| b.1.cmp(&a.1));
            counts.truncate(LARGEST);
        }
        Self { v: Self::VERSION, worker: worker.to_owned(), partitions, counts }
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

/// The last report of each worker: decisions without I/O.
#[derive(Debug, Default)]
struct Reports(HashMap<String, Report>);

#[derive(Debug)]
struct Report {
    at: Instant,
    partitions: usize,
    counts: HashMap<i64, u64>,
}

impl Reports {
    fn heard(&mut self, report: BacklogReport, now: Instant) {
        self.0.retain(|_, known| now.duration_since(known.at) < STALE_AFTER);
        let known = Report { at: now, partitions: report.partitions, counts: report.counts.into_iter().collect() };
        self.0.insert(report.worker, known);
    }

    /// What waits for an instance; `None` when the fresh reports do not cover every partition.
    fn waiting(&self, instance: i64, partitions: usize, now: Instant) -> Option<u64> {
        let fresh = || self.0.values().filter(|report| now.duration_since(report.at) < STALE_AFTER);
        let covered: usize = fresh().map(|report| report.partitions).sum();
        (covered >= partitions).then(|| fresh().filter_map(|report| report.counts.get(&instance)).sum())
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
            reports.waiting(id, usize::from(self.layout.partitions), Instant::now())
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
            // Another build's; its partitions stay uncovered, and the streams are asked.
            _ => tracing::debug!("a report of what waits could not be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_reports_that_cover_every_partition_are_added_up() {
        let (mut reports, start) = (Reports::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(reports.waiting(1, 32, start), None, "nobody has counted");
        reports.heard(BacklogReport::new("a", 16, [(1, 5), (2, 1)]), start);
        assert_eq!(reports.waiting(1, 32, start), None, "half the partitions");
        reports.heard(BacklogReport::new("b", 16, [(1, 7)]), later(1));
        assert_eq!(reports.waiting(1, 32, later(1)), Some(12));
        assert_eq!(reports.waiting(2, 32, later(1)), Some(1));
        assert_eq!(reports.waiting(3, 32, later(1)), Some(0));
        reports.heard(BacklogReport::new("a", 16, [(1, 6)]), later(2));
        assert_eq!(reports.waiting(1, 32, later(2)), Some(13), "the newer report of a worker counts");
        assert_eq!(reports.waiting(1, 32, later(4)), None, "one of them is stale");
        reports.heard(BacklogReport::new("c", 32, []), later(9));
        assert_eq!(reports.waiting(1, 32, later(9)), Some(0), "what is stale is ignored");
    }

    #[test]
    fn a_report_of_very_many_instances_keeps_those_with_the_most() {
        let many = (0..30_000).map(|id| (id, u64::try_from(id).unwrap()));
        let report = BacklogReport::new("a", 1, many);
        assert_eq!(report.counts.len(), LARGEST);
        assert!(report.counts.iter().all(|(_, waiting)| *waiting >= 10_000));
        assert!(serde_json::to_vec(&report).unwrap().len() < 1_000_000, "it fits into a message");
        assert_eq!(BacklogReport::new("a", 1, [(1, 0)]).counts, [], "nothing waits, nothing is said");
    }
}
