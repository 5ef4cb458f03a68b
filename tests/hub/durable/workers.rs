//! Several workers share the conversations; one leaves, another joins.

use std::time::Duration;

use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, until};

const CONVERSATIONS: usize = 100;

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(40), Behaviour::Echo)
}

#[tokio::test]
async fn workers_come_and_go_and_every_conversation_stays_in_order() {
    come_and_go(Deployment::apart(slow(), &["w1", "w2"]).await).await;
}

#[tokio::test]
async fn workers_come_and_go_on_three_servers_and_every_conversation_stays_in_order() {
    come_and_go(Deployment::apart_on_three_in_haste(slow(), &["w1", "w2"]).await).await;
}

async fn come_and_go(mut deployment: Deployment) {
    let mut ledger = Ledger::default();
    assert_owned(&deployment, &[0, 1]).await;

    // A third one joins while there is traffic.
    deployment.spawn_worker("w3");
    deployment.workers[2].wait_ready().await;
    ledger.post(&deployment, 0..CONVERSATIONS, 4, 50).await;
    assert_owned(&deployment, &[0, 1, 2]).await;

    // The first one leaves while its turns run.
    let leaving = deployment.workers.remove(0);
    leaving.ask_to_stop();
    ledger.post(&deployment, 0..CONVERSATIONS, 4, 50).await;
    let mut leaving = leaving;
    until("the first worker ends", DEADLINE, async || !leaving.is_running()).await;
    assert_eq!(leaving.exit_code(), Some(0), "{}", leaving.log());

    ledger.assert_answered(&deployment, 0).await;
    assert_eq!(deployment.agent.calls().len(), ledger.len(), "an agent was asked again");

    // The second one dies while its turns run, and its lease runs out.
    ledger.post(&deployment, 0..CONVERSATIONS, 1, 50).await;
    deployment.workers[0].kill9();
    ledger.post(&deployment, 0..CONVERSATIONS, 1, 50).await;
    ledger.assert_answered(&deployment, CONVERSATIONS).await;
    deployment.settle(CONVERSATIONS).await;
}

/// Waits until each of these workers owns a part and together they own everything.
pub(super) async fn assert_owned(deployment: &Deployment, workers: &[usize]) {
    until("the workers share every partition", DEADLINE, async || {
        let mut sum = 0.0;
        for worker in workers {
            let owned = deployment.metric(&deployment.workers[*worker], "omnihub_partitions_owned").await;
            if owned < 1.0 {
                return false;
            }
            sum += owned;
        }
        sum > 31.5 && sum < 32.5
    })
    .await;
}
