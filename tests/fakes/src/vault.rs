//! A fake of Vault's key-value store, version 2: it answers a reader as the real one does.
//!
//! In the order of the real one: a sealed Vault is 503 whatever is asked; then the token (403),
//! then what the token may read (403), then whether there is a store and a secret (404). A secret
//! whose newest version was deleted is 404 with its metadata and `data: null`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, Query, State as Shared},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::record::{Record, lock};
use crate::server::Server;

/// One question.
#[derive(Clone, Debug)]
pub struct VaultRead {
    /// `mount/path`.
    pub path: String,
    /// The namespace header.
    pub namespace: Option<String>,
    /// What was answered.
    pub status: StatusCode,
}

/// The versions of one secret, the oldest first; a deleted one has lost its fields.
type Versions = Vec<Option<BTreeMap<String, Value>>>;

#[derive(Debug)]
struct State {
    token: Mutex<String>,
    sealed: AtomicBool,
    request: AtomicU64,
    /// By `mount/path`.
    secrets: Mutex<BTreeMap<String, Versions>>,
    forbidden: Mutex<BTreeSet<String>>,
    reads: Record<VaultRead>,
    violations: Record<String>,
}

/// The fake. It has a store at every mount that a secret was put in.
#[derive(Debug)]
pub struct FakeVault {
    server: Server,
    state: Arc<State>,
}

impl FakeVault {
    /// The token that it knows at first.
    pub const TOKEN: &'static str = "hvs.planted-vault-token-51be";

    /// Starts an empty one on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> anyhow::Result<Self> {
        let state = Arc::new(State {
            token: Mutex::new(Self::TOKEN.to_owned()),
            sealed: AtomicBool::new(false),
            request: AtomicU64::new(1),
            secrets: Mutex::default(),
            forbidden: Mutex::default(),
            reads: Record::new(),
            violations: Record::new(),
        });
        let routes = Router::new().route("/v1/sys/health", get(health)).route("/v1/{mount}/{*path}", get(read));
        let server = Server::start(routes.with_state(Arc::clone(&state)), CancellationToken::new()).await?;
        Ok(Self { server, state })
    }

    /// The base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Writes a new version of the secret at `mount/path`, and answers its number.
    pub fn put(&self, path: &str, fields: &[(&str, &str)]) -> usize {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let mut secrets = lock(&self.state.secrets);
        let versions = secrets.entry(path.to_owned()).or_default();
        versions.push(Some(fields));
        versions.len()
    }

    /// Deletes the newest version, as `vault kv delete` does.
    pub fn delete(&self, path: &str) {
        if let Some(newest) = lock(&self.state.secrets).get_mut(path).and_then(|versions| versions.last_mut()) {
            *newest = None;
        }
    }

    /// Seals it, or unseals it again.
    pub fn seal(&self, sealed: bool) {
        self.state.sealed.store(sealed, Ordering::SeqCst);
    }

    /// From now on it knows this token and no other.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut lock(&self.state.token));
    }

    /// The token's policy does not let it read `mount/path`.
    pub fn forbid(&self, path: &str) {
        lock(&self.state.forbidden).insert(path.to_owned());
    }

    /// What it was asked, in order.
    #[must_use]
    pub fn reads(&self) -> Vec<VaultRead> {
        self.state.reads.all()
    }

    /// What a reader must never do.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.violations.all()
    }
}

async fn health(Shared(state): Shared<Arc<State>>) -> Response {
    let sealed = state.sealed.load(Ordering::SeqCst);
    let status = if sealed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(json!({"initialized": true, "sealed": sealed, "standby": false, "version": "1.21.0"})))
        .into_response()
}

