//! A fake agent that speaks every protocol: `automagik` (`POST /api/agent/chat`, `GET /health`), the
//! older `automagik-v1` (`POST /api/v1/agent/{agent}/run`), `hive` (`POST /agents/{agent}/runs`, or
//! `/teams/…`), `openai` (`POST /v1/chat/completions`) and `webhook` (`POST /hook`), the middle two in
//! one piece and as a stream.
//!
//! It answers as its [`Behaviour`] says, and accuses: a call without its fields or its headers, a
//! channel's secret in a call, one `Idempotency-Key` with two different questions, and two calls
//! at once in one conversation are violations.

mod behaviour;
mod check;
mod protocol;
mod routes;
mod voice;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

pub use behaviour::{Answer, Behaviour, Pace, Pieces};
pub use voice::Voice;

use crate::record::{Record, lock};
use crate::server::Server;
use protocol::Protocol;

/// One call of the hub.
#[derive(Clone, Debug)]
pub struct AgentCall {
    /// The path that was called.
    pub path: String,
    /// The JSON body, or the fields of a form; null when it was neither.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
    message: String,
    /// Every request header, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// When it came in.
    pub started: Instant,
    /// When it was answered or given up by the caller; `None` while it runs.
    pub ended: Option<Instant>,
    /// The status that was answered; `None` while it runs and when the caller gave up.
    pub status: Option<u16>,
}

impl AgentCall {
    /// A text field of the body; empty when it is absent.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The question.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The conversation.
    #[must_use]
    pub fn session_name(&self) -> &str {
        Protocol::of(&self.path).session(&self.body)
    }

    /// Whether it is signed with this secret, as Standard Webhooks say; one signature of several
    /// will do.
    #[must_use]
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").and_then(|secret| STANDARD.decode(secret).ok());
        let Some(mut mac) = key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok()) else { return false };
        for part in [self.header("webhook-id"), ".", self.header("webhook-timestamp"), "."] {
            mac.update(part.as_bytes());
        }
        mac.update(&self.bytes);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|given| given == signature)
    }

    /// A header; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The `Idempotency-Key`; empty when it is absent.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        self.header("idempotency-key")
    }
}

/// The fake.
#[derive(Debug)]
pub struct FakeAgent {
    server: Server,
    state: Arc<State>,
}

impl FakeAgent {
    /// The key that [`FakeAgent::start`] expects.
    pub const KEY: &str = "fake-agent-key";

    /// Starts an agent that expects [`FakeAgent::KEY`], on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        Self::start_with_key(behaviour, Self::KEY).await
    }

    /// Starts an agent that expects `key`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_with_key(behaviour: Behaviour, key: &str) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let state = Arc::new(State::new(behaviour, key, stop.clone()));
        let server = Server::start(routes::router(Arc::clone(&state)), stop).await?;
        Ok(Self { server, state })
    }

    /// The base URL (`agent_api_url`), without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The key that it expects (`agent_api_key`).
    #[must_use]
    pub fn key(&self) -> &str {
        &self.state.key
    }

    /// Changes how the calls that come from now on are answered.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *lock(&self.state.behaviour) = behaviour;
    }

    /// Every call so far, refused ones too, in the order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<AgentCall> {
        self.state.calls.all()
    }

    /// Waits until at least `n` calls came in; they may still be running.
    ///
    /// # Errors
    /// When `deadline` passes first; the error says how many there were.
    pub async fn wait_for_calls(&self, n: usize, deadline: Duration) -> anyhow::Result<Vec<AgentCall>> {
        self.state.calls.wait_for("agent calls", n, deadline).await
    }

    /// What the hub must never do and yet did.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.violations.all()
    }
}

/// What the routes share.
#[derive(Debug)]
struct State {
    key: String,
    behaviour: Mutex<Behaviour>,
    calls: Record<AgentCall>,
    violations: Record<String>,
    /// The idempotency keys of the calls that run now, by conversation.
    running: Mutex<HashMap<String, Vec<String>>>,
    /// The question of each idempotency key seen.
    questions: Mutex<HashMap<String, String>>,
    stop: CancellationToken,
}

impl State {
    fn new(behaviour: Behaviour, key: &str, stop: CancellationToken) -> Self {
        Self {
            key: key.to_owned(),
            behaviour: Mutex::new(behaviour),
            calls: Record::new(),
            violations: Record::new(),
            running: Mutex::default(),
            questions: Mutex::default(),
            stop,
        }
    }
}
