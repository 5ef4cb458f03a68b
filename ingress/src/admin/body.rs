//! The body of a request: how large it may be, and which kinds of it are understood.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde_json::Value;

use super::{beside::Beside, remarks};
use crate::problem::Problem;

/// Bytes of a body at most.
pub(super) const LIMIT: usize = 2 * 1024 * 1024;

/// What a body is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// `application/json`, or a kind of it.
    Json,
    /// `text/csv`.
    Csv,
    /// Nothing is said, or what curl says of whatever it is given with `-d`.
    Unsaid,
    /// Nothing that is read here.
    Other,
}

/// A body, not looked at yet.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    kind: Kind,
    beside: Beside,
}

impl Body {
    /// Whether there is nothing in it.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// The headers of the answer.
    pub(super) fn beside(&self) -> Beside {
        self.beside.clone()
    }

    /// The body as JSON. One of which nothing was said is taken at its word.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        if self.is_blank() {
            let detail = "There is no body. Send JSON with `Content-Type: application/json`.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail));
        }
        let readable = match self.kind {
            Kind::Json => true,
            Kind::Unsaid => self.begins_as_json(),
            Kind::Csv | Kind::Other => false,
        };
        if !readable {
            return Err(unsupported("Send the body as JSON with `Content-Type: application/json`."));
        }
        let strict = serde_json::from_slice(&self.bytes);
        let read = strict.or_else(|error| match remarks::blanked(&self.bytes) {
            Some(body) => serde_json::from_slice(&body),
            None => Err(error),
        });
        read.map_err(|error| {
            let detail = format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail)
        })
    }

    /// The body as a table; none when it is to be read as JSON.
    pub(super) fn table(&self) -> Result<Option<&str>, Problem> {
        let detail = "Send the body as JSON with `Content-Type: application/json`, or as a table with \
                      `Content-Type: text/csv`.";
        match self.kind {
            Kind::Json => return Ok(None),
            Kind::Unsaid if self.begins_as_json() => return Ok(None),
            Kind::Csv | Kind::Unsaid => {}
            Kind::Other => return Err(unsupported(detail)),
        }
        let not_text = |_| Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", "The body is not UTF-8.");
        std::str::from_utf8(&self.bytes).map(Some).map_err(not_text)
    }

    fn begins_as_json(&self) -> bool {
        self.bytes.trim_ascii_start().starts_with(b"{") || self.bytes.trim_ascii_start().starts_with(b"[")
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (beside, kind) = (Beside::of(request.extensions()), kind(request.headers()));
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = "The body is larger than this path takes. Send less at once.";
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            }
            status => Problem::new(status, "unreadable_body", rejection.body_text()),
        })?;
        Ok(Self { bytes, kind, beside })
    }
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

fn kind(headers: &HeaderMap) -> Kind {
    // A packed body is none of these, whatever is in it.
    let packed = headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let said = headers.get(header::CONTENT_TYPE).map(|said| said.to_str().unwrap_or("?"));
    let essence = said.map(|said| said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        _ if packed => Kind::Other,
        None | Some("" | "application/x-www-form-urlencoded") => Kind::Unsaid,
        Some("application/json") => Kind::Json,
        Some("text/csv") => Kind::Csv,
        Some(word) if word.starts_with("application/") && word.ends_with("+json") => Kind::Json,
        Some(_) => Kind::Other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A body of which nothing is said.
    pub(in crate::admin) fn body(text: &'static str) -> Body {
        Body { bytes: Bytes::from_static(text.as_bytes()), kind: Kind::Unsaid, beside: Beside::default() }
    }

    fn said(content_type: &str, text: &'static str) -> Body {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
        Body { kind: kind(&headers), ..body(text) }
    }

    const CURL: &str = "application/x-www-form-urlencoded";

    #[test]
    fn json_is_read_under_its_names_and_where_nothing_was_said() {
        for said in [
            said("application/json", " {}"),
            said("Application/JSON; charset=utf-8", "{}"),
            said("application/merge-patch+json", "{}"),
            said(CURL, "\n{}"),
            said("", "{}"),
            body("{}"),
            body("{} # nothing"),
        ] {
            assert_eq!(said.json().unwrap(), serde_json::json!({}), "{said:?}");
            assert!(said.is_blank() || said.table().unwrap().is_none());
        }
    }

    #[test]
    fn whoever_sends_something_else_is_told_what_to_send() {
        for other in [
            said(CURL, "name=acme"),
            body("name=acme"),
            said("text/plain", "{}"),
            said("text/csv", "{}"),
            said("multipart/form-data; boundary=x", "{}"),
            said("text/x+json", "{}"),
            said("\u{e9}", "{}"),
        ] {
            let problem = other.json().unwrap_err();
            assert_eq!((problem.status, problem.code), (415, "unsupported_media_type"), "{other:?}");
            assert!(problem.detail.contains("application/json"));
        }
        let packed = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert_eq!(kind(&packed), Kind::Other);
        for broken in [said("application/json", "name=acme"), body("{"), body(" \n")] {
            assert_eq!(broken.json().unwrap_err().code, "invalid_json", "{broken:?}");
        }
    }

    #[test]
    fn a_table_is_read_where_nothing_was_said() {
        for table in [said("text/csv; charset=utf-8", "[a"), said(CURL, "a,b"), body("a,b")] {
            assert!(table.table().unwrap().is_some(), "{table:?}");
        }
        assert_eq!(said("text/plain", "a,b").table().unwrap_err().status, 415);
    }
}
