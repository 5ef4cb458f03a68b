//! Why Evolution did not do what an admin asked.

use super::super::answer::SendError;

/// The errors. None holds a key: what Evolution says is shortened, and the key hidden in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The address or the key cannot be used.
    #[error("{0}")]
    Misconfigured(String),
    /// No answer. The call may have been done all the same, unless the server could not be reached.
    #[error("{message}")]
    Away {
        /// What happened.
        message: String,
        /// Whether it may have been done.
        may_have_done: bool,
    },
    /// The key is not taken (401).
    #[error("Evolution does not take the key")]
    KeyRefused,
    /// The server has no such instance (404).
    #[error("Evolution has no such instance")]
    NotFound,
    /// It does not do it for this key or name (403); for a new instance: the name is in use.
    #[error("Evolution forbids it: {0}")]
    Forbidden(String),
    /// It will not do it, however often it is asked.
    #[error("Evolution refused with status {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Evolution's words.
        message: String,
    },
    /// It failed, and may do it another time.
    #[error("Evolution failed with status {status}: {message}")]
    Failing {
        /// The HTTP status.
        status: u16,
        /// Evolution's words.
        message: String,
    },
    /// It did something, and its answer is not what this version gives.
    #[error("Evolution's answer cannot be read")]
    Unreadable,
    /// Its answer goes on beyond what is read.
    #[error("Evolution's answer is too large")]
    TooLarge,
    /// The number is not on WhatsApp.
    #[error("the number is not on WhatsApp")]
    NotOnWhatsapp,
}

impl AdminError {
    /// Whether it may have been done all the same.
    #[must_use]
    pub fn may_have_done(&self) -> bool {
        match self {
            Self::Away { may_have_done, .. } => *may_have_done,
            Self::Failing { .. } | Self::Unreadable => true,
            _ => false,
        }
    }

    /// Whether the server is not there, or not able to do anything at this moment.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Failing { .. })
    }
}

impl From<SendError> for AdminError {
    fn from(error: SendError) -> Self {
        use crate::conversation::Decision;
        let SendError { status, message, decision, may_have_sent } = error;
        match (status, decision) {
            (None, Decision::Hold(_)) => Self::Misconfigured(message),
            (None, _) => Self::Away { message, may_have_done: may_have_sent },
            (Some(401), _) => Self::KeyRefused,
            (Some(403), _) => Self::Forbidden(message),
            (Some(404), _) => Self::NotFound,
            (_, Decision::Dead(reason)) if reason == "not_on_whatsapp" => Self::NotOnWhatsapp,
            (Some(status), Decision::Again(_)) if status >= 400 => Self::Failing { status, message },
            (Some(200..=299), _) => Self::Unreadable,
            (Some(status), _) => Self::Refused { status, message },
        }
    }
}
