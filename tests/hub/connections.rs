//! How accounts are connected, what was missed while something was away, and accounts that fall silent.

use std::time::SystemTime;

use async_nats::jetstream;
use omnihub_fakes::{Behaviour, customers};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, message_id, now, on_both_databases, until, webhook};

on_both_databases!(
    what_came_while_the_hub_was_off_is_answered_once_and_in_order,
    an_account_that_comes_open_again_has_missed_nothing,
    an_account_that_falls_silent_is_noticed,
);

/// The watch comes round each second.
const WATCH: [(&str, &str); 1] = [("OMNIHUB_ACCOUNT_CHECK", "1")];
const PEOPLE: usize = 5;
const MESSAGES: usize = 50;

async fn jetstream_of(site: &Site) -> jetstream::Context {
    jetstream::new(async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap())
}

/// When somebody watched last, in milliseconds since 1970.
async fn watched_at(js: &jetstream::Context) -> Option<i64> {
    let stream = js.get_stream("KV_accounts").await.unwrap();
    let message = stream.get_last_raw_message_by_subject("$KV.accounts.watch").await.ok()?;
    serde_json::from_slice::<Value>(&message.payload).unwrap()["at"].as_i64()
}

fn phone(person: usize) -> String {
    format!("1415555{:04}", 7000 + person)
}

/// Somebody writes, Evolution keeps it, and its webhook is not delivered.
fn missed(site: &Site, nth: usize) -> Value {
    let webhook = webhook(&phone(nth % PEOPLE), &format!("missed {nth}"));
    site.evolution.keep_message(INSTANCE, webhook["data"].clone());
    webhook
}

async fn what_came_while_the_hub_was_off_is_answered_once_and_in_order(database: Database) {
    let mut site = Site::parts_with(database, Behaviour::Echo, &WATCH).await;
    let js = jetstream_of(&site).await;
    let before = site.say(&phone(0), "before").await;
    site.ended(&before).await;
    until("somebody watches", DEADLINE, async || watched_at(&js).await.is_some()).await;

    site.hub.terminate().await;
    site.worker.as_mut().unwrap().terminate().await;
    let webhooks: Vec<Value> = (0..MESSAGES).map(|nth| missed(&site, nth)).collect();
    // Of another life: kept there since long before the instance was made here.
    let old = customers::webhook(INSTANCE, &phone(0), &message_id(), "old", now() - 3600);
    site.evolution.keep_message(INSTANCE, old["data"].clone());
    site.evolution.ignore_times(INSTANCE);
    let last = watched_at(&js).await.unwrap();
    until("the hub was away for more than two rounds", DEADLINE, async || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() > last + 2_100
    })
    .await;
    site.hub.start_again();
    site.worker.as_mut().unwrap().start_again();
    site.hub.wait_ready().await;

    until("all are answered", DEADLINE, async || site.evolution.sent().len() == 1 + MESSAGES).await;
    // Evolution tries them again, late: they are known.
    for webhook in &webhooks {
        let traces = site.accepted("/webhook/evolution/acme", webhook).await;
        assert_eq!(site.ended(&traces[0]).await["outcome"], "answered");
    }
    for person in 0..PEOPLE {
        let trace = site.say(&phone(person), "after").await;
        site.ended(&trace).await;
        let missed = (0..MESSAGES).filter(|nth| nth % PEOPLE == person).map(|nth| format!("echo: missed {nth}"));
        let mut expected: Vec<String> = missed.chain(["echo: after".to_owned()]).collect();
        if person == 0 {
            expected.insert(0, "echo: before".to_owned());
        }
        assert_eq!(site.replies_to(&phone(person)), expected, "person {person}");
    }
    assert!(site.metric("omnihub_missed_messages_total", &[("instance", INSTANCE)]).await >= MESSAGES as f64);
    site.assert_no_violations();
}

async fn tell(site: &Site, event: &str, data: Value) {
    let body = json!({"event": event, "instance": INSTANCE, "data": data, "date_time": "2026-11-22T01:20:17.799Z"});
    let answer = site.post("/webhook/evolution/acme", &body).await;
    assert_eq!((answer.status, &answer.body["ignored_event"]), (200, &json!(event)), "{}", answer.text);
}

async fn connection(site: &Site) -> Value {
    site.get(&format!("/api/v1/instances/{INSTANCE}/status")).await["connection"].clone()
}

