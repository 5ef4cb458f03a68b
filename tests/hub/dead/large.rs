//! Letters whose body is too large for the queue.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectStore;
use futures_util::TryStreamExt;
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::json;

use super::{LETTERS, ids, jetstream_of, list, redrive, redrive_many, refusing, total};
use crate::harness::{DEADLINE, Database, Site, on_both_databases, until};

on_both_databases!(a_large_body_lives_as_long_as_its_letter, a_body_that_is_gone_is_said_to_be);

fn long(word: &str) -> String {
    format!("{word} ").repeat(60 * 1024)
}

async fn names(store: &ObjectStore) -> Vec<String> {
    let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    objects.into_iter().map(|object| object.name).collect()
}

async fn a_large_body_lives_as_long_as_its_letter(database: Database) {
    let site = Site::parts(database, refusing()).await;
    let js = jetstream_of(&site).await;
    let (media, kept) = (js.get_object_store("media").await.unwrap(), js.get_object_store("dead_media").await.unwrap());
    let text = long("redriven");
    let letter = site.say("14155556001", &text).await;
    assert_eq!(site.ended(&letter).await["outcome_reason"], "agent_rejected");
    let shown = site.get(&format!("{LETTERS}/{letter}")).await;
    let body = shown["payload_object"].as_str().unwrap().to_owned();
    assert_eq!((&shown["objects"], &shown["missing"]), (&json!([body]), &json!([])));
    assert_eq!((&shown["phone"], &shown["redrivable"]), (&json!("14155556001"), &json!(true)));

    // Eight days later.
    media.delete(&body).await.unwrap();
    assert_eq!(redrive(&site, &letter).await.status, 200);
    let calls = async || site.agent.calls().len() == 2;
    until("it is asked again", DEADLINE, calls).await;
    until("it is dead again", DEADLINE, async || total(&site).await == 1).await;
    assert_eq!(list(&site, "").await["dead_letters"][0]["redrives"], 1);
    until("of its copies one is left", DEADLINE, async || names(&kept).await == [format!("{body}/1")]).await;

    // And once more.
    media.delete(&body).await.unwrap();
    site.agent.set_behaviour(Behaviour::Fixed("I have read all of it".into()));
    assert_eq!(redrive(&site, &letter).await.status, 200);
    let trace = site.trace_when(&letter, "is answered", |trace| trace["outcome"] == "answered").await;
    assert_eq!(trace["sender_phone"], "14155556001");
    assert_eq!(site.agent.calls().last().unwrap().message().trim(), text.trim());
    assert_eq!(names(&kept).await, Vec::<String>::new());

    // Dropping a letter and deleting its instance remove the copies.
    site.agent.set_behaviour(refusing());
    let dropped = site.say("14155556002", &long("dropped")).await;
    site.ended(&dropped).await;
    assert_eq!(names(&kept).await.len(), 1);
    assert_eq!(site.api(Method::DELETE, &format!("{LETTERS}/{dropped}"), None).await.status, 200);
    assert_eq!(names(&kept).await, Vec::<String>::new());
    site.add_instance("leaving", json!({})).await;
    let orphan = site.say_to("leaving", "14155556003", &long("orphan")).await;
    site.ended(&orphan).await;
    assert_eq!(names(&kept).await.len(), 1);
    assert_eq!(site.api(Method::DELETE, "/api/v1/instances/leaving", None).await.status, 200);
    assert_eq!(names(&kept).await, Vec::<String>::new());
    assert_eq!(total(&site).await, 0);
    site.assert_no_violations();
}

async fn a_body_that_is_gone_is_said_to_be(database: Database) {
    let mut site = Site::parts(database, Behaviour::slow(Duration::from_millis(200), Behaviour::Echo)).await;
    let media = jetstream_of(&site).await.get_object_store("media").await.unwrap();
    site.worker.as_mut().unwrap().kill9();
    let letter = site.say("14155556100", &long("lost")).await;
    let objects = names(&media).await;
    assert_eq!(objects.len(), 1);
    media.delete(&objects[0]).await.unwrap();
    site.worker.as_mut().unwrap().start_again();

    assert_eq!(site.ended(&letter).await["outcome_reason"], "body_missing");
    let page = list(&site, "?phone=14155556100").await;
    assert_eq!((ids(&page), &page["dead_letters"][0]["missing"]), (vec![letter.as_str()], &json!(objects)));
    let shown = site.get(&format!("{LETTERS}/{letter}")).await;
    assert_eq!(shown["not_redrivable"]["reason"], "body_missing");
    redrive(&site, &letter).await.assert_problem(409, "body_missing");
    let done = redrive_many(&site, json!({"all": true})).await;
    assert_eq!((&done["redriven"], &done["skipped"]), (&json!(0), &json!({"body_missing": 1})));
    assert_eq!(total(&site).await, 1);
    assert_eq!(site.agent.calls().len(), 0);
}
