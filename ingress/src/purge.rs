//! What is kept of a deleted instance outside SQL, and its removal.

use std::time::Duration;

use omnihub_common::queue::{InstanceToken, Layout, Nats, purge_instance};
use tokio::sync::{mpsc, oneshot};

/// A deletion answers after this time at the latest; the removal goes on.
const PATIENCE: Duration = Duration::from_secs(5);
/// A removal that failed (the broker is down) is tried again after this time.
const PAUSE: Duration = Duration::from_secs(2);
/// Ingress and workers may know an instance for a moment after it is gone: what they kept of it
/// meanwhile is removed after this time.
const AGAIN: Duration = Duration::from_secs(3);

/// Removes queue subjects, checkpoints, dead letters, trace events and media of deleted
/// instances, one after the other, each until it has worked.
#[derive(Clone, Debug)]
pub struct Purger(mpsc::UnboundedSender<Job>);

#[derive(Debug)]
struct Job {
    instance: InstanceToken,
    done: oneshot::Sender<()>,
}

impl Purger {
    /// A purger whose work runs until it and its clones are gone.
    #[must_use]
    pub fn start(nats: Nats, layout: Layout) -> Self {
        let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            while let Some(job) = jobs.recv().await {
                remove(&nats, &layout, &job.instance).await;
                let _ = job.done.send(());
                let (nats, layout) = (nats.clone(), layout.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    remove(&nats, &layout, &job.instance).await;
                });
            }
        });
        Self(sender)
    }

    /// A purger that has nothing to purge, for a process without a queue.
    #[must_use]
    pub fn idle() -> Self {
        Self(mpsc::unbounded_channel().0)
    }

    /// Removes what is kept of an instance; waits for it as long as a caller can be asked to.
    pub async fn purge(&self, instance: InstanceToken) {
        let (done, wait) = oneshot::channel();
        if self.0.send(Job { instance, done }).is_ok() && tokio::time::timeout(PATIENCE, wait).await.is_err() {
            tracing::warn!("what is kept of a deleted instance will be removed later");
        }
    }
}

/// Removes what is kept of an instance, as often as it takes.
async fn remove(nats: &Nats, layout: &Layout, instance: &InstanceToken) {
    while let Err(error) = purge_instance(&nats.js, layout, instance).await {
        tracing::warn!(error.message = %error, "a deleted instance could not be purged yet");
        tokio::time::sleep(PAUSE).await;
    }
}
