//! A fake of Evolution API 2.3.6: it takes replies as the real one does, and remembers them.
//!
//! Checked in the order of the real one: the instance exists (404, even without a key), the
//! `apikey` header is its token or the global key (401), the body has the right shape (400).
//! The real one ignores fields that it does not know; here each is a violation.
//! `account` is the life of an account as a test sees it, `lifecycle` its doors, `book` its contacts,
//! chats and profiles, `history` the messages that it has kept.

mod account;
mod book;
mod history;
mod lifecycle;
mod lifecycle_wire;
mod message;
mod routes;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::account::AdminCall;
use self::account::{Account, Fault};
pub use self::book::{Told, chat_row, contact_row};
use crate::record::{Record, lock};
use crate::server::Server;

/// One message that Evolution accepted.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The instance of the path.
    pub instance: String,
    /// The `apikey` header that let it in.
    pub key: String,
    /// The recipient as it was sent.
    pub number: String,
    /// The text; of anything else the words beside it.
    pub text: String,
    /// The last word of the operation, such as `sendText`.
    pub operation: &'static str,
    /// The whole body.
    pub body: Value,
    /// Every request header, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// When the request came in.
    pub started: Instant,
    /// When it was accepted.
    pub at: Instant,
    /// The id that the answer gave it (`key.id`).
    pub message_id: String,
}

/// One presence that Evolution accepted.
#[derive(Clone, Debug)]
pub struct Presence {
    /// The instance of the path.
    pub instance: String,
    /// The recipient as it was sent.
    pub number: String,
    /// `composing`, `paused`, ...
    pub presence: String,
    /// How long it is shown; the call blocks as long.
    pub delay: Duration,
    /// When the call came in.
    pub at: Instant,
}

/// One message that was marked as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The instance of the path.
    pub instance: String,
    /// The chat.
    pub chat: String,
    /// The message's id.
    pub id: String,
}

/// One request that Evolution refused.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The instance of the path.
    pub instance: String,
    /// The last word of the operation, such as `sendText`.
    pub operation: &'static str,
    /// The status that was answered.
    pub status: StatusCode,
    /// When.
    pub at: Instant,
}

/// The fake. Instances are unknown until [`FakeEvolution::add_instance`].
#[derive(Debug)]
pub struct FakeEvolution {
    server: Server,
    state: Arc<State>,
}

