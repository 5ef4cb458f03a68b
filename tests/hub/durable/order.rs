//! A conversation that must wait keeps its order and makes nobody else wait.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::http::StatusCode;
use omnihub_fakes::{Answer, Behaviour};
use serde_json::json;

use crate::harness::{Deployment, Ledger, phone};

async fn the_failing_one_waits_alone(deployment: Deployment) {
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    deployment.agent.set_behaviour(Behaviour::custom(move |call| {
        if call.message() == "message 0 of 0" && fails.load(Ordering::SeqCst) {
            return Answer::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({"detail": "not now"}));
        }
        Answer::text(call, &format!("echo: {}", call.message()))
    }));
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..1, 2, 1).await;
    deployment.agent.wait_for_calls(1, super::DEADLINE).await.unwrap();
    ledger.post(&deployment, 1..5, 2, 4).await;
    deployment.evolution.wait_for_sent(8, super::DEADLINE).await.unwrap();
    failing.store(false, Ordering::SeqCst);
    ledger.assert_answered(&deployment, 0).await;

    let asked: Vec<_> = deployment.agent.calls().into_iter().filter(|call| call.message().ends_with("of 0")).collect();
    let messages: Vec<&str> = asked.iter().map(|call| call.message()).collect();
    let (last, failed) = messages.split_last().unwrap();
    assert_eq!(*last, "message 1 of 0");
    assert!(failed.len() >= 2 && failed.iter().all(|message| *message == "message 0 of 0"), "{messages:?}");
    assert_eq!(asked[0].idempotency_key(), asked[1].idempotency_key());
    let sent = deployment.evolution.sent();
    let waited = sent.iter().find(|sent| sent.number == phone(0)).unwrap();
    let others = sent.iter().filter(|sent| sent.number != phone(0));
    assert!(others.into_iter().all(|other| other.at < waited.at), "somebody waited for the failing one");
}

#[tokio::test]
async fn a_failing_agent_delays_only_its_own_conversation_all_in_one() {
    the_failing_one_waits_alone(Deployment::up(Behaviour::Echo).await).await;
}

#[tokio::test]
async fn a_failing_agent_delays_only_its_own_conversation_all_in_one_on_postgres() {
    the_failing_one_waits_alone(Deployment::up_on_postgres(Behaviour::Echo).await).await;
}

#[tokio::test]
async fn a_failing_agent_delays_only_its_own_conversation_with_the_parts_apart() {
    the_failing_one_waits_alone(Deployment::apart(Behaviour::Echo, &["w1"]).await).await;
}

#[tokio::test]
async fn a_failing_agent_delays_only_its_own_conversation_on_three_servers() {
    the_failing_one_waits_alone(Deployment::apart_on_three(Behaviour::Echo, &["w1"]).await).await;
}
