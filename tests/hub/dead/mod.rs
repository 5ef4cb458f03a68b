//! Dead letters: listed, shown, redriven and dropped, over REST and by `omnihub dead`.

mod audited;
mod commands;
mod large;
mod many;
mod poison;
mod redrive;
mod rest;
mod stale;
mod unusual;

use async_nats::jetstream;
use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Site, webhook};

const LETTERS: &str = "/api/v1/dead-letters";

/// An agent that wants nothing of it: what it is asked is dead at once.
fn refusing() -> Behaviour {
    Behaviour::Status(StatusCode::NOT_FOUND, json!({"detail": "no such agent"}))
}

/// A message that is dead; answers its trace, which is the letter's id.
async fn dies(site: &Site, phone: &str, text: &str) -> String {
    let trace = site.say(phone, text).await;
    assert_eq!(site.ended(&trace).await["outcome"], "dead");
    trace
}

/// The list for a query (`?reason=...`).
async fn list(site: &Site, query: &str) -> Value {
    site.get(&format!("{LETTERS}{query}")).await
}

/// How many letters there are.
async fn total(site: &Site) -> u64 {
    list(site, "?limit=1").await["total"].as_u64().unwrap()
}

/// The ids on a page.
fn ids(page: &Value) -> Vec<&str> {
    page["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect()
}

async fn redrive(site: &Site, id: &str) -> Answer {
    site.api(Method::POST, &format!("{LETTERS}/{id}/redrive"), None).await
}

async fn redrive_many(site: &Site, body: Value) -> Value {
    let answer = site.api(Method::POST, &format!("{LETTERS}/redrive"), Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// A connection of the test's own to the NATS server of a site in parts.
async fn jetstream_of(site: &Site) -> jetstream::Context {
    jetstream::new(async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap())
}

/// Whatever was sent to a person so far, once a last message of theirs is answered: nothing that
/// stood before it in the conversation is still to come.
async fn replies_after_all(site: &Site, phone: &str) -> Vec<String> {
    let last = site.accepted("/webhook/evolution/acme", &webhook(phone, "last")).await.remove(0);
    assert_eq!(site.ended(&last).await["outcome"], "answered");
    let mut replies = site.replies_to(phone);
    assert_eq!(replies.pop().as_deref(), Some("echo: last"));
    replies
}
