//! Three tenants at once: each reply leaves through its own tenant's door.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use omnihub_fakes::{Behaviour, FakeAgent, FakeEvolution, customers};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::{Database, Site, message_id, now, on_both_databases, until};

on_both_databases!(two_thousand_messages_of_three_tenants);

/// All of them: an unoptimised hub on a busy machine needs a part of it.
const DEADLINE: Duration = Duration::from_secs(120);
/// Messages of all tenants together.
const MESSAGES: usize = 2000;
/// Conversations of each tenant; the same phones write to all three.
const CONVERSATIONS: usize = 111;
/// Webhooks on their way at once.
const AT_ONCE: usize = 64;

struct Tenant {
    name: &'static str,
    slug: &'static str,
    key: &'static str,
    evolution: FakeEvolution,
    agent: FakeAgent,
    /// What each phone writes, in order.
    said: BTreeMap<String, Vec<String>>,
}

impl Tenant {
    async fn new(name: &'static str, slug: &'static str, key: &'static str, agent_key: &str, slow: u64) -> Self {
        let evolution = FakeEvolution::start().await.unwrap();
        evolution.add_instance(slug, key);
        let behaviour = Behaviour::slow(Duration::from_millis(slow), Behaviour::Echo);
        let agent = FakeAgent::start_with_key(behaviour, agent_key).await.unwrap();
        Self { name, slug, key, evolution, agent, said: BTreeMap::new() }
    }

    fn messages(&self) -> usize {
        self.said.values().map(Vec::len).sum()
    }

    /// Everything that left for this tenant is this tenant's, and all of it, in order. Nothing is
    /// sent twice but what its trace says may have been: on a starved machine a lease may lapse
    /// in the middle of a send.
    fn check(&self, in_doubt: usize) {
        assert_eq!(self.evolution.violations(), Vec::<String>::new(), "{}", self.name);
        assert_eq!(self.agent.violations(), Vec::<String>::new(), "{}", self.name);
        assert!(self.evolution.rejected().is_empty(), "{}: {:?}", self.name, self.evolution.rejected().first());
        let mut replies: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for sent in self.evolution.sent() {
            assert_eq!((sent.instance.as_str(), sent.key.as_str()), (self.slug, self.key));
            replies.entry(sent.number).or_default().push(sent.text);
        }
        let mut twice = 0;
        for (phone, texts) in &self.said {
            let mut seen = replies.remove(phone).unwrap_or_default();
            let all = seen.len();
            seen.dedup();
            twice += all - seen.len();
            let expected: Vec<String> = texts.iter().map(|text| format!("echo: {text}")).collect();
            assert_eq!(seen, expected, "{}: {phone}", self.name);
        }
        assert!(replies.is_empty(), "{}: replies to people who wrote nothing: {:?}", self.name, replies.keys());
        assert!(twice <= in_doubt, "{}: {twice} bubbles sent twice, {in_doubt} in doubt", self.name);
        self.check_calls();
    }

    /// The agent was asked its own questions only, each one turn.
    fn check_calls(&self) {
        let calls = self.agent.calls();
        let turns: BTreeSet<&str> = calls.iter().map(|call| call.idempotency_key()).collect();
        assert_eq!(turns.len(), self.messages(), "{}: each message is one turn", self.name);
        for call in &calls {
            assert_eq!(call.body["context"]["instance"], self.name);
            assert!(call.message().starts_with(self.name), "{} was asked {:?}", self.name, call.message());
            assert!(call.session_name().starts_with(&format!("{}_", self.name)), "{}", call.session_name());
        }
        assert!(self.evolution.presences().iter().all(|shown| shown.instance == self.slug), "{}", self.name);
    }
}

async fn two_thousand_messages_of_three_tenants(database: Database) {
    let mut tenants = [
        Tenant::new("north", "evo_shop_1", "north-evolution-key", "north-agent-key", 100).await,
        Tenant::new("south", "evo_shop_2", "south-evolution-key", "south-agent-key", 200).await,
        // Another tenant's name as its own slug: nothing may be mixed up by it.
        Tenant::new("east", "north", "east-evolution-key", "east-agent-key", 50).await,
    ];
    for nth in 0..MESSAGES {
        let tenant = &mut tenants[nth % 3];
        let phone = format!("1415556{:04}", (nth / 3) % CONVERSATIONS);
        let text = format!("{} message {nth}", tenant.name);
        tenant.said.entry(phone).or_default().push(text);
    }
    let site = Arc::new(Site::up(database, Behaviour::Echo).await);
    for tenant in &tenants {
        let fields = json!({
            "whatsapp_instance": tenant.slug,
            "evolution_url": tenant.evolution.url(),
            "evolution_key": tenant.key,
            "agent_api_url": tenant.agent.url(),
            "agent_api_key": tenant.agent.key(),
        });
        site.add_instance(tenant.name, fields).await;
    }
    post_all(&site, &tenants).await;
    for tenant in &tenants {
        tenant.evolution.wait_for_sent(tenant.messages(), DEADLINE).await.unwrap();
    }
    for tenant in &tenants {
        let path = format!("/api/v1/traces?instance_name={}&status=completed&outcome=answered&limit=1", tenant.name);
        until(&format!("all traces of {} are completed", tenant.name), DEADLINE, async || {
            let listed = site.api(Method::GET, &path, None).await;
            listed.header("x-total-count") == tenant.messages().to_string()
        })
        .await;
        tenant.check(in_doubt(&site, tenant).await);
    }
    assert!(site.evolution.sent().is_empty() && site.agent.calls().is_empty(), "the default tenant wrote nothing");
    let accepted = site.metric("omnihub_messages_accepted_total", &[("duplicate", "false")]).await;
    assert_eq!(accepted, MESSAGES as f64);
}

/// How many traces of a tenant warn of a bubble that may be out twice.
async fn in_doubt(site: &Site, tenant: &Tenant) -> usize {
    let (mut warned, mut offset) = (0, 0);
    while offset < tenant.messages() {
        let path = format!("/api/v1/traces?instance_name={}&limit=500&offset={offset}", tenant.name);
        let page = site.get(&path).await;
        let warns = |row: &&Value| row["warnings"].to_string().contains("may have been sent twice");
        warned += page.as_array().unwrap().iter().filter(warns).count();
        offset += 500;
    }
    warned
}

/// Posts everything, one at a time within a conversation.
async fn post_all(site: &Arc<Site>, tenants: &[Tenant]) {
    let (seats, mut posting) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for tenant in tenants {
        for (phone, texts) in tenant.said.clone() {
            let (site, seats, name, slug) = (Arc::clone(site), Arc::clone(&seats), tenant.name, tenant.slug);
            posting.spawn(async move {
                for text in texts {
                    let _seat = seats.acquire().await.unwrap();
                    let webhook = customers::webhook(slug, &phone, &message_id(), &text, now());
                    site.accepted(&format!("/webhook/evolution/{name}"), &webhook).await;
                }
            });
        }
    }
    posting.join_all().await;
}
