//! Waiting for a condition, with a deadline.

use std::time::Duration;

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `deadline`; the message names `what`.
pub(crate) async fn until(what: &str, deadline: Duration, condition: impl AsyncFnMut() -> bool) {
    omnihub_stage::until(what, deadline, condition).await.unwrap_or_else(|problem| panic!("{problem}"));
}
