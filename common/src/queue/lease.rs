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
        if deadline <= now {
            // It comes too late to say anything.
            return;
        }
        // A confirmation that was overtaken by a later one shortens nothing.
        self.0.deadline.fetch_max(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
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
        let (lease, ttl, second) = (Lease::default(), Duration::from_secs(5), Duration::from_secs);
        assert!(!lease.holds_at(second(10)), "nothing is held before the first heartbeat");
        lease.renewed_at(second(10), second(10), ttl);
        assert!(lease.holds_at(second(13)) && !lease.holds_at(second(14)));

        lease.renewed_at(second(20), second(20), ttl);
        assert!(!lease.holds_at(second(20)), "the lapse in between sticks");
        assert!(lease.lapsed_at(second(20)));

        lease.begin_again();
        assert!(!lease.holds_at(second(20)));
        lease.renewed_at(second(21), second(21), ttl);
        assert!(lease.holds_at(second(21)) && !lease.lapsed_at(second(21)));
    }

    #[test]
    fn a_confirmation_that_comes_late_neither_shortens_nor_ends_a_lease() {
        let (lease, ttl, second) = (Lease::default(), Duration::from_secs(5), Duration::from_secs);
        lease.renewed_at(second(12), second(12), ttl);
        lease.renewed_at(second(13), second(10), ttl);
        assert!(lease.holds_at(second(15)));
        lease.begin_again();
        lease.renewed_at(second(30), second(10), ttl);
        assert!(!lease.lapsed_at(second(30)) && !lease.holds_at(second(30)));
    }
}
