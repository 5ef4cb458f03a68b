//! What an operator sees of the recorder.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};

use super::source::Delivered;

/// The recorder's instruments.
#[derive(Debug)]
pub(super) struct Meters {
    recorded: Counter<u64>,
    parked: Counter<u64>,
    dropped: Counter<u64>,
    lag: Gauge<f64>,
    pending: Gauge<u64>,
}

impl Meters {
    pub(super) fn new() -> Self {
        let meter = opentelemetry::global::meter("omnihub");
        Self {
            recorded: meter
                .u64_counter("omnihub_trace_events_recorded_total")
                .with_description("Trace events that are in the database")
                .build(),
            parked: meter
                .u64_counter("omnihub_trace_events_parked_total")
                .with_description("Trace events given up: unreadable, or refused by the database")
                .build(),
            dropped: meter
                .u64_counter("omnihub_trace_events_dropped_total")
                .with_description(
                    "Trace events that were not recorded: their instance is gone, or their stream was full",
                )
                .build(),
            lag: meter
                .f64_gauge("omnihub_trace_recorder_lag_seconds")
                .with_description("How far the traces in the database are behind what happened")
                .build(),
            pending: meter
                .u64_gauge("omnihub_trace_recorder_pending_events")
                .with_description("Trace events that wait in the stream")
                .build(),
        }
    }

    pub(super) fn recorded(&self, stream: &'static str, events: usize) {
        self.recorded.add(events as u64, &[KeyValue::new("stream", stream)]);
    }

    /// `reason` is `unreadable` or `refused`.
    pub(super) fn parked(&self, stream: &'static str, reason: &'static str) {
        self.parked.add(1, &[KeyValue::new("stream", stream), KeyValue::new("reason", reason)]);
    }

    pub(super) fn dropped(&self, events: usize) {
        if events > 0 {
            self.dropped.add(events as u64, &[KeyValue::new("reason", "instance_deleted")]);
        }
    }

    /// What the stream dropped (in a long outage of the database) or was rid of (with its instance)
    /// before anybody read it.
    pub(super) fn missing(&self, events: u64) {
        self.dropped.add(events, &[KeyValue::new("reason", "stream_full")]);
    }

    /// How long ago this message was published: the oldest one while the database is away, the
    /// newest one after it was written.
    pub(super) fn lag(&self, stream: &'static str, message: Option<&Delivered>) {
        if let Some(info) = message.and_then(|message| message.info().ok()) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let published = info.published.unix_timestamp_nanos() as f64 / 1e9;
            self.lag.record((now - published).max(0.0), &[KeyValue::new("stream", stream)]);
        }
    }

    /// How many messages waited in the stream when this one was delivered.
    pub(super) fn pending(&self, stream: &'static str, message: Option<&Delivered>) {
        if let Some(info) = message.and_then(|message| message.info().ok()) {
            self.pending.record(info.pending, &[KeyValue::new("stream", stream)]);
        }
    }
}
