//! A thin client of Evolution's REST API: what a turn sends.
//!
//! What is absent: retries, pacing and breakers belong to the lane; redirects are the caller's to
//! switch off. Source: Evolution API 2.3.6, `/message/<operation>` and `/chat/sendPresence`; the key
//! goes into the header `apikey`, `number` must be a string.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use serde::Serialize;
use url::Url;

pub use super::answer::{SendError, Sent};
use super::{
    answer::{self, Answer},
    call::Call,
    wire,
};
use crate::{conversation::Decision, secret::Secret};

/// How long a send may take: Evolution asks WhatsApp about the number first.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a presence call may take beyond the delay for which it blocks.
const PRESENCE_MARGIN: Duration = Duration::from_secs(10);

/// Answers are about 1 KB; beyond this many bytes they are not read.
const MAX_ANSWER: usize = 256 * 1024;

/// What a chat shows of us while a turn runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Online.
    Available,
    /// Offline.
    Unavailable,
    /// Typing.
    Composing,
    /// Recording a voice message.
    Recording,
    /// No longer typing.
    Paused,
}

/// One account on an Evolution server.
#[derive(Clone)]
pub struct Evolution {
    client: Client,
    base: Url,
    key: Secret,
    apikey: HeaderValue,
    instance: String,
}

/// The body of `sendPresence`.
#[derive(Serialize)]
struct PresenceBody<'a> {
    number: &'a str,
    presence: Presence,
    /// In milliseconds.
    delay: u64,
}

