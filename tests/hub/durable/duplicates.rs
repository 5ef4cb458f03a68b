//! Evolution posts a webhook again for half an hour: it is answered once.

use futures_util::future::join_all;
use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, until};

/// Posts the same webhook three times at once and once more; all name the same trace.
async fn post_again_and_again(deployment: &Deployment, conversation: usize) -> serde_json::Value {
    let webhook = Ledger::webhook(conversation, 0);
    let mut posted = join_all((0..3).map(|_| deployment.post_until_accepted(&webhook, DEADLINE))).await;
    posted.push(deployment.post_until_accepted(&webhook, DEADLINE).await);
    for other in &posted {
        assert!(other.body["trace_id"].is_string());
        assert_eq!(other.body["trace_ids"], posted[0].body["trace_ids"]);
    }
    posted[0].body["trace_id"].clone()
}

/// One reply, one call, one trace for each conversation so far. A marker that is posted behind
/// the duplicates, into the same conversation, tells that they have been looked at.
async fn assert_once(deployment: &Deployment, ledger: &mut Ledger, conversations: usize) {
    ledger.post(deployment, 0..conversations, 1, 1).await;
    ledger.assert_answered(deployment, 0).await;
    deployment.settle(conversations).await;
    assert_eq!(deployment.agent.calls().len(), ledger.len());
}

async fn one_answer(mut deployment: Deployment) {
    let mut ledger = Ledger::default();
    let first = post_again_and_again(&deployment, 0).await;
    // The ledger posts message 0 once more, and then goes on.
    assert_once(&deployment, &mut ledger, 1).await;

    // A work-queue stream forgets the ids of acknowledged messages when its server starts again.
    restart_nats(&mut deployment).await;
    assert_eq!(post_again_and_again(&deployment, 0).await, first, "the same message, the same trace");
    assert_once(&deployment, &mut ledger, 1).await;
    assert_eq!(deployment.agent.calls().len(), 2);
    let (trace, _) = deployment.get(&format!("traces/{}", first.as_str().unwrap())).await;
    assert_eq!((&trace["status"], &trace["outcome"]), (&"completed".into(), &"answered".into()));
}

async fn restart_nats(deployment: &mut Deployment) {
    match &mut deployment.nats {
        Some(nats) => nats.start_again().await,
        None => {
            // The child of `omnihub up` is started again by its supervisor.
            let before = deployment.nats_child();
            let killed = std::process::Command::new("kill").args(["-KILL", &before.to_string()]).status();
            assert!(killed.unwrap().success());
            let pid_file = deployment.front.folder().join("data/nats/nats.pid");
            let another = async || {
                let now = std::fs::read_to_string(&pid_file).unwrap_or_default();
                !now.trim().is_empty() && now.trim() != before.to_string()
            };
            until("another nats-server runs", DEADLINE, another).await;
        }
    }
}

#[tokio::test]
async fn the_same_webhook_is_answered_once_all_in_one() {
    one_answer(Deployment::up(Behaviour::Echo).await).await;
}

#[tokio::test]
async fn the_same_webhook_is_answered_once_all_in_one_on_postgres() {
    one_answer(Deployment::up_on_postgres(Behaviour::Echo).await).await;
}

#[tokio::test]
async fn the_same_webhook_is_answered_once_with_the_parts_apart() {
    one_answer(Deployment::apart(Behaviour::Echo, &["w1"]).await).await;
}
