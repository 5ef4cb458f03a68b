//! The hub that is measured: an ingress and workers as processes, a nats-server or three, a
//! PostgreSQL, all real.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_nats::jetstream;
use futures_util::TryStreamExt as _;
use omnihub_common::queue::{LaneAddress, OwnershipRecord, Subjects, owner_of};
use omnihub_stage::{Database, Hub, Postgres, until};
use reqwest::Client;
use serde_json::{Value, json};

use super::{
    broker::Broker,
    load::{Poster, customer_of},
    outside::Outside,
};

const ADMIN_KEY: &str = "a-key-for-measurements-only";
/// What the parts of a hub share: 32 bytes in base64.
const ENCRYPTION_KEYS: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long the tables and streams may take.
const MIGRATION: Duration = Duration::from_secs(60);

/// How long workers may take until they share the partitions: a new one is ready after ten seconds.
const SHARED: Duration = Duration::from_secs(90);

/// How many partitions a hub has.
const PARTITIONS: u16 = 32;

/// The hub that a measurement wants.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Workers.
    pub(super) workers: usize,
    /// nats-servers: 1 or 3.
    pub(super) brokers: usize,
    /// The lease; `None` = the hub's own default.
    pub(super) lease: Option<Duration>,
}

/// Everything that runs. It ends in the order of the fields: processes before what they use.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) workers: Vec<Hub>,
    pub(super) ingress: Hub,
    pub(super) outside: Outside,
    pub(super) database: Database,
    pub(super) postgres: Postgres,
    pub(super) broker: Broker,
    client: Client,
}

impl Site {
    /// Starts everything and waits until it is ready.
    pub(super) async fn start(shape: &Shape) -> anyhow::Result<Self> {
        Self::start_on(Broker::start(shape.brokers).await?, shape).await
    }

