//! Progress: how far a conversation's turn is, for those who ask.
//!
//! A turn tells it at a few places; the scheduler keeps it while the turn runs, and while its lane
//! waits for the next attempt. It decides nothing, and it is gone with the process.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use omnihub_common::conversation::whereabouts::Standing;

/// What is said of a wait that no error explains.
const OUR_OWN: &str = "the hub's own database or object store does not answer";

/// How far one turn is.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Now>);

#[derive(Debug)]
struct Now {
    standing: Standing,
    /// Why the lane is to wait for a person, as a snake_case word.
    held: Option<String>,
}

impl Progress {
    /// Of a turn that begins.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Now { standing: Standing::Starting { since: Some(Utc::now()) }, held: None }))
    }

    /// What there is to tell.
    pub(crate) fn standing(&self) -> Standing {
        self.now().standing.clone()
    }

    /// The agent is asked, for the `attempt`th time.
    pub(super) fn asking(&self, attempt: u32) {
        self.now().standing = Standing::Asking { since: Some(Utc::now()), attempt };
    }

    /// A bubble goes out, counted from 1.
    pub(super) fn sending(&self, bubble: usize, of: usize) {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.now().standing = Standing::Sending { bubble: number(bubble), of: number(of), since: Some(Utc::now()) };
    }

    /// The end is being made known.
    pub(super) fn finishing(&self) {
        self.now().standing = Standing::Finishing { since: Some(Utc::now()) };
    }

    /// The wait that comes now is for a person to change something.
    pub(super) fn hold(&self, why: &str) {
        self.now().held = Some(why.to_owned());
    }

    /// The lane waits for at most so long before its `attempt`th attempt; `error` is what went
    /// wrong, empty when nothing outside did.
    pub(super) fn waits(&self, at_most: Duration, attempt: u32, error: Option<String>) {
        let wait = TimeDelta::from_std(at_most).unwrap_or_default();
        let until = Utc::now().checked_add_signed(wait).unwrap_or_default();
        let error = error.filter(|error| !error.is_empty());
        let mut now = self.now();
        now.standing = match now.held.take() {
            Some(why) => Standing::Held { why, error, until: Some(until) },
            None => Standing::Retrying { until, attempt, why: error.unwrap_or_else(|| OUR_OWN.to_owned()) },
        };
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_retry_unless_a_person_must_act() {
        let progress = Progress::new();
        assert!(matches!(progress.standing(), Standing::Starting { .. }));
        progress.asking(1);
        assert!(matches!(progress.standing(), Standing::Asking { attempt: 1, .. }));
        progress.waits(Duration::from_secs(5), 2, Some("the agent cannot be reached".into()));
        let Standing::Retrying { attempt: 2, why, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, "the agent cannot be reached");

        progress.hold("agent_key_refused");
        progress.waits(Duration::from_secs(60), 2, Some(String::new()));
        let Standing::Held { why, error: None, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, "agent_key_refused");
        progress.waits(Duration::from_secs(2), 1, None);
        let Standing::Retrying { why, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, OUR_OWN, "an older hold is not told again");
    }
}
