//! Signs that a look at the other workers is worth it: an ownership record or a readiness record
//! is being written.
//!
//! What this is not: knowledge. The sign may come before the record can be read, or not at all; a
//! worker that dies gives none. Looks are taken at regular times as well.

use std::time::Duration;

use futures_util::StreamExt as _;
use omnihub_common::queue::{Nats, Subjects};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Records come in flocks, one per partition.
const FLOCK: Duration = Duration::from_millis(10);
/// So many records count as one sign at most.
const LARGEST_FLOCK: usize = 1024;
/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Changes whenever there was a sign, until `end`.
pub(super) fn watch(nats: &Nats, end: CancellationToken) -> watch::Receiver<u64> {
    let (seen, signs) = watch::channel(0);
    let client = nats.js.client();
    tokio::spawn(end.run_until_cancelled_owned(async move {
        loop {
            let listening = futures_util::future::try_join_all(
                [Subjects::own_any(), Subjects::ready_any()].map(|subject| client.subscribe(subject)),
            );
            match listening.await {
                Ok(subscriptions) => {
                    let mut signs = futures_util::stream::select_all(subscriptions).ready_chunks(LARGEST_FLOCK);
                    while signs.next().await.is_some() {
                        tokio::time::sleep(FLOCK).await;
                        seen.send_modify(|count| *count += 1);
                    }
                }
                Err(error) => tracing::debug!(error.message = %error, "no signs of the other workers"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }));
    signs
}
