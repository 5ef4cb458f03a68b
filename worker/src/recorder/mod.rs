//! The recorder: trace events out of NATS, into the database.
//!
//! Ingress and the turns publish [`TraceEvent`](omnihub_common::trace::TraceEvent)s and go on; the
//! recorder of some worker takes them in batches (`source`), writes them (`writer`), and only
//! then acknowledges them. It may die at any moment: what it had not acknowledged comes again,
//! and writing the same event twice changes nothing.
//!
//! The cast: `source` is the only file that speaks to JetStream, `plan` decides without any I/O
//! (what to read as an event, how to find the one bad event of a batch, how long to wait),
//! `meters` counts.
//!
//! What is absent: the recorder answers no one and no turn waits for it. While the database is
//! away it holds its batch and asks again; the events wait in their streams.

mod meters;
mod plan;
mod source;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream;
use omnihub_common::{queue::streams, trace::Traces};
use tokio_util::sync::CancellationToken;

use meters::Meters;
use plan::Gaps;

/// Writes the trace events of [`streams::TRACES`] and [`streams::TRACE_STEPS`].
///
/// Any number of workers may run one: they share a durable consumer per stream.
#[derive(Debug)]
pub struct Recorder {
    jetstream: jetstream::Context,
    traces: Traces,
    meters: Meters,
    health: RecorderHealth,
}

/// Whether the recorder reaches its database; for a health page. A worker whose recorder does not
/// is still ready: turns are answered and the traces catch up.
#[derive(Clone, Debug)]
pub struct RecorderHealth(Arc<AtomicBool>);

impl RecorderHealth {
    /// Whether the last write went through (true before the first one).
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, writing: bool) {
        self.0.store(writing, Ordering::Relaxed);
    }
}

impl Recorder {
    /// A recorder from these streams into these tables.
    #[must_use]
    pub fn new(jetstream: jetstream::Context, traces: Traces) -> Self {
        let health = RecorderHealth(Arc::new(AtomicBool::new(true)));
        Self { jetstream, traces, meters: Meters::new(), health }
    }

    /// A handle that tells whether events reach the database.
    #[must_use]
    pub fn health(&self) -> RecorderHealth {
        self.health.clone()
    }

    /// Records until `stop`; survives the absence of streams, broker and database.
    ///
    /// Stop it after the turns, so that their outcomes are still written. What is in hand when it
    /// stops is written if the database answers, or handed back to the next recorder.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(self.follow(streams::TRACES, &stop), self.follow(streams::TRACE_STEPS, &stop));
        source::flush(&self.jetstream).await;
    }

    /// Follows one stream, opening it again whenever it ends.
    async fn follow(&self, stream: &'static str, stop: &CancellationToken) {
        let (mut failures, mut gaps) = (0, Gaps::default());
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                () = stop.cancelled() => return,
                opened = source::open(&self.jetstream, stream, &mut gaps) => opened,
            };
            match opened {
                Ok(mut messages) => {
                    if self.drain(stream, &mut messages, &mut gaps, stop).await {
                        failures = 0;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        stream.name = stream,
                        error.message = %error,
                        "the recorder cannot read its stream and will try again"
                    );
                }
            }
            pause(plan::backoff(failures), stop).await;
            failures += 1;
        }
    }

    /// Records batch after batch; returns, when the messages end, whether there were any.
    async fn drain(
        &self,
        stream: &'static str,
        messages: &mut source::Messages,
        gaps: &mut Gaps,
        stop: &CancellationToken,
    ) -> bool {
        let mut progress = false;
        loop {
            let mut batch = Vec::new();
            let filled = tokio::select! {
                biased;
                filled = source::fill(messages, &mut batch) => filled,
                () = stop.cancelled() => Ok(()),
            };
            progress |= !batch.is_empty();
            if stream == streams::TRACE_STEPS {
                self.missing(stream, source::missing(&batch, gaps));
            }
            let recorded = self.record(stream, batch, stop).await;
            if let Err(ended) = &filled {
                tracing::debug!(stream.name = stream, error.message = %ended, "the recorder's messages ended");
            }
            if filled.is_err() || stop.is_cancelled() || !recorded {
                source::hand_back(messages).await;
                return progress;
            }
        }
    }
}

impl Recorder {
    /// The stream was full and dropped its oldest: steps and payloads only, never an outcome.
    fn missing(&self, stream: &'static str, missing: u64) {
        if missing > 0 {
            self.meters.missing(missing);
            tracing::warn!(stream.name = stream, trace.events = missing, "trace events were dropped unrecorded");
        }
    }
}

/// Waits, or less when the recorder is to stop.
async fn pause(duration: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(duration) => {}
    }
}
