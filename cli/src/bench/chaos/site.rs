//! What is hurt: the servers, the links, and the processes of the hub, all real.

use std::{collections::HashMap, path::Path, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream;
use omnihub_fakes::{FakeAgent, FakeEvolution};
use omnihub_stage::{Database, FsyncMode, Hub, Nats, NatsCluster, Postgres, Proxy};
use reqwest::{Client, header::HeaderMap};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    play,
    schedule::{Link, Role, Shape},
};

/// How many instances the conversations are spread over.
pub(super) const INSTANCES: usize = 4;

const ADMIN_KEY: &str = "a-key-for-chaos-only";
const EVOLUTION_KEY: &str = "an-evolution-key-for-chaos-only";
/// What the parts of a hub share: 32 bytes in base64.
const ENCRYPTION_KEYS: &str = "chaos:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long the tables and streams may take.
const MIGRATION: Duration = Duration::from_secs(60);

/// How long the agent may take, in seconds: a call that a link has swallowed is given up then.
const AGENT_TIMEOUT: u64 = 5;

/// How long one send takes at the channel.
const SEND: Duration = Duration::from_millis(20);

/// How long one answer of the admin API may take.
const API: Duration = Duration::from_secs(20);

/// The servers of the queue.
#[derive(Debug)]
pub(super) enum Broker {
    /// One.
    One(Box<Nats>),
    /// Three that replicate.
    Three(NatsCluster),
}

impl Broker {
    async fn start(brokers: usize) -> anyhow::Result<Self> {
        Ok(match brokers {
            3 => Self::Three(NatsCluster::start(FsyncMode::Default).await?),
            _ => Self::One(Box::new(Nats::start(FsyncMode::Default).await?)),
        })
    }

    fn ports(&self) -> Vec<u16> {
        match self {
            Self::One(nats) => vec![nats.port()],
            Self::Three(cluster) => cluster.servers().iter().map(Nats::port).collect(),
        }
    }

    /// All servers, past every link.
    pub(super) fn url(&self) -> String {
        match self {
            Self::One(nats) => nats.url(),
            Self::Three(cluster) => cluster.url(),
        }
    }

    /// kill -9 of one, or of all.
    pub(super) fn kill9(&mut self, server: Option<usize>) {
        match (self, server) {
            (Self::One(nats), _) => nats.kill9(),
            (Self::Three(cluster), Some(nth)) => cluster.server(nth).kill9(),
            (Self::Three(cluster), None) => cluster.kill9(),
        }
    }

    /// Starts what does not run, and waits until all are well.
    pub(super) async fn start_again(&mut self) -> anyhow::Result<()> {
        match self {
            Self::One(nats) => nats.start_again().await,
            Self::Three(cluster) => cluster.start_again().await,
        }
    }
}

/// A process of the hub and what is known of it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) hub: Mutex<Hub>,
    pub(super) url: String,
    /// Its own links to the nats-servers.
    broker: Vec<Proxy>,
}

/// Everything that runs. It ends in the order of the fields: processes before what they use.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) members: Vec<Member>,
    database_link: Proxy,
    agent_link: Proxy,
    pub(super) evolution: FakeEvolution,
    pub(super) agent: FakeAgent,
    pub(super) broker: Mutex<Broker>,
    _database: Database,
    pub(super) postgres: Mutex<Postgres>,
    client: Client,
}

