//! Secrets that are kept somewhere else: an instance works with them, and goes on while Vault is away.

use omnihub_fakes::{Behaviour, FakeAgent, FakeVault};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, EVOLUTION_KEY, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(an_instance_works_with_secrets_that_are_kept_elsewhere);

const WEBHOOK_SECRET: &str = "planted-webhook-secret-3a9d";
const NEW_KEY: &str = "planted-evolution-key-after-5d21";
const KEY_AT: &str = "vault://secret/tenants/acme/evolution#key";
const KEY_PATH: &str = "secret/tenants/acme/evolution";

/// A customer writes; answers the trace once it has ended.
async fn say(site: &Site, phone: &str, text: &str) -> Value {
    let body = webhook(phone, text).to_string().into_bytes();
    let path = format!("/webhook/evolution/{INSTANCE}");
    let answer = site.post_bytes(&path, body, &[("x-webhook-secret", WEBHOOK_SECRET)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    site.ended(&answer.traces()[0]).await
}

async fn an_instance_works_with_secrets_that_are_kept_elsewhere(database: Database) {
    let (vault, folder) = (FakeVault::start().await.unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("webhook-secret");
    std::fs::write(&file, format!("{WEBHOOK_SECRET}\n")).unwrap();
    vault.put(KEY_PATH, &[("key", EVOLUTION_KEY)]);
    let settings = [
        ("VAULT_ADDR", vault.url()),
        ("VAULT_TOKEN", FakeVault::TOKEN),
        ("OMNIHUB_SECRET_TTL", "1"),
        ("OMNIHUB_INSTANCE_POLL", "1"),
        ("KEY_OF_THE_AGENT", FakeAgent::KEY),
        ("LOG_LEVEL", "debug"),
    ];
    let mut site = Site::up_with(database, Behaviour::Echo, &settings).await;
    let references = json!({
        "evolution_key": KEY_AT,
        "agent_api_key": "env:KEY_OF_THE_AGENT",
        "webhook_secret": format!("file:{}", file.display()),
    });
    site.change_instance(INSTANCE, references).await;
    let shown = site.get(&format!("/api/v1/instances/{INSTANCE}")).await;
    assert_eq!((&shown["evolution_key"], &shown["agent_api_key"]), (&json!(KEY_AT), &json!("env:KEY_OF_THE_AGENT")));

    assert_eq!(say(&site, "14155557100", "hello").await["outcome"], "answered");
    let guess = webhook("14155557101", "hello").to_string().into_bytes();
    let guess = site.post_bytes("/webhook/evolution/acme", guess, &[("x-webhook-secret", KEY_AT)]).await;
    guess.assert_problem(401, "webhook_unverified");

    // What they lead to is masked as any secret is.
    let told = say(&site, "14155557102", &format!("{EVOLUTION_KEY} {} {WEBHOOK_SECRET}", FakeAgent::KEY)).await;
    let path = format!("/api/v1/traces/{}/payloads", told["trace_id"].as_str().unwrap());
    let text = format!("{told} {}", site.api(Method::GET, &path, None).await.text);
    for secret in [EVOLUTION_KEY, FakeAgent::KEY, WEBHOOK_SECRET] {
        assert!(!text.contains(secret), "{text}");
    }

    // Away: what is known is good, also for an instance that is changed meanwhile.
    vault.seal(true);
    site.change_instance(INSTANCE, json!({"agent_timeout": 33})).await;
    assert_eq!(say(&site, "14155557103", "hello").await["outcome"], "answered");
    vault.seal(false);

    // Another key: a conversation that is held for want of it goes on by itself.
    site.evolution.add_instance(INSTANCE, NEW_KEY);
    vault.put(KEY_PATH, &[("key", NEW_KEY)]);
    assert_eq!(say(&site, "14155557104", "hello").await["outcome"], "answered");
    until("the new key is used", DEADLINE, async || {
        site.evolution.sent().last().is_some_and(|sent| sent.key == NEW_KEY)
    })
    .await;
    assert_eq!(vault.violations(), Vec::<String>::new());
    site.hub.terminate().await;
    let log = site.hub.log();
    for secret in [EVOLUTION_KEY, NEW_KEY, FakeAgent::KEY, WEBHOOK_SECRET, FakeVault::TOKEN] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
