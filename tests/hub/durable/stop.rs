//! A polite stop: what runs is finished, nothing is asked twice.

use std::time::Duration;

use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, is_alive};

async fn stopped_while_turns_run(deployment: &mut Deployment) {
    let mut ledger = Ledger::default();
    ledger.post(deployment, 0..10, 3, 10).await;
    deployment.agent.wait_for_calls(10, DEADLINE).await.unwrap();
    let worker = deployment.worker();
    worker.terminate().await;
    assert_eq!(worker.exit_code(), Some(0), "{}", worker.log());
    let calls = deployment.agent.calls();
    assert!(calls.iter().all(|call| call.status == Some(200)), "a running turn was cut");
    assert_eq!(deployment.evolution.sent().len(), calls.len(), "a running turn was not finished");

    let worker = deployment.worker();
    worker.start_again();
    worker.wait_ready().await;
    ledger.assert_answered(deployment, 0).await;
    assert_eq!(deployment.agent.calls().len(), ledger.len(), "an agent was asked again");
    deployment.settle(10).await;
}

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(700), Behaviour::Echo)
}

#[tokio::test]
async fn a_stopped_hub_finishes_its_turns_and_takes_its_nats_server_along() {
    let mut deployment = Deployment::up(slow()).await;
    let first_child = deployment.nats_child();
    stopped_while_turns_run(&mut deployment).await;
    let second_child = deployment.nats_child();
    deployment.front.terminate().await;
    assert_eq!(deployment.front.exit_code(), Some(0));
    assert!(!is_alive(first_child) && !is_alive(second_child));
}

#[tokio::test]
async fn a_stopped_worker_finishes_its_turns() {
    let mut deployment = Deployment::apart(slow(), &["w1"]).await;
    stopped_while_turns_run(&mut deployment).await;
    deployment.front.terminate().await;
    assert_eq!(deployment.front.exit_code(), Some(0));
}
