//! A rolling restart: each worker is stopped politely and started again under load, and no agent is
//! asked twice.

use std::{collections::HashSet, time::Duration};

use omnihub_fakes::Behaviour;

use super::{DEADLINE, workers::assert_owned};
use crate::harness::{Deployment, Ledger, until};

const CONVERSATIONS: usize = 40;

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(150), Behaviour::Echo)
}

/// Consumers of the messages that the broker has.
async fn consumers(deployment: &Deployment) -> usize {
    let js = deployment.jetstream().await;
    js.get_stream("INBOUND").await.map_or(0, |stream| stream.cached_info().state.consumer_count)
}

async fn rolling_restart(mut deployment: Deployment) {
    let mut ledger = Ledger::default();
    for nth in 0..deployment.workers.len() {
        let mut worker = deployment.workers.remove(nth);
        let restarted = async {
            worker.ask_to_stop();
            until("the worker has stopped", DEADLINE, async || !worker.is_running()).await;
            assert_eq!(worker.exit_code(), Some(0), "{}", worker.log());
            worker.start_again();
            worker.wait_ready().await;
        };
        tokio::join!(ledger.post(&deployment, 0..CONVERSATIONS, 4, CONVERSATIONS), restarted);
        deployment.workers.insert(nth, worker);
    }
    ledger.assert_answered(&deployment, 0).await;
    let calls = deployment.agent.calls();
    let keys: HashSet<&str> = calls.iter().map(|call| call.idempotency_key()).collect();
    assert_eq!((calls.len(), keys.len()), (ledger.len(), ledger.len()), "an agent was asked again");
    deployment.settle(CONVERSATIONS).await;

    // All of them stop: nothing is owned, nothing listens.
    for worker in &mut deployment.workers {
        worker.terminate().await;
    }
    let gone = async || consumers(&deployment).await == 0;
    until("every consumer is gone", DEADLINE, gone).await;
}

#[tokio::test]
async fn a_rolling_restart_repeats_no_call() {
    let deployment = Deployment::apart(slow(), &["w1", "w2", "w3"]).await;
    assert_owned(&deployment, &[0, 1, 2]).await;
    rolling_restart(deployment).await;
}

#[tokio::test]
async fn a_rolling_restart_repeats_no_call_on_three_servers() {
    let deployment = Deployment::apart_on_three(slow(), &["w1", "w2", "w3"]).await;
    assert_owned(&deployment, &[0, 1, 2]).await;
    rolling_restart(deployment).await;
}