async fn an_account_that_comes_open_again_has_missed_nothing(database: Database) {
    let site = Site::parts_with(database, Behaviour::Echo, &[("OMNIHUB_ACCOUNT_CHECK", "3600")]).await;
    assert_eq!(connection(&site).await, Value::Null);
    tell(&site, "connection.update", json!({"state": "close", "statusReason": 428})).await;
    until("it is known to be closed", DEADLINE, async || connection(&site).await["state"] == "closed").await;
    assert_eq!(connection(&site).await["reason"], 428);

    // A storm of the same is written once.
    let js = jetstream_of(&site).await;
    let written = async || js.get_stream("KV_accounts").await.unwrap().info().await.unwrap().state.last_sequence;
    let before = written().await;
    for _ in 0..300 {
        tell(&site, "connection.update", json!({"state": "connecting", "statusReason": 200})).await;
    }
    until("it is known to connect", DEADLINE, async || connection(&site).await["state"] == "connecting").await;
    assert!(written().await <= before + 2, "the state, and perhaps the watch");

    missed(&site, 0);
    tell(&site, "connection.update", json!({"state": "open", "wuid": "5511999990000@s.whatsapp.net"})).await;
    until("what was missed is answered", DEADLINE, async || site.replies_to(&phone(0)) == ["echo: missed 0"]).await;
    assert_eq!(connection(&site).await["state"], "open");
    tell(&site, "logout.instance", Value::Null).await;
    until("it is known to be unpaired", DEADLINE, async || connection(&site).await["state"] == "logged_out").await;
    site.assert_no_violations();
}

/// A message of so long ago, in a row of its own.
fn came(minutes_ago: i64) -> String {
    let at = (chrono::Utc::now() - chrono::TimeDelta::minutes(minutes_ago)).format("%Y-%m-%dT%H:%M:%S+00:00");
    format!(
        "INSERT INTO message_traces (trace_id, instance_id, instance_name, channel_type, status, received_at, revision, \
         created_at, updated_at) SELECT {{id}}, instance_id, instance_name, channel_type, status, '{at}', revision, '{at}', '{at}' \
         FROM message_traces LIMIT 1"
    )
}

async fn an_account_that_falls_silent_is_noticed(database: Database) {
    const DAY: i64 = 24 * 60;
    let site = Site::parts_with(database, Behaviour::Echo, &WATCH).await;
    site.change_instance(INSTANCE, json!({"restart_when_silent": true})).await;
    let trace = site.say(&phone(0), "hi").await;
    site.ended(&trace).await;
    let tables = sea_orm::Database::connect(site.database_url()).await.unwrap();
    let run = async |sql: String| tables.execute_unprepared(&sql).await.unwrap();
    let is_postgres = database == Database::Postgres;
    // On each day of the week before, six messages within the hour in which nothing comes today.
    for day in 1..=7 {
        for nth in 0..6_i64 {
            let id = format!("{:032x}", day * 100 + nth);
            let id = if is_postgres { format!("'{id}'::uuid") } else { format!("X'{id}'") };
            run(came(day * DAY + 5 + nth * 9).replace("{id}", &id)).await;
        }
    }
    let then = (chrono::Utc::now() - chrono::TimeDelta::days(30)).format("%Y-%m-%dT%H:%M:%S+00:00");
    run(format!("UPDATE instance_configs SET created_at = '{then}'")).await;
    let hour_ago = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%S+00:00");
    run(format!("UPDATE message_traces SET received_at = '{hour_ago}' WHERE outcome IS NOT NULL")).await;

    until("it is known to be silent", DEADLINE, async || !connection(&site).await["silent_since"].is_null()).await;
    let restarts = || site.evolution.admin_calls().into_iter().filter(|call| call.operation == "restart").count();
    assert_eq!(restarts(), 1);
    assert!((site.metric("omnihub_account_silent", &[("instance", INSTANCE)]).await - 1.0).abs() < 0.1);

    let trace = site.say(&phone(0), "here I am").await;
    site.ended(&trace).await;
    until("it is silent no more", DEADLINE, async || connection(&site).await["silent_since"].is_null()).await;
    assert_eq!(restarts(), 1, "once for each silence");
    let off = site.api(Method::PUT, "/api/v1/instances/acme", Some(&json!({"catch_up_minutes": 1441}))).await;
    assert_eq!(off.status, 422, "{}", off.text);
    site.assert_no_violations();
}
