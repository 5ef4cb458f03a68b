//! Reading what an HTTP agent sends back, whatever it is.

use std::time::Duration;

use omnihub_common::conversation::Decision;
use serde_json::Value;

use super::AgentError;

/// An answer may have so many bytes; text for a chat is far below it.
pub(super) const LARGEST_ANSWER: usize = 1024 * 1024;

/// An answer with a body that was read to its end.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    /// How long the agent asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    /// Takes note of one of its headers; the first of a name counts.
    pub(super) fn note(&mut self, name: &str, value: &[u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        if name.eq_ignore_ascii_case("content-type") && self.content_type.is_empty() {
            self.content_type = text.to_ascii_lowercase();
        } else if name.eq_ignore_ascii_case("retry-after") && self.retry_after.is_none() {
            self.retry_after = text.trim().parse().ok().map(Duration::from_secs);
        }
    }
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    /// It could not even be written down.
    Unusable,
    /// It took longer than it may.
    Late,
    /// There is no connection.
    Unreachable,
    /// The connection ended, or brought what is no HTTP.
    Broken,
    /// The answer with this status is larger than it may be.
    TooLarge(u16),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Late
        } else if error.is_connect() {
            Self::Unreachable
        } else if error.is_builder() {
            Self::Unusable
        } else {
            Self::Broken
        }
    }
}

impl From<Failure> for AgentError {
    fn from(failure: Failure) -> Self {
        let (message, decision) = match failure {
            Failure::TooLarge(status) => {
                return unusable(status, "the agent's answer is larger than 1 MiB", "agent_answer_too_large", None);
            }
            Failure::Unusable => ("the agent's URL cannot be used", Decision::Dead("agent_url_unusable".to_owned())),
            Failure::Late => ("the agent did not answer in time", Decision::Again(None)),
            Failure::Unreachable => ("the agent cannot be reached", Decision::Again(None)),
            Failure::Broken => ("the connection to the agent broke", Decision::Again(None)),
        };
        Self { message: message.to_owned(), status: None, body: None, decision }
    }
}

/// A status that is no success is an error with its decision.
pub(super) fn answered(answer: Answer) -> Result<Answer, AgentError> {
    match answer.status {
        200..=299 => Ok(answer),
        _ => Err(refused(&answer)),
    }
}

/// An answer that cannot be used; asking again would bring the same.
pub(super) fn unusable(status: u16, message: &str, reason: &str, body: Option<Value>) -> AgentError {
    let decision = Decision::Dead(reason.to_owned());
    AgentError { message: message.to_owned(), status: Some(status), body, decision }
}

/// The body as it is kept in the trace.
pub(super) fn kept(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned()))
}

fn refused(answer: &Answer) -> AgentError {
    let decision = match answer.status {
        408 | 425 | 429 | 500..=599 => Decision::Again(answer.retry_after),
        401 => Decision::Hold("agent_key_refused".to_owned()),
        300..=399 => Decision::Dead("agent_redirect".to_owned()),
        _ => Decision::Dead("agent_rejected".to_owned()),
    };
    AgentError {
        message: format!("the agent answered with status {}", answer.status),
        status: Some(answer.status),
        body: Some(kept(&answer.bytes)),
        decision,
    }
}
