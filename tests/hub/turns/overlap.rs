//! `overlap`: messages that arrive while a turn runs.

use std::time::Duration;

use omnihub_fakes::Behaviour;
use serde_json::json;

use super::{assert_answered_together, questions, say_all};
use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases};

on_both_databases!(merge_and_queue, supersede);

const PHONE: &str = "14155553101";

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(700), Behaviour::Echo)
}

async fn merge_and_queue(database: Database) {
    let site = Site::up(database, slow()).await;
    let first = say_all(&site, PHONE, &["one"]).await;
    site.agent.wait_for_calls(1, DEADLINE).await.unwrap();
    let others = say_all(&site, PHONE, &["two", "three"]).await;
    for trace in first.iter().chain(&others) {
        assert_eq!(site.ended(trace).await["outcome"], "answered");
    }
    assert_eq!(questions(&site), ["one", "two", "three"], "queue is what an instance begins with");

    site.add_instance("merging", json!({"overlap": "merge"})).await;
    let phone = "14155553102";
    let first = vec![site.say_to("merging", phone, "one").await];
    site.agent.wait_for_calls(4, DEADLINE).await.unwrap();
    let mut others = Vec::new();
    for text in ["two", "three", "four"] {
        others.push(site.say_to("merging", phone, text).await);
    }
    assert_answered_together(&site, &first).await;
    assert_answered_together(&site, &others).await;
    assert_eq!(questions(&site)[3..], ["one", "two\nthree\nfour"]);
    assert_eq!(site.replies_to(phone), ["echo: one", "echo: two\nthree\nfour"]);
    site.assert_no_violations();
}

async fn supersede(database: Database) {
    let site = Site::up(database, slow()).await;
    site.change_instance(INSTANCE, json!({"overlap": "supersede", "takeover_minutes": 0})).await;
    let first = say_all(&site, PHONE, &["cancel my order"]).await;
    site.agent.wait_for_calls(1, DEADLINE).await.unwrap();
    // What gets no answer withdraws nothing.
    let mut own = crate::harness::webhook(PHONE, "typed by hand");
    own["data"]["key"]["fromMe"] = true.into();
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &own).await;
    assert_answered_together(&site, &first).await;
    assert_eq!(questions(&site), ["cancel my order"]);

    let mut traces = say_all(&site, PHONE, &["no wait"]).await;
    site.agent.wait_for_calls(2, DEADLINE).await.unwrap();
    traces.extend(say_all(&site, PHONE, &["keep it"]).await);
    assert_answered_together(&site, &traces).await;
    assert_eq!(questions(&site)[1..], ["no wait", "no wait\nkeep it"]);
    assert_eq!(site.replies_to(PHONE), ["echo: cancel my order", "echo: no wait\nkeep it"], "one answer, to both");
    assert_eq!(site.agent.calls()[1].status, None, "the first question was given up");
    site.assert_no_violations();
}
