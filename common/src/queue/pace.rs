//! Pacing: how fast messages go out over one account, whichever workers send them. In the bucket
//! `accounts`, beside how the account is connected.
//!
//! It is a token bucket (the generic cell rate algorithm, ITU-T I.371): what is kept is when the
//! account would have nothing left to wait for, and each send moves that on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{accounts::Accounts, bucket::BucketError};

/// The version that this build writes.
const VERSION: u8 = 1;
/// So many messages go out at once after a silence.
const BURST: i64 = 3;
/// Nobody waits longer for a clock that was ahead.
const LONGEST_MS: i64 = 60 * 60 * 1000;

/// When an account has nothing left to wait for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pace {
    v: u8,
    /// In milliseconds since 1970.
    free_at: i64,
}

impl Accounts {
    /// Takes a place among the sends of an account, of which so many go out a minute: how long to
    /// wait for it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn place_of_send(&self, instance: i64, per_minute: u32, now: i64) -> Result<Duration, BucketError> {
        let key = key(instance);
        loop {
            let (known, place) = self.bucket.read::<Pace>(&key).await?;
            let (free_at, wait) = next(known.map(|known| known.free_at), per_minute, now);
            if self.bucket.write(&key, &Pace { v: VERSION, free_at }, place).await?.is_some() {
                return Ok(Duration::from_millis(u64::try_from(wait).unwrap_or_default()));
            }
        }
    }
}

/// When the account is free after one more send, and how long that one waits, in milliseconds.
fn next(free_at: Option<i64>, per_minute: u32, now: i64) -> (i64, i64) {
    let interval = 60_000 / i64::from(per_minute.max(1));
    let from = free_at.unwrap_or(now).clamp(now, now + LONGEST_MS);
    let free_at = from + interval;
    (free_at, (free_at - BURST * interval - now).max(0))
}

/// Its place in the bucket.
pub(super) fn key(instance: i64) -> String {
    format!("pace-{instance}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_three_at_once_each_waits_for_its_time() {
        let mut free_at = None;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let (next, wait) = next(free_at, 60, 1_000);
            free_at = Some(next);
            waits.push(wait);
        }
        assert_eq!(waits, [0, 0, 0, 1_000, 2_000, 3_000]);
        assert_eq!(next(free_at, 60, 60_000).1, 0, "a silence fills it again");
        assert!(next(Some(i64::MAX), 60, 0).1 <= LONGEST_MS, "somebody's clock was ahead");
    }
}
