//! The trace: what happened to each message, and why.
//!
//! Ingress and worker publish a [`TraceEvent`] per step into NATS; the recorder in the workers
//! writes them through [`Traces`] to the database; the admin API reads them back. The turn never
//! waits for the database: only the outcome waits, and only for NATS. Payloads pass [`presentable`]
//! before they are published: no secret and no file leaves the process that saw it.

mod analytics;
mod batch;
mod cursor;
pub mod entity;
mod event;
pub mod explain;
mod fault;
mod filter;
#[cfg(test)]
mod fixture;
mod history;
mod import;
mod mask;
mod packed;
mod payload;
pub(crate) mod receipt;
mod repository;
mod retention;
mod tail;
#[cfg(test)]
mod tests;
mod traffic;

pub use analytics::{Analytics, Figures, Times};
pub use cursor::TraceCursor;
pub use event::{
    Outcome, Stage, StagePayload, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus,
    redriven_revision, revision,
};
pub use fault::{code, is_refusal};
pub use filter::{DEFAULT_LIMIT, MAX_LIMIT, TraceFilter, bare_phone};
pub use history::{History, PastTurn};
pub use import::{ended_before, older_payload};
pub use mask::{PAYLOAD_CAP, cap, head, mask, original_size, presentable, without_nul};
pub use packed::{pack, unpack};
pub use payload::{Packed, compress, decompress};
pub use receipt::{BubbleState, RECEIPT_EVENT_VERSION, Receipt, ReceiptEvent};
pub use repository::{TracePage, Traces, Written};
pub use retention::{DEFAULT_RETENTION_DAYS, Older, RETENTION_DAYS, kept_since};
pub use tail::{TailFilter, TailLine};
pub use traffic::Habit;
