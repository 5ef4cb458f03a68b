//! A batch of messages into the database, and what becomes of each of them.

use std::{ops::Range, time::Duration};

use async_nats::jetstream::AckKind;
use omnihub_common::trace::{self, Receipt, TraceEvent, Traces, Written};
use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use super::{
    Recorder, pause,
    plan::{self, Bisect, Reading},
    source::{Delivered, HAND_BACK_WAIT, sequence, settle},
};

/// An event of a newer build is offered again after this long, by when a newer worker may be up.
const NEWER_WAIT: Duration = Duration::from_secs(10);

/// What a batch tells, of one kind.
enum News {
    Events(Vec<TraceEvent>),
    Receipts(Vec<Receipt>),
}

impl News {
    fn len(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Receipts(receipts) => receipts.len(),
        }
    }

    /// Writes a part of it, all or nothing.
    async fn write(&self, traces: &Traces, range: Range<usize>) -> Result<Written, DbErr> {
        match self {
            Self::Events(events) => traces.write(&events[range]).await,
            Self::Receipts(receipts) => traces.note_receipts(&receipts[range]).await,
        }
    }
}

impl Recorder {
    /// Writes a batch and acknowledges it; returns false when it was handed back because the
    /// recorder stops and the database is away.
    pub(super) async fn record(&self, stream: &'static str, batch: Vec<Delivered>, stop: &CancellationToken) -> bool {
        if batch.is_empty() {
            return true;
        }
        self.meters.pending(stream, batch.last());
        let [(told, events), (more, receipts)] = self.read(stream, batch).await;
        if !self.keep(stream, &told, &events, stop).await {
            hand_back(&more).await;
            return false;
        }
        self.keep(stream, &more, &receipts, stop).await
    }

    /// The same of one kind.
    async fn keep(&self, stream: &'static str, messages: &[Delivered], news: &News, stop: &CancellationToken) -> bool {
        if messages.is_empty() {
            return true;
        }
        let mut bisect = Bisect::new(news.len());
        let mut failures = 0;
        while let Some(range) = bisect.next() {
            match news.write(&self.traces, range).await {
                Ok(written) => {
                    self.wrote(stream, written, failures);
                    failures = 0;
                    bisect.written();
                }
                Err(error) if trace::is_refusal(&error) => bisect.refused(),
                Err(error) => {
                    self.database_is_away(stream, &error, failures);
                    self.meters.lag(stream, messages.first());
                    pause(plan::backoff(failures), stop).await;
                    failures += 1;
                    if stop.is_cancelled() {
                        hand_back(messages).await;
                        return false;
                    }
                }
            }
        }
        self.settle_all(stream, messages, &bisect).await;
        self.meters.lag(stream, messages.last());
        true
    }

    /// Reads each message, events and receipts apart; what is neither is settled here and leaves the
    /// batch.
    async fn read(&self, stream: &'static str, batch: Vec<Delivered>) -> [(Vec<Delivered>, News); 2] {
        let mut messages = Vec::with_capacity(batch.len());
        let mut events = Vec::with_capacity(batch.len());
        let (mut more, mut receipts) = (Vec::new(), Vec::new());
        for message in batch {
            match plan::read(&message.payload) {
                Reading::Event(event) => {
                    events.push(*event);
                    messages.push(message);
                }
                Reading::Receipt(receipt) => {
                    receipts.push(receipt);
                    more.push(message);
                }
                Reading::Newer => settle(&message, AckKind::Nak(Some(NEWER_WAIT))).await,
                Reading::Unreadable(reason) => {
                    self.park(stream, &message, "unreadable", &reason).await;
                }
            }
        }
        [(messages, News::Events(events)), (more, News::Receipts(receipts))]
    }

    fn wrote(&self, stream: &'static str, written: trace::Written, failures: u32) {
        self.health.set(true);
        self.meters.recorded(stream, written.kept);
        self.meters.dropped(written.dropped);
        if failures > 0 {
            tracing::info!(stream.name = stream, "the database takes traces again");
        }
    }

    /// Once per outage and stream above debug: the same line every few seconds tells nothing new.
    fn database_is_away(&self, stream: &'static str, error: &DbErr, failures: u32) {
        self.health.set(false);
        if failures == 0 {
            tracing::warn!(
                stream.name = stream,
                error.code = trace::code(error),
                error.message = %error,
                "traces wait in their stream until the database takes them"
            );
        } else {
            tracing::debug!(stream.name = stream, error.message = %error, "the database is still away");
        }
    }

    /// After the commit: written and dropped events are acknowledged, parked ones given up.
    async fn settle_all(&self, stream: &'static str, messages: &[Delivered], bisect: &Bisect) {
        for (event, message) in messages.iter().enumerate() {
            if bisect.is_parked(event) {
                self.park(stream, message, "refused", "the database refuses it").await;
            } else {
                settle(message, AckKind::Ack).await;
            }
        }
    }

    /// Gives an event up, so that it holds nobody else; the log says where it was.
    async fn park(&self, stream: &'static str, message: &Delivered, reason: &'static str, detail: &str) {
        tracing::error!(
            stream.name = stream,
            stream.sequence = sequence(message),
            park.reason = reason,
            error.message = detail,
            "a trace event is given up"
        );
        self.meters.parked(stream, reason);
        settle(message, AckKind::Term).await;
    }
}

async fn hand_back(messages: &[Delivered]) {
    for message in messages {
        settle(message, AckKind::Nak(Some(HAND_BACK_WAIT))).await;
    }
}
