//! What waits in this worker, by instance: decisions without I/O.
//!
//! Counted per partition and ownership, because a new consumer delivers again what waits: a
//! message counts from its delivery to its acknowledgement, under the tag it was delivered with.
//! What is counted here is told to every ingress once a second, for the quota of each instance.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use omnihub_common::queue::{BACKLOG_INTERVAL, BacklogReport, InstanceToken, LaneAddress, Nats, PartitionBacklog};

/// The counts of one worker.
#[derive(Debug, Default)]
pub(crate) struct Backlog(HashMap<u16, Counts>);

#[derive(Debug)]
struct Counts {
    /// Epoch and generation of the consumer that delivers.
    tag: (u64, u64),
    waiting: HashMap<i64, u64>,
}

impl Backlog {
    /// A consumer of this tag begins: everything that waits will be delivered again.
    pub(crate) fn owned(&mut self, partition: u16, tag: (u64, u64)) {
        self.0.insert(partition, Counts { tag, waiting: HashMap::new() });
    }

    /// The partition is no longer ours.
    pub(crate) fn lost(&mut self, partition: u16) {
        self.0.remove(&partition);
    }

    /// A message was delivered.
    pub(crate) fn arrived(&mut self, lane: &LaneAddress, tag: (u64, u64)) {
        if let Some(waiting) = self.waiting(lane, tag) {
            *waiting += 1;
        }
    }

    /// A message has been done with.
    pub(crate) fn done(&mut self, lane: &LaneAddress, tag: (u64, u64)) {
        if let Some(waiting) = self.waiting(lane, tag) {
            *waiting = waiting.saturating_sub(1);
        }
    }

    fn waiting(&mut self, lane: &LaneAddress, tag: (u64, u64)) -> Option<&mut u64> {
        let counts = self.0.get_mut(&lane.partition).filter(|counts| counts.tag == tag)?;
        Some(counts.waiting.entry(InstanceToken::row_id(&lane.instance)?).or_default())
    }

    /// What to tell; what has become nothing is forgotten.
    fn report(&mut self, worker: &str) -> BacklogReport {
        let partitions = self.0.iter_mut().map(|(number, counts)| {
            counts.waiting.retain(|_, waiting| *waiting > 0);
            PartitionBacklog { number: *number, epoch: counts.tag.0, counts: counts.waiting.clone() }
        });
        BacklogReport::new(worker, partitions)
    }
}

/// The counts, shared between the scheduler that counts and the task that tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedBacklog(Arc<Mutex<Backlog>>);

impl SharedBacklog {
    /// Counts something.
    pub(crate) fn with<T>(&self, count: impl FnOnce(&mut Backlog) -> T) -> T {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells for ever.
    pub(crate) async fn tell(self, nats: Nats, worker: String) {
        let mut tick = tokio::time::interval(BACKLOG_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let report = self.with(|backlog| backlog.report(&worker));
            report.publish(&nats).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane(partition: u16, instance: &str) -> LaneAddress {
        LaneAddress { partition, instance: instance.to_owned(), conversation: "c".to_owned() }
    }

    fn counts(backlog: &mut Backlog) -> Vec<(i64, u64)> {
        let mut total = std::collections::BTreeMap::new();
        for (instance, waiting) in backlog.report("w").partitions.into_iter().flat_map(|partition| partition.counts) {
            *total.entry(instance).or_default() += waiting;
        }
        total.into_iter().collect()
    }

    #[test]
    fn a_message_counts_from_its_delivery_to_its_end() {
        let mut backlog = Backlog::default();
        let (acme, other) = (lane(1, "acme-7"), lane(2, "other-8"));
        backlog.arrived(&acme, (1, 0));
        assert_eq!(counts(&mut backlog), [], "not ours");
        backlog.owned(1, (1, 0));
        backlog.owned(2, (1, 0));
        for _ in 0..3 {
            backlog.arrived(&acme, (1, 0));
        }
        backlog.arrived(&other, (1, 0));
        backlog.arrived(&lane(2, "acme-7"), (1, 0));
        assert_eq!(counts(&mut backlog), [(7, 4), (8, 1)], "over its partitions");
        let owned = backlog.report("w").partitions;
        assert_eq!(owned.iter().map(|partition| partition.epoch).collect::<Vec<_>>(), [1, 1]);
        backlog.done(&acme, (1, 0));
        backlog.done(&other, (1, 0));
        assert_eq!(counts(&mut backlog), [(7, 3)]);
        backlog.lost(1);
        assert_eq!(counts(&mut backlog), [(7, 1)]);
    }

    #[test]
    fn a_new_consumer_counts_anew() {
        let (mut backlog, acme) = (Backlog::default(), lane(1, "acme-7"));
        backlog.owned(1, (1, 0));
        backlog.arrived(&acme, (1, 0));
        backlog.owned(1, (1, 1));
        assert_eq!(counts(&mut backlog), []);
        backlog.arrived(&acme, (1, 1));
        backlog.arrived(&acme, (1, 0));
        backlog.done(&acme, (1, 0));
        assert_eq!(counts(&mut backlog), [(7, 1)], "what the old one delivered counts no more");
    }

    proptest! {
        #[test]
        fn what_waits_is_what_arrived_and_is_not_done(
            steps in prop::collection::vec((0..4_u8, 0..3_u16, 0..3_u64), 0..200),
        ) {
            let mut backlog = Backlog::default();
            let mut expected = HashMap::<u16, (u64, u64)>::new();
            for (step, partition, generation) in steps {
                let acme = lane(partition, "acme-7");
                let current = expected.get_mut(&partition).filter(|(tag, _)| *tag == generation);
                match step {
                    0 => {
                        backlog.owned(partition, (1, generation));
                        expected.insert(partition, (generation, 0));
                    }
                    1 => {
                        backlog.lost(partition);
                        expected.remove(&partition);
                    }
                    2 => {
                        backlog.arrived(&acme, (1, generation));
                        current.into_iter().for_each(|(_, waiting)| *waiting += 1);
                    }
                    _ => {
                        backlog.done(&acme, (1, generation));
                        current.into_iter().for_each(|(_, waiting)| *waiting = waiting.saturating_sub(1));
                    }
                }
            }
            let total: u64 = expected.values().map(|(_, waiting)| waiting).sum();
            prop_assert_eq!(counts(&mut backlog), if total > 0 { vec![(7, total)] } else { vec![] });
        }
    }
}
