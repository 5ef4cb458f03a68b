//! One call of an OpenAI-compatible server: `POST {url}/v1/audio/transcriptions`, a form with the file.
//!
//! What comes back is bounded in size and time, and nothing but JSON with a `text` is believed.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use omnihub_common::instance::TranscriptSettings;
use reqwest::{Body, Client, Response, StatusCode};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;
use uuid::Uuid;

use crate::agent::{File, openai_url};

/// An answer has at most so many bytes: hours of talk.
const LARGEST_ANSWER: usize = 256 * 1024;

/// How long to wait before a server that is busy is asked a second time.
const PAUSE: Duration = Duration::from_secs(1);

/// Why nobody wrote down what is said; for people, and without secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("its address cannot be called")]
    Unusable,
    #[error("it cannot be reached")]
    Away,
    #[error("it took too long")]
    Late,
    #[error("it answered with status {0}")]
    Refused(u16),
    #[error("its answer is too large")]
    TooLarge,
    #[error("its answer is not JSON with a text")]
    Unreadable,
    #[error("it heard nothing")]
    Silence,
}

impl CallError {
    /// Whether the same call may succeed a moment later.
    fn may_pass(self) -> bool {
        matches!(self, Self::Away | Self::Refused(429 | 500..))
    }
}

/// A file on its way to a server; its room in memory is given back when it is written.
pub(super) struct Recording {
    boundary: String,
    form: Bytes,
}

/// A form whose room is given back when nobody needs it any more.
struct Seated {
    form: Vec<u8>,
    _seat: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Seated {
    fn as_ref(&self) -> &[u8] {
        &self.form
    }
}

impl Recording {
    /// The form with this file, as a model is to read it.
    pub(super) fn new(settings: &TranscriptSettings, file: &File, seat: OwnedSemaphorePermit) -> Self {
        let boundary = Uuid::new_v4().simple().to_string();
        let form = form(settings, file, &boundary);
        Self { boundary, form: Bytes::from_owner(Seated { form, _seat: seat }) }
    }
}

/// Asks for what is said, twice if the server is busy, within so long on the whole.
pub(super) async fn transcribe(
    client: &Client,
    settings: &TranscriptSettings,
    recording: Recording,
    patience: Duration,
) -> Result<String, CallError> {
    let asking = async {
        match ask(client, settings, &recording).await {
            Err(error) if error.may_pass() => {
                tokio::time::sleep(PAUSE).await;
                ask(client, settings, &recording).await
            }
            done => done,
        }
    };
    tokio::time::timeout(patience, asking).await.unwrap_or(Err(CallError::Late))
}

async fn ask(client: &Client, settings: &TranscriptSettings, recording: &Recording) -> Result<String, CallError> {
    let base = settings.api_url.as_deref().ok_or(CallError::Unusable)?;
    let url: Url = openai_url(base, ["audio", "transcriptions"]).ok_or(CallError::Unusable)?;
    let request = client.post(url).body(Body::from(recording.form.clone()));
    let request = request.header(CONTENT_TYPE, format!("multipart/form-data; boundary={}", recording.boundary));
    let request = match &settings.api_key {
        Some(key) => request.bearer_auth(key.expose()),
        None => request,
    };
    let mut response = request.send().await.map_err(|_| CallError::Away)?;
    if response.status() != StatusCode::OK {
        return Err(CallError::Refused(response.status().as_u16()));
    }
    read(&bounded(&mut response).await?)
}

async fn bounded(response: &mut Response) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| CallError::Away)? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Err(CallError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Result<String, CallError> {
    let answer: Value = serde_json::from_slice(bytes).map_err(|_| CallError::Unreadable)?;
    match answer["text"].as_str().map(str::trim) {
        Some("") => Err(CallError::Silence),
        Some(text) => Ok(text.to_owned()),
        None => Err(CallError::Unreadable),
    }
}

/// The form; nobody else knows the boundary, so no value holds it.
fn form(settings: &TranscriptSettings, file: &File, boundary: &str) -> Vec<u8> {
    let mut form = Vec::with_capacity(file.bytes.len() + 1024);
    let language = settings.language.as_deref().map(|language| ("language", language));
    let fields = [("model", settings.effective_model()), ("response_format", "json")];
    for (name, value) in fields.into_iter().chain(language) {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        form.extend_from_slice(part.as_bytes());
    }
    let (name, media_type) = named(file);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {media_type}\r\n\r\n"
    );
    for piece in [head.as_bytes(), &file.bytes, format!("\r\n--{boundary}--\r\n").as_bytes()] {
        form.extend_from_slice(piece);
    }
    form
}

/// Servers know a file by the end of its name. Nothing of the person's own name for it is told.
fn named(file: &File) -> (&'static str, &'static str) {
    match file.media_type().as_str() {
        "audio/mpeg" | "audio/mp3" => ("audio.mp3", "audio/mpeg"),
        "audio/mp4" | "audio/x-m4a" | "audio/m4a" | "audio/aac" => ("audio.m4a", "audio/mp4"),
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => ("audio.wav", "audio/wav"),
        "audio/webm" => ("audio.webm", "audio/webm"),
        "audio/flac" | "audio/x-flac" => ("audio.flac", "audio/flac"),
        // What phones record, and what nobody said anything about.
        _ => ("audio.ogg", "audio/ogg"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_form_says_what_the_server_must_know() {
        let file = |media_type: &str| File {
            about: json!({"mime_type": media_type, "file_name": "my secret.exe"}),
            bytes: b"sound".to_vec(),
            link: None,
        };
        let settings = TranscriptSettings { language: Some("pt".into()), ..TranscriptSettings::default() };
        let written = String::from_utf8(form(&settings, &file("audio/ogg; codecs=opus"), "b")).unwrap();
        let field = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields = [field("model", "whisper-1"), field("response_format", "json"), field("language", "pt")].concat();
        let sound = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"audio.ogg\"\r\n\
                     Content-Type: audio/ogg\r\n\r\nsound\r\n--b--\r\n";
        assert_eq!(written, format!("{fields}{sound}"));
        assert_eq!(named(&file("audio/mp4")).0, "audio.m4a");
        assert_eq!(named(&file("")).0, "audio.ogg");
    }

    #[test]
    fn only_a_text_is_believed() {
        assert_eq!(read(br#"{"text": " bom dia\n", "duration": 3}"#), Ok("bom dia".to_owned()));
        assert_eq!(read(br#"{"text": " "}"#), Err(CallError::Silence));
        for wrong in [&b"<html>bad gateway</html>"[..], b"", b"bom dia", b"{\"text\": 5}", b"[]", b"\xff\xfe"] {
            assert_eq!(read(wrong), Err(CallError::Unreadable), "{wrong:?}");
        }
        let again = [CallError::Away, CallError::Refused(429), CallError::Refused(503)];
        assert!(again.into_iter().all(CallError::may_pass));
        let never = [CallError::Late, CallError::Refused(401), CallError::Refused(413), CallError::Silence];
        assert!(!never.into_iter().any(CallError::may_pass));
    }
}
