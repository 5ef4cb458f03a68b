//! A bubble that may be out: Evolution is asked before it is sent again.

use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::{send, sent_to, trace_id};
use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(
    a_worker_killed_before_it_heard_that_a_bubble_is_out_does_not_send_it_again,
    an_unanswered_bubble_that_is_out_is_not_sent_again,
    without_a_history_only_the_bubble_in_doubt_goes_out_twice,
    the_same_words_of_an_earlier_answer_are_no_proof,
);

const PHONE: &str = "14155557411";

fn bubbles() -> Vec<String> {
    (1..=3).map(|n| format!("{n} {}", "word ".repeat(90).trim_end())).collect()
}

/// A hub whose agent answers with three bubbles.
async fn site(database: Database) -> Site {
    Site::parts(database, Behaviour::Fixed(bubbles().join("\n\n"))).await
}

fn assert_ids(site: &Site, trace: &Value) {
    let ids: Vec<String> = site.evolution.sent().into_iter().map(|sent| sent.message_id).collect();
    assert_eq!(trace["reply_message_ids"], json!(ids));
}

async fn a_worker_killed_before_it_heard_that_a_bubble_is_out_does_not_send_it_again(database: Database) {
    let mut site = site(database).await;
    site.evolution.answer_after(Duration::from_secs(600));
    let trace = site.say(PHONE, "hello").await;
    site.evolution.wait_for_sent(1, DEADLINE).await.unwrap();
    let worker = site.worker.as_mut().unwrap();
    worker.kill9();
    site.evolution.answer_after(Duration::ZERO);
    worker.start_again();
    worker.wait_ready().await;

    let trace = site.ended(&trace).await;
    assert_eq!(trace["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), bubbles());
    assert!(trace["warnings"].to_string().contains("bubble 1 was not sent again"), "{trace}");
    assert_ids(&site, &trace);
    assert_eq!(site.agent.calls().len(), 1, "a stored answer is never asked for again");
    site.assert_no_violations();
}

async fn an_unanswered_bubble_that_is_out_is_not_sent_again(database: Database) {
    let site = site(database).await;
    site.evolution.fail_next_after_sending(1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
    let trace = site.say(PHONE, "hello").await;
    let trace = site.ended(&trace).await;
    assert_eq!(trace["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), bubbles());
    assert_ids(&site, &trace);

    // A file of a program's, known by its caption.
    site.evolution.fail_next_after_sending(1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
    let file = json!({"phone_number": PHONE, "media_type": "image", "media_base64": "aGk=", "caption": "the map"});
    let answer = send(&site, "media", &file).await;
    let trace = site.ended(&trace_id(&answer)).await;
    assert!(trace["warnings"].to_string().contains("was not sent again"), "{trace}");
    let maps = sent_to(&site, PHONE).into_iter().filter(|sent| sent.text == "the map").count();
    assert_eq!(maps, 1);
    site.assert_no_violations();
}

async fn without_a_history_only_the_bubble_in_doubt_goes_out_twice(database: Database) {
    let site = site(database).await;
    let mut expected = bubbles();
    expected.insert(0, expected[0].clone());
    // A version without the route, and a server that keeps nothing.
    let missing = json!({"status": 404, "error": "Not Found", "response": {"message": ["Cannot POST"]}});
    site.evolution.fail_admin("findMessages", 1, StatusCode::NOT_FOUND, &missing);
    site.evolution.forget_sent(INSTANCE);
    for phone in ["14155557412", "14155557413"] {
        site.evolution.fail_next_after_sending(1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
        let trace = site.say(phone, "hello").await;
        let trace = site.ended(&trace).await;
        assert_eq!(trace["outcome"], "answered");
        assert_eq!(site.replies_to(phone), expected);
        assert!(trace["warnings"].to_string().contains("bubble 1 may have been sent twice"), "{trace}");
    }
    assert!(site.evolution.operations_since(0).contains(&"findMessages"));
    site.assert_no_violations();
}

async fn the_same_words_of_an_earlier_answer_are_no_proof(database: Database) {
    let site = site(database).await;
    let first = site.say(PHONE, "hello").await;
    assert_eq!(site.ended(&first).await["outcome"], "answered");
    // Not out this time, and yet in doubt.
    site.evolution.fail_next(1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
    let second = site.say(PHONE, "hello again").await;
    let trace = site.ended(&second).await;
    assert_eq!(trace["outcome"], "answered");
    let twice: Vec<String> = bubbles().into_iter().chain(bubbles()).collect();
    assert_eq!(site.replies_to(PHONE), twice);
    assert!(trace["warnings"].to_string().contains("may have been sent twice"), "{trace}");
    until("everything is recorded", DEADLINE, async || site.evolution.sent().len() == 6).await;
}
