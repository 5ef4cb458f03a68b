//! The life of an instance with its account at Evolution, over the real hub.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use omnihub_fakes::{Behaviour, customers};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, EVOLUTION_KEY, INSTANCE, Site, message_id, now, on_both_databases, until};

on_both_databases!(
    an_instance_is_registered_heard_and_removed,
    a_webhook_that_was_wiped_comes_back,
    the_seeded_instance_is_taken_on_without_losing_a_message,
);

/// The key of the Evolution server.
const GLOBAL: &str = "planted-global-key-51d0";

/// Posts what a customer writes as the fake's Evolution was told to: to the registered address, signed
/// as the real one signs.
async fn deliver(site: &Site, account: &str, phone: &str, text: &str) -> (u16, Value) {
    let row = site.evolution.webhook(account);
    assert_eq!(row["enabled"], json!(true), "{row}");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let claims = json!({"iat": seconds, "exp": seconds + 600, "app": "evolution", "action": "webhook"});
    let key = EncodingKey::from_secret(row["headers"]["jwt_key"].as_str().unwrap().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    let webhook = customers::webhook(account, phone, &message_id(), text, now());
    let request = reqwest::Client::new().post(row["url"].as_str().unwrap()).bearer_auth(token).json(&webhook);
    let answer = request.send().await.expect("the hub stands at the address that it registered");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn call(site: &Site, method: Method, path: &str) -> Value {
    let answer = site.api(method.clone(), &format!("/api/v1/instances/{path}"), None).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
    answer.body
}

async fn made(site: &Site, name: &str) -> Value {
    let body = json!({
        "name": name,
        "evolution_url": site.evolution.url(),
        "evolution_key": GLOBAL,
        "agent_api_url": site.agent.url(),
        "agent_api_key": site.agent.key(),
    });
    let made = site.api(Method::POST, "/api/v1/instances", Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains(GLOBAL), "{}", made.text);
    made.body
}

async fn an_instance_is_registered_heard_and_removed(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.evolution.set_global_key(GLOBAL);
    let first = made(&site, "shop").await;
    assert_eq!(first["webhook_url"], format!("{}/webhook/evolution/shop", site.hub.url()));
    assert!(first["warnings"].to_string().contains("OMNIHUB_PUBLIC_URL is not set"), "{first}");
    assert!(call(&site, Method::GET, "shop/qr").await["qr_code"].is_string());
    site.evolution.pair("shop");
    assert_eq!(call(&site, Method::GET, "shop/status").await["status"], "connected");

    let (status, answer) = deliver(&site, "shop", "14155557000", "hello").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(site.ended(answer["trace_id"].as_str().unwrap()).await["outcome"], "answered");
    let sent = site.evolution.sent();
    assert_eq!(Some(&sent[0].key), site.evolution.token("shop").as_ref(), "sent with the account's own key");
    let unsigned = customers::webhook("shop", "14155557000", &message_id(), "hi", now());
    assert_eq!(site.post("/webhook/evolution/shop", &unsigned).await.status, 401);

    call(&site, Method::DELETE, "shop?evolution=remove").await;
    assert!(!site.evolution.has("shop"));
    // Under the same name anew: another account, and nothing old.
    let second = made(&site, "shop").await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(site.get("/api/v1/traces?instance_name=shop").await, json!([]));
    site.evolution.pair("shop");
    assert_eq!(deliver(&site, "shop", "14155557000", "again").await.0, 200);
    site.assert_no_violations();
}

async fn a_webhook_that_was_wiped_comes_back(database: Database) {
    let site = Site::up_with(database, Behaviour::Echo, &[("OMNIHUB_WEBHOOK_CHECK", "1")]).await;
    site.evolution.set_global_key(GLOBAL);
    made(&site, "shop").await;
    site.evolution.pair("shop");
    site.evolution.tamper("shop", |row| *row = Value::Null);
    until("the webhook is back", DEADLINE, async || !site.evolution.webhook("shop").is_null()).await;
    until("the audit log says so", DEADLINE, async || {
        let log = site.get("/api/v1/audit?action=instance.webhook_repaired").await;
        log["items"][0]["before"] == json!({"wrong": ["missing"]})
    })
    .await;
    assert_eq!(deliver(&site, "shop", "14155557100", "still there?").await.0, 200);
    site.assert_no_violations();
}

async fn the_seeded_instance_is_taken_on_without_losing_a_message(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.say("14155557200", "before").await;
    let connected = call(&site, Method::POST, &format!("{INSTANCE}/connect")).await;
    assert_eq!(connected["result"]["message"], "It is connected already.", "{connected}");
    assert_eq!(site.evolution.token(INSTANCE).as_deref(), Some(EVOLUTION_KEY));
    let (status, answer) = deliver(&site, INSTANCE, "14155557200", "after").await;
    assert_eq!(status, 200, "{answer}");
    until("both are answered", DEADLINE, async || site.replies_to("14155557200").len() == 2).await;
    let log = site.get("/api/v1/audit?action=instance.connect").await;
    assert_eq!((&log["items"][0]["target"], &log["items"][0]["actor"]), (&json!(INSTANCE), &json!("root")));
    site.assert_no_violations();
}
