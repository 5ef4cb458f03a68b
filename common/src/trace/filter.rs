//! What a reader of traces asks for.

use chrono::{DateTime, Utc};

use super::{Outcome, TraceCursor, TraceStatus};

/// How many traces a list holds when the reader does not say.
pub const DEFAULT_LIMIT: u64 = 50;
/// The most traces in one list, as the older system had it.
pub const MAX_LIMIT: u64 = 1000;

/// A list of traces, newest first: every field that is set narrows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFilter {
    /// The instance's name.
    pub instance_name: Option<String>,
    /// The sender's phone number; see [`bare_phone`].
    pub phone: Option<String>,
    /// The agent session's name.
    pub session_name: Option<String>,
    /// The agent session's id.
    pub session_id: Option<String>,
    /// How far it has come.
    pub status: Option<TraceStatus>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it ended so, in the hub's word.
    pub outcome_reason: Option<String>,
    /// The step at which an attempt failed.
    pub error_stage: Option<String>,
    /// The kind of message, e.g. `text`.
    pub message_type: Option<String>,
    /// Whether it came with a file.
    pub has_media: Option<bool>,
    /// Received at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Received at or before this moment.
    pub to: Option<DateTime<Utc>>,
    /// How many at most; above [`MAX_LIMIT`] counts as that.
    pub limit: u64,
    /// How many to leave out first.
    pub offset: u64,
    /// Only those behind this place: where an earlier page ended. The total is not counted again.
    pub after: Option<TraceCursor>,
}

impl Default for TraceFilter {
    fn default() -> Self {
        Self {
            instance_name: None,
            phone: None,
            session_name: None,
            session_id: None,
            status: None,
            outcome: None,
            outcome_reason: None,
            error_stage: None,
            message_type: None,
            has_media: None,
            from: None,
            to: None,
            limit: DEFAULT_LIMIT,
            offset: 0,
            after: None,
        }
    }
}

/// A phone number as `sender_phone` holds it: without the `+`, which in a query string that
/// nobody encoded has become a space.
#[must_use]
pub fn bare_phone(phone: &str) -> &str {
    phone.trim().trim_start_matches('+').trim_start()
}

#[cfg(test)]
mod tests {
    use super::bare_phone;

    #[test]
    fn a_phone_is_found_with_and_without_its_plus() {
        for given in ["5511999990000", "+5511999990000", " 5511999990000", "+ 5511999990000"] {
            assert_eq!(bare_phone(given), "5511999990000");
        }
    }
}
