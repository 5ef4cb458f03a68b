//! Clocks: the wall, and one that goes on while the machine sleeps.

use std::time::Duration;

use chrono::Utc;
use rustix::time::{ClockId, clock_gettime};

/// Now, in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// Time since the machine started, sleep included: a lease must lapse for a worker that was
/// suspended, so the usual monotonic clock will not do where it stands still meanwhile.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    // macOS: CLOCK_MONOTONIC goes on during sleep.
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
