//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is asked: fine enough not to slow a test, coarse enough not to busy the
/// machine that runs what is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `deadline`; the message names `what`.
pub(crate) async fn until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    // The condition itself may hang (a request to a frozen hub): the deadline holds for it too.
    while !tokio::time::timeout_at(end, condition()).await.unwrap_or(false) {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
