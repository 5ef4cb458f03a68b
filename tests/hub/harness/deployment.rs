//! A whole hub with its surroundings: either all in one process, or its parts side by side.
//!
//! The agent and Evolution are fakes, the rest is real. The default instance is `acme`, made from
//! the environment as a single-tenant installation does.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream;
use omnihub_fakes::{Behaviour, FakeAgent, FakeEvolution};
use omnihub_stage::{FsyncMode, NatsCluster};
use reqwest::header::RETRY_AFTER;
use serde_json::Value;

use super::{Forwarder, Hub, Nats, Postgres, until};

/// The instance, and its name at Evolution.
const INSTANCE: &str = "acme";
const ADMIN_KEY: &str = "a-key-for-the-tests-only";
/// What the parts of a scaled deployment share: 32 bytes in base64.
const ENCRYPTION_KEYS: &str = "tests:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What a webhook was answered.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// The status; 0 when there was no answer at all.
    pub(crate) status: u16,
    /// Whether `Retry-After` was there.
    pub(crate) retry_after: bool,
    /// The JSON body.
    pub(crate) body: Value,
}

/// A hub and what stands around it.
pub(crate) struct Deployment {
    pub(crate) evolution: FakeEvolution,
    pub(crate) agent: FakeAgent,
    /// The process that takes webhooks: `omnihub up`, or `omnihub ingress`.
    pub(crate) front: Hub,
    /// The workers of their own; none with `omnihub up`.
    pub(crate) workers: Vec<Hub>,
    /// The NATS server of its own; none with `omnihub up`.
    pub(crate) nats: Option<Nats>,
    /// Three NATS servers in its place.
    pub(crate) cluster: Option<NatsCluster>,
    /// What stands between the parts and their database, where a test cuts it.
    pub(crate) cable: Option<Forwarder>,
    env: HashMap<String, String>,
    client: reqwest::Client,
    _database: Option<Postgres>,
}

impl Deployment {
    /// `omnihub up`: one process, SQLite, a nats-server child.
    pub(crate) async fn up(behaviour: Behaviour) -> Self {
        Self::up_on(None, behaviour).await
    }

    /// The same process on PostgreSQL.
    pub(crate) async fn up_on_postgres(behaviour: Behaviour) -> Self {
        Self::up_on(Some(Postgres::database().await), behaviour).await
    }

    async fn up_on(database: Option<Postgres>, behaviour: Behaviour) -> Self {
        let (evolution, agent) = fakes(behaviour).await;
        let mut env = environment(&evolution, &agent);
        if let Some(database) = &database {
            env.insert("DATABASE_URL".to_owned(), database.url());
        }
        let mut front = Hub::spawn(&["up"], &env);
        front.wait_ready().await;
        let client = reqwest::Client::new();
        let (workers, nats, cluster, cable) = (Vec::new(), None, None, None);
        Self { evolution, agent, front, workers, nats, cluster, cable, env, client, _database: database }
    }

    /// `omnihub migrate up`, then an ingress and these workers, on PostgreSQL and a NATS server.
    pub(crate) async fn apart(behaviour: Behaviour, workers: &[&str]) -> Self {
        let broker = (Some(Nats::start().await), None);
        Self::parts(behaviour, workers, broker, false).await
    }

    /// The same with a cable to the database that can be cut.
    pub(crate) async fn apart_on_cable(behaviour: Behaviour, workers: &[&str]) -> Self {
        let broker = (Some(Nats::start().await), None);
        Self::parts(behaviour, workers, broker, true).await
    }

    /// The same with three NATS servers, and everything on each of them.
    pub(crate) async fn apart_on_three(behaviour: Behaviour, workers: &[&str]) -> Self {
        let cluster = NatsCluster::start(FsyncMode::Default).await.unwrap_or_else(|problem| panic!("{problem:?}"));
        Self::parts(behaviour, workers, (None, Some(cluster)), false).await
    }

    /// The same where a worker dies and another one goes on: with the lease of a single server, which
    /// is a third of what three have otherwise.
    pub(crate) async fn apart_on_three_in_haste(behaviour: Behaviour, workers: &[&str]) -> Self {
        let cluster = NatsCluster::start(FsyncMode::Default).await.unwrap_or_else(|problem| panic!("{problem:?}"));
        let haste = [("OMNIHUB_LEASE_TTL", "5")];
        Self::parts_with(behaviour, workers, (None, Some(cluster)), false, &haste).await
    }

    async fn parts(
        behaviour: Behaviour,
        workers: &[&str],
        broker: (Option<Nats>, Option<NatsCluster>),
        cable: bool,
    ) -> Self {
        Self::parts_with(behaviour, workers, broker, cable, &[]).await
    }

