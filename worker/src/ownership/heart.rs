//! The heart: membership and lease, on a thread and a connection of their own.
//!
//! A worker that is busy must not look dead: its heartbeats share no runtime with its turns, only
//! the machine. A worker that is stuck must not look alive for ever: the task that owns partitions
//! shows [`Life`], and without it the heart falls silent, the lease lapses and the others take over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use omnihub_common::{
    config::NatsSettings,
    queue::{ConnectError, Layout, Lease, Membership, MembershipError, connect, since_boot},
};
use tokio::{
    sync::{oneshot, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the tasks of a worker may show no life; at least three times the time to live of a
/// lease, so that a shorter fit costs nothing.
const UNCONSCIOUS_AFTER: Duration = Duration::from_secs(30);
/// So often a worker that waits to be ready looks whether it still has somebody to spare.
const SETTLING_LOOK: Duration = Duration::from_millis(250);

/// Why the heart cannot beat.
#[derive(Debug, thiserror::Error)]
pub enum HeartError {
    /// Its connection could not be made.
    #[error("the connection of the heartbeats could not be made")]
    Connect(#[from] ConnectError),
    /// The worker's place among the workers was not given or was taken.
    #[error("the worker has no place among the workers")]
    Membership(#[from] MembershipError),
    /// Its thread could not be started.
    #[error("the heart's thread could not be started")]
    Thread(#[from] std::io::Error),
    /// Its thread has ended without a word.
    #[error("the heart has died; the log says why")]
    Died,
}

/// Signs of life of the task that owns partitions.
#[derive(Clone, Debug)]
pub(crate) struct Life(Arc<AtomicU64>);

impl Life {
    /// Begins now.
    pub(crate) fn new() -> Self {
        let life = Self(Arc::default());
        life.show();
        life
    }

    /// Here I am.
    pub(crate) fn show(&self) {
        self.0.store(millis(since_boot()), Ordering::Relaxed);
    }

    fn last(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a heartbeat would tell the truth: the worker has shown life not too long ago.
fn is_conscious(now: Duration, last: Duration, ttl: Duration) -> bool {
    now.saturating_sub(last) < UNCONSCIOUS_AFTER.max(ttl * 3)
}

/// What the heart is told.
#[derive(Clone, Debug, Default)]
struct Orders {
    retire: CancellationToken,
    leave: CancellationToken,
    /// The worker has ended otherwise: what it held may still be acted for, so that its record
    /// must expire by itself.
    fall_silent: CancellationToken,
}

/// The beating heart of a worker that has joined the others. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Heart {
    id: String,
    orders: Orders,
    ended: oneshot::Receiver<Result<(), HeartError>>,
    _fall_silent: DropGuard,
}

impl Heart {
    /// Joins the workers: the first heartbeat is written before this returns.
    pub(crate) async fn start(
        nats: NatsSettings,
        layout: Layout,
        id: String,
        lease: Lease,
        life: Life,
    ) -> Result<Self, HeartError> {
        let orders = Orders::default();
        let (joined, joins) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let told = orders.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("heart".to_owned()).spawn(move || {
            let result = runtime.block_on(async {
                match Pulse::join(&nats, &layout, &id, lease).await {
                    Ok(pulse) => {
                        let _ = joined.send(Ok(pulse.membership.id().to_owned()));
                        tokio::select! {
                            () = told.fall_silent.cancelled() => Ok(()),
                            ended = beat(pulse, &told, &life, layout.lease_ttl) => ended,
                        }
                    }
                    Err(error) => {
                        let _ = joined.send(Err(error));
                        Ok(())
                    }
                }
            });
            // Nobody listens when the worker has ended by itself.
            let _ = end.send(result);
        })?;
        let id = joins.await.map_err(|_| HeartError::Died)??;
        let _fall_silent = orders.fall_silent.clone().drop_guard();
        Ok(Self { id, orders, ended, _fall_silent })
    }

    /// This worker's id, as it stands in subjects and records.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Cancel it when the worker is no longer ready to own partitions.
    pub(crate) fn retire(&self) -> CancellationToken {
        self.orders.retire.clone()
    }

    /// Cancel it when everything is given back.
    pub(crate) fn leave(&self) -> CancellationToken {
        self.orders.leave.clone()
    }

    /// Waits until it has left.
    pub(crate) async fn ended(mut self) -> Result<(), HeartError> {
        (&mut self.ended).await.map_err(|_| HeartError::Died)?
    }
}

/// What beats: the worker's place among the others, and the connection that it is kept over.
struct Pulse {
    membership: Membership,
    changes: watch::Receiver<u64>,
}

impl Pulse {
    async fn join(nats: &NatsSettings, layout: &Layout, id: &str, lease: Lease) -> Result<Self, HeartError> {
        let nats = connect(nats, "omnihub-heartbeat").await?;
        let membership = Membership::join(&nats.js, layout, id, lease).await?;
        Ok(Self { membership, changes: nats.changes })
    }

    /// One heartbeat. What is on its way when the connection changes is lost with it: the lease
    /// cannot wait for an answer that will not come, and begins anew at once.
    async fn beat(&mut self) -> Result<(), MembershipError> {
        loop {
            tokio::select! {
                biased;
                beaten = self.membership.beat() => return beaten,
                Ok(()) = self.changes.changed() => {}
            }
        }
    }
}

/// Beats until everything is given back, no longer ready from `retire` on.
async fn beat(mut pulse: Pulse, orders: &Orders, life: &Life, ttl: Duration) -> Result<(), HeartError> {
    until(&mut pulse, &orders.retire, life, ttl).await?;
    if let Err(error) = pulse.membership.retire().await {
        tracing::debug!(error.message = %error, "the readiness record will expire by itself");
    }
    until(&mut pulse, &orders.leave, life, ttl).await?;
    if let Err(error) = pulse.membership.leave().await {
        tracing::debug!(error.message = %error, "the worker's record will expire by itself");
    }
    Ok(())
}

async fn until(
    pulse: &mut Pulse,
    order: &CancellationToken,
    life: &Life,
    ttl: Duration,
) -> Result<(), MembershipError> {
    let mut ticks = tokio::time::interval(pulse.membership.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut conscious = true;
    loop {
        tokio::select! {
            () = order.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
            Ok(()) = pulse.changes.changed() => {}
            // Ready a moment earlier than the next heartbeat is worth one of its own.
            () = tokio::time::sleep(SETTLING_LOOK), if pulse.membership.is_settling() => {
                if !pulse.membership.settled().await.unwrap_or_default() {
                    continue;
                }
            }
        }
        let was = std::mem::replace(&mut conscious, is_conscious(since_boot(), life.last(), ttl));
        if !conscious {
            if was {
                tracing::error!("the worker shows no life: no more heartbeats until it does");
            }
            continue;
        }
        match pulse.beat().await {
            Ok(()) => {}
            Err(error @ MembershipError::Superseded(_)) => return Err(error),
            Err(error) => tracing::warn!(error.message = %error, "a heartbeat failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_stuck_for_good_falls_silent_and_a_busy_one_does_not() {
        let (ttl, last) = (Duration::from_secs(5), Duration::from_secs(100));
        assert!(is_conscious(Duration::from_secs(100), last, ttl));
        assert!(is_conscious(Duration::from_secs(129), last, ttl));
        assert!(!is_conscious(Duration::from_secs(130), last, ttl));
        assert!(is_conscious(Duration::from_secs(144), last, Duration::from_secs(15)));
        assert!(!is_conscious(Duration::from_secs(145), last, Duration::from_secs(15)));
    }
}
