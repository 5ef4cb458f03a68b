//! What all partitions meet at once when the broker is in trouble, said once in a while.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often it is said.
const EVERY: Duration = Duration::from_secs(5);

/// When it was said last, and how often it was not since.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    /// Something about a partition failed and is tried again.
    pub(super) fn note(&self, error: &dyn Error) {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        match self.due(Instant::now()) {
            Some(unsaid) => tracing::warn!(
                error.message = %error, error.source = cause, errors.unsaid = unsaid,
                "partitions cannot be claimed, verified or waived, trying again"
            ),
            None => tracing::debug!(error.message = %error, error.source = cause, "the same of another partition"),
        }
    }

    /// How many were not said before this one, if it is time to say it.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unsaid) = &mut *guard;
        if last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            *unsaid += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_in_a_while() {
        let (complaints, began) = (Complaints::default(), Instant::now());
        let after = |seconds| complaints.due(began + Duration::from_secs(seconds));
        assert_eq!(after(0), Some(0));
        assert_eq!([after(0), after(4)], [None, None]);
        assert_eq!(after(5), Some(2));
    }
}
