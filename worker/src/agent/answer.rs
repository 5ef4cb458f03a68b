//! Reading what an HTTP agent sends back, whatever it is.

use std::{io::Read, mem, time::Duration};

use omnihub_common::conversation::Decision;
use serde_json::Value;

use super::{
    AgentError, Reply,
    stream::{Ear, Listener},
};

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
    /// Whether the bytes are compressed still.
    pub(super) packed: bool,
    /// What is made of events that come in its place.
    pub(super) ear: Option<Ear>,
    /// Who hears the events, where it is a stream of them; then there are no bytes.
    pub(super) listener: Option<Box<Listener>>,
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

    /// Takes more of its body; whether that is enough, although the server goes on.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        if self.listener.is_none() {
            self.listener = self.listener();
        }
        if let Some(listener) = &mut self.listener {
            return listener.hear(self.status, bytes);
        }
        if self.bytes.len() + bytes.len() > LARGEST_ANSWER {
            return Err(Failure::TooLarge(self.status));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(false)
    }

    fn is_stream(&self) -> bool {
        let is_success = (200..300).contains(&self.status);
        is_success && !self.packed && self.content_type.starts_with("text/event-stream")
    }

    /// Who heard its events, where it is a stream of them, be it an empty one.
    pub(super) fn listener(&mut self) -> Option<Box<Listener>> {
        let is_stream = self.is_stream();
        let heard = self.listener.take();
        heard.or_else(|| Some(Box::new(Listener::new(self.ear.take_if(|_| is_stream)?))))
    }

    /// The same with its body in the clear.
    pub(super) fn unpacked(mut self) -> Result<Self, Failure> {
        if mem::take(&mut self.packed) && !self.bytes.is_empty() {
            let bytes = unpacked(self.status, &mem::take(&mut self.bytes))?;
            self.take(&bytes)?;
        }
        Ok(self)
    }
}

/// What a compressed answer says.
fn unpacked(status: u16, packed: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = LARGEST_ANSWER as u64 + 1;
    flate2::read::MultiGzDecoder::new(packed).take(most).read_to_end(&mut bytes).map_err(|_| Failure::Broken)?;
    match bytes.len() > LARGEST_ANSWER {
        true => Err(Failure::TooLarge(status)),
        false => Ok(bytes),
    }
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    /// It could not even be written down.
    Unusable,
    /// What it is to be signed with is no such secret.
    SecretUnusable,
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
            Failure::SecretUnusable => {
                ("the webhook secret cannot be used", Decision::Hold("agent_webhook_secret_unusable".to_owned()))
            }
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

/// An answer that says of itself that it is none; it is asked for again unless it names a code of the
/// kind that never gets better.
pub(super) fn failed(status: u16, body: Value) -> AgentError {
    let decision = match code(&body).or_else(|| code(body.get("error")?)) {
        Some(400 | 401 | 403 | 404 | 422) => Decision::Dead("agent_unsuccessful".to_owned()),
        _ => Decision::Again(None),
    };
    let message = "the agent says that it did not succeed".to_owned();
    AgentError { message, status: Some(status), body: Some(body), decision }
}

fn code(error: &Value) -> Option<i64> {
    let codes = ["code", "status_code", "error_code"].iter().filter_map(|name| error.get(name));
    codes.filter_map(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok())).next()
}

/// A stream that ended before its answer did.
pub(super) fn interrupted(status: u16, body: Value) -> AgentError {
    let message = "the agent's stream ended before its answer did".to_owned();
    AgentError { message, status: Some(status), body: Some(body), decision: Decision::Again(None) }
}

/// An answer that cannot be read.
pub(super) fn unreadable(status: u16, message: &str, body: Option<Value>) -> AgentError {
    unusable(status, message, "agent_answer_unreadable", body)
}

/// A body that is JSON.
pub(super) fn json(answer: &Answer) -> Result<Value, AgentError> {
    let body = serde_json::from_slice(&answer.bytes);
    body.map_err(|_| unreadable(answer.status, "the agent's answer is not JSON", Some(kept(&answer.bytes))))
}

/// An answer that is no JSON object: a plain text is the message itself.
pub(super) fn plain_text(answer: &Answer) -> Result<Reply, AgentError> {
    let text = std::str::from_utf8(&answer.bytes).ok().filter(|_| answer.content_type.starts_with("text/plain"));
    let Some(text) = text else {
        let what = "the agent's answer is neither a JSON object nor a plain text";
        return Err(unreadable(answer.status, what, Some(kept(&answer.bytes))));
    };
    let body = Value::String(text.to_owned());
    Ok(Reply { text: text.to_owned(), status: answer.status, body, ..Reply::default() })
}

/// A text in a body; an empty one is none.
pub(super) fn word(body: &Value, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Tokens of request and response, by whatever name an agent has for them.
pub(super) fn tokens(usage: Option<&Value>) -> (Option<i32>, Option<i32>) {
    let found = |names: [&str; 3]| {
        let number = names.iter().find_map(|name| usage?.get(name)?.as_i64());
        number.and_then(|number| i32::try_from(number).ok())
    };
    (
        found(["request_tokens", "input_tokens", "prompt_tokens"]),
        found(["response_tokens", "output_tokens", "completion_tokens"]),
    )
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
