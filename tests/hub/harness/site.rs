//! A running hub with one tenant, its Evolution and its agent, and what a test asks of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use omnihub_fakes::{Behaviour, FakeAgent, FakeEvolution, customers};
use omnihub_ingress::admin::openapi;
use reqwest::{Client, Method, redirect::Policy};
use serde_json::{Value, json};

use super::{Database, Hub, Nats, Store, omnihub, until};

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// The tenant that each site begins with, at Evolution by the same name.
pub(crate) const INSTANCE: &str = "acme";

/// The admin key of every site.
pub(crate) const ADMIN_KEY: &str = "planted-admin-key-4c1f";

/// The tenant's key at its Evolution.
pub(crate) const EVOLUTION_KEY: &str = "planted-evolution-key-9a27";

/// A key ring for the parts, which make none.
pub(crate) const ENCRYPTION_KEYS: &str = "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A hub under test. The parts end in the order of the fields.
#[derive(Debug)]
pub(crate) struct Site {
    /// `omnihub up`, or the ingress of a hub in parts.
    pub(crate) hub: Hub,
    /// The worker of a hub in parts.
    pub(crate) worker: Option<Hub>,
    /// The server of a hub in parts.
    pub(crate) nats: Option<Nats>,
    /// Where the tenant's replies go.
    pub(crate) evolution: FakeEvolution,
    /// Who answers for the tenant.
    pub(crate) agent: FakeAgent,
    http: Client,
    /// The database, gone last.
    store: Store,
}

/// An answer of the hub.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body as it came.
    pub(crate) text: String,
    /// The body as JSON; null when it is none.
    pub(crate) body: Value,
}

impl Site {
    /// `omnihub up` with the tenant seeded from the environment.
    pub(crate) async fn up(database: Database, behaviour: Behaviour) -> Self {
        Self::up_with(database, behaviour, &[]).await
    }

    /// The same with further settings; an empty one takes a setting away.
    pub(crate) async fn up_with(database: Database, behaviour: Behaviour, more: &[(&str, &str)]) -> Self {
        let store = Store::new(database).await;
        let (evolution, agent) = outside(behaviour).await;
        let mut env = environment(&evolution, &agent);
        // Without the setting the file stands in the data folder, as it does for most people.
        if database == Database::Postgres {
            env.insert("DATABASE_URL".to_owned(), store.url());
        }
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut hub = Hub::spawn(&["up"], &env);
        hub.wait_ready().await;
        Self { hub, worker: None, nats: None, evolution, agent, http: client(), store }
    }

    /// An ingress and a worker, a NATS server of their own, and the tenant.
    pub(crate) async fn parts(database: Database, behaviour: Behaviour) -> Self {
        Self::parts_with(database, behaviour, &[]).await
    }

    /// The same with further settings.
    pub(crate) async fn parts_with(database: Database, behaviour: Behaviour, more: &[(&str, &str)]) -> Self {
        let store = Store::new(database).await;
        let nats = Nats::start().await;
        let (evolution, agent) = outside(behaviour).await;
        let mut env = environment(&evolution, &agent);
        env.insert("DATABASE_URL".to_owned(), store.url());
        env.insert("NATS_URL".to_owned(), nats.url());
        env.insert("OMNIHUB_ENCRYPTION_KEYS".to_owned(), ENCRYPTION_KEYS.to_owned());
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let migrated = omnihub(&["migrate", "up"], &env).await;
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let (mut hub, mut worker) = (Hub::spawn(&["ingress"], &env), Hub::spawn(&["worker"], &env));
        hub.wait_ready().await;
        worker.wait_ready().await;
        let (http, worker, nats) = (client(), Some(worker), Some(nats));
        Self { hub, worker, nats, evolution, agent, http, store }
    }

    /// Where the tables are of a hub in parts.
    pub(crate) fn database_url(&self) -> String {
        self.store.url()
    }