    /// The same on these nats-servers.
    pub(super) async fn start_on(broker: Broker, shape: &Shape) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let postgres = Postgres::start().await?;
        let database = Database::create(postgres.url()).await?;
        let outside = Outside::start().await?;
        let env = environment(shape, &broker.url(), &database.url());
        Hub::spawn(&program, &["migrate", "up"], &env)?.wait_success(MIGRATION).await?;
        let mut ingress = Hub::spawn(&program, &["ingress"], &env)?;
        let mut workers = Vec::new();
        for nth in 0..shape.workers {
            workers.push(worker(&program, nth, &env)?);
        }
        ingress.wait_ready().await?;
        for worker in &mut workers {
            worker.wait_ready().await?;
        }
        let client = Client::builder().no_proxy().build()?;
        let site = Self { workers, ingress, outside, database, postgres, broker, client };
        site.shared().await?;
        Ok(site)
    }

    /// Makes an instance that asks an agent of this pace, with these settings more.
    pub(super) async fn make_instance(&self, name: &str, pace: &str, more: &Value) -> anyhow::Result<()> {
        let mut body = json!({
            "name": name,
            "channel_type": "whatsapp",
            "whatsapp_instance": name,
            "evolution_url": self.outside.evolution_url(),
            "evolution_key": "an-evolution-key-for-measurements-only",
            "provision": false,
            "agent_api_url": self.outside.agent_url(pace),
            "agent_api_key": "an-agent-key-for-measurements-only",
            "agent_timeout": 600,
            "default_agent": "bench",
            "turns_per_minute": 0,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let url = format!("{}/api/v1/instances", self.ingress.url());
        let answer = self.client.post(url).header("x-api-key", ADMIN_KEY).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        anyhow::ensure!(status.is_success(), "an instance cannot be made: {status} {text}");
        Ok(())
    }

    /// Who posts webhooks.
    pub(super) fn poster(&self) -> anyhow::Result<Poster> {
        Poster::to(&self.ingress.url())
    }

    /// A connection of one's own to the broker.
    pub(super) async fn jetstream(&self) -> anyhow::Result<jetstream::Context> {
        let url = self.broker.own_url();
        Ok(jetstream::new(async_nats::connect(url.split(',').collect::<Vec<_>>()).await?))
    }

    /// The worker that owns each partition; those that nobody owns are left out.
    pub(super) async fn owners(&self) -> anyhow::Result<HashMap<u16, String>> {
        let turns = self.jetstream().await?.get_stream("TURNS").await?;
        let mut owners = HashMap::new();
        for partition in 0..PARTITIONS {
            let Ok(record) = turns.get_last_raw_message_by_subject(&Subjects::own(partition)).await else { continue };
            let record: OwnershipRecord = serde_json::from_slice(&record.payload).context("an ownership record")?;
            if !record.owner.is_empty() {
                owners.insert(partition, record.owner);
            }
        }
        Ok(owners)
    }

    /// The customers whose conversations a worker owns, of those who have had a turn.
    pub(super) async fn customers_of(&self, worker: usize) -> anyhow::Result<HashSet<usize>> {
        let owners = self.owners().await?;
        let turns = self.jetstream().await?.get_stream("TURNS").await?;
        let subjects: Vec<(String, usize)> = turns.info_with_subjects("turn.>").await?.try_collect().await?;
        let lanes = subjects.iter().filter_map(|(subject, _)| {
            // A checkpoint stands where the messages of its conversation do.
            LaneAddress::read(&subject.replacen("turn.", "in.", 1))
        });
        let its = lanes.filter(|lane| owners.get(&lane.partition) == Some(&name_of(worker)));
        Ok(its.filter_map(|lane| customer_of(&lane.conversation)).collect())
    }

    /// Waits until every partition is where it belongs when all workers are there.
    pub(super) async fn shared(&self) -> anyhow::Result<()> {
        let ready: Vec<String> = (0..self.workers.len()).map(name_of).collect();
        until("the workers share the partitions", SHARED, async || {
            let Ok(owners) = self.owners().await else { return false };
            (0..PARTITIONS).all(|partition| owners.get(&partition).map(String::as_str) == owner_of(partition, &ready))
        })
        .await
    }

    /// How many instances a page of the list has.
    pub(super) async fn list_instances(&self, skip: usize, limit: usize) -> anyhow::Result<usize> {
        let url = format!("{}/api/v1/instances?skip={skip}&limit={limit}", self.ingress.url());
        let answer = self.client.get(url).header("x-api-key", ADMIN_KEY).send().await?.error_for_status()?;
        Ok(answer.json::<Vec<Value>>().await?.len())
    }

    /// Waits until each worker has read so many instances, those too that it never had a message of:
    /// it does so a moment after it heard of them.
    pub(super) async fn knows(&self, instances: usize) -> anyhow::Result<()> {
        for worker in &self.workers {
            self.knows_at(&worker.url(), instances).await?;
        }
        Ok(())
    }

    /// The same of the process at this address.
    pub(super) async fn knows_at(&self, url: &str, instances: usize) -> anyhow::Result<()> {
        let (wanted, url) = (format!("omnihub_instances_known {instances}"), format!("{url}/metrics"));
        until("a process knows every instance", SHARED, async || {
            let Ok(answer) = self.client.get(&url).send().await else { return false };
            answer.text().await.is_ok_and(|metrics| metrics.lines().any(|line| line == wanted))
        })
        .await
    }

    /// Waits until no message and no outcome is left in the broker, and answers how long it took.
    pub(super) async fn settled(&self, deadline: Duration) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let js = self.jetstream().await?;
        until("nothing is left in the queue", deadline, async || {
            let left = [waiting_in(&js, "INBOUND").await, waiting_in(&js, "TRACES").await];
            left.iter().all(|left| *left == Some(0))
        })
        .await?;
        Ok(began.elapsed())
    }
}

/// How many messages a stream has; nothing when the broker does not say.
pub(super) async fn waiting_in(js: &jetstream::Context, stream: &str) -> Option<u64> {
    Some(js.get_stream(stream).await.ok()?.cached_info().state.messages)
}

/// A worker's name among the others.
pub(super) fn name_of(worker: usize) -> String {
    format!("worker-{worker}")
}

fn worker(program: &Path, nth: usize, env: &HashMap<String, String>) -> anyhow::Result<Hub> {
    let mut env = env.clone();
    env.insert("OMNIHUB_WORKER_ID".to_owned(), name_of(nth));
    Hub::spawn(program, &["worker"], &env)
}

fn environment(shape: &Shape, nats: &str, database: &str) -> HashMap<String, String> {
    let settings = [
        ("API_HOST", "127.0.0.1"),
        ("OMNIHUB_WORKER_HOST", "127.0.0.1"),
        ("OMNIHUB_API_KEY", ADMIN_KEY),
        ("OMNIHUB_ENCRYPTION_KEYS", ENCRYPTION_KEYS),
        ("NATS_URL", nats),
        ("DATABASE_URL", database),
    ];
    let mut env: HashMap<_, _> = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    env.insert("OMNIHUB_NATS_REPLICAS".to_owned(), shape.brokers.to_string());
    // A line for each turn would be measured too, unless somebody wants to read it.
    env.insert("LOG_LEVEL".to_owned(), std::env::var("LOG_LEVEL").unwrap_or_else(|_| "warn".to_owned()));
    if let Some(lease) = shape.lease {
        env.insert("OMNIHUB_LEASE_TTL".to_owned(), lease.as_secs().to_string());
    }
    env
}
