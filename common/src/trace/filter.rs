//! What a reader of traces asks for.

use chrono::{DateTime, Utc};

use super::{Outcome, TraceStatus};

/// How many traces a list holds when the reader does not say.
pub const DEFAULT_LIMIT: u64 = 50;
/// The most traces in one list: with their texts (64 KiB at most each) an answer stays readable.
pub const MAX_LIMIT: u64 = 500;

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
            message_type: None,
            has_media: None,
            from: None,
            to: None,
            limit: DEFAULT_LIMIT,
            offset: 0,
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
