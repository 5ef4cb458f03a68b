//! Reading what an HTTP agent sends back, whatever it is.

use std::time::Duration;

use omnihub_common::conversation::Decision;
use serde_json::Value;

use super::AgentError;

/// An answer may have so many bytes; text for a chat is far below it.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// An answer with a body that was read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) bytes: Vec<u8>,
}

/// Sends a request and reads the whole answer, bounded in size; the request's own timeout bounds
/// the time. A status that is no success is an error with its decision.
pub(super) async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, AgentError> {
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let content_type = response.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Err(unusable(status, "the agent's answer is larger than 1 MiB", "agent_answer_too_large", None));
        }
        bytes.extend_from_slice(&chunk);
    }
    let answer = Answer { status, content_type, bytes };
    match status {
        200..=299 => Ok(answer),
        _ => Err(refused(&answer, retry_after)),
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

fn refused(answer: &Answer, retry_after: Option<Duration>) -> AgentError {
    let decision = match answer.status {
        408 | 425 | 429 | 500..=599 => Decision::Again(retry_after),
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

fn unreachable(error: &reqwest::Error) -> AgentError {
    let message = if error.is_timeout() {
        "the agent did not answer in time"
    } else if error.is_connect() {
        "the agent cannot be reached"
    } else if error.is_builder() {
        let decision = Decision::Dead("agent_url_unusable".to_owned());
        return AgentError { message: "the agent's URL cannot be used".to_owned(), status: None, body: None, decision };
    } else {
        "the connection to the agent broke"
    };
    AgentError { message: message.to_owned(), status: None, body: None, decision: Decision::Again(None) }
}
