//! The decision that a failure carries.

use std::time::Duration;

/// What a failed step asks of the lane that ran it.
///
/// Every error of an outside call (agent, Evolution) turns into one of these at the place that
/// understands it; from here on nobody reads status codes or texts again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again, not before the given time when the other side named one (`Retry-After`).
    Again(Option<Duration>),
    /// Do not try until a person has changed something (a wrong key); the reason is shown.
    Hold(String),
    /// Never again: the message goes to the dead letters with this reason (a snake_case word).
    Dead(String),
}
