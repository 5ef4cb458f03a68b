//! Letters that cannot be redriven, letters of earlier builds, and a broker that is away.

use omnihub_common::queue::{DeadLetter, Envelope, LaneAddress, Subjects, now_ms, partition_of, token};
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use super::{LETTERS, dies, ids, jetstream_of, list, redrive, redrive_many, refusing, total};
use crate::harness::{DEADLINE, Database, Site, on_both_databases, until};

on_both_databases!(what_cannot_be_redriven_says_why, without_the_broker_nothing_is_answered_wrongly);

async fn what_cannot_be_redriven_says_why(database: Database) {
    let site = Site::parts(database, Behaviour::Echo).await;
    let js = jetstream_of(&site).await;
    let publish = async |subject: String, payload: Vec<u8>| {
        js.publish(subject, payload.into()).await.unwrap().await.unwrap();
    };
    let id = site.get("/api/v1/instances/acme").await["id"].as_i64().unwrap();

    // A message that nobody can read.
    let lane =
        LaneAddress { partition: partition_of(id, "x", 32), instance: format!("acme-{id}"), conversation: token("x") };
    publish(Subjects::inbound(&lane), br#"{"apikey": "planted-in-garbage", "v": 1}"#.to_vec()).await;
    until("it is a dead letter", DEADLINE, async || total(&site).await == 1).await;
    let page = list(&site, "?instance_name=acme&reason=unreadable").await;
    let unreadable = ids(&page)[0].to_owned();
    assert!(unreadable.starts_with("raw-"), "{unreadable}");
    let shown = site.get(&format!("{LETTERS}/{unreadable}")).await;
    assert_eq!((&shown["trace_id"], &shown["not_redrivable"]["reason"]), (&Value::Null, &json!("unreadable")));
    assert!(!shown.to_string().contains("planted"), "{shown}");
    redrive(&site, &unreadable).await.assert_problem(409, "unreadable");

    // One whose instance is no more, and one of an earlier build, a week old.
    site.agent.set_behaviour(refusing());
    let trace = dies(&site, "14155557001", "a week ago").await;
    let stream = js.get_stream("DEAD").await.unwrap();
    let filter = Subjects::dead_anywhere(&trace);
    let stored = stream.get_last_raw_message_by_subject(&filter).await.unwrap();
    let mut letter: DeadLetter = serde_json::from_slice(&stored.payload).unwrap();
    let envelope = letter.envelope.take().unwrap();
    let ghost = Envelope { instance_id: 4711, trace_id: Default::default(), ..envelope.clone() };
    let ghost_id = ghost.trace_id.to_string();
    let record = |envelope| DeadLetter { envelope: Some(envelope), ..letter.clone() };
    publish(Subjects::dead("acme-4711", "y", &ghost_id), serde_json::to_vec(&record(ghost)).unwrap()).await;
    let old = Envelope { received_at: now_ms() - 7 * 24 * 60 * 60 * 1000, ..envelope };
    publish(stored.subject.to_string(), serde_json::to_vec(&record(old)).unwrap()).await;

    site.agent.set_behaviour(Behaviour::Echo);
    let dry = redrive_many(&site, json!({"instance_name": "acme", "dry_run": true})).await;
    let skipped = json!({"instance_deleted": 1, "unreadable": 1});
    assert_eq!((&dry["matched"], &dry["redrivable"], &dry["skipped"]), (&json!(3), &json!(1), &skipped));
    let done = redrive_many(&site, json!({"all": true})).await;
    assert_eq!((&done["matched"], &done["redriven"], &done["skipped"]), (&json!(3), &json!(1), &skipped));
    let named: Vec<&str> =
        done["skipped_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!(named, [unreadable.as_str(), &ghost_id]);
    redrive(&site, &ghost_id).await.assert_problem(409, "instance_deleted");
    // Its age counts from the redrive.
    let trace = site.trace_when(&trace, "is answered", |trace| trace["outcome"] == "answered").await;
    assert_eq!(site.replies_to("14155557001"), ["echo: a week ago"], "{trace}");
    for id in [unreadable, ghost_id] {
        assert_eq!(site.api(Method::DELETE, &format!("{LETTERS}/{id}"), None).await.status, 200);
    }
    assert_eq!(total(&site).await, 0);
}

async fn without_the_broker_nothing_is_answered_wrongly(database: Database) {
    let mut site = Site::parts(database, refusing()).await;
    let letter = dies(&site, "14155557100", "still here").await;
    site.nats.as_mut().unwrap().stop();
    let calls = [
        (Method::GET, LETTERS.to_owned(), None),
        (Method::GET, format!("{LETTERS}/{letter}"), None),
        (Method::DELETE, format!("{LETTERS}/{letter}"), None),
        (Method::DELETE, format!("{LETTERS}?all=true"), None),
        (Method::POST, format!("{LETTERS}/{letter}/redrive"), None),
        (Method::POST, format!("{LETTERS}/redrive"), Some(json!({"all": true}))),
    ];
    for (method, path, body) in calls {
        site.api(method, &path, body.as_ref()).await.assert_problem(503, "queue_unavailable");
    }
    site.nats.as_mut().unwrap().start_again().await;
    site.agent.set_behaviour(Behaviour::Echo);
    let path = format!("{LETTERS}/{letter}/redrive");
    until("the letter is redriven", DEADLINE, async || site.api(Method::POST, &path, None).await.status == 200).await;
    site.trace_when(&letter, "is answered", |trace| trace["outcome"] == "answered").await;
    assert_eq!(site.replies_to("14155557100"), ["echo: still here"]);
}
