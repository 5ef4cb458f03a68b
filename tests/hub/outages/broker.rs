//! The broker comes back with nothing in its store.

use omnihub_fakes::Behaviour;

use crate::harness::{DEADLINE, Deployment, Hub, Ledger, until};

async fn readiness(hub: &Hub) -> (u16, String) {
    let answer = reqwest::get(format!("{}/readyz", hub.url())).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn an_emptied_store_is_named_and_served_again_once_its_streams_are_made() {
    let mut deployment = Deployment::apart(Behaviour::Echo, &["w1"]).await;
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..10, 2, 10).await;
    ledger.assert_answered(&deployment, 0).await;

    deployment.nats.as_mut().unwrap().start_again_empty().await;
    for hub in [&deployment.front, &deployment.workers[0]] {
        until("the missing streams are named", DEADLINE, async || {
            let (status, page) = readiness(hub).await;
            status == 503 && page.contains("queue") && !page.contains("nats")
        })
        .await;
    }
    let refused = deployment.post(&Ledger::webhook(50, 0)).await;
    assert_eq!((refused.status, refused.retry_after), (503, true), "{refused:?}");
    let health = reqwest::get(format!("{}/health", deployment.front.url())).await.unwrap().text().await.unwrap();
    assert!(health.contains("omnihub migrate up"), "{health}");
    let js = deployment.jetstream().await;
    assert!(js.get_stream("INBOUND").await.is_err(), "nobody but `migrate up` makes streams");

    // Made again, everybody goes on without a restart, and nobody is answered twice.
    deployment.migrate().await;
    for hub in [&mut deployment.front, &mut deployment.workers[0]] {
        hub.wait_ready().await;
    }
    ledger.post(&deployment, 0..12, 2, 12).await;
    ledger.assert_answered(&deployment, 0).await;
    deployment.settle(12).await;
}
