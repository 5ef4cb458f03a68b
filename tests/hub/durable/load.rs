//! Many customers at once.

use std::time::Instant;

use omnihub_fakes::Behaviour;

use crate::harness::{Deployment, Ledger};

const CONVERSATIONS: usize = 200;
const MESSAGES: usize = 10;
const AT_ONCE: usize = 64;

async fn two_thousand_messages(deployment: Deployment, shape: &str) {
    let (mut ledger, started) = (Ledger::default(), Instant::now());
    ledger.post(&deployment, 0..CONVERSATIONS, MESSAGES, AT_ONCE).await;
    let accepted = started.elapsed();
    deployment.evolution.wait_for_sent(CONVERSATIONS * MESSAGES, super::DEADLINE).await.unwrap();
    let answered = started.elapsed();
    ledger.assert_answered(&deployment, 0).await;
    let rate = |time: std::time::Duration| ledger.len() as f64 / time.as_secs_f64();
    eprintln!("{shape}: {:.0} accepted/s, {:.0} answered/s", rate(accepted), rate(answered));
    assert_eq!(deployment.agent.calls().len(), CONVERSATIONS * MESSAGES, "each was asked once");
    deployment.settle(CONVERSATIONS).await;
}

#[tokio::test]
async fn two_thousand_messages_all_in_one() {
    two_thousand_messages(Deployment::up(Behaviour::Echo).await, "up, SQLite, fsync always").await;
}

#[tokio::test]
async fn two_thousand_messages_all_in_one_on_postgres() {
    two_thousand_messages(Deployment::up_on_postgres(Behaviour::Echo).await, "up, PostgreSQL, fsync always").await;
}

#[tokio::test]
async fn two_thousand_messages_with_the_parts_apart() {
    two_thousand_messages(Deployment::apart(Behaviour::Echo, &["w1"]).await, "apart, PostgreSQL, default fsync").await;
}

#[tokio::test]
async fn a_burst_into_one_conversation_is_answered_one_at_a_time() {
    let deployment = Deployment::up(Behaviour::Echo).await;
    deployment.change_instance(&serde_json::json!({"turns_per_minute": 0})).await;
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..1, 50, 1).await;
    ledger.assert_answered(&deployment, 0).await;
    let calls = deployment.agent.calls();
    assert_eq!(calls.len(), 50);
    for pair in calls.windows(2) {
        assert!(pair[0].ended.unwrap() <= pair[1].started, "two calls at once");
    }
}
