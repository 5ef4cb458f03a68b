//! What stands outside the hub in a measurement: an agent and an Evolution that do as little as
//! they can, so that the machine is the hub's.
//!
//! They check nothing: `tests/fakes` does, in the tests and in `omnihub bench chaos`. The agent's
//! pace is part of its URL: `/agent/0` answers at once, `/agent/5000` after five seconds, and
//! `/agent/gate` when the gate is open. Its answer is `re <question>`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State as Shared},
    http::StatusCode,
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A call of the agent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What it was asked.
    pub(super) text: String,
    /// When it came in.
    pub(super) at: Instant,
    /// Whether it was answered; a caller that died is not.
    pub(super) answered: bool,
}

/// A text that reached people.
#[derive(Clone, Debug)]
pub(super) struct Bubble {
    /// When for the first time.
    pub(super) first: Instant,
    /// The phone of each person whom it reached, each time.
    pub(super) to: Vec<String>,
}

/// The agent and the channel, on one loopback port.
#[derive(Debug)]
pub(super) struct Outside {
    url: String,
    state: Arc<State>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct State {
    calls: Mutex<Vec<Call>>,
    bubbles: Mutex<HashMap<String, Bubble>>,
    ids: AtomicU64,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
    gate: watch::Sender<bool>,
    stop: CancellationToken,
}

impl Outside {
    /// Starts both; the gate is open.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let state = Arc::new(State {
            calls: Mutex::default(),
            bubbles: Mutex::default(),
            ids: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            most_waiting: AtomicUsize::new(0),
            gate: watch::Sender::new(true),
            stop: stop.clone(),
        });
        let router = Router::new()
            .route("/agent/{pace}/api/agent/chat", post(chat))
            .route("/message/sendText/{instance}", post(send_text))
            .route("/chat/sendPresence/{instance}", post(send_presence))
            .layer(DefaultBodyLimit::disable())
            .with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a loopback port")?;
        let url = format!("http://{}", listener.local_addr().context("the port")?);
        let stopped = stop.clone();
        tokio::spawn(
            async move { axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned()).await },
        );
        Ok(Self { url, state, _stop: stop.drop_guard() })
    }

    /// The URL of Evolution.
    pub(super) fn evolution_url(&self) -> &str {
        &self.url
    }

    /// The URL of an agent of this pace: milliseconds, or `gate`.
    pub(super) fn agent_url(&self, pace: &str) -> String {
        format!("{}/agent/{pace}", self.url)
    }

    /// Opens or closes the gate.
    pub(super) fn open_gate(&self, open: bool) {
        self.state.gate.send_replace(open);
    }

    /// Looks at every call so far, in the order of arrival.
    pub(super) fn calls<T>(&self, look: impl FnOnce(&[Call]) -> T) -> T {
        look(&lock(&self.state.calls))
    }

    /// Calls that wait for their answer.
    pub(super) fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::Relaxed)
    }

    /// The most calls that ever waited at once.
    pub(super) fn most_waiting(&self) -> usize {
        self.state.most_waiting.load(Ordering::Relaxed)
    }

    /// How many different texts have reached people.
    pub(super) fn bubbles(&self) -> usize {
        lock(&self.state.bubbles).len()
    }

    /// The same, of those that begin so.
    pub(super) fn bubbles_beginning(&self, beginning: &str) -> usize {
        lock(&self.state.bubbles).keys().filter(|text| text.starts_with(beginning)).count()
    }

    /// When a text reached its person.
    pub(super) fn bubble_at(&self, text: &str) -> Option<Instant> {
        lock(&self.state.bubbles).get(text).map(|bubble| bubble.first)
    }

    /// How many texts reached people that had been there before. Texts must differ for it.
    pub(super) fn repeated(&self) -> usize {
        lock(&self.state.bubbles).values().map(|bubble| bubble.to.len() - 1).sum()
    }

    /// Looks at every text that has reached people.
    pub(super) fn look<T>(&self, look: impl FnOnce(&HashMap<String, Bubble>) -> T) -> T {
        look(&lock(&self.state.bubbles))
    }
}

/// The agent's answer to a question.
pub(super) fn answer_to(question: &str) -> String {
    format!("re {question}")
}

#[derive(Deserialize)]
struct Asked {
    message: String,
}

async fn chat(Shared(state): Shared<Arc<State>>, Path(pace): Path<String>, Json(asked): Json<Asked>) -> Json<Value> {
    let answer = answer_to(&asked.message);
    let place = {
        let mut calls = lock(&state.calls);
        calls.push(Call { text: asked.message, at: Instant::now(), answered: false });
        calls.len() - 1
    };
    let waiting = Waiting::begin(&state);
    state.stop.run_until_cancelled(waited(&state, &pace)).await;
    drop(waiting);
    if let Some(call) = lock(&state.calls).get_mut(place) {
        call.answered = true;
    }
    Json(json!({ "message": answer, "success": true }))
}

async fn waited(state: &State, pace: &str) {
    match pace.parse() {
        Ok(0) => {}
        Ok(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Err(_) => {
            // An error means that the measurement is over.
            let _ = state.gate.subscribe().wait_for(|open| *open).await;
        }
    }
}

/// A call that waits; it ends also when its caller dies, since the server drops it then.
struct Waiting<'a>(&'a State);

impl<'a> Waiting<'a> {
    fn begin(state: &'a State) -> Self {
        let now = state.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        state.most_waiting.fetch_max(now, Ordering::Relaxed);
        Self(state)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
struct Text {
    number: String,
    text: String,
}

async fn send_text(Shared(state): Shared<Arc<State>>, Json(text): Json<Text>) -> (StatusCode, Json<Value>) {
    let new = || Bubble { first: Instant::now(), to: Vec::new() };
    lock(&state.bubbles).entry(text.text).or_insert_with(new).to.push(text.number.clone());
    let id = format!("3EB0{:016X}", state.ids.fetch_add(1, Ordering::Relaxed));
    let jid = format!("{}@s.whatsapp.net", text.number);
    (StatusCode::CREATED, Json(json!({ "key": { "remoteJid": jid, "fromMe": true, "id": id }, "status": "PENDING" })))
}

#[derive(Deserialize)]
struct Presence {
    delay: u64,
}

/// Blocks for the time that is asked for, as the real one does.
async fn send_presence(Shared(state): Shared<Arc<State>>, Json(presence): Json<Presence>) -> (StatusCode, Json<Value>) {
    state.stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(presence.delay))).await;
    (StatusCode::CREATED, Json(json!({ "presence": "composing" })))
}

/// What is recorded stays true after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