impl Evolution {
    /// An account: the client (built with redirects off), the server's base URL with or without a
    /// trailing slash or a path prefix, its key, and the instance's name on that server.
    ///
    /// # Errors
    /// When the URL is not an http one or the key cannot be a header; the message is held until a
    /// person has mended the instance.
    pub fn new(client: Client, base_url: &str, key: &Secret, whatsapp_instance: &str) -> Result<Self, SendError> {
        let base = Url::parse(base_url.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut base =
            base.ok_or_else(|| misconfigured("evolution_url_invalid", "the Evolution URL is not an http URL"))?;
        // Evolution lets the query overwrite the instance of the path.
        base.set_query(None);
        base.set_fragment(None);
        let mut apikey = HeaderValue::from_str(key.expose())
            .map_err(|_| misconfigured("evolution_key_invalid", "the Evolution key cannot be sent in a header"))?;
        apikey.set_sensitive(true);
        Ok(Self { client, base, key: key.clone(), apikey, instance: whatsapp_instance.to_owned() })
    }

    /// Sends a message; `headers` carry the trace context.
    ///
    /// # Errors
    /// With the decision that the lane follows; see [`SendError`].
    pub async fn send(&self, call: &Call, headers: HeaderMap) -> Result<Sent, SendError> {
        let timeout = SEND_TIMEOUT.saturating_add(call.held_for);
        let answer = self.post(["message", call.operation], &call.body, headers, timeout).await?;
        answer::read_sent(answer)
    }

    /// Shows a presence for `delay_ms` milliseconds. Evolution blocks for that long, so no turn
    /// should await this.
    ///
    /// # Errors
    /// As [`Self::send`]; a presence that was not shown is nothing to act on.
    pub async fn send_presence(
        &self,
        number: &str,
        presence: Presence,
        delay_ms: u64,
        headers: HeaderMap,
    ) -> Result<(), SendError> {
        let body = PresenceBody { number, presence, delay: delay_ms };
        let timeout = Duration::from_millis(delay_ms).saturating_add(PRESENCE_MARGIN);
        let answer = self.post(["chat", "sendPresence"], &body, headers, timeout).await?;
        answer::accepted(answer).map(|_| ())
    }

    pub(super) async fn post<B: Serialize>(
        &self,
        operation: [&str; 2],
        body: &B,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Answer, SendError> {
        let request = self.client.post(self.url(operation)).headers(headers).timeout(timeout).json(body);
        let mut answer = self.call(request, MAX_ANSWER).await?;
        if let Some(body) = &mut answer.body {
            answer::hide(body, self.key.expose());
        }
        Ok(answer)
    }

    /// Sends a request with the account's key and reads at most `limit` bytes of its answer. The
    /// key is not hidden in it yet.
    pub(super) async fn call(&self, request: RequestBuilder, limit: usize) -> Result<Answer, SendError> {
        read(self.answered(request).await?, limit).await
    }

    /// Sends a request with the account's key; of the answer the body is not read yet.
    pub(super) async fn answered(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let mut apikey = HeaderMap::new();
        apikey.insert("apikey", self.apikey.clone());
        request.headers(apikey).send().await.map_err(|error| unanswered(&error))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn key(&self) -> &Secret {
        &self.key
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// `{base}/{segments}`, percent-encoded.
    pub(super) fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only URLs without a host have no path to extend, and those were refused.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// `{base}/{operation}/{instance}`, the instance percent-encoded.
    fn url(&self, [room, verb]: [&str; 2]) -> Url {
        self.at(&[room, verb, &self.instance])
    }
}

impl fmt::Debug for Evolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.base.host_str().unwrap_or_default();
        f.debug_struct("Evolution").field("host", &host).field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// What to put into `number` for a chat: a person's phone digits where either of the two ids is a
/// phone, else the chat's own JID; a group's JID always.
#[must_use]
pub fn recipient(chat: &str, alt: Option<&str>) -> String {
    let known = || wire::phone(chat).or_else(|| alt.and_then(wire::phone));
    wire::is_person(chat).then(known).flatten().unwrap_or(chat).to_owned()
}

/// Reads an answer, at most `limit` bytes of its body.
pub(super) async fn read(response: Response, limit: usize) -> Result<Answer, SendError> {
    let status = response.status().as_u16();
    let retry_after = seconds(response.headers().get(RETRY_AFTER));
    let bytes = read_capped(response, limit).await;
    let bytes = match bytes.map_err(|error| SendError { status: Some(status), ..unanswered(&error) }) {
        Ok(bytes) => bytes,
        // A refusal is one even when its words are lost.
        Err(_) if !(200..300).contains(&status) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(Answer { status, retry_after, body: serde_json::from_slice(&bytes).ok() })
}

/// Reads at most `limit` bytes; what is longer is cut, and then cannot be parsed.
async fn read_capped(mut response: Response, limit: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// `Retry-After` in seconds; its date form is not read.
fn seconds(value: Option<&HeaderValue>) -> Option<Duration> {
    value?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// No answer, or none that ended. Only a connection that was never made surely sent nothing.
pub(super) fn unanswered(error: &reqwest::Error) -> SendError {
    let (message, may_have_sent) = if error.is_connect() {
        ("Evolution cannot be reached", false)
    } else if error.is_timeout() {
        ("Evolution did not answer in time", true)
    } else {
        ("the connection to Evolution broke", true)
    };
    SendError { status: None, message: message.to_owned(), decision: Decision::Again(None), may_have_sent }
}

fn misconfigured(reason: &str, message: &str) -> SendError {
    let decision = Decision::Hold(reason.to_owned());
    SendError { status: None, message: message.to_owned(), decision, may_have_sent: false }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, body::Bytes, extract::State, http::Uri, response::IntoResponse};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    /// What the fake server saw: path, headers, body.
    type Seen = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

    /// Serves one scripted answer to every call.
    async fn server(status: u16, body: impl Into<String>) -> (String, Seen) {
        let seen = Seen::default();
        let body = body.into();
        let handler = move |State(seen): State<Seen>, uri: Uri, headers: HeaderMap, posted: Bytes| async move {
            let posted = serde_json::from_slice(&posted).expect("a JSON body");
            seen.lock().expect("the record").push((uri.to_string(), headers, posted));
            (http::StatusCode::from_u16(status).expect("a status"), [(RETRY_AFTER, "9")], body).into_response()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(handler).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (url, seen)
    }

    fn account(url: &str, instance: &str) -> Evolution {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Evolution::new(client, url, &Secret::new("planted-key"), instance).expect("an account")
    }

    #[tokio::test]
    async fn sends_exactly_what_evolution_reads() {
        let (url, seen) = server(201, include_str!("fixtures/rest-sendText-201.json")).await;
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("00-1-2-01"));
        headers.insert("apikey", HeaderValue::from_static("not this one"));
        for (base, path) in [("", ""), ("/", ""), ("/evo", "/evo"), ("/evo/?instanceName=other#x", "/evo")] {
            let evolution = account(&format!("{url}{base}"), "Loja São/1?");
            let sent = evolution.send(&Call::text("5511987654321", "Olá\n"), headers.clone()).await.expect("sent");
            assert_eq!(sent.message_id.as_deref(), Some("3EB02C3EDF8A9C18812E91"));
            let (uri, got, body) = seen.lock().expect("the record").pop().expect("a call");
            assert_eq!(uri, format!("{path}/message/sendText/Loja%20S%C3%A3o%2F1%3F"));
            assert_eq!(body, json!({"number": "5511987654321", "text": "Olá\n"}));
            assert_eq!(got.get_all("apikey").iter().collect::<Vec<_>>(), ["planted-key"]);
            assert_eq!(got["traceparent"], "00-1-2-01");
        }
    }

    #[tokio::test]
    async fn shows_a_presence() {
        let (url, seen) = server(201, r#"{"presence":"composing"}"#).await;
        let shown = account(&url, "acme").send_presence("551", Presence::Composing, 1200, HeaderMap::new()).await;
        assert_eq!(shown, Ok(()));
        let (uri, _, body) = seen.lock().expect("the record").pop().expect("a call");
        assert_eq!(uri, "/chat/sendPresence/acme");
        assert_eq!(body, json!({"number": "551", "presence": "composing", "delay": 1200}));
    }

    #[tokio::test]
    async fn a_busy_server_is_tried_again_when_it_says() {
        let (url, _) = server(503, "<html>").await;
        let error = account(&url, "acme").send(&Call::text("551", "x"), HeaderMap::new()).await.expect_err("busy");
        assert_eq!(error.decision, Decision::Again(Some(Duration::from_secs(9))));
        assert_eq!((error.status, error.message.as_str()), (Some(503), "status 503 without words"));
    }

    #[tokio::test]
    async fn a_server_that_is_away_has_surely_sent_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = account(&url, "acme").send(&Call::text("551", "x"), HeaderMap::new()).await.expect_err("away");
        assert_eq!((error.decision, error.may_have_sent), (Decision::Again(None), false));
    }

    #[tokio::test]
    async fn a_message_without_answer_may_be_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let evolution = account(&url, "acme");
        let body = Call::text("551", "x").body;
        let silent = evolution.post(["message", "sendText"], &body, HeaderMap::new(), Duration::from_millis(50));
        let error = silent.await.expect_err("no answer");
        assert_eq!((error.message.as_str(), error.may_have_sent), ("Evolution did not answer in time", true));

        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let _ = connection.readable().await;
            }
        });
        let error = evolution.send(&Call::text("551", "x"), HeaderMap::new()).await.expect_err("hung up");
        assert_eq!((error.decision, error.may_have_sent), (Decision::Again(None), true));
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_to_its_end() {
        let (url, _) = server(201, format!("\"{}\"", "x".repeat(2 * MAX_ANSWER))).await;
        let error = account(&url, "acme").send(&Call::text("551", "x"), HeaderMap::new()).await.expect_err("too long");
        assert_eq!((error.status, error.may_have_sent), (Some(201), true));
    }

    #[tokio::test]
    async fn the_key_stays_inside() {
        let echo = r#"{"response":{"message":["bad key planted-key"]},"k":"planted-key"}"#;
        for status in [201, 400] {
            let (url, _) = server(status, echo).await;
            let evolution = account(&url, "acme");
            let told = format!("{:?} {evolution:?}", evolution.send(&Call::text("551", "x"), HeaderMap::new()).await);
            assert!(!told.contains("planted"), "{told}");
        }
    }

    #[test]
    fn a_broken_account_is_held() {
        for (url, key, reason) in [
            ("not a url", "k", "evolution_url_invalid"),
            ("ftp://host", "k", "evolution_url_invalid"),
            ("data:text/plain,x", "k", "evolution_url_invalid"),
            ("http://host", "planted\nkey", "evolution_key_invalid"),
        ] {
            let error = Evolution::new(Client::new(), url, &Secret::new(key), "acme").expect_err("refused");
            assert_eq!(error.decision, Decision::Hold(reason.into()));
            assert!(!error.to_string().contains("planted"));
        }
    }

    #[test]
    fn a_person_is_reached_by_phone_and_a_group_by_its_id() {
        let phone = "5511987654321@s.whatsapp.net";
        assert_eq!(recipient(phone, None), "5511987654321");
        assert_eq!(recipient("5511987654321:7@s.whatsapp.net", Some("99@lid")), "5511987654321");
        assert_eq!(recipient("99@lid", Some(phone)), "5511987654321");
        assert_eq!(recipient("99@lid", None), "99@lid");
        assert_eq!(recipient("1203@g.us", Some(phone)), "1203@g.us");
    }
}
