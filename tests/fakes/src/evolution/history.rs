//! The messages that an account on the fake has kept: `/chat/findMessages` of 2.3.6.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Map, Value, json};

use super::lifecycle::serve;
use super::lifecycle_wire::unknown;
use super::routes::{authorize, note_unknown};
use super::{FakeEvolution, State};

/// Rows of a page unless the caller says.
const PAGE: usize = 50;

/// What an account has kept.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    messages: Vec<Value>,
    /// As of a version that knows no filter by time.
    ignores_times: bool,
    /// As where messages are not kept: what is sent leaves no trace.
    forgets_sent: bool,
    /// The files of messages, by their ids, in base64.
    files: BTreeMap<String, String>,
}

impl FakeEvolution {
    /// An account keeps this message: the `data` of its webhook, whether that arrives or not.
    pub fn keep_message(&self, name: &str, data: Value) {
        self.state.change(name, |known| known.account.history.messages.push(data));
    }

    /// The account has the file of this message, in base64.
    pub fn keep_file(&self, name: &str, id: &str, base64: &str) {
        self.state.change(name, |known| known.account.history.files.insert(id.to_owned(), base64.to_owned()));
    }

    /// The account's server is set up to keep nothing of what is sent.
    pub fn forget_sent(&self, name: &str) {
        self.state.change(name, |known| known.account.history.forgets_sent = true);
    }

    /// The account is on a version that knows no filter by time.
    pub fn ignore_times(&self, name: &str) {
        self.state.change(name, |known| known.account.history.ignores_times = true);
    }
}

impl History {
    /// Keeps what the account has sent.
    pub(super) fn keep_sent(&mut self, message: Value) {
        if !self.forgets_sent {
            self.messages.push(message);
        }
    }

    /// The rows that a filter takes.
    fn wanted(&self, body: &Map<String, Value>) -> Vec<Value> {
        self.messages.iter().filter(|row| self.ignores_times || is_wanted(row, body)).cloned().collect()
    }
}

/// The routes.
pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/chat/findMessages/{instance}", post(find_messages))
        .route("/chat/getBase64FromMediaMessage/{instance}", post(get_base64))
}

async fn get_base64(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    serve(&state, "getBase64FromMediaMessage", &name, (&headers, &body), |body| {
        authorize(&state, &name, &headers)?;
        note_unknown(&state, "getBase64FromMediaMessage", &unknown(body, &["message", "convertToMp4"]));
        let id = body.get("message").and_then(|message| message["key"]["id"].as_str()).unwrap_or_default();
        let file = state.read(&name, |known| known.account.history.files.get(id).cloned()).flatten();
        let Some(file) = file else {
            let answer = json!({"status": 400, "error": "Bad Request", "response": {"message": ["Message not found"]}});
            return Err((StatusCode::BAD_REQUEST, answer));
        };
        Ok((
            StatusCode::CREATED,
            json!({"mediaType": "imageMessage", "mimetype": "image/png", "base64": file, "buffer": null}),
        ))
    })
}

async fn find_messages(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    serve(&state, "findMessages", &name, (&headers, &body), |body| {
        authorize(&state, &name, &headers)?;
        note_unknown(&state, "findMessages", &unknown(body, &["where", "page", "offset"]));
        let mut rows = state.read(&name, |known| known.account.history.wanted(body)).unwrap_or_default();
        // Newest first, and of the same second the later one.
        rows.reverse();
        rows.sort_by_key(|row| std::cmp::Reverse(row["messageTimestamp"].as_i64()));
        let number =
            |name: &str| body.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        let (size, page) = (number("offset").unwrap_or(PAGE).max(1), number("page").unwrap_or(1).max(1));
        let (total, pages) = (rows.len(), rows.len().div_ceil(size));
        let records: Vec<Value> = rows.into_iter().skip((page - 1) * size).take(size).collect();
        let messages = json!({"total": total, "pages": pages, "currentPage": page, "records": records});
        Ok((StatusCode::OK, json!({ "messages": messages })))
    })
}

/// Whether the filter takes a row: by its key, and by its time in whole seconds.
fn is_wanted(row: &Value, body: &Map<String, Value>) -> bool {
    let Some(filter) = body.get("where") else { return true };
    let seconds = |name: &str| {
        let time = filter["messageTimestamp"][name].as_str()?;
        chrono::DateTime::parse_from_rfc3339(time).ok().map(|time| time.timestamp())
    };
    let at = row["messageTimestamp"].as_i64().unwrap_or_default();
    let key = filter["key"].as_object().cloned().unwrap_or_default();
    seconds("gte").is_none_or(|gte| at >= gte)
        && seconds("lte").is_none_or(|lte| at <= lte)
        && key.iter().all(|(name, value)| row["key"][name] == *value)
}
