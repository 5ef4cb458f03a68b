//! The streams.

/// Outcomes, kept until the recorder has them in the database (work-queue).
pub const TRACES: &str = "TRACES";
/// Steps and payloads, bounded, the oldest dropped first (limits).
pub const TRACE_STEPS: &str = "TRACE_STEPS";
/// The durable consumer of the recorder, of the same name on both trace streams.
pub const RECORDER: &str = "recorder";
