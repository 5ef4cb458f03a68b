//! The life of an account on the fake: what a test sets up, breaks and looks at.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{FakeEvolution, Instance, State, book::Book, history::History};
use crate::record::lock;

/// One call about the life of an account, accepted or not.
#[derive(Clone, Debug)]
pub struct AdminCall {
    /// The operation: `create`, `webhook/set`, `logout`, ...
    pub operation: &'static str,
    /// The instance of the path or the body; blank for a list.
    pub instance: String,
    /// The `apikey` header.
    pub key: String,
    /// The body; null when there was none.
    pub body: Value,
}

/// A scripted failure of one call.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    operation: &'static str,
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) done_anyway: bool,
}

/// What an account has beside its key and its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Evolution's id, a UUID.
    pub(super) id: String,
    /// The row of its webhook.
    pub(super) webhook: Option<Value>,
    /// Its settings.
    pub(super) settings: Value,
    /// Whether files come inside: read from the row when it connects, and not before.
    pub(super) base64_in_effect: bool,
    /// Its contacts, chats and profiles.
    pub(super) book: Book,
    /// The messages that it has kept.
    pub(super) history: History,
}

impl Account {
    /// A new one.
    pub(super) fn new(nth: u64) -> Self {
        Self { id: format!("{nth:08x}-2cca-4941-bffd-8ae8c4db9b12"), ..Self::default() }
    }
}

impl Instance {
    /// What the real one does whenever it connects: it reads the webhook's row again.
    pub(super) fn connects(&mut self) {
        self.account.base64_in_effect =
            self.account.webhook.as_ref().is_some_and(|row| row["webhookBase64"] == Value::Bool(true));
    }
}

impl State {
    /// The next scripted failure of an operation.
    pub(super) fn fault(&self, operation: &str) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let place = faults.iter().position(|fault| fault.operation == operation)?;
        faults.remove(place)
    }

    /// Remembers a call without a body.
    pub(super) fn note_admin_call(&self, operation: &'static str, instance: &str, key: &str) {
        let (instance, key) = (instance.to_owned(), key.to_owned());
        self.admin_calls.push(AdminCall { operation, instance, key, body: Value::Null });
    }

    /// Reads one instance.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&Instance) -> T) -> Option<T> {
        lock(&self.instances).get(name).map(read)
    }

    /// Changes one instance.
    pub(super) fn change<T>(&self, name: &str, change: impl FnOnce(&mut Instance) -> T) -> Option<T> {
        lock(&self.instances).get_mut(name).map(change)
    }
}

impl FakeEvolution {
    /// Every call about the life of an account, in the order of arrival.
    #[must_use]
    pub fn admin_calls(&self) -> Vec<AdminCall> {
        self.state.admin_calls.all()
    }

    /// The operations of [`Self::admin_calls`] from the `first` one on.
    #[must_use]
    pub fn operations_since(&self, first: usize) -> Vec<&'static str> {
        self.admin_calls().into_iter().skip(first).map(|call| call.operation).collect()
    }

    /// The next `n` calls of an operation are answered with `status` and `body`, and not done.
    pub fn fail_admin(&self, operation: &'static str, n: usize, status: StatusCode, body: &Value) {
        self.script_admin(n, &Fault { operation, status, body: body.clone(), done_anyway: false });
    }

    /// The next `n` calls of an operation are done, and yet answered with `status` and `body`.
    pub fn fail_admin_after_doing(&self, operation: &'static str, n: usize, status: StatusCode, body: &Value) {
        self.script_admin(n, &Fault { operation, status, body: body.clone(), done_anyway: true });
    }

    fn script_admin(&self, n: usize, fault: &Fault) {
        lock(&self.state.faults).extend(std::iter::repeat_n(fault.clone(), n));
    }

    /// Whether there is an instance of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.state.read(name, |_| ()).is_some()
    }

    /// Takes an instance away, as somebody who deletes it there.
    pub fn lose(&self, name: &str) {
        lock(&self.state.instances).remove(name);
    }

    /// The name of an instance that is gone, and yet in use: the real one cleans up later.
    pub fn occupy(&self, name: &str) {
        lock(&self.state.occupied).insert(name.to_owned());
    }

    /// An instance's key; none when there is no such instance.
    #[must_use]
    pub fn token(&self, name: &str) -> Option<String> {
        self.state.read(name, |known| known.key.clone())
    }

    /// An instance's id.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<String> {
        self.state.read(name, |known| known.account.id.clone())
    }

    /// Gives an instance this id.
    pub fn set_id(&self, name: &str, id: &str) {
        self.state.change(name, |known| id.clone_into(&mut known.account.id));
    }

    /// How an instance is connected.
    #[must_use]
    pub fn connection(&self, name: &str) -> Option<String> {
        self.state.read(name, |known| known.connection.clone())
    }

    /// The row of an instance's webhook, as `webhook/find` gives it; null when there is none.
    #[must_use]
    pub fn webhook(&self, name: &str) -> Value {
        self.state.read(name, |known| known.account.webhook.clone()).flatten().unwrap_or_default()
    }

    /// Whether files come inside an instance's webhooks, as it believes itself since it connected.
    #[must_use]
    pub fn base64_in_effect(&self, name: &str) -> bool {
        self.state.read(name, |known| known.account.base64_in_effect).unwrap_or_default()
    }

    /// An instance's settings.
    #[must_use]
    pub fn settings(&self, name: &str) -> Value {
        self.state.read(name, |known| known.account.settings.clone()).unwrap_or_default()
    }

    /// Changes the row of an instance's webhook, as somebody who does so there; null wipes it.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.state.change(name, |known| {
            let mut row = known.account.webhook.take().unwrap_or_default();
            change(&mut row);
            known.account.webhook = Some(row).filter(|row| !row.is_null());
        });
    }

    /// Somebody scans the QR code.
    pub fn pair(&self, name: &str) {
        self.state.change(name, |known| {
            known.connection = "open".to_owned();
            known.connects();
        });
    }
}

/// The QR code of an instance; it is not one that a phone would take.
pub(super) fn qr() -> Value {
    json!({"pairingCode": null, "code": "2@made-up,for,tests", "base64": "data:image/png;base64,iVBORw0KGgo=", "count": 1})
}
