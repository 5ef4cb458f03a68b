//! The broker goes away and comes back.

use std::time::{Duration, Instant};

use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, is_alive, until};

/// Evolution waits up to 30 s for an answer; a refusal that takes long is as bad as none.
const QUICKLY: Duration = Duration::from_secs(6);

async fn assert_refused(deployment: &Deployment, webhook: &serde_json::Value) {
    let started = Instant::now();
    let posted = deployment.post(webhook).await;
    assert_eq!((posted.status, posted.retry_after), (503, true), "{posted:?}");
    assert!(started.elapsed() < QUICKLY, "refused after {:?}", started.elapsed());
}

#[tokio::test]
async fn without_a_broker_webhooks_get_503_and_what_was_accepted_is_answered_later() {
    let slow = Behaviour::slow(Duration::from_millis(300), Behaviour::Echo);
    let mut deployment = Deployment::apart(slow, &["w1"]).await;
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..10, 3, 10).await;
    deployment.agent.wait_for_calls(5, DEADLINE).await.unwrap();

    deployment.nats.as_mut().unwrap().stop();
    // With media, a webhook is stored before it is queued.
    let mut picture = Ledger::webhook(99, 0);
    picture["data"]["messageType"] = "imageMessage".into();
    picture["data"]["message"] = serde_json::json!({"imageMessage": {"mimetype": "image/jpeg"}, "base64": "AAAA"});
    for webhook in [Ledger::webhook(98, 0), Ledger::webhook(98, 0), picture] {
        assert_refused(&deployment, &webhook).await;
    }
    // Longer than the lease: the worker must drop everything and begin anew.
    let lapsed = async || deployment.workers[0].log().contains("the lease has lapsed");
    until("the worker's lease lapses", DEADLINE, lapsed).await;
    assert_refused(&deployment, &Ledger::webhook(98, 0)).await;

    deployment.nats.as_mut().unwrap().start_again().await;
    ledger.post(&deployment, 0..12, 1, 12).await;
    // Refused, and posted again: a publish that was on its way when the broker died may have
    // arrived after all, and then this one is its duplicate.
    ledger.post(&deployment, 98..99, 1, 1).await;
    ledger.assert_answered(&deployment, 0).await;
    deployment.settle(13).await;
    assert!(deployment.front.is_running() && deployment.workers[0].is_running());
}

#[tokio::test]
async fn a_nats_server_that_dies_under_load_is_started_again_and_nothing_is_lost() {
    nats_server_dies(Deployment::up(briefly_slow()).await).await;
}

#[tokio::test]
async fn a_nats_server_that_dies_under_load_loses_nothing_on_postgres_either() {
    nats_server_dies(Deployment::up_on_postgres(briefly_slow()).await).await;
}

fn briefly_slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(100), Behaviour::Echo)
}

async fn nats_server_dies(deployment: Deployment) {
    let child = deployment.nats_child();
    let mut ledger = Ledger::default();
    let killing = async {
        deployment.agent.wait_for_calls(20, DEADLINE).await.unwrap();
        let killed = std::process::Command::new("kill").args(["-KILL", &child.to_string()]).status();
        assert!(killed.unwrap().success());
    };
    tokio::join!(ledger.post(&deployment, 0..20, 10, 20), killing);
    assert!(!is_alive(child));
    ledger.assert_answered(&deployment, 0).await;
    deployment.settle(20).await;
}
