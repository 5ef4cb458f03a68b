//! How long a conversation waits when its worker dies. The figures are printed, not asserted: a
//! machine that is busy with other things has other figures.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use omnihub_fakes::Behaviour;

use super::{DEADLINE, workers::assert_owned};
use crate::harness::{Deployment, Ledger, until};

const CONVERSATIONS: usize = 40;

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_secs(2), Behaviour::Echo)
}

/// Calls whose key was asked before `since`: turns that were taken up again.
fn taken_up(deployment: &Deployment, since: Instant) -> Vec<Duration> {
    let calls = deployment.agent.calls();
    let before: HashSet<&str> =
        calls.iter().filter(|call| call.started < since).map(|call| call.idempotency_key()).collect();
    let again = calls.iter().filter(|call| call.started >= since && before.contains(call.idempotency_key()));
    again.map(|call| call.started - since).collect()
}

async fn every_conversation_is_asked(deployment: &Deployment) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.post(deployment, 0..CONVERSATIONS, 1, CONVERSATIONS).await;
    deployment.agent.wait_for_calls(CONVERSATIONS, DEADLINE).await.unwrap();
    ledger
}

async fn tell(deployment: &Deployment, shape: &str, since: Instant) {
    let some = async || !taken_up(deployment, since).is_empty();
    until("a turn is taken up again", 2 * DEADLINE, some).await;
    let mut settled = 0;
    until("as many as there are", DEADLINE, async || {
        let before = std::mem::replace(&mut settled, taken_up(deployment, since).len());
        before == settled && deployment.traces("status=completed").await == CONVERSATIONS
    })
    .await;
    let times = taken_up(deployment, since);
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    eprintln!("{shape}: {} turns taken up again after {first:?} to {last:?}", times.len());
}

async fn by_another(mut deployment: Deployment, shape: &str) {
    assert_owned(&deployment, &[0, 1]).await;
    let ledger = every_conversation_is_asked(&deployment).await;
    let killed = Instant::now();
    deployment.workers[0].kill9();
    tell(&deployment, shape, killed).await;
    ledger.assert_answered(&deployment, 0).await;
}

async fn by_itself(mut deployment: Deployment, shape: &str) {
    let ledger = every_conversation_is_asked(&deployment).await;
    deployment.workers[0].kill9();
    let started = Instant::now();
    deployment.workers[0].start_again();
    tell(&deployment, shape, started).await;
    ledger.assert_answered(&deployment, 0).await;
}

#[tokio::test]
async fn a_killed_workers_turns_go_on_elsewhere() {
    by_another(Deployment::apart(slow(), &["w1", "w2"]).await, "another worker, TTL 5 s, since the kill").await;
}

#[tokio::test]
async fn a_killed_workers_turns_go_on_elsewhere_on_three_servers() {
    let deployment = Deployment::apart_on_three_in_haste(slow(), &["w1", "w2"]).await;
    by_another(deployment, "another worker, TTL 5 s, three servers, since the kill").await;
}

#[tokio::test]
async fn a_restarted_workers_turns_go_on() {
    by_itself(Deployment::apart(slow(), &["w1"]).await, "the same worker, since its process was started").await;
}

#[tokio::test]
async fn a_restarted_workers_turns_go_on_on_three_servers() {
    let deployment = Deployment::apart_on_three(slow(), &["w1"]).await;
    by_itself(deployment, "the same worker, three servers, since its process was started").await;
}
