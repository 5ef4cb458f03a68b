//! What is kept of a deleted instance or an erased person outside SQL, and its removal.

use std::time::Duration;

use omnihub_common::queue::{InstanceToken, Layout, Nats, PersonTracks, erase_person, purge_instance};
use tokio::sync::{mpsc, oneshot};

/// A deletion answers after this time at the latest; the removal goes on.
const PATIENCE: Duration = Duration::from_secs(5);
/// A removal that failed (the broker is down) is tried again after this time.
const PAUSE: Duration = Duration::from_secs(2);
/// Ingress and workers may know an instance for a moment after it is gone: what they kept of it
/// meanwhile is removed after this time.
const AGAIN: Duration = Duration::from_secs(3);

/// Removes queue subjects, checkpoints, dead letters, trace events and media of deleted instances,
/// and checkpoints, trace events and media of erased people: one after the other, each until it has worked.
#[derive(Clone, Debug)]
pub struct Purger(mpsc::UnboundedSender<Job>);

#[derive(Debug)]
struct Job {
    whose: Whose,
    /// Told whether something is still under way.
    done: oneshot::Sender<bool>,
}

/// Whose things are to go.
#[derive(Debug)]
enum Whose {
    Instance(InstanceToken),
    Person(PersonTracks),
}

impl Purger {
    /// A purger whose work runs until it and its clones are gone.
    #[must_use]
    pub fn start(nats: Nats, layout: Layout) -> Self {
        let (sender, mut jobs) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            while let Some(job) = jobs.recv().await {
                let _ = job.done.send(remove(&nats, &layout, &job.whose).await);
                let (nats, layout) = (nats.clone(), layout.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    remove(&nats, &layout, &job.whose).await;
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
        self.send(Whose::Instance(instance)).await;
    }

    /// Removes what is kept of a person; waits as [`Purger::purge`] does. Answers whether something
    /// of theirs is still under way, or nothing when it is not done yet.
    pub async fn erase(&self, person: PersonTracks) -> Option<bool> {
        self.send(Whose::Person(person)).await
    }

    async fn send(&self, whose: Whose) -> Option<bool> {
        let (done, wait) = oneshot::channel();
        if self.0.send(Job { whose, done }).is_err() {
            return Some(false);
        }
        let removed = tokio::time::timeout(PATIENCE, wait).await;
        if removed.is_err() {
            tracing::warn!("what is kept of a deleted instance or an erased person will be removed later");
        }
        removed.ok().and_then(Result::ok)
    }
}

/// Removes it, as often as it takes; whether something of a person is still under way.
async fn remove(nats: &Nats, layout: &Layout, whose: &Whose) -> bool {
    loop {
        let removed = match whose {
            Whose::Instance(instance) => purge_instance(&nats.js, layout, instance).await.map(|()| false),
            Whose::Person(person) => erase_person(&nats.js, layout, person).await,
        };
        let error = match removed {
            Ok(under_way) => return under_way,
            Err(error) => error,
        };
        tracing::warn!(error.message = %error, "a deleted instance or an erased person could not be purged yet");
        tokio::time::sleep(PAUSE).await;
    }
}
