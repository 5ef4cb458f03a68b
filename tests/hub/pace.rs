//! `sends_per_minute` and `typing_speed`: how fast an account writes.

use std::time::Duration;

use omnihub_fakes::Behaviour;
use serde_json::json;

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(an_account_writes_no_faster_than_it_may, an_answer_is_typed);

const PHONE: &str = "14155552981";

async fn an_account_writes_no_faster_than_it_may(database: Database) {
    let worker = [("OMNIHUB_WORKER_ID", "w1")];
    let five = Behaviour::Fixed("one\n\ntwo\n\nthree\n\nfour\n\nfive".to_owned());
    let mut site = Site::parts_with(database, five, &worker).await;
    site.change_instance(INSTANCE, json!({"split_over": 0, "sends_per_minute": 1})).await;
    let asked = site.say(PHONE, "hello?").await;
    site.evolution.wait_for_sent(3, DEADLINE).await.unwrap();
    // The fourth waits for its minute, also with another worker. A person who takes over does not.
    site.worker.as_mut().unwrap().kill9();
    site.worker.as_mut().unwrap().start_again();
    let mut own = webhook(PHONE, "it is me now");
    own["data"]["key"]["fromMe"] = true.into();
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &own).await;
    let cut = site.ended(&asked).await;
    assert_eq!((&cut["outcome"], &cut["outcome_reason"]), (&json!("handed_off"), &json!("taken_over")), "{cut}");
    assert_eq!(site.replies_to(PHONE), ["one", "two", "three"]);

    // Another account has a pace of its own.
    site.add_instance("other", json!({"split_over": 0})).await;
    assert_eq!(site.ended(&site.say_to("other", "14155552982", "hello").await).await["outcome"], "answered");
    site.assert_no_violations();
}

async fn an_answer_is_typed(database: Database) {
    let site = Site::up(database, Behaviour::Fixed(format!("one\n\n{}", "x".repeat(9)))).await;
    site.change_instance(INSTANCE, json!({"split_over": 0, "typing_speed": 10})).await;
    let trace = site.say(PHONE, "hello?").await;
    site.evolution.wait_for_sent(1, DEADLINE).await.unwrap();
    let typed = async || site.evolution.presences().iter().any(|shown| shown.delay == Duration::from_millis(900));
    until("the second is typed", DEADLINE, typed).await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE).len(), 2);
    site.assert_no_violations();
}