impl Site {
    /// Starts everything and waits until it is ready.
    pub(super) async fn start(shape: &Shape) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let (broker, postgres) = tokio::try_join!(Broker::start(shape.brokers), Postgres::start())?;
        let database = Database::create(postgres.url()).await?;
        let database_link = Proxy::to(postgres.port().context("PostgreSQL's port")?).await?;
        let (evolution, agent) = (FakeEvolution::start().await?, FakeAgent::start(play::agent()).await?);
        evolution.delay(SEND);
        let agent_link = Proxy::to(port_of(agent.url())?).await?;
        let env = environment(shape, &broker.url(), &database.url());
        let mut migrate = Hub::spawn(&program, &["migrate", "up"], &env)?;
        migrate.wait_success(MIGRATION).await?;
        let through_link = database.url_by(database_link.port());
        let mut members = Vec::new();
        for role in roles(shape) {
            members.push(Member::spawn(&program, role, &broker, &through_link, &env).await?);
        }
        let client = Client::builder().no_proxy().timeout(API).default_headers(headers()?).build()?;
        let (broker, postgres) = (Mutex::new(broker), Mutex::new(postgres));
        let site = Self {
            members,
            database_link,
            agent_link,
            evolution,
            agent,
            broker,
            _database: database,
            postgres,
            client,
        };
        site.all_ready().await?;
        for nth in 0..INSTANCES {
            site.make_instance(nth).await?;
        }
        Ok(site)
    }

    /// Waits until every process is ready.
    pub(super) async fn all_ready(&self) -> anyhow::Result<()> {
        for member in &self.members {
            member.hub.lock().await.wait_ready().await?;
        }
        Ok(())
    }

    /// A process by its role.
    pub(super) fn member(&self, role: Role) -> Option<&Member> {
        self.members.iter().find(|member| member.role == role)
    }

    /// The ingresses' addresses.
    pub(super) fn doors(&self) -> Vec<String> {
        let is_door = |member: &&Member| matches!(member.role, Role::Ingress(_));
        self.members.iter().filter(is_door).map(|member| member.url.clone()).collect()
    }

    /// The proxies of a link.
    pub(super) fn link(&self, link: Link) -> Vec<&Proxy> {
        match link {
            Link::Database => vec![&self.database_link],
            Link::Agent => vec![&self.agent_link],
            Link::Broker(role) => self.member(role).map(|member| member.broker.iter().collect()).unwrap_or_default(),
        }
    }

    /// Makes every link whole.
    pub(super) fn heal(&self) {
        let brokers = self.members.iter().flat_map(|member| &member.broker);
        brokers.chain([&self.database_link, &self.agent_link]).for_each(Proxy::heal);
    }

    /// The queue, past every link.
    pub(super) async fn queue(&self) -> anyhow::Result<jetstream::Context> {
        let url = self.broker.lock().await.url();
        Ok(jetstream::new(async_nats::connect(url.split(',').collect::<Vec<_>>()).await?))
    }

    /// What the admin API has at a path, from the first ingress that answers, and its total.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(Value, usize)> {
        let mut tried = Err(anyhow::anyhow!("there is no ingress"));
        for door in self.doors() {
            tried = self.get_from(&door, path).await;
            if tried.is_ok() {
                break;
            }
        }
        tried
    }

    async fn get_from(&self, door: &str, path: &str) -> anyhow::Result<(Value, usize)> {
        let answer = self.client.get(format!("{door}/api/v1/{path}")).send().await?.error_for_status()?;
        let total = answer.headers().get("x-total-count").and_then(|total| total.to_str().ok()?.parse().ok());
        Ok((answer.json().await?, total.unwrap_or_default()))
    }

    async fn make_instance(&self, nth: usize) -> anyhow::Result<()> {
        let name = play::instance(nth);
        self.evolution.add_instance(&name, EVOLUTION_KEY);
        let body = json!({
            "name": name,
            "channel_type": "whatsapp",
            "whatsapp_instance": name,
            "evolution_url": self.evolution.url(),
            "evolution_key": EVOLUTION_KEY,
            "provision": false,
            "agent_api_url": format!("http://127.0.0.1:{}", self.agent_link.port()),
            "agent_api_key": self.agent.key(),
            "agent_timeout": AGENT_TIMEOUT,
            "default_agent": "chaos",
            "enable_auto_split": true,
            "split_over": 0,
            "turns_per_minute": 0,
        });
        let door = self.doors().into_iter().next().context("there is no ingress")?;
        let answer = self.client.post(format!("{door}/api/v1/instances")).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        anyhow::ensure!(status.is_success(), "an instance cannot be made: {status} {text}");
        Ok(())
    }

    /// Copies the logs of all processes to a folder.
    pub(super) async fn keep_logs(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for member in &self.members {
            let log = member.hub.lock().await.log();
            std::fs::write(folder.join(format!("{}.log", play::name_of(member.role))), log)?;
        }
        Ok(())
    }
}

impl Member {
    async fn spawn(
        program: &Path,
        role: Role,
        broker: &Broker,
        database: &str,
        env: &HashMap<String, String>,
    ) -> anyhow::Result<Self> {
        let mut links = Vec::new();
        for port in broker.ports() {
            links.push(Proxy::to(port).await?);
        }
        let mut env = env.clone();
        let urls: Vec<String> = links.iter().map(|link| format!("nats://127.0.0.1:{}", link.port())).collect();
        env.insert("NATS_URL".to_owned(), urls.join(","));
        env.insert("DATABASE_URL".to_owned(), database.to_owned());
        env.insert("OMNIHUB_WORKER_ID".to_owned(), play::name_of(role));
        let word = match role {
            Role::Worker(_) => "worker",
            Role::Ingress(_) => "ingress",
        };
        let hub = Hub::spawn(program, &[word], &env)?;
        Ok(Self { role, url: hub.url(), hub: Mutex::new(hub), broker: links })
    }
}

fn roles(shape: &Shape) -> Vec<Role> {
    (0..shape.ingresses).map(Role::Ingress).chain((0..shape.workers).map(Role::Worker)).collect()
}

fn environment(shape: &Shape, nats: &str, database: &str) -> HashMap<String, String> {
    let settings = [
        ("API_HOST", "127.0.0.1".to_owned()),
        ("OMNIHUB_WORKER_HOST", "127.0.0.1".to_owned()),
        ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned()),
        ("OMNIHUB_ENCRYPTION_KEYS", ENCRYPTION_KEYS.to_owned()),
        ("NATS_URL", nats.to_owned()),
        ("DATABASE_URL", database.to_owned()),
        ("OMNIHUB_NATS_REPLICAS", shape.brokers.to_string()),
        ("OMNIHUB_LEASE_TTL", shape.lease.as_secs().to_string()),
    ];
    let mut env: HashMap<String, String> = settings.map(|(name, value)| (name.to_owned(), value)).into();
    // The logs are for whoever looks for a cause: as much as was asked for.
    env.extend(std::env::var("LOG_LEVEL").ok().map(|level| ("LOG_LEVEL".to_owned(), level)));
    env
}

fn headers() -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", ADMIN_KEY.parse()?);
    Ok(headers)
}

fn port_of(url: &str) -> anyhow::Result<u16> {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).context("a URL without a port")
}
