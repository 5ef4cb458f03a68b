//! What every turn works with.

use std::sync::Arc;

use omnihub_common::{
    access::Gate,
    conversation::Pauses,
    instance::{Announcer, Budgets, Change, Directory, Instance},
    person::Profiles,
    queue::{Accounts, DeadLetters, InstanceToken, LaneAddress, Media, SendOutcomes, TraceBus},
    trace::History,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

use tokio::sync::{
    Semaphore,
    broadcast::{self, error::RecvError},
};

use super::{Beginner, OwnLids, Receipts, ReplyDoor, Wait};
use crate::{agent::Client, breaker::Breakers, files::FileDesk, transcription::Listener};

/// Shared by all turns of a worker.
#[derive(Debug)]
pub(crate) struct Kit {
    pub(crate) directory: Arc<Directory>,
    /// Who is blocked, and which conversations are paused.
    pub(crate) gate: Arc<Gate>,
    /// What instances have spent.
    pub(crate) budgets: Budgets,
    /// Where it is kept that a person has taken over.
    pub(crate) pauses: Pauses,
    /// Tells that.
    pub(crate) announcer: Announcer,
    /// What operators have told of people.
    pub(crate) profiles: Profiles,
    /// What was said before, for agents that do not remember it.
    pub(crate) history: History,
    /// For agents.
    pub(crate) agents: Client,
    /// For channels.
    pub(crate) http: reqwest::Client,
    pub(crate) traces: TraceBus,
    /// For those who wait for what they send.
    pub(crate) outcomes: SendOutcomes,
    pub(crate) dead: DeadLetters,
    pub(crate) media: Media,
    /// What came with the messages.
    pub(crate) files: Arc<FileDesk>,
    /// What is said in voice messages.
    pub(crate) listener: Arc<Listener>,
    pub(crate) metrics: TurnMetrics,
    pub(crate) receipts: Receipts,
    /// How accounts are connected, and how fast they write.
    pub(crate) accounts: Accounts,
    /// Who we are in groups that hide numbers.
    pub(crate) own_lids: OwnLids,
    pub(crate) breakers: Arc<Breakers>,
    /// Who may call a channel without anybody who waits for it: to show that somebody is typing, or
    /// that a message was read.
    pub(crate) typing: Arc<Semaphore>,
    /// Where agents post that answer later.
    pub(crate) replies: ReplyDoor,
    pub(crate) beginner: Beginner,
}

impl Kit {
    /// Waits before the next attempt; a change of the instance (a new key, another URL) ends the
    /// wait at once, and so does a server that may be called again.
    pub(crate) async fn wait_for_retry(&self, lane: &LaneAddress, wait: Wait) {
        match wait.circuit.clone() {
            None => self.wait_for_change(lane, &wait).await,
            Some(mut circuit) => tokio::select! {
                () = self.wait_for_change(lane, &wait) => {}
                // A breaker that was forgotten says nothing; the wait has an end of its own.
                Ok(()) = circuit.changed() => {}
            },
        }
    }

    async fn wait_for_change(&self, lane: &LaneAddress, wait: &Wait) {
        let id = InstanceToken::row_id(&lane.instance);
        let changed = async {
            let mut changes = self.directory.changes();
            // An attempt that never saw its instance waits for another one than there is now.
            let known = match wait.instance {
                Some(known) => Some(known),
                None => Box::pin(self.version(lane)).await,
            };
            loop {
                // First what changed since the failed attempt, then what is told from here on.
                let now = Box::pin(self.version(lane)).await;
                if now.is_some() && now != known {
                    return;
                }
                until_told(&mut changes, id).await;
            }
        };
        // An error is the end of the wait.
        let _ = tokio::time::timeout(wait.at_most, changed).await;
    }

    async fn version(&self, lane: &LaneAddress) -> Option<u64> {
        let id = InstanceToken::row_id(&lane.instance)?;
        let instance: Arc<Instance> = self.directory.by_id(id).await.ok()??;
        Some(instance.version())
    }
}

/// Until a change is told that may be one of this instance.
async fn until_told(changes: &mut broadcast::Receiver<Change>, id: Option<i64>) {
    loop {
        match changes.recv().await {
            Ok(Change::One(changed)) if Some(changed) != id => {}
            // Too many at once for this listener: one of them may have been it.
            Ok(Change::One(_) | Change::Any) | Err(RecvError::Lagged(_)) => return,
            // The directory is gone, and the worker with it.
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Metrics of turns.
#[derive(Clone, Debug)]
pub(crate) struct TurnMetrics {
    outcomes: Counter<u64>,
    failures: Counter<u64>,
    seconds: Histogram<f64>,
}

impl TurnMetrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("omnihub");
        Self {
            outcomes: meter.u64_counter("omnihub_turns_total").with_description("Messages by how they ended").build(),
            failures: meter
                .u64_counter("omnihub_step_failures_total")
                .with_description("Failed attempts by step and instance")
                .build(),
            seconds: meter
                .f64_histogram("omnihub_step_seconds")
                .with_description("Time of one step of a turn, in seconds")
                .with_boundaries(vec![0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
                .build(),
        }
    }

    pub(crate) fn ended(&self, instance: &str, outcome: &'static str) {
        self.outcomes.add(1, &[KeyValue::new("instance", instance.to_owned()), KeyValue::new("outcome", outcome)]);
    }

    pub(crate) fn failed(&self, instance: &str, step: &'static str) {
        self.failures.add(1, &[KeyValue::new("instance", instance.to_owned()), KeyValue::new("step", step)]);
    }

    pub(crate) fn took(&self, step: &'static str, since: std::time::Instant) {
        self.seconds.record(since.elapsed().as_secs_f64(), &[KeyValue::new("step", step)]);
    }
}
