//! The trace: what happened to each message, and why.
//!
//! Ingress and worker publish a [`TraceEvent`] per step into NATS; the recorder in the workers
//! writes them to the database; the admin API reads them back. The turn never waits for the
//! database: only the outcome waits, and only for NATS.

mod event;

pub use event::{
    Outcome, Stage, StagePayload, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus, revision,
};
