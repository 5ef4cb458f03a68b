//! An instance whose row in the database cannot be read: its messages wait and say so.

use async_nats::jetstream;
use omnihub_common::queue::{Envelope, now_ms};
use omnihub_fakes::Behaviour;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, Store, until};

const PHONE: &str = "14155558301";

/// Sets the stored key of the agent, and answers what stood there.
async fn stored_key(database: &DatabaseConnection, key: &str) -> String {
    let read = Statement::from_string(database.get_database_backend(), "SELECT agent_api_key FROM instance_configs");
    let before = database.query_one_raw(read).await.unwrap().unwrap().try_get("", "agent_api_key").unwrap();
    database.execute_unprepared(&format!("UPDATE instance_configs SET agent_api_key = '{key}'")).await.unwrap();
    before
}

/// What was said last is put back into the queue as if it had come two days ago.
async fn grow_old(site: &Site) {
    let js = jetstream::new(async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap());
    let stream = js.get_stream("INBOUND").await.unwrap();
    let last = stream.get_last_raw_message_by_subject("in.>").await.unwrap();
    let mut envelope: Envelope = serde_json::from_slice(&last.payload).unwrap();
    envelope.received_at = now_ms() - 2 * 24 * 60 * 60 * 1000;
    stream.delete_message(last.sequence).await.unwrap();
    js.publish(last.subject, serde_json::to_vec(&envelope).unwrap().into()).await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_an_unreadable_instance_wait_and_die_of_old_age() {
    let store = Store::new(Database::Postgres).await;
    let settings = [("DATABASE_URL", &*store.url()), ("OMNIHUB_WORKER_ID", "w1")];
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Echo, &settings).await;
    // The worker must not know the instance from before.
    site.worker.as_mut().unwrap().kill9();
    let old = site.say("14155558302", "two days ago").await;
    grow_old(&site).await;
    let waiting = site.say(PHONE, "hello").await;
    let database = sea_orm::Database::connect(store.url()).await.unwrap();
    let key = stored_key(&database, "v1.test.AAAA").await;
    site.worker.as_mut().unwrap().start_again();

    let trace = site.ended(&old).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("instance_unreadable")));
    let letters = site.get("/api/v1/dead-letters?reason=instance_unreadable").await;
    assert_eq!((&letters["total"], &letters["dead_letters"][0]["id"]), (&json!(1), &json!(old)));

    let mut found = Value::Null;
    until("the other one is held", DEADLINE, async || {
        found = site.get(&format!("/api/v1/where?trace_id={waiting}")).await["conversations"][0].clone();
        found["state"] == "held"
    })
    .await;
    assert!(found.to_string().contains("instance_unreadable"), "{found}");
    let told = site.get(&format!("/api/v1/traces/{waiting}/explanation")).await;
    assert!(told["sentences"].to_string().contains("what the database holds of the instance cannot be read"), "{told}");

    // Whoever mends it is heard at once.
    stored_key(&database, &key).await;
    site.change_instance(INSTANCE, json!({"agent_timeout": 61})).await;
    assert_eq!(site.ended(&waiting).await["outcome"], "answered");
    assert_eq!((site.replies_to(PHONE), site.replies_to("14155558302")), (vec!["echo: hello".to_owned()], vec![]));
    database.close().await.unwrap();
}
