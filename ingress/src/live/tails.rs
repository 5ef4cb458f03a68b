//! Tails: watchers of what is told of messages.
//!
//! ```text
//! NATS ── feed (one, while anybody watches) ── broadcast ─┬─ pump + filter ── lines ── client
//!                                                         └─ pump + filter ── lines ── client
//! ```
//!
//! Every buffer is bounded. A client that does not keep up is cut off; neither the feed nor
//! another client waits for it.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use omnihub_common::{
    queue::{Heard, Nats, TraceFeed},
    trace::{TailFilter, TailLine},
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Watchers at once in one ingress.
const SEATS: usize = 32;
/// Lines between the feed and the pumps, which do nothing but hand on.
const SHARED_LINES: usize = 1024;
/// Lines that may wait for one client.
const LINES: usize = 256;
/// How soon the feed notices that nobody watches any more.
const LOOK: Duration = Duration::from_secs(1);

/// Why nobody can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// All seats are taken.
    #[error("{SEATS} tails run already")]
    Full,
    /// There is no connection to NATS, or the hub stops.
    #[error("NATS cannot be listened to")]
    Unavailable,
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A step of a message.
    Line(Arc<TailLine>),
    /// Something may have been missed.
    Gap,
}

/// Why a tail has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client did not keep up.
    Slow,
    /// The hub stops.
    Stopped,
    /// The feed has ended.
    Lost,
}

/// The watchers of an ingress, and what they share.
#[derive(Debug)]
pub struct Tails {
    nats: Nats,
    stop: CancellationToken,
    seats: Arc<Semaphore>,
    feed: Feed,
}

/// The feed's sender, while there is a feed.
type Feed = Arc<Mutex<Option<broadcast::Sender<Said>>>>;

/// One watcher's view.
#[derive(Debug)]
pub struct Tail {
    lines: mpsc::Receiver<Said>,
    ending: oneshot::Receiver<Ending>,
}

impl Tail {
    /// The next thing, or why there is none any more.
    ///
    /// # Errors
    /// The end of this tail.
    pub async fn next(&mut self) -> Result<Said, Ending> {
        match self.lines.recv().await {
            Some(said) => Ok(said),
            None => Err((&mut self.ending).await.unwrap_or(Ending::Lost)),
        }
    }
}

impl Tails {
    pub(super) fn new(nats: Nats, stop: CancellationToken) -> Self {
        Self { nats, stop, seats: Arc::new(Semaphore::new(SEATS)), feed: Feed::default() }
    }

    /// Watches from now on. The seat is free again when the tail is dropped or cut off.
    ///
    /// # Errors
    /// When all seats are taken, or NATS cannot be listened to.
    pub async fn open(&self, filter: TailFilter) -> Result<Tail, TailError> {
        if self.stop.is_cancelled() || !self.nats.connected() {
            return Err(TailError::Unavailable);
        }
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| TailError::Full)?;
        let said = self.listen().await?;
        Ok(seated(seat, said, filter, self.stop.clone()))
    }

    /// A place at the feed, which is begun for the first watcher.
    async fn listen(&self) -> Result<broadcast::Receiver<Said>, TailError> {
        let mut feed = self.feed.lock().await;
        if let Some(sender) = &*feed {
            return Ok(sender.subscribe());
        }
        let opened = TraceFeed::open(&self.nats).await.map_err(|_| TailError::Unavailable)?;
        let (sender, receiver) = broadcast::channel(SHARED_LINES);
        *feed = Some(sender.clone());
        tokio::spawn(overhear(opened, sender, Arc::clone(&self.feed), self.stop.clone()));
        Ok(receiver)
    }
}

/// Hands on what is heard until nobody watches.
async fn overhear(mut heard: TraceFeed, sender: broadcast::Sender<Said>, feed: Feed, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        let said = tokio::select! {
            () = stop.cancelled() => break,
            heard = heard.next() => match heard {
                Some(Heard::Step(record)) => Said::Line(Arc::new(TailLine::of(*record, Utc::now()))),
                Some(Heard::Gap) => Said::Gap,
                None => break,
            },
            _ = look.tick() => {
                // Under the lock nobody can join meanwhile.
                let mut feed = feed.lock().await;
                if sender.receiver_count() == 0 {
                    *feed = None;
                    return;
                }
                continue;
            }
        };
        // Nobody there is no error.
        let _ = sender.send(said);
    }
    *feed.lock().await = None;
}