    async fn parts_with(
        behaviour: Behaviour,
        workers: &[&str],
        (nats, cluster): (Option<Nats>, Option<NatsCluster>),
        cable: bool,
        more: &[(&str, &str)],
    ) -> Self {
        let (evolution, agent) = fakes(behaviour).await;
        let database = Postgres::database().await;
        let (url, cable) = match cable {
            true => through_cable(&database.url()).await,
            false => (database.url(), None),
        };
        let mut env = environment(&evolution, &agent);
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        if let Some(cluster) = &cluster {
            env.insert("NATS_URL".to_owned(), cluster.url());
            env.insert("OMNIHUB_NATS_REPLICAS".to_owned(), "3".to_owned());
        }
        if let Some(nats) = &nats {
            env.insert("NATS_URL".to_owned(), nats.url());
        }
        env.insert("DATABASE_URL".to_owned(), url);
        env.insert("OMNIHUB_ENCRYPTION_KEYS".to_owned(), ENCRYPTION_KEYS.to_owned());
        migrate(&env).await;
        let front = Hub::spawn(&["ingress"], &env);
        let client = reqwest::Client::new();
        let (database, parts) = (Some(database), Vec::new());
        let mut deployment =
            Self { evolution, agent, front, workers: parts, nats, cluster, cable, env, client, _database: database };
        for id in workers {
            deployment.spawn_worker(id);
        }
        deployment.front.wait_ready().await;
        for worker in &mut deployment.workers {
            worker.wait_ready().await;
        }
        deployment
    }

    /// `omnihub migrate up` again.
    pub(crate) async fn migrate(&self) {
        migrate(&self.env).await;
    }

    /// The cable to the database.
    pub(crate) fn cable(&self) -> &Forwarder {
        self.cable.as_ref().expect("a deployment on a cable")
    }

    /// Starts one more worker with this id; it is not waited for.
    pub(crate) fn spawn_worker(&mut self, id: &str) {
        let mut env = self.env.clone();
        env.insert("OMNIHUB_WORKER_ID".to_owned(), id.to_owned());
        self.workers.push(Hub::spawn(&["worker"], &env));
    }

    /// The process that runs the turns: the first worker, or `omnihub up`.
    pub(crate) fn worker(&mut self) -> &mut Hub {
        self.workers.first_mut().unwrap_or(&mut self.front)
    }

    /// Posts a webhook, once.
    pub(crate) async fn post(&self, webhook: &Value) -> Posted {
        let url = format!("{}/webhook/evolution/{INSTANCE}", self.front.url());
        let Ok(answer) = self.client.post(url).json(webhook).send().await else {
            return Posted { status: 0, retry_after: false, body: Value::Null };
        };
        let (status, retry_after) = (answer.status().as_u16(), answer.headers().contains_key(RETRY_AFTER));
        Posted { status, retry_after, body: answer.json().await.unwrap_or_default() }
    }

    /// Posts a webhook until it is accepted, as Evolution does.
    pub(crate) async fn post_until_accepted(&self, webhook: &Value, deadline: Duration) -> Posted {
        let mut last = self.post(webhook).await;
        until("the webhook is accepted", deadline, async || {
            if last.status != 200 {
                assert!(matches!(last.status, 0 | 503), "refused for ever: {last:?}");
                last = self.post(webhook).await;
            }
            last.status == 200
        })
        .await;
        last
    }

    /// `GET` of the admin API: the JSON, and the total where there is one.
    pub(crate) async fn get(&self, path: &str) -> (Value, Option<usize>) {
        let url = format!("{}/api/v1/{path}", self.front.url());
        let answer = self.client.get(url).header("x-api-key", ADMIN_KEY).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let total = answer.headers().get("x-total-count").and_then(|total| total.to_str().ok()?.parse().ok());
        (answer.json().await.expect("JSON"), total)
    }

