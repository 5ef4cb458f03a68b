//! The lease: whether this worker may still act for the partitions it owns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::clock::since_boot;

/// A deadline that heartbeats push forward. Once it has passed, the lease stays lapsed until the
/// owner has dropped every partition and says so: a worker that was frozen must not act again
/// merely because its next heartbeat went through.
#[derive(Clone, Debug, Default)]
pub struct Lease(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Milliseconds since the machine started; 0 = never held.
    deadline: AtomicU64,
    lapsed: AtomicBool,
}

impl Lease {
    /// Whether work may go on.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds_at(since_boot())
    }

    /// [`Lease::holds`] at a time since the machine started.
    #[must_use]
    pub fn holds_at(&self, now: Duration) -> bool {
        !self.0.lapsed.load(Ordering::SeqCst) && now < self.deadline()
    }

    /// Whether the lease has lapsed and its owner has not yet dropped everything.
    #[must_use]
    pub fn lapsed(&self) -> bool {
        self.lapsed_at(since_boot())
    }

    /// [`Lease::lapsed`] at a time since the machine started.
    #[must_use]
    pub fn lapsed_at(&self, now: Duration) -> bool {
        self.note_lapse(now);
        self.0.lapsed.load(Ordering::SeqCst)
    }

    /// How long it holds unless it is renewed: whoever acts under it stops then, and not when
    /// somebody happens to look. `None` when it does not hold.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let now = since_boot();
        self.holds_at(now).then(|| self.deadline().saturating_sub(now))
    }

    /// After every partition is dropped: the next heartbeat may begin a new lease.
    pub fn begin_again(&self) {
        self.0.deadline.store(0, Ordering::SeqCst);
        self.0.lapsed.store(false, Ordering::SeqCst);
    }

    /// The moment before a heartbeat is sent; give it to [`Lease::renewed`].
    pub(super) fn sending(&self) -> Duration {
        let now = since_boot();
        self.note_lapse(now);
        now
    }

    /// A heartbeat sent at `sent` was confirmed: the lease runs 0.8 of the time to live from then.
    pub(super) fn renewed(&self, sent: Duration, ttl: Duration) {
        self.renewed_at(since_boot(), sent, ttl);
    }

    /// The confirmation of a heartbeat sent at `sent` has arrived `now`, times since the machine
    /// started. A lease that has lapsed in between stays lapsed.
    pub fn renewed_at(&self, now: Duration, sent: Duration, ttl: Duration) {
        self.note_lapse(now);
        let deadline = sent + ttl * 8 / 10;
        self.0.deadline.store(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(self.0.deadline.load(Ordering::SeqCst))
    }

    fn note_lapse(&self, now: Duration) {
        let deadline = self.0.deadline.load(Ordering::SeqCst);
        if deadline != 0 && now >= Duration::from_millis(deadline) {
            self.0.lapsed.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lapsed_lease_is_not_revived_by_a_late_heartbeat() {
        let (lease, ttl) = (Lease::default(), Duration::from_secs(5));
        assert!(!lease.holds(), "nothing is held before the first heartbeat");
        lease.renewed(since_boot(), ttl);
        assert!(lease.holds());

        let long_ago = since_boot().saturating_sub(Duration::from_secs(60));
        lease.renewed(long_ago.max(Duration::from_millis(1)), ttl);
        lease.renewed(since_boot(), ttl);
        assert!(!lease.holds(), "the lapse in between sticks");
        assert!(lease.lapsed());

        lease.begin_again();
        assert!(!lease.holds());
        lease.renewed(since_boot(), ttl);
        assert!(lease.holds());
    }
}
