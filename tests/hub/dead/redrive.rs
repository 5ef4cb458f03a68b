//! Back into the lanes.

use std::time::Duration;

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use super::{LETTERS, dies, ids, jetstream_of, list, redrive, redrive_many, refusing, replies_after_all, total};
use crate::harness::{DEADLINE, Database, Site, on_both_databases, until};

on_both_databases!(the_dead_are_answered_after_all, a_redrive_whose_answer_was_lost_is_repeated);

async fn answered(site: &Site, trace: &str) -> Value {
    site.trace_when(trace, "is answered", |trace| trace["outcome"] == "answered").await
}

async fn the_dead_are_answered_after_all(database: Database) {
    let site = Site::up(database, refusing()).await;
    let one = dies(&site, "14155559001", "one").await;
    let first = dies(&site, "14155559002", "first").await;
    let second = dies(&site, "14155559002", "second").await;
    let third = dies(&site, "14155559003", "third").await;

    // A dry run does nothing; nothing asked for is an error.
    let dry = redrive_many(&site, json!({"all": true, "dry_run": true})).await;
    let counts = (&dry["matched"], &dry["redrivable"], &dry["redriven"], &dry["dry_run"]);
    assert_eq!(counts, (&json!(4), &json!(4), &json!(0), &json!(true)));
    assert_eq!(total(&site).await, 4);
    for body in [json!({}), json!({"dry_run": true}), json!({"all": false}), json!({"all": true, "instance": "acme"})] {
        let answer = site.api(Method::POST, &format!("{LETTERS}/redrive"), Some(&body)).await;
        answer.assert_problem(422, "invalid_parameter");
    }

    // It dies again: one letter, its redrives counted, its trace dead again.
    assert_eq!(redrive(&site, &one).await.body["redrives"], 1);
    let calls = async || site.agent.calls().iter().filter(|call| call.message() == "one").count() == 2;
    until("it is asked again", DEADLINE, calls).await;
    let trace = site
        .trace_when(&one, "is dead again", |trace| {
            trace["outcome"] == "dead" && trace["warnings"].to_string().contains("time 1")
        })
        .await;
    assert_eq!((&trace["attempts"], &trace["outcome_reason"]), (&json!(1), &json!("agent_rejected")));
    let letters = list(&site, "?phone=14155559001").await;
    assert_eq!((ids(&letters), &letters["dead_letters"][0]["redrives"]), (vec![one.as_str()], &json!(1)));

    // One: from dead to answered.
    site.agent.set_behaviour(Behaviour::Echo);
    let done = redrive(&site, &one).await;
    assert_eq!((done.status, &done.body["trace_id"], &done.body["redrives"]), (200, &json!(one), &json!(2)));
    let trace = answered(&site, &one).await;
    assert_eq!(
        (&trace["status"], &trace["outcome_reason"], &trace["attempts"]),
        (&json!("completed"), &Value::Null, &json!(1))
    );
    assert_eq!((&trace["error_message"], &trace["agent_response"]), (&Value::Null, &json!("echo: one")));
    assert!(trace["warnings"].to_string().contains("redriven from the dead letters, time 2"), "{trace}");
    assert_eq!(trace["incoming_payload"]["message"]["conversation"], "one");
    redrive(&site, &one).await.assert_problem(404, "dead_letter_not_found");

    // Those of a filter, at the tail of their lane and in their order.
    site.agent.set_behaviour(Behaviour::slow(Duration::from_millis(400), Behaviour::Echo));
    let running = site.say("14155559002", "running").await;
    site.say("14155559002", "waiting").await;
    let done = redrive_many(&site, json!({"phone": "+14155559002", "reason": "agent_rejected"})).await;
    assert_eq!((&done["matched"], &done["redriven"], &done["skipped"]), (&json!(2), &json!(2), &json!({})));
    for trace in [&running, &first, &second] {
        answered(&site, trace).await;
    }
    let expected = ["echo: running", "echo: waiting", "echo: first", "echo: second"];
    assert_eq!(site.replies_to("14155559002"), expected);

    all_that_are_left(&site, &third).await;
    assert_eq!(site.replies_to("14155559001"), ["echo: one"]);
    site.assert_no_violations();
}

/// An inactive instance's letters are not thrown away.
async fn all_that_are_left(site: &Site, third: &str) {
    site.change_instance("acme", json!({"is_active": false})).await;
    until("its inactivity is known", DEADLINE, async || {
        redrive_many(site, json!({"all": true, "dry_run": true})).await["redrivable"] == 0
    })
    .await;
    let done = redrive_many(site, json!({"all": true})).await;
    assert_eq!((&done["redriven"], &done["skipped"]), (&json!(0), &json!({"instance_inactive": 1})));
    redrive(site, third).await.assert_problem(409, "instance_inactive");
    site.change_instance("acme", json!({"is_active": true})).await;
    until("its activity is known", DEADLINE, async || {
        redrive_many(site, json!({"all": true, "dry_run": true})).await["redrivable"] == 1
    })
    .await;
    assert_eq!(redrive_many(site, json!({"all": true})).await["redriven"], 1);
    answered(site, third).await;
    assert_eq!(total(site).await, 0);
}

async fn a_redrive_whose_answer_was_lost_is_repeated(database: Database) {
    let mut site = Site::parts_with(database, refusing(), &[("OMNIHUB_WORKER_ID", "w1")]).await;
    let letter = dies(&site, "14155559100", "once").await;
    let js = jetstream_of(&site).await;
    let stored = js.get_stream("DEAD").await.unwrap().get_last_raw_message_by_subject("dead.>").await.unwrap();
    let put_back = async || {
        let stored = stored.clone();
        js.publish_with_headers(stored.subject, stored.headers, stored.payload).await.unwrap().await.unwrap();
    };

    // The process died between the queue's word and the removal of the letter; no turn has begun yet.
    site.agent.set_behaviour(Behaviour::Echo);
    site.worker.as_mut().unwrap().kill9();
    let both = tokio::join!(redrive(&site, &letter), redrive(&site, &letter));
    assert!([both.0.status, both.1.status].iter().all(|status| matches!(status, 200 | 404)), "{both:?}");
    put_back().await;
    let again = redrive(&site, &letter).await;
    assert!(again.status == 200, "{}", again.text);
    put_back().await;
    site.worker.as_mut().unwrap().start_again();
    let trace = answered(&site, &letter).await;
    assert!(trace["warnings"].to_string().contains("time 1"), "{trace}");
    // The worker removes what was left: nobody can redrive it a day later.
    until("the letter of the answered message is gone", DEADLINE, async || total(&site).await == 0).await;

    // And once more after its end: the lane knows it.
    put_back().await;
    assert_eq!(redrive(&site, &letter).await.status, 200);
    assert_eq!(replies_after_all(&site, "14155559100").await, ["echo: once"]);
    assert_eq!(
        site.agent.calls().iter().filter(|call| call.message() == "once").count(),
        2,
        "dead once, answered once"
    );
    site.assert_no_violations();
}