/// A tail with a pump of its own, which holds the seat.
fn seated(
    seat: OwnedSemaphorePermit,
    said: broadcast::Receiver<Said>,
    filter: TailFilter,
    stop: CancellationToken,
) -> Tail {
    let ((sender, lines), (told, ending)) = (mpsc::channel(LINES), oneshot::channel());
    tokio::spawn(async move {
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => Ending::Stopped,
            // The client has gone.
            () = sender.closed() => return,
            end = pump(said, &filter, &sender) => end,
        };
        let _ = told.send(end);
        drop((sender, seat));
    });
    Tail { lines, ending }
}

async fn pump(mut said: broadcast::Receiver<Said>, filter: &TailFilter, lines: &mpsc::Sender<Said>) -> Ending {
    loop {
        let said = match said.recv().await {
            Ok(Said::Line(line)) if !filter.takes(&line) => continue,
            Ok(said) => said,
            Err(broadcast::error::RecvError::Lagged(_)) => return Ending::Slow,
            Err(broadcast::error::RecvError::Closed) => return Ending::Lost,
        };
        if lines.try_send(said).is_err() {
            return Ending::Slow;
        }
    }
}

#[cfg(test)]
mod tests {
    use omnihub_common::key::{Everyone, Reach};
    use omnihub_common::trace::{TraceDetails, TraceRecord, TraceStatus};
    use uuid::Uuid;

    use super::*;

    fn line(instance: &str) -> Said {
        let record = TraceRecord {
            trace_id: Uuid::nil(),
            instance_id: 1,
            instance_name: instance.to_owned(),
            channel_type: "whatsapp".to_owned(),
            status: TraceStatus::Processing,
            received_at: 0,
            details: TraceDetails::default(),
        };
        Said::Line(Arc::new(TailLine::of(record, chrono::DateTime::UNIX_EPOCH)))
    }

    struct Fixture {
        sender: broadcast::Sender<Said>,
        seats: Arc<Semaphore>,
        stop: CancellationToken,
    }

    impl Fixture {
        fn new() -> Self {
            let sender = broadcast::channel(SHARED_LINES).0;
            Self { sender, seats: Arc::new(Semaphore::new(2)), stop: CancellationToken::new() }
        }

        fn tail(&self, instance: Option<&str>) -> Tail {
            let filter = TailFilter {
                reach: Reach::Everyone(Everyone::for_admin()),
                instance_name: instance.map(str::to_owned),
                outcome: None,
                errors: false,
            };
            let seat = Arc::clone(&self.seats).try_acquire_owned().unwrap();
            seated(seat, self.sender.subscribe(), filter, self.stop.clone())
        }

        async fn until_free(&self, seats: usize) {
            while self.seats.available_permits() < seats {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_slow_client_is_cut_off_and_another_one_sees_everything() {
        let fixture = Fixture::new();
        let (mut slow, mut quick) = (fixture.tail(None), fixture.tail(None));
        let mut seen = 0;
        for _ in 0..2 * LINES {
            fixture.sender.send(line("acme")).unwrap();
            assert_eq!(quick.next().await, Ok(line("acme")));
            seen += 1;
        }
        fixture.until_free(1).await;
        let mut kept = 0;
        let end = loop {
            match slow.next().await {
                Ok(_) => kept += 1,
                Err(end) => break end,
            }
        };
        assert_eq!((seen, kept, end), (2 * LINES, LINES, Ending::Slow));
        drop(quick);
        fixture.until_free(2).await;
    }

    #[tokio::test]
    async fn a_stop_ends_it_at_once_and_others_lines_are_left_out() {
        let fixture = Fixture::new();
        let (mut one, mut all) = (fixture.tail(Some("acme")), fixture.tail(None));
        for instance in ["globex", "acme"] {
            fixture.sender.send(line(instance)).unwrap();
        }
        assert_eq!(one.next().await, Ok(line("acme")));
        assert_eq!(all.next().await, Ok(line("globex")));
        fixture.stop.cancel();
        assert_eq!(one.next().await, Err(Ending::Stopped));
        fixture.until_free(2).await;
    }

    #[tokio::test]
    async fn a_feed_that_ends_is_told() {
        let fixture = Fixture::new();
        let mut tail = fixture.tail(None);
        let Fixture { sender, .. } = fixture;
        drop(sender);
        assert_eq!(tail.next().await, Err(Ending::Lost));
    }
}