    /// Posts JSON to a path.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string().into_bytes(), &[]).await
    }

    /// Posts bytes with headers.
    pub(crate) async fn post_bytes(&self, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.hub.url())).body(body);
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::read(request.send().await.expect("the hub answers")).await;
        answer.assert_documented(&Method::POST, path);
        answer
    }

    /// Calls the hub with the root key.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.api_as(ADMIN_KEY, method, path, body).await
    }

    /// Calls the hub with another key.
    pub(crate) async fn api_as(&self, key: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.http.request(method.clone(), format!("{}{path}", self.hub.url())).header("x-api-key", key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = Answer::read(request.send().await.expect("the hub answers")).await;
        answer.assert_documented(&method, path);
        answer
    }

    /// What is at a path of the admin API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.api(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// Makes another instance, by default with the tenant's agent and Evolution server. Its account is
    /// there already and its webhooks prove nothing, as those of an instance made by hand.
    pub(crate) async fn add_instance(&self, name: &str, fields: Value) -> Value {
        let mut body = json!({
            "name": name,
            "evolution_url": self.evolution.url(),
            "evolution_key": EVOLUTION_KEY,
            "agent_api_url": self.agent.url(),
            "agent_api_key": self.agent.key(),
            "default_agent": "helper",
            "provision": false,
        });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.evolution.add_instance(body["whatsapp_instance"].as_str().unwrap_or(name), EVOLUTION_KEY);
        let made = self.api(Method::POST, "/api/v1/instances", Some(&body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.body
    }

    /// Changes an instance.
    pub(crate) async fn change_instance(&self, name: &str, fields: Value) {
        let changed = self.api(Method::PUT, &format!("/api/v1/instances/{name}"), Some(&fields)).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
    }

    /// Posts a webhook that must be accepted, and answers its traces.
    pub(crate) async fn accepted(&self, path: &str, body: &Value) -> Vec<String> {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.traces()
    }

    /// A customer writes to the tenant; answers the trace.
    pub(crate) async fn say(&self, phone: &str, text: &str) -> String {
        self.say_to(INSTANCE, phone, text).await
    }

    /// A customer writes to an instance; answers the trace.
    pub(crate) async fn say_to(&self, instance: &str, phone: &str, text: &str) -> String {
        let webhook = customers::webhook(instance, phone, &message_id(), text, now());
        let mut traces = self.accepted(&format!("/webhook/evolution/{instance}"), &webhook).await;
        assert_eq!(traces.len(), 1);
        traces.remove(0)
    }

    /// The trace, once its message has ended.
    pub(crate) async fn ended(&self, trace: &str) -> Value {
        self.trace_when(trace, "has an outcome", |trace| !trace["outcome"].is_null()).await
    }

    /// The trace, once it is as wanted; while no worker runs, nobody records it.
    pub(crate) async fn trace_when(&self, trace: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/traces/{trace}");
        let mut found = Value::Null;
        until(&format!("trace {trace} {what}"), DEADLINE, async || {
            let answer = self.api(Method::GET, &path, None).await;
            assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.text);
            found = answer.body;
            answer.status == 200 && wanted(&found)
        })
        .await;
        found
    }

    /// The texts that went to a number, in order.
    pub(crate) fn replies_to(&self, phone: &str) -> Vec<String> {
        self.evolution.sent().into_iter().filter(|sent| sent.number == phone).map(|sent| sent.text).collect()
    }

    /// The sum of a metric over its series with these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let url = format!("{}/metrics", self.hub.url());
        let page = self.http.get(url).send().await.expect("the metrics page").text().await.expect("the metrics page");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let series = page.lines().filter(of_name).filter(|line| labels.iter().all(|label| line.contains(label)));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Nothing that a real server may swallow in silence has been seen.
    pub(crate) fn assert_no_violations(&self) {
        assert_eq!(self.evolution.violations(), Vec::<String>::new());
        assert_eq!(self.agent.violations(), Vec::<String>::new());
    }
}

/// Follows no redirect: what is answered is what the hub answers.
fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

impl Answer {
    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self { status, headers, text, body }
    }

    /// A header; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The trace ids of an accepted webhook.
    pub(crate) fn traces(&self) -> Vec<String> {
        let ids = self.body["trace_ids"].as_array().expect("trace_ids");
        ids.iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
    }

    /// Its status is one that the OpenAPI document has for what was asked.
    pub(crate) fn assert_documented(&self, method: &Method, path: &str) {
        let Some(known) = openapi::statuses(method.as_str(), path) else { return };
        assert!(known.contains(&self.status), "{method} {path}: {} is not in {known:?}: {}", self.status, self.text);
    }

    /// An error as RFC 9457 has it, with our code.
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].as_str().is_some_and(|title| !title.is_empty()), "{}", self.text);
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", self.text);
        let waits = self.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0);
        assert_eq!(waits, matches!(status, 429 | 503), "Retry-After of {}", self.text);
    }
}

/// The tenant's Evolution and agent.
async fn outside(behaviour: Behaviour) -> (FakeEvolution, FakeAgent) {
    let evolution = FakeEvolution::start().await.expect("a fake Evolution");
    evolution.add_instance(INSTANCE, EVOLUTION_KEY);
    (evolution, FakeAgent::start(behaviour).await.expect("a fake agent"))
}

fn environment(evolution: &FakeEvolution, agent: &FakeAgent) -> HashMap<String, String> {
    let env = [
        ("API_HOST", "127.0.0.1"),
        ("OMNIHUB_WORKER_HOST", "127.0.0.1"),
        ("OMNIHUB_API_KEY", ADMIN_KEY),
        ("WHATSAPP_INSTANCE", INSTANCE),
        ("EVOLUTION_API_URL", evolution.url()),
        ("EVOLUTION_API_KEY", EVOLUTION_KEY),
        ("AGENT_API_URL", agent.url()),
        ("AGENT_API_KEY", agent.key()),
        ("DEFAULT_AGENT_NAME", "helper"),
    ];
    env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A webhook of the tenant's, from a customer who writes this text.
pub(crate) fn webhook(phone: &str, text: &str) -> Value {
    customers::webhook(INSTANCE, phone, &message_id(), text, now())
}

/// A provider's message id that no other message of this process has.
pub(crate) fn message_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    customers::message_id(7, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