impl FakeEvolution {
    /// Starts a fake with no instances on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let state = Arc::new(State::new(stop.clone()));
        let server = Server::start(routes::router(Arc::clone(&state)), stop).await?;
        Ok(Self { server, state })
    }

    /// The base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Registers an instance, connected (`open`), with its token. Again = a new token.
    pub fn add_instance(&self, name: &str, key: &str) {
        let mut instances = lock(&self.state.instances);
        let account = instances.remove(name).map(|known| known.account);
        let account = account.unwrap_or_else(|| Account::new(self.state.next_id()));
        let instance = Instance { key: key.to_owned(), connection: "open".to_owned(), account };
        instances.insert(name.to_owned(), instance);
    }

    /// Sets an instance's connection: `open`, `connecting` or `close`. While it is not `open`, a
    /// send is a 400, as with the real one.
    pub fn set_connection(&self, name: &str, connection: &str) {
        if let Some(instance) = lock(&self.state.instances).get_mut(name) {
            instance.connection = connection.to_owned();
        }
    }

    /// Sets the global key (`AUTHENTICATION_API_KEY`), which opens every instance.
    pub fn set_global_key(&self, key: &str) {
        *lock(&self.state.global_key) = Some(key.to_owned());
    }

    /// The next `n` sends are answered with `status` and `body`, and not sent.
    pub fn fail_next(&self, n: usize, status: StatusCode, body: &Value) {
        self.script(n, &Failure { status, body: body.clone(), sent_anyway: false });
    }

    /// The next `n` sends reach the person, and yet are answered with `status` and `body`: what
    /// the hub sees when Evolution dies between WhatsApp and its answer.
    pub fn fail_next_after_sending(&self, n: usize, status: StatusCode, body: &Value) {
        self.script(n, &Failure { status, body: body.clone(), sent_anyway: true });
    }

    fn script(&self, n: usize, failure: &Failure) {
        lock(&self.state.failures).extend(std::iter::repeat_n(failure.clone(), n));
    }

    /// Every send from now on takes this long. A caller that gives up does not stop the send.
    pub fn delay(&self, delay: Duration) {
        *lock(&self.state.delay) = delay;
    }

    /// Every send from now on reaches the person at once, and is answered only so long after.
    pub fn answer_after(&self, delay: Duration) {
        *lock(&self.state.answered_after) = delay;
    }

    /// Every text sent so far, in the order of acceptance.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.state.sent.all()
    }

    /// Waits until at least `n` texts were sent.
    ///
    /// # Errors
    /// When `deadline` passes first; the error says how many there were.
    pub async fn wait_for_sent(&self, n: usize, deadline: Duration) -> anyhow::Result<Vec<Sent>> {
        self.state.sent.wait_for("texts sent through Evolution", n, deadline).await
    }

    /// Every presence shown so far.
    #[must_use]
    pub fn presences(&self) -> Vec<Presence> {
        self.state.presences.all()
    }

    /// Waits until at least `n` presences came in.
    ///
    /// # Errors
    /// When `deadline` passes first; the error says how many there were.
    pub async fn wait_for_presences(&self, n: usize, deadline: Duration) -> anyhow::Result<Vec<Presence>> {
        self.state.presences.wait_for("presences shown by Evolution", n, deadline).await
    }

    /// Every message that was marked as read so far.
    #[must_use]
    pub fn read(&self) -> Vec<Marked> {
        self.state.read.all()
    }

    /// Every refused request so far, scripted failures included.
    #[must_use]
    pub fn rejected(&self) -> Vec<Rejected> {
        self.state.rejected.all()
    }

    /// What the hub must never do and yet did.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.violations.all()
    }
}

/// An instance as Evolution knows it.
#[derive(Debug)]
struct Instance {
    key: String,
    connection: String,
    account: Account,
}

/// A scripted failure of one send.
#[derive(Clone, Debug)]
struct Failure {
    status: StatusCode,
    body: Value,
    sent_anyway: bool,
}

/// What the routes share.
#[derive(Debug)]
struct State {
    instances: Mutex<BTreeMap<String, Instance>>,
    occupied: Mutex<BTreeSet<String>>,
    faults: Mutex<VecDeque<Fault>>,
    told: Mutex<BTreeMap<&'static str, Told>>,
    admin_calls: Record<AdminCall>,
    next_id: AtomicU64,
    global_key: Mutex<Option<String>>,
    failures: Mutex<VecDeque<Failure>>,
    delay: Mutex<Duration>,
    answered_after: Mutex<Duration>,
    sent: Record<Sent>,
    presences: Record<Presence>,
    read: Record<Marked>,
    rejected: Record<Rejected>,
    violations: Record<String>,
    ids: AtomicU64,
    stop: CancellationToken,
}

impl State {
    fn new(stop: CancellationToken) -> Self {
        Self {
            instances: Mutex::default(),
            occupied: Mutex::default(),
            faults: Mutex::default(),
            told: Mutex::default(),
            admin_calls: Record::new(),
            next_id: AtomicU64::new(1),
            global_key: Mutex::default(),
            failures: Mutex::default(),
            delay: Mutex::default(),
            answered_after: Mutex::default(),
            sent: Record::new(),
            presences: Record::new(),
            read: Record::new(),
            rejected: Record::new(),
            violations: Record::new(),
            ids: AtomicU64::new(first_id()),
            stop,
        }
    }

    /// The number of the next instance.
    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The next `key.id`, of the real one's form.
    fn next_message_id(&self) -> String {
        wire::message_id(self.ids.fetch_add(1, Ordering::Relaxed))
    }
}

/// Ids start at the clock, so that two fakes of one test run do not give the same.
fn first_id() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}