    /// Changes the instance.
    pub(crate) async fn change_instance(&self, fields: &Value) {
        let url = format!("{}/api/v1/instances/{INSTANCE}", self.front.url());
        let answer = self.client.put(url).header("x-api-key", ADMIN_KEY).json(fields).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// How many traces match this query (`status=completed`).
    pub(crate) async fn traces(&self, query: &str) -> usize {
        self.get(&format!("traces?limit=1&{query}")).await.1.expect("a total")
    }

    /// The value of a metric of a role, its series summed up; 0 when it is not there.
    pub(crate) async fn metric(&self, role: &Hub, name: &str) -> f64 {
        let Ok(answer) = self.client.get(format!("{}/metrics", role.url())).send().await else { return 0.0 };
        let page = answer.text().await.unwrap_or_default();
        let series =
            page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A connection of the test's own to the hub's NATS server.
    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        let client = match (&self.nats, &self.cluster) {
            (Some(nats), _) => async_nats::connect(nats.url()).await,
            (_, Some(cluster)) => {
                let servers: Vec<async_nats::ServerAddr> =
                    cluster.url().split(',').map(|url| url.parse().expect("a URL")).collect();
                async_nats::connect(servers).await
            }
            (None, None) => {
                let read = |name| std::fs::read_to_string(self.front.folder().join("data/nats").join(name));
                let (token, port) = (read("token").expect("a token"), read("port").expect("a port"));
                let options = async_nats::ConnectOptions::with_token(token.trim().to_owned());
                options.connect(format!("nats://127.0.0.1:{}", port.trim())).await
            }
        };
        jetstream::new(client.expect("a connection to the hub's NATS server"))
    }

    /// The process id of the nats-server child of `omnihub up`.
    pub(crate) fn nats_child(&self) -> u32 {
        let file = self.front.folder().join("data/nats/nats.pid");
        std::fs::read_to_string(file).expect("a pid file").trim().parse().expect("a pid")
    }

    /// Panics when a fake saw what the hub must never do.
    pub(crate) fn assert_no_violations(&self) {
        assert_eq!(self.agent.violations(), Vec::<String>::new());
        assert_eq!(self.evolution.violations(), Vec::<String>::new());
    }

    /// Waits until the queue has nothing left to do and has kept nothing it should not: no
    /// message, one consumer per partition, and so many conversations with a checkpoint.
    pub(crate) async fn settle(&self, conversations: usize) {
        let js = self.jetstream().await;
        let what = "no message waits, 32 consumers, a checkpoint per conversation, no outcome waits";
        until(what, Duration::from_secs(30), async || {
            let figures = queue_figures(&js).await;
            figures == (0, 32, conversations, 0)
        })
        .await;
    }
}

async fn migrate(env: &HashMap<String, String>) {
    let mut migrate = Hub::spawn(&["migrate", "up"], env);
    until("the migrations end", Duration::from_secs(20), async || !migrate.is_running()).await;
    assert_eq!(migrate.exit_code(), Some(0), "{}", migrate.log());
}

/// The same database at the other end of a cable.
async fn through_cable(url: &str) -> (String, Option<Forwarder>) {
    let (server, name) = url.rsplit_once('/').expect("a URL with a database");
    let (login, port) = server.rsplit_once(':').expect("a URL with a port");
    let cable = Forwarder::to(port.parse().expect("a port")).await;
    (format!("{login}:{}/{name}", cable.port()), Some(cable))
}

/// Messages that wait, consumers of messages, checkpoints, outcomes that wait.
async fn queue_figures(js: &jetstream::Context) -> (u64, usize, usize, u64) {
    let (mut waiting, mut consumers, mut checkpoints) = (0, 0, 0);
    for shard in ["", "_0", "_1", "_2", "_3"] {
        let Ok(stream) = js.get_stream(format!("INBOUND{shard}")).await else { continue };
        let state = &stream.cached_info().state;
        waiting += state.messages;
        consumers += state.consumer_count;
        let turns = js.get_stream(format!("TURNS{shard}")).await.expect("a stream of checkpoints");
        let subjects = turns.info_with_subjects("turn.>").await.expect("its subjects");
        checkpoints += futures_util::StreamExt::count(subjects).await;
    }
    let events = js.get_stream("TRACES").await.expect("the stream of outcomes").cached_info().state.messages;
    (waiting, consumers, checkpoints, events)
}

async fn fakes(behaviour: Behaviour) -> (FakeEvolution, FakeAgent) {
    let evolution = FakeEvolution::start().await.expect("a fake Evolution");
    evolution.add_instance(INSTANCE, "evolution-key-of-acme");
    let agent = FakeAgent::start(behaviour).await.expect("a fake agent");
    (evolution, agent)
}

fn environment(evolution: &FakeEvolution, agent: &FakeAgent) -> HashMap<String, String> {
    let settings = [
        ("API_HOST", "127.0.0.1"),
        ("OMNIHUB_API_KEY", ADMIN_KEY),
        ("WHATSAPP_INSTANCE", INSTANCE),
        ("EVOLUTION_API_URL", evolution.url()),
        ("EVOLUTION_API_KEY", "evolution-key-of-acme"),
        ("AGENT_API_URL", agent.url()),
        ("AGENT_API_KEY", agent.key()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
