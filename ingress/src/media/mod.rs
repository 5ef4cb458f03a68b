//! `/media/{token}`: the file behind a link that an agent was given.
//!
//! Whoever has the link has the file, until the link expires; nobody else learns whether there is one.
//! A file is never held in memory: it goes piece by piece from the object store to who asks.

mod range;

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use omnihub_common::queue::{Media, MediaError, MediaLinks, now_ms};

use crate::{
    admin::{
        door::{Routes, open_get},
        openapi::says,
    },
    problem::Problem,
};
use range::Asked;

/// What the route works with.
#[derive(Clone, Debug)]
pub struct MediaState {
    /// Where files are.
    pub media: Media,
    /// Reads the tokens.
    pub links: MediaLinks,
}

/// How long the store may take for the next piece of a file.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many seconds to wait while the store is away.
const RETRY_AFTER: u64 = 5;

/// The route.
pub fn routes() -> Router<MediaState> {
    Router::from(recorded())
}

/// The same with what is recorded of it.
pub(crate) fn recorded() -> Routes<MediaState> {
    let doc = says("The file behind a link that an agent was given")
        .more("Links expire within two hours. A part of it comes with `Range` (206); `HEAD` tells its size.")
        .answers_text("application/octet-stream", "The file, of its own media type.")
        .problem(404, "The link is none, or it has expired, or the file is gone.")
        .problem(416, "The file has no such part.")
        .problem(503, "The object store is away; try again.");
    Routes::new().route("/media/{token}", open_get(show).doc(doc))
}

async fn show(
    State(state): State<MediaState>,
    method: Method,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let link = state.links.read(&token, now_ms()).ok_or_else(nothing)?;
    let size = state.media.size(&link.object).await.map_err(refused)?;
    // We name no version of a file, so there is none that a part could be of.
    let asked = headers.get(RANGE).filter(|_| !headers.contains_key(IF_RANGE));
    let (status, from, length) = match range::read(asked, size) {
        Asked::Whole => (StatusCode::OK, 0, size),
        Asked::Part(from, length) => (StatusCode::PARTIAL_CONTENT, from, length),
        Asked::Nothing => return Ok(no_such_part(size)),
    };
    let body = match method == Method::HEAD {
        true => Body::empty(),
        false => Body::from_stream(state.media.pieces(&link.object, from, length, PATIENCE).await.map_err(refused)?),
    };
    let mut response = (status, body).into_response();
    let told = response.headers_mut();
    told.extend(described(&link.media_type));
    told.insert(CONTENT_LENGTH, length.into());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = (from + length).saturating_sub(1);
        told.extend(header(CONTENT_RANGE, &format!("bytes {from}-{last}/{size}")));
    }
    Ok(response)
}

fn no_such_part(size: u64) -> Response {
    let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_part", "the file has no such part");
    let mut response = problem.into_response();
    response.headers_mut().extend(header(CONTENT_RANGE, &format!("bytes */{size}")));
    response
}

fn header(name: HeaderName, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name, HeaderValue::from_str(value).ok()?))
}

/// What a file is shown as. People send them, so none of them may run anything in a browser.
fn described(media_type: &str) -> Vec<(HeaderName, HeaderValue)> {
    let is_shown = media_type != "image/svg+xml"
        && (media_type == "application/pdf"
            || ["image/", "audio/", "video/"].iter().any(|kind| media_type.starts_with(kind)));
    let shown = if media_type.is_empty() { "application/octet-stream" } else { media_type };
    let named = [
        (CONTENT_TYPE, shown),
        (CONTENT_DISPOSITION, if is_shown { "inline" } else { "attachment" }),
        (ACCEPT_RANGES, "bytes"),
        (CACHE_CONTROL, "private"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
    ];
    named.into_iter().filter_map(|(name, value)| header(name, value)).collect()
}

fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

fn refused(error: MediaError) -> Problem {
    match error {
        MediaError::Absent => nothing(),
        error => {
            tracing::warn!(error.message = %error, "a file could not be shown");
            let detail = "the object store does not answer";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "object_store_unavailable", detail).retry_after(RETRY_AFTER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_shows_without_running_it_is_shown() {
        let disposition = |media_type: &str| {
            let described = described(media_type);
            let found = described.iter().find(|(name, _)| name == CONTENT_DISPOSITION);
            found.map(|(_, value)| value.to_str().unwrap().to_owned()).unwrap()
        };
        for shown in ["image/png", "audio/ogg", "video/mp4", "application/pdf"] {
            assert_eq!(disposition(shown), "inline", "{shown}");
        }
        for kept in ["", "text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"] {
            assert_eq!(disposition(kept), "attachment", "{kept}");
        }
    }
}