async fn read(
    Shared(state): Shared<Arc<State>>,
    Path((mount, path)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if uri.to_string().contains(lock(&state.token).as_str()) {
        state.violations.push("the token stands in the URL".to_owned());
    }
    let path = path.strip_prefix("data/").map(|path| format!("{mount}/{path}"));
    let (status, body) = answer(&state, &mount, path.as_deref(), header("x-vault-token").as_deref(), &query);
    let (path, namespace) = (path.unwrap_or(mount), header("x-vault-namespace"));
    state.reads.push(VaultRead { path, namespace, status });
    (status, Json(body)).into_response()
}

fn answer(
    state: &State,
    mount: &str,
    path: Option<&str>,
    token: Option<&str>,
    query: &BTreeMap<String, String>,
) -> (StatusCode, Value) {
    if state.sealed.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, json!({"errors": ["Vault is sealed"]}));
    }
    match token {
        None => return (StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]})),
        Some(token) if token != lock(&state.token).as_str() => {
            let errors = json!(["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]);
            return (StatusCode::FORBIDDEN, json!({"errors": errors}));
        }
        Some(_) => {}
    }
    let secrets = lock(&state.secrets);
    if !secrets.keys().any(|path| path.split('/').next() == Some(mount)) {
        let error = format!("no handler for route \"{mount}/\". route entry not found.");
        return (StatusCode::NOT_FOUND, json!({"errors": [error]}));
    }
    let Some(path) = path else {
        let warning = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API \
                       endpoints to use.";
        return (StatusCode::NOT_FOUND, json!({"errors": [], "warnings": [warning]}));
    };
    if lock(&state.forbidden).contains(path) {
        return (StatusCode::FORBIDDEN, json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}));
    }
    let versions = secrets.get(path).map_or(&[][..], Vec::as_slice);
    let newest = versions.len();
    let wanted = query.get("version").and_then(|version| version.parse().ok()).filter(|version| *version > 0);
    let version = wanted.unwrap_or(newest);
    let Some(found) = version.checked_sub(1).and_then(|at| versions.get(at)) else {
        return (StatusCode::NOT_FOUND, json!({"errors": []}));
    };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    (status, envelope(state.request.fetch_add(1, Ordering::Relaxed), version, found.as_ref()))
}

/// What Vault puts around each answer.
fn envelope(request: u64, version: usize, fields: Option<&BTreeMap<String, Value>>) -> Value {
    let deletion_time = if fields.is_some() { "" } else { "2026-01-02T03:04:05.678901234Z" };
    json!({
        "request_id": format!("00000000-0000-0000-0000-{request:012x}"),
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": {
            "data": fields,
            "metadata": {
                "created_time": "2026-01-01T00:00:00.123456789Z",
                "custom_metadata": null,
                "deletion_time": deletion_time,
                "destroyed": false,
                "version": version,
            },
        },
        "wrap_info": null,
        "warnings": null,
        "auth": null,
        "mount_type": "kv",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(vault: &FakeVault, path: &str, token: &str) -> (u16, Value) {
        let request = reqwest::Client::new().get(format!("{}/v1/{path}", vault.url()));
        let answer = request.header("X-Vault-Token", token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    #[tokio::test]
    async fn it_answers_as_the_real_one() {
        let vault = FakeVault::start().await.unwrap();
        let ask = async |path| get(&vault, path, FakeVault::TOKEN).await;
        assert_eq!(ask("secret/data/a/b").await.0, 404, "no such store");
        vault.put("secret/a/b", &[("key", "one")]);
        assert_eq!(vault.put("secret/a/b", &[("key", "two")]), 2);
        let (status, body) = ask("secret/data/a/b").await;
        assert_eq!((status, &body["data"]["data"]), (200, &json!({"key": "two"})));
        assert_eq!((&body["data"]["metadata"]["version"], &body["lease_duration"]), (&json!(2), &json!(0)));
        assert_eq!(ask("secret/data/a/b?version=1").await.1["data"]["data"]["key"], "one");
        assert_eq!(ask("secret/data/a/c").await, (404, json!({"errors": []})));
        assert_eq!(ask("secret/a/b").await.0, 404);
        assert_eq!(get(&vault, "secret/data/a/b", "other").await.0, 403);
        vault.delete("secret/a/b");
        let (status, body) = ask("secret/data/a/b").await;
        assert_eq!((status, &body["data"]["data"]), (404, &Value::Null));
        assert_ne!(body["data"]["metadata"]["deletion_time"], "");
        vault.put("secret/a/b", &[("key", "three")]);
        vault.forbid("secret/a/b");
        assert_eq!(ask("secret/data/a/b").await.0, 403);
        vault.seal(true);
        assert_eq!(ask("secret/data/a/b").await, (503, json!({"errors": ["Vault is sealed"]})));
        vault.seal(false);
        vault.set_token("new");
        assert_eq!(get(&vault, "secret/data/x", "new").await.0, 404);
        assert_eq!(vault.reads().last().unwrap().path, "secret/x");
        assert_eq!(vault.violations(), Vec::<String>::new());
    }
}
