//! Three NATS servers with everything on each of them: one may die at any moment, two may not.

use std::time::Duration;

use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, until};

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(100), Behaviour::Echo)
}

/// The name of the server that leads a stream.
async fn leader(deployment: &Deployment, stream: &str) -> String {
    let js = deployment.jetstream().await;
    let mut name = String::new();
    until("the stream has a leader", DEADLINE, async || {
        let Ok(stream) = js.get_stream(stream).await else { return false };
        name = stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone()).unwrap_or_default();
        !name.is_empty()
    })
    .await;
    name
}

#[tokio::test]
async fn everything_stands_on_three_servers() {
    let deployment = Deployment::apart_on_three(Behaviour::Echo, &["w1"]).await;
    let js = deployment.jetstream().await;
    let streams: Vec<_> = futures_util::TryStreamExt::try_collect(js.streams()).await.unwrap();
    let names: Vec<&str> = streams.iter().map(|stream| stream.config.name.as_str()).collect();
    for name in ["INBOUND", "TURNS", "TRACES", "TRACE_STEPS", "DEAD", "KV_members", "OBJ_media"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for stream in &streams {
        assert_eq!(stream.config.num_replicas, 3, "{}", stream.config.name);
    }
    let stream = js.get_stream("INBOUND").await.unwrap();
    let consumers: Vec<_> = futures_util::TryStreamExt::try_collect(stream.consumers()).await.unwrap();
    assert_eq!(consumers.len(), 32);
    // A consumer of its own server alone would die with it.
    assert!(consumers.iter().all(|consumer| consumer.cluster.as_ref().is_some_and(|c| c.replicas.len() == 2)));
}

/// The leaders of the messages, of the checkpoints and of the members, one after the other.
#[tokio::test]
async fn a_leader_dies_and_nobody_notices_but_by_a_pause() {
    let mut deployment = Deployment::apart_on_three(slow(), &["w1", "w2"]).await;
    let mut ledger = Ledger::default();
    for stream in ["INBOUND", "TURNS", "KV_members"] {
        ledger.post(&deployment, 0..20, 2, 20).await;
        let leader = leader(&deployment, stream).await;
        deployment.cluster.as_mut().unwrap().named(&leader).unwrap().kill9();
        ledger.post(&deployment, 0..20, 3, 20).await;
        ledger.assert_answered(&deployment, 0).await;
        deployment.cluster.as_mut().unwrap().start_again().await.unwrap();
    }
    ledger.post(&deployment, 0..20, 1, 20).await;
    ledger.assert_answered(&deployment, 0).await;
    deployment.settle(20).await;
}

#[tokio::test]
async fn two_of_three_servers_die_and_what_was_accepted_is_answered_when_they_are_back() {
    let mut deployment = Deployment::apart_on_three(slow(), &["w1"]).await;
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..10, 2, 10).await;
    for nth in [0, 1] {
        deployment.cluster.as_mut().unwrap().server(nth).kill9();
    }
    let refused = async || deployment.post(&Ledger::webhook(98, 0)).await.status == 503;
    until("a webhook is refused", DEADLINE, refused).await;
    deployment.cluster.as_mut().unwrap().start_again().await.unwrap();
    ledger.post(&deployment, 0..10, 2, 10).await;
    // Refused, and posted again: a publish that was on its way may have arrived after all.
    ledger.post(&deployment, 98..99, 1, 1).await;
    ledger.assert_answered(&deployment, 10).await;
    deployment.settle(11).await;
    assert!(deployment.front.is_running() && deployment.workers[0].is_running());
}
