//! `debounce_ms`: one thought in several messages gets one answer.

use std::time::Duration;

use async_nats::jetstream;
use omnihub_common::queue::Subjects;
use omnihub_fakes::Behaviour;
use serde_json::json;

use super::{assert_answered_together, questions, say_all};
use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(a_burst_is_one_question, a_burst_survives_the_death_of_its_worker);

const PHONE: &str = "14155553001";
const BURST: [&str; 5] = ["hi", "I have a question", "about my order", "number 77", "where is it?"];
const TOGETHER: &str = "hi\nI have a question\nabout my order\nnumber 77\nwhere is it?";

async fn a_burst_is_one_question(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"debounce_ms": 1500, "takeover_minutes": 0, "turns_per_minute": 0})).await;
    let traces = say_all(&site, PHONE, &BURST).await;
    assert_answered_together(&site, &traces).await;
    assert_eq!(questions(&site), [TOGETHER]);
    assert_eq!(site.replies_to(PHONE), [format!("echo: {TOGETHER}")]);

    // A message that gets no answer does not keep the others from theirs.
    let mut own = crate::harness::webhook(PHONE, "typed by hand");
    own["data"]["key"]["fromMe"] = true.into();
    let first = site.say(PHONE, "another").await;
    let ignored = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &own).await;
    let second = site.say(PHONE, "thought").await;
    assert_answered_together(&site, &[first, second]).await;
    assert_eq!(site.ended(&ignored[0]).await["outcome_reason"], "from_me");
    assert_eq!(questions(&site)[1..], ["another\nthought"]);

    // Off again: a message is a turn.
    site.change_instance(INSTANCE, json!({"debounce_ms": 0})).await;
    let asked_before = questions(&site).len();
    until("a message is asked for by itself", DEADLINE, async || {
        let texts = ["now", "then"];
        for trace in say_all(&site, PHONE, &texts).await {
            site.ended(&trace).await;
        }
        questions(&site).ends_with(&texts.map(str::to_owned)) || questions(&site).len() > asked_before + 20
    })
    .await;
    assert!(questions(&site).ends_with(&["now".to_owned(), "then".to_owned()]));
    site.assert_no_violations();
}

async fn a_burst_survives_the_death_of_its_worker(database: Database) {
    let mut site = Site::parts(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"debounce_ms": 1500})).await;
    let traces = say_all(&site, PHONE, &BURST).await;
    let worker = site.worker.as_mut().expect("a worker");
    worker.kill9();
    worker.start_again();
    worker.wait_ready().await;
    assert_answered_together(&site, &traces).await;
    assert_eq!(questions(&site), [TOGETHER], "killed inside the window, and still one question");
    assert_eq!(site.replies_to(PHONE), [format!("echo: {TOGETHER}")]);

    // Killed while the agent is asked: the same messages are one turn again.
    site.agent.set_behaviour(Behaviour::slow(Duration::from_millis(800), Behaviour::Echo));
    let traces = say_all(&site, PHONE, &["and", "another", "thing"]).await;
    site.agent.wait_for_calls(2, DEADLINE).await.unwrap();
    let worker = site.worker.as_mut().expect("a worker");
    worker.kill9();
    worker.start_again();
    worker.wait_ready().await;
    assert_answered_together(&site, &traces).await;
    let calls = site.agent.calls();
    assert_eq!(calls[1..].iter().map(|call| call.message()).collect::<Vec<_>>(), ["and\nanother\nthing"; 2]);
    assert_eq!(calls[1].idempotency_key(), calls[2].idempotency_key());
    site.assert_no_violations();
}

/// The last thing in a partition is no message of the hub's: those before it are gathered all the
/// same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_message_behind_a_burst_does_not_hold_it_up() {
    let mut site = Site::parts(Database::Sqlite, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"debounce_ms": 1500})).await;
    let traces = say_all(&site, PHONE, &BURST).await;
    let worker = site.worker.as_mut().expect("a worker");
    worker.kill9();
    let client = async_nats::connect(site.nats.as_ref().expect("a server").url()).await.unwrap();
    let js = jetstream::new(client);
    for partition in 0..32 {
        let subject = Subjects::inbound_partition(partition).replace('>', "nobody");
        js.publish(subject, "not of the hub".into()).await.unwrap().await.unwrap();
    }
    let worker = site.worker.as_mut().expect("a worker");
    worker.start_again();
    worker.wait_ready().await;
    assert_answered_together(&site, &traces).await;
    assert_eq!(questions(&site), [TOGETHER]);
}
