//! The first boot: an empty database and a `.env`.

use std::collections::HashMap;

use omnihub_fakes::{Behaviour, FakeAgent, FakeEvolution, customers};
use serde_json::Value;

use crate::harness::{
    ADMIN_KEY, DEADLINE, Database, ENCRYPTION_KEYS, EVOLUTION_KEY, Hub, INSTANCE, Nats, Store, message_id, now,
    omnihub, on_both_databases,
};

on_both_databases!(a_dotenv_is_enough_and_read_once, all_who_start_at_once_make_one_row);

async fn instances(hub: &Hub) -> Vec<Value> {
    let request = reqwest::Client::new().get(format!("{}/api/v1/instances", hub.url()));
    let answer = request.header("x-api-key", ADMIN_KEY).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

fn dotenv(instance: &str, evolution: &str, agent: &str, agent_key: &str) -> String {
    format!(
        "# the older system's names\n\
         WHATSAPP_INSTANCE={instance}\n\
         export SESSION_ID_PREFIX=\"dev-\"\n\
         EVOLUTION_API_URL='{evolution}'\n\
         EVOLUTION_API_KEY={EVOLUTION_KEY} # a comment\n\
         AGENT_API_URL={agent}\n\
         AGENT_API_KEY={agent_key}\n\
         DEFAULT_AGENT_NAME=helper\n\
         AGENT_API_TIMEOUT=45\n\
         OMNIHUB_API_KEY={ADMIN_KEY}\n"
    )
}

async fn a_dotenv_is_enough_and_read_once(database: Database) {
    let store = Store::new(database).await;
    let evolution = FakeEvolution::start().await.unwrap();
    evolution.add_instance(INSTANCE, EVOLUTION_KEY);
    let agent = FakeAgent::start(Behaviour::Echo).await.unwrap();
    let mut env = HashMap::from([("API_HOST".to_owned(), "127.0.0.1".to_owned())]);
    if database == Database::Postgres {
        env.insert("DATABASE_URL".to_owned(), store.url());
    }
    let text = dotenv(INSTANCE, evolution.url(), agent.url(), agent.key());
    let mut hub = Hub::spawn_with_dotenv(&["up"], &env, &text);
    hub.wait_ready().await;

    let post = async |hub: &Hub, phone: &str| {
        let webhook = customers::webhook(INSTANCE, phone, &message_id(), "hello", now());
        let url = format!("{}/webhook/evolution", hub.url());
        let answer = reqwest::Client::new().post(url).json(&webhook).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    post(&hub, "14155557000").await;
    let sent = evolution.wait_for_sent(1, DEADLINE).await.unwrap();
    assert_eq!((sent[0].text.as_str(), sent[0].number.as_str()), ("echo: hello", "14155557000"));
    assert_eq!(agent.calls()[0].session_name(), "dev-acme_14155557000");
    let first = instances(&hub).await;
    assert_eq!((first.len(), &first[0]["name"], &first[0]["is_default"]), (1, &INSTANCE.into(), &true.into()));
    assert_eq!(first[0]["agent_timeout"], 45);
    assert!(!hub.log().contains("skipped"), "every line of the file was read");

    hub.terminate().await;
    hub.start_again();
    hub.wait_ready().await;
    assert_eq!(instances(&hub).await, first, "a second boot adds and changes nothing");

    hub.terminate().await;
    let changed = dotenv("other", "http://127.0.0.1:9", "http://127.0.0.1:9", "another-agent-key");
    std::fs::write(hub.folder().join(".env"), changed).unwrap();
    hub.start_again();
    hub.wait_ready().await;
    assert_eq!(instances(&hub).await, first, "a changed file overwrites nothing");
    post(&hub, "14155557001").await;
    evolution.wait_for_sent(2, DEADLINE).await.unwrap();
    assert_eq!((evolution.violations(), agent.violations()), (Vec::new(), Vec::new()));
}

async fn all_who_start_at_once_make_one_row(database: Database) {
    let (store, nats) = (Store::new(database).await, Nats::start().await);
    let bare: HashMap<String, String> = [
        ("API_HOST", "127.0.0.1"),
        ("OMNIHUB_WORKER_HOST", "127.0.0.1"),
        ("OMNIHUB_API_KEY", ADMIN_KEY),
        ("OMNIHUB_ENCRYPTION_KEYS", ENCRYPTION_KEYS),
        ("DATABASE_URL", &store.url()),
        ("NATS_URL", &nats.url()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let migrated = omnihub(&["migrate", "up"], &bare).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let status = omnihub(&["migrate", "status"], &bare).await;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("applied") && !status.contains("pending"), "{status}");

    let mut hubs: Vec<Hub> = ["ingress", "worker", "ingress", "worker"]
        .into_iter()
        .enumerate()
        .map(|(nth, role)| {
            // Each describes another instance: one of them wins as a whole.
            let text = dotenv(&format!("shop-{nth}"), "http://127.0.0.1:9", "http://127.0.0.1:9", "agent-key");
            Hub::spawn_with_dotenv(&[role], &bare, &text)
        })
        .collect();
    for hub in &mut hubs {
        hub.wait_ready().await;
    }
    let made = instances(&hubs[0]).await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!((&made[0]["is_default"], &made[0]["whatsapp_instance"]), (&true.into(), &made[0]["name"]));
    assert_eq!(instances(&hubs[2]).await, made);
    let tellers = hubs.iter().filter(|hub| hub.log().contains("the default instance was made")).count();
    assert_eq!(tellers, 1, "one process says that it made it");
}
