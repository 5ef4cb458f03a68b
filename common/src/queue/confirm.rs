//! Trying until the broker has confirmed.

use std::{error::Error, time::Duration};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Tries an operation, with growing pauses, until it succeeds or `may_go_on` says no (`None`).
/// `what` names it in the log, once: in an outage thousands may be waiting here.
pub async fn until_confirmed<T, E, F>(
    what: &'static str,
    may_go_on: impl Fn() -> bool,
    operation: impl Fn() -> F,
) -> Option<T>
where
    E: Error,
    F: Future<Output = Result<T, E>>,
{
    let (mut pause, mut told) = (FIRST_PAUSE, false);
    while may_go_on() {
        match operation().await {
            Ok(done) => return Some(done),
            Err(error) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                if told {
                    tracing::debug!(operation = what, error.cause = cause, "still not confirmed");
                } else {
                    tracing::warn!(operation = what, error.message = %error, error.cause = cause, "not confirmed, trying again");
                }
                told = true;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    None
}
