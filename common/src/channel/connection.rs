//! How an account is connected to its channel, in the hub's words.

use serde::{Deserialize, Serialize};

/// How an account is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Messages come and go.
    Open,
    /// It is about to be.
    Connecting,
    /// It waits for somebody who pairs a phone.
    Pairing,
    /// It is not, and does not try.
    Closed,
    /// The phone was unpaired: it must be paired again.
    LoggedOut,
    /// The channel's server has no such account any more.
    Removed,
}

impl ConnectionState {
    /// The word in answers and metrics; the same as when serialised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Connecting => "connecting",
            Self::Pairing => "pairing",
            Self::Closed => "closed",
            Self::LoggedOut => "logged_out",
            Self::Removed => "removed",
        }
    }
}

/// What a channel tells of an account's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionNews {
    /// How it is now.
    pub state: ConnectionState,
    /// The channel's own number for why.
    pub reason: Option<i64>,
    /// Our own id there, where it is told.
    pub own_id: Option<String>,
    /// When the channel's server says that it was, by its own clock: only good to tell an older news of
    /// the same server from a newer one.
    pub told_at: Option<String>,
}
