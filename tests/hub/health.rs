//! What operators and their tools see on every role's port.

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, Hub, Site, on_both_databases, until};

on_both_databases!(every_port_tells_how_it_is, without_the_broker_nobody_is_ready);

async fn page(hub: &Hub, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", hub.url())).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn services(hub: &Hub) -> (u16, Value) {
    let (status, text) = page(hub, "/health").await;
    (status, serde_json::from_str(&text).unwrap())
}

async fn check(hub: &Hub, parts: &[&str], metric: &str) {
    assert_eq!(page(hub, "/livez").await, (200, "ok".to_owned()));
    assert_eq!(page(hub, "/readyz").await, (200, "ready".to_owned()));
    let (status, health) = services(hub).await;
    assert_eq!((status, &health["status"]), (200, &json!("healthy")), "{health}");
    let found = health["services"].as_object().unwrap();
    for part in parts {
        assert_eq!(found[*part]["status"], "up", "{health}");
    }
    assert_eq!(found.len(), parts.len(), "{health}");
    let answer = reqwest::get(format!("{}/metrics", hub.url())).await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = answer.text().await.unwrap();
    assert!(metrics.contains(metric), "{metric} in {metrics}");
}

async fn every_port_tells_how_it_is(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let trace = site.say("14155558000", "hi").await;
    site.ended(&trace).await;
    check(&site.hub, &["database", "nats", "queue", "recorder", "worker"], "omnihub_turns_running").await;
    assert!(page(&site.hub, "/metrics").await.1.contains("omnihub_messages_accepted_total{"));

    let site = Site::parts(database, Behaviour::Echo).await;
    let trace = site.say("14155558000", "hi").await;
    site.ended(&trace).await;
    check(&site.hub, &["database", "nats", "queue"], "omnihub_messages_accepted_total{").await;
    let worker = site.worker.as_ref().unwrap();
    check(worker, &["database", "nats", "queue", "recorder", "worker"], "omnihub_partitions_owned 32").await;
    // A worker serves nothing else.
    assert_eq!(page(worker, "/api/v1/instances").await.0, 404);
    assert_eq!(page(worker, "/webhook/evolution").await.0, 404);
}

async fn without_the_broker_nobody_is_ready(database: Database) {
    let mut site = Site::parts(database, Behaviour::Echo).await;
    let mut nats = site.nats.take().unwrap();
    nats.stop();
    let hubs = [&site.hub, site.worker.as_ref().unwrap()];
    for hub in hubs {
        until("it is not ready", DEADLINE, async || page(hub, "/readyz").await.0 == 503).await;
        assert!(page(hub, "/readyz").await.1.contains("nats"));
        assert_eq!(page(hub, "/livez").await.0, 200, "alive: a restart would not help");
        let (status, health) = services(hub).await;
        assert_eq!((status, &health["services"]["nats"]["status"]), (503, &json!("down")), "{health}");
    }
    let refused = site.post("/webhook/evolution/acme", &crate::harness::webhook("14155558001", "hi")).await;
    refused.assert_problem(503, "queue_unavailable");
    nats.start_again().await;
    for hub in hubs {
        until("it is ready again", DEADLINE, async || page(hub, "/readyz").await.0 == 200).await;
    }
    let trace = site.say("14155558001", "hi").await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.replies_to("14155558001"), ["echo: hi"]);
}
