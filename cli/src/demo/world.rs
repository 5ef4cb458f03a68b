//! What stands around the demo's hub, and the hub's own doors.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use omnihub_common::secret::Secret;
use omnihub_fakes::{Behaviour, FakeAgent, FakeEvolution, Sent};
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{api::Api, up::Banner};

/// The name of the demo's instance, here and at Evolution.
pub(super) const INSTANCE: &str = "demo";

/// How often the hub is asked whether it is ready, or how far a trace is.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long the hub may take from its banner until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The fakes, and the hub as its neighbours see it.
pub(super) struct World {
    evolution: FakeEvolution,
    agent: FakeAgent,
    hub: String,
    api: Api,
    client: Client,
    webhook_secret: String,
}

/// A trace, as far as the demo shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Trace {
    pub(super) status: String,
    pub(super) outcome: Option<String>,
    pub(super) outcome_reason: Option<String>,
    pub(super) received_at: DateTime<Utc>,
    pub(super) processing_started_at: Option<DateTime<Utc>>,
    pub(super) agent_request_at: Option<DateTime<Utc>>,
    pub(super) agent_response_at: Option<DateTime<Utc>>,
    pub(super) channel_send_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// Of `/traces/{id}/payloads`.
    #[serde(skip)]
    pub(super) payloads: Vec<Payload>,
}

/// A payload of a trace.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) stage: String,
    pub(super) payload: Option<Value>,
}

/// What the fakes noticed while the conversations ran.
#[derive(Clone, Debug, Default)]
pub(super) struct Noticed {
    /// How often the agent was asked.
    pub(super) agent_calls: usize,
    /// Every text that reached a phone: the phone, the text.
    pub(super) sent: Vec<(String, String)>,
    /// What the hub must never do and yet did.
    pub(super) violations: Vec<String>,
}

impl World {
    /// Starts the fakes, waits until the hub is ready, and makes the instance over the admin API.
    pub(super) async fn open(banner: &Banner<PathBuf>) -> anyhow::Result<Self> {
        let key = banner.new_admin_key.clone().context("the hub of the demo has made no admin key")?;
        let world = Self {
            evolution: FakeEvolution::start().await?,
            agent: FakeAgent::start(Behaviour::Echo).await?,
            hub: banner.url.clone(),
            api: Api::new(banner.url.parse()?, key)?,
            client: Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?,
            webhook_secret: made_up_key().expose().to_owned(),
        };
        let ready = tokio::time::timeout(READY_WITHIN, world.ready()).await;
        ready.with_context(|| format!("the hub is not ready within {READY_WITHIN:?}"))?;
        world.make_instance().await.context("the instance of the demo cannot be made")?;
        Ok(world)
    }

    async fn ready(&self) {
        let url = format!("{}/readyz", self.hub);
        while !self.client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn make_instance(&self) -> anyhow::Result<()> {
        let evolution_key = made_up_key();
        self.evolution.add_instance(INSTANCE, evolution_key.expose());
        let body = json!({
            "name": INSTANCE,
            "channel_type": "whatsapp",
            "is_default": true,
            "whatsapp_instance": INSTANCE,
            "evolution_url": self.evolution.url(),
            "evolution_key": evolution_key.expose(),
            "webhook_secret": self.webhook_secret,
            "provision": false,
            "agent_api_url": self.agent.url(),
            "agent_api_key": self.agent.key(),
            "default_agent": "echo",
            // Every blank line makes a bubble, however short the answer is.
            "split_over": 0,
            // The script has a message from the phone, and the bot is to answer what follows.
            "takeover_minutes": 0,
        });
        self.api.call(Method::POST, &["instances"], &[], Some(&body)).await?;
        Ok(())
    }

    /// Posts a webhook as Evolution does, and gives the trace id that the hub answers.
    pub(super) async fn post(&self, webhook: &Value) -> anyhow::Result<String> {
        let url = format!("{}/webhook/evolution/{INSTANCE}", self.hub);
        let request = self.client.post(url).header("x-webhook-secret", &self.webhook_secret).json(webhook);
        let answer = request.send().await.context("a webhook was not answered")?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "a webhook was answered with {status}");
        let answer: Value = answer.json().await.context("a webhook's answer is no JSON")?;
        let id = answer["trace_id"].as_str().context("a webhook's answer has no trace_id")?;
        Ok(id.to_owned())
    }

    /// The trace, over the admin API, as soon as the message has ended and every one of these
    /// stages has its payload; as it is when `patience` is over.
    pub(super) async fn trace(&self, id: &str, stages: &[&str], patience: Duration) -> anyhow::Result<Trace> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            let trace = self.trace_now(id).await?;
            let has = |stage: &&str| trace.payloads.iter().any(|payload| payload.stage == **stage);
            let complete = trace.outcome.is_some() && stages.iter().all(has);
            if complete || tokio::time::Instant::now() >= end {
                return Ok(trace);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn trace_now(&self, id: &str) -> anyhow::Result<Trace> {
        let trace = self.api.call(Method::GET, &["traces", id], &[], None).await?;
        let mut trace: Trace = serde_json::from_value(trace).context("a trace cannot be read")?;
        if trace.outcome.is_some() {
            let payloads = self.api.call(Method::GET, &["traces", id, "payloads"], &[], None).await?;
            trace.payloads = serde_json::from_value(payloads).context("the payloads of a trace cannot be read")?;
        }
        Ok(trace)
    }

    /// What has reached a phone so far.
    pub(super) fn received_by(&self, phone: &str) -> Vec<Sent> {
        self.evolution.sent().into_iter().filter(|sent| sent.number == phone).collect()
    }

    /// What the fakes have noticed so far.
    pub(super) fn noticed(&self) -> Noticed {
        let refused = self.evolution.rejected().into_iter();
        let refused = refused.map(|refused| format!("Evolution refused {} with {}", refused.operation, refused.status));
        Noticed {
            agent_calls: self.agent.calls().len(),
            sent: self.evolution.sent().into_iter().map(|sent| (sent.number, sent.text)).collect(),
            violations: [self.evolution.violations(), self.agent.violations()]
                .concat()
                .into_iter()
                .chain(refused)
                .collect(),
        }
    }
}

fn made_up_key() -> Secret {
    Secret::new(hex::encode(rand::random::<[u8; 16]>()))
}
