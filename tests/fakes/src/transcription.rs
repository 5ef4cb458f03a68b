//! A fake of a server that writes down what is said: `POST /v1/audio/transcriptions`, as OpenAI has it.
//!
//! In the order of the real one: the key (401), then the form (400): a `model`, a `response_format`
//! that it knows, and a `file` whose name ends as one that it can decode. A `language` is two letters.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::record::{Record, lock};
use crate::server::Server;

/// The ends of names of files that OpenAI decodes.
const DECODED: [&str; 9] = ["flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"];

/// What a call is answered that is in order.
#[derive(Clone, Debug)]
pub enum Hears {
    /// These words.
    Words(String),
    /// This status, content type and body.
    Raw(StatusCode, String, Vec<u8>),
    /// Nothing, until the fake is dropped.
    Nothing,
}

/// One call that was in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The model.
    pub model: String,
    /// The language, where one was named.
    pub language: Option<String>,
    /// The name of the file.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The fake.
#[derive(Debug)]
pub struct FakeTranscriber {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    hears: Mutex<Hears>,
    held: watch::Sender<bool>,
    calls: Record<Recording>,
    violations: Record<String>,
    stop: CancellationToken,
}

impl FakeTranscriber {
    /// The key that it expects.
    pub const KEY: &str = "planted-transcript-key-2e94";

    /// Starts one on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(hears: Hears) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let state = Arc::new(State {
            hears: Mutex::new(hears),
            held: watch::Sender::new(false),
            calls: Record::new(),
            violations: Record::new(),
            stop: stop.clone(),
        });
        let routes = Router::new().route("/v1/audio/transcriptions", post(transcribe));
        let routes = routes.layer(axum::extract::DefaultBodyLimit::disable());
        Ok(Self { server: Server::start(routes.with_state(Arc::clone(&state)), stop).await?, state })
    }

    /// The base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Changes what calls are answered from now on.
    pub fn set(&self, hears: Hears) {
        *lock(&self.state.hears) = hears;
    }

    /// Holds all answers back, or lets them go.
    pub fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Every call that was in order, as they came; they may still run.
    #[must_use]
    pub fn calls(&self) -> Vec<Recording> {
        self.state.calls.all()
    }

    /// Waits until at least `n` calls came in.
    ///
    /// # Errors
    /// When `deadline` passes first.
    pub async fn wait_for_calls(&self, n: usize, deadline: Duration) -> anyhow::Result<Vec<Recording>> {
        self.state.calls.wait_for("recordings", n, deadline).await
    }

    /// What the hub must never do and yet did.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.violations.all()
    }
}

async fn transcribe(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("authorization") != format!("Bearer {}", FakeTranscriber::KEY) {
        return answer(StatusCode::UNAUTHORIZED, &json!({"error": {"message": "Incorrect API key provided"}}));
    }
    let recording = match read(header("content-type"), &body) {
        Ok(recording) => recording,
        Err(problem) => {
            state.violations.push(problem.to_owned());
            return answer(StatusCode::BAD_REQUEST, &json!({"error": {"message": problem}}));
        }
    };
    state.calls.push(recording);
    let mut held = state.held.subscribe();
    let waiting = async { held.wait_for(|held| !held).await.is_ok() };
    state.stop.run_until_cancelled(waiting).await;
    let hears = lock(&state.hears).clone();
    match hears {
        Hears::Words(text) => answer(StatusCode::OK, &json!({"text": text})),
        Hears::Raw(status, content_type, body) => (status, [(CONTENT_TYPE, content_type)], body).into_response(),
        Hears::Nothing => {
            state.stop.cancelled().await;
            answer(StatusCode::SERVICE_UNAVAILABLE, &json!({}))
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The call as the real one reads it, or what is wrong with it.
fn read(content_type: &str, body: &[u8]) -> Result<Recording, &'static str> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").ok_or("no form")?;
    let mut recording = Recording { model: String::new(), language: None, name: String::new(), bytes: Vec::new() };
    let mut format = String::new();
    for (head, value) in parts(boundary, body).ok_or("the form is broken")? {
        let text = || String::from_utf8_lossy(value).into_owned();
        let name = between(&head, "; name=\"", "\"").ok_or("a part without a name")?;
        match name {
            "model" => recording.model = text(),
            "language" => recording.language = Some(text()),
            "response_format" => format = text(),
            "file" => {
                recording.name = between(&head, "; filename=\"", "\"").ok_or("a file without a name")?.to_owned();
                recording.bytes = value.to_vec();
            }
            _ => return Err("a field that nobody knows"),
        }
    }
    let end = recording.name.rsplit('.').next().unwrap_or_default();
    let is_language = |language: &String| language.len() == 2;
    match () {
        () if recording.model.is_empty() => Err("no model"),
        () if format != "json" => Err("no response_format that is known here"),
        () if recording.bytes.is_empty() => Err("no file"),
        () if !DECODED.contains(&end) => Err("a file that cannot be decoded"),
        () if !recording.language.iter().all(is_language) => Err("a language that nobody speaks"),
        () => Ok(recording),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// The head and the value of each part of a form.
fn parts<'a>(boundary: &str, body: &'a [u8]) -> Option<Vec<(String, &'a [u8])>> {
    let mark = format!("--{boundary}");
    let mut rest = body.strip_prefix(mark.as_bytes())?;
    let end = format!("\r\n{mark}");
    let mut found = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let length = find(part, end.as_bytes())?;
        let head = find(&part[..length], b"\r\n\r\n")?;
        found.push((String::from_utf8_lossy(&part[..head]).into_owned(), &part[head + 4..length]));
        rest = &part[length + end.len()..];
    }
    (rest == b"--\r\n").then_some(found)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)], file: &str) -> Vec<u8> {
        let mut form = String::new();
        for (name, value) in fields {
            form.push_str(&format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
        }
        let head = format!("Content-Disposition: form-data; name=\"file\"; filename=\"{file}\"");
        form.push_str(&format!("--b\r\n{head}\r\nContent-Type: audio/ogg\r\n\r\nso\r\nund\r\n--b--\r\n"));
        form.into_bytes()
    }

    #[test]
    fn a_call_is_read_as_the_real_one_reads_it() {
        const TYPE: &str = "multipart/form-data; boundary=b";
        let whole = [("model", "whisper-1"), ("response_format", "json"), ("language", "pt")];
        let recording = read(TYPE, &form(&whole, "a.ogg")).unwrap();
        assert_eq!((recording.model.as_str(), recording.language.as_deref()), ("whisper-1", Some("pt")));
        assert_eq!((recording.name.as_str(), recording.bytes.as_slice()), ("a.ogg", &b"so\r\nund"[..]));
        assert_eq!(read(TYPE, &form(&whole[1..], "a.ogg")), Err("no model"));
        assert_eq!(read(TYPE, &form(&whole, "a.bin")), Err("a file that cannot be decoded"));
        assert_eq!(read("application/json", b"{}"), Err("no form"));
        assert_eq!(read(TYPE, b"--b\r\nno end"), Err("the form is broken"));
    }
}
