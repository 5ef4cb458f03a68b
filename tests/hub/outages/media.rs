//! The object store has lost what a message refers to.

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Deployment, Ledger, until};

#[tokio::test]
async fn a_body_that_is_gone_makes_a_dead_letter_that_says_so() {
    let mut deployment = Deployment::apart(Behaviour::Echo, &["w1"]).await;
    let mut ledger = Ledger::default();
    deployment.workers[0].kill9();
    let mut long = Ledger::webhook(70, 0);
    long["data"]["message"]["conversation"] = "many words ".repeat(30 * 1024).into();
    let posted = deployment.post_until_accepted(&long, DEADLINE).await;
    let trace = posted.body["trace_id"].as_str().unwrap().to_owned();
    let js = deployment.jetstream().await;
    let store = js.get_object_store("media").await.unwrap();
    let mut objects = store.list().await.unwrap();
    let body = futures_util::StreamExt::next(&mut objects).await.unwrap().unwrap().name;
    assert!(body.ends_with("/body"), "{body}");
    store.delete(&body).await.unwrap();

    deployment.workers[0].start_again();
    deployment.workers[0].wait_ready().await;
    until("the message is dead", DEADLINE, async || deployment.traces("outcome=dead").await == 1).await;
    let (found, _) = deployment.get(&format!("traces/{trace}")).await;
    assert_eq!((&found["status"], &found["outcome_reason"]), (&json!("error"), &json!("body_missing")));
    let words = found["error_message"].as_str().unwrap_or_default();
    assert!(words.contains("object store"), "{found}");
    let dead = js.get_stream("DEAD").await.unwrap();
    let letter: Value = serde_json::from_slice(&dead.get_raw_message(1).await.unwrap().payload).unwrap();
    assert_eq!((&letter["reason"], letter["error_message"].as_str()), (&json!("body_missing"), Some(words)));
    assert!(deployment.agent.calls().is_empty() && deployment.evolution.sent().is_empty());

    // The conversation, and everybody else, goes on.
    ledger.post(&deployment, 71..73, 1, 2).await;
    deployment.evolution.wait_for_sent(2, DEADLINE).await.unwrap();
    deployment.assert_no_violations();
}
