//! Errors as answers: RFC 9457 problem details, with `detail` where the older system had it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An error answer. `Display` inside, status only here: one table from error to status per door.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(description = "What went wrong: problem details as RFC 9457 has them. Some have members of their own.")]
pub struct Problem {
    /// A short stable word for programs, e.g. `instance_not_found`.
    pub code: &'static str,
    /// The reason phrase of the status.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, for people; never a secret.
    pub detail: String,
    /// The fields that are wrong, each with its path (422).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What else a program may want to know, beside the members of every problem.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: Option<Box<Map<String, Value>>>,
    /// Seconds after which to try again (`Retry-After`).
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// One wrong field of a body.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, ToSchema)]
pub struct FieldError {
    /// The path of the field, e.g. `agent_timeout`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// A problem of a status.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            more: None,
            retry_after: None,
        }
    }

    /// The same with `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same with one more member; nothing when there is no value.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.more.get_or_insert_default().insert(name.to_owned(), value.into());
        }
        self
    }

    /// The same with the fields that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
