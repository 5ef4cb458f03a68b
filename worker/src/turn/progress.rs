//! Progress: how far a conversation's turn is, for those who ask.
//!
//! A turn tells it at a few places; the scheduler keeps it while the turn runs, and while its lane
//! waits for the next attempt. It decides nothing, and it is gone with the process.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use omnihub_common::{conversation::whereabouts::Standing, trace::explain::sentence_of};

/// Waits that no attempt of ours can end: another conversation's, a person's or a newer worker's
/// doing is waited for.
const OF_OTHERS: [&str; 4] = ["agent_breaker_open", "channel_breaker_open", "newer_version", "instance_unreadable"];

/// How far one turn is.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Now>);

#[derive(Debug)]
struct Now {
    standing: Standing,
    /// Why the lane is to wait for a person, as a snake_case word.
    held: Option<String>,
    /// What went wrong outside.
    error: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        let standing = Standing::Starting { since: Some(Utc::now()) };
        Self(Mutex::new(Now { standing, held: None, error: None }))
    }
}

impl Progress {
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

    /// What went wrong outside, before the wait that comes now; secrets are hidden already.
    pub(super) fn failed(&self, error: String) {
        self.now().error = Some(error).filter(|error| !error.is_empty());
    }

    /// The lane waits for at most so long before its `attempt`th attempt; `reason` is the word for
    /// the wait.
    pub(super) fn waits(&self, at_most: Duration, reason: &str, attempt: u32) {
        let wait = TimeDelta::from_std(at_most).unwrap_or_default();
        let until = Utc::now().checked_add_signed(wait).unwrap_or_default();
        let mut now = self.now();
        let error = now.error.take();
        let held = now.held.take().or_else(|| OF_OTHERS.contains(&reason).then(|| reason.to_owned()));
        now.standing = match held {
            Some(why) => Standing::Held { why, error, until: Some(until) },
            None => {
                let why = error.unwrap_or_else(|| sentence_of(reason).into_owned());
                Standing::Retrying { until, attempt, why }
            }
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
        let progress = Progress::default();
        assert!(matches!(progress.standing(), Standing::Starting { .. }));
        progress.asking(1);
        assert!(matches!(progress.standing(), Standing::Asking { attempt: 1, .. }));
        progress.failed("the agent cannot be reached".into());
        progress.waits(Duration::from_secs(5), "agent", 2);
        let Standing::Retrying { attempt: 2, why, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, "the agent cannot be reached");

        progress.hold("agent_key_refused");
        progress.waits(Duration::from_secs(60), "held", 2);
        let Standing::Held { why, error: None, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, "agent_key_refused");
        progress.waits(Duration::from_secs(2), "agent_breaker_open", 2);
        let Standing::Held { why, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, "agent_breaker_open");
        progress.waits(Duration::from_secs(2), "database_away", 1);
        let Standing::Retrying { why, .. } = progress.standing() else { panic!("{progress:?}") };
        assert_eq!(why, "the hub's database does not answer.", "an older hold or error is not told again");
    }
}
