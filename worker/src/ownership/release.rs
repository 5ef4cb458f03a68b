//! Giving a partition back.

use std::time::Duration;

use omnihub_common::queue::SharedPartition;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::scheduler::Event;

/// Turns that are cut may take so long to leave word of how far they are.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lets the running turns end, within `patience`, then releases the partition; `false` when the
/// broker did not take that.
pub(super) async fn release(
    partition: SharedPartition,
    pump: Option<AbortHandle>,
    events: mpsc::UnboundedSender<Event>,
    patience: Duration,
) -> bool {
    let (number, epoch) = (partition.number(), partition.epoch());
    let (drained, mut wait) = oneshot::channel();
    let _ = events.send(Event::Release(number, epoch, drained));
    tokio::select! {
        biased;
        // Lost meanwhile: its turns are cut already.
        () = partition.gone().cancelled() => {}
        _ = &mut wait => {}
        () = tokio::time::sleep(patience) => {
            tracing::warn!(partition.number = number, "turns were cut at a handover");
            partition.closing().cancel();
            // Also over when the partition is lost: then its turns have ended.
            let _ = tokio::time::timeout(LAST_WORDS, wait).await;
        }
    }
    partition.gone().cancel();
    if let Some(pump) = pump {
        pump.abort();
    }
    let _ = events.send(Event::Lost(number, epoch));
    let released = partition.release().await;
    if let Err(error) = &released {
        tracing::warn!(error.message = %error, "a partition could not be released");
    }
    released.is_ok()
}
