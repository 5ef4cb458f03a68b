//! How the directory hears of changes, and how they are told.
//!
//! Two tasks stand behind a [`Following`]: one watches the bucket of versions over NATS, so that a
//! change reaches this process at once; the other keeps the `roster`, which finds changes that
//! somebody made by hand. An [`Announcer`] is the other end: it tells what this process changed, as
//! often as it takes.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::Directory;
use crate::queue::{ConfigWatch, Nats, announce_change, until_confirmed};

/// A broken watch is begun again after this time.
const PAUSE: Duration = Duration::from_millis(250);
/// Whoever changes an instance waits at most so long until it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// A directory's tasks; they end with this value.
#[derive(Debug)]
pub struct Following {
    _watch: AbortOnDropHandle<()>,
    _roster: AbortOnDropHandle<()>,
}

impl Directory {
    /// Hears of changes from here on, as long as the answer is kept.
    #[must_use = "the directory follows as long as this is kept"]
    pub fn follow(self: &Arc<Self>, nats: Nats) -> Following {
        let (watching, reading) = (Arc::clone(self), Arc::clone(self));
        Following {
            _watch: AbortOnDropHandle::new(tokio::spawn(async move { watching.watch(nats).await })),
            _roster: AbortOnDropHandle::new(tokio::spawn(async move { reading.keep_roster().await })),
        }
    }

    /// Watches for ever; without a watch the directory trusts its memory for a second only.
    async fn watch(&self, mut nats: Nats) {
        let mut told = false;
        loop {
            // A connection that comes or goes from here on ends the watch.
            nats.changes.mark_unchanged();
            if !nats.connected() {
                // An error means that the connection is gone for good, and the process with it.
                let _ = tokio::time::timeout(PATIENCE, nats.changes.changed()).await;
                continue;
            }
            match ConfigWatch::open(&nats.js).await {
                Ok(mut watch) => {
                    told = false;
                    self.watching();
                    tokio::select! {
                        () = self.hear(&mut watch) => {}
                        _ = nats.changes.changed() => {}
                    }
                    self.blind();
                    tracing::debug!("changes of instances are not told for a moment");
                }
                Err(error) if !told => {
                    told = true;
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(
                        error.cause = cause,
                        "changes of instances cannot be watched; the database is read each second"
                    );
                }
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear(&self, watch: &mut ConfigWatch) {
        while let Some(instance) = watch.next().await {
            self.changed(instance);
        }
    }
}

/// Tells every process what this one changed, each change until the broker has confirmed it.
#[derive(Clone, Debug)]
pub struct Announcer {
    directory: Arc<Directory>,
    jobs: mpsc::UnboundedSender<(i64, oneshot::Sender<()>)>,
}

impl Announcer {
    /// An announcer whose work runs until it and its clones are gone.
    #[must_use]
    pub fn start(directory: Arc<Directory>, nats: Nats) -> Self {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<(i64, oneshot::Sender<()>)>();
        tokio::spawn(async move {
            while let Some((instance, done)) = inbox.recv().await {
                until_confirmed("change of an instance", || true, || announce_change(&nats.js, instance)).await;
                let _ = done.send(());
            }
        });
        Self { directory, jobs }
    }

    /// An announcer for a process without a queue: only its own directory hears.
    #[must_use]
    pub fn local(directory: Arc<Directory>) -> Self {
        Self { directory, jobs: mpsc::unbounded_channel().0 }
    }

    /// Tells that an instance was made, changed or deleted. Waits until it is told, as long as a
    /// caller can be asked to; without the broker it is told later.
    pub async fn changed(&self, instance: i64) {
        self.directory.changed(instance);
        let (done, told) = oneshot::channel();
        if self.jobs.send((instance, done)).is_ok() && tokio::time::timeout(PATIENCE, told).await.is_err() {
            tracing::warn!(instance.id = instance, "a change of an instance will be told to the others later");
        }
    }
}
