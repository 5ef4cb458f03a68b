//! Waiting for a condition, with a deadline.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use crate::Process;

/// How often a condition is asked: fine enough not to slow a test, coarse enough not to busy the
/// machine that runs what is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Errors
/// When it does not within `deadline`; the message names `what`.
pub async fn until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + deadline;
    // The condition itself may hang (a request to a frozen hub): the deadline holds for it too.
    while !tokio::time::timeout_at(end, condition()).await.unwrap_or(false) {
        anyhow::ensure!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Waits until `GET url` succeeds; `false` when the process has ended before.
///
/// # Errors
/// When it does not within `deadline`.
pub(crate) async fn until_well(process: &mut Process, url: &str, deadline: Duration) -> anyhow::Result<bool> {
    let client = reqwest::Client::builder().no_proxy().timeout(deadline).build()?;
    let well = async {
        loop {
            if client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            if !process.is_running() {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(deadline, well).await.with_context(|| format!("not well within {deadline:?}"))
}
