//! When a turn is tried again.
//!
//! ```text
//! attempt  1    2    3     4      5      6       7
//! after      1s   5s   30s   2min   5min   10min   then dead
//! ```

use std::time::Duration;

/// Waits before the second, third, ... attempt, in seconds.
const SCHEDULE: [u64; 6] = [1, 5, 30, 120, 300, 600];
/// A hold (a wrong key) is looked at again after so long, or as soon as the instance changes.
pub(super) const HOLD: Duration = Duration::from_secs(60);
/// Where nobody is at fault (our database is away), the lane waits so long without an attempt.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// The wait after `failed` attempts, or `None` when that was the last one. `jitter` is from 0 to
/// 1 and moves the wait by up to 20 % to either side; what the other side asked for is the least.
pub(super) fn wait(failed: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
    let seconds = *SCHEDULE.get(usize::try_from(failed.checked_sub(1)?).ok()?)?;
    let wait = Duration::from_secs(seconds).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    // A server that asks for a day gets at most our longest wait times three.
    let asked = asked.unwrap_or_default().min(Duration::from_secs(1800));
    Some(wait.max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_waits_that_grow_and_then_the_end() {
        let waits: Vec<_> = (1..=6).map(|failed| wait(failed, None, 0.5).unwrap().as_secs()).collect();
        assert_eq!(waits, SCHEDULE);
        assert_eq!(wait(7, None, 0.5), None);
        assert_eq!(wait(0, None, 0.5), None);
    }

    #[test]
    fn jitter_moves_it_and_retry_after_is_the_least() {
        assert_eq!(wait(1, None, 0.0), Some(Duration::from_millis(800)));
        assert_eq!(wait(1, None, 1.0), Some(Duration::from_millis(1200)));
        assert_eq!(wait(1, Some(Duration::from_secs(9)), 0.5), Some(Duration::from_secs(9)));
        assert_eq!(wait(6, Some(Duration::from_secs(9)), 0.5), Some(Duration::from_secs(600)));
        assert_eq!(wait(1, Some(Duration::MAX), 0.5), Some(Duration::from_secs(1800)));
    }
}
