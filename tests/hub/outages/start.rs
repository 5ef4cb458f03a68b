//! A process that starts while the database or the broker is away, or goes away.

use omnihub_fakes::Behaviour;

use crate::harness::{DEADLINE, Deployment, Hub, Ledger, until};

async fn status(hub: &Hub, path: &str) -> u16 {
    let answer = reqwest::get(format!("{}{path}", hub.url())).await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// Alive, and nothing else.
async fn assert_waiting(deployment: &Deployment, words: &str) {
    for hub in [&deployment.front, &deployment.workers[0]] {
        until("it is alive", DEADLINE, async || status(hub, "/livez").await == 200).await;
        assert_eq!(status(hub, "/readyz").await, 503);
        until("its log says what it waits for", DEADLINE, async || hub.log().contains(words)).await;
    }
    let refused = deployment.post(&Ledger::webhook(1, 0)).await;
    assert_eq!((refused.status, refused.retry_after), (503, true), "never a 404: Evolution would drop it for good");
    assert_eq!(refused.body["code"], "starting");
}

async fn goes_on(deployment: &mut Deployment, ledger: &mut Ledger, conversation: usize) {
    deployment.front.wait_ready().await;
    deployment.workers[0].wait_ready().await;
    ledger.post(deployment, conversation..conversation + 1, 1, 1).await;
    ledger.assert_answered(deployment, 0).await;
}

#[tokio::test]
async fn it_waits_until_they_are_there() {
    let mut deployment = Deployment::apart_on_cable(Behaviour::Echo, &["w1"]).await;
    let mut ledger = Ledger::default();
    deployment.cable().cut();
    deployment.front.start_again();
    deployment.workers[0].start_again();
    assert_waiting(&deployment, "waiting for the database").await;
    deployment.cable().mend();
    goes_on(&mut deployment, &mut ledger, 1).await;

    deployment.nats.as_mut().unwrap().stop();
    deployment.front.start_again();
    deployment.workers[0].start_again();
    assert_waiting(&deployment, "waiting for NATS").await;
    deployment.nats.as_mut().unwrap().start_again().await;
    goes_on(&mut deployment, &mut ledger, 2).await;
}

#[tokio::test]
async fn told_to_stop_it_waits_no_longer() {
    let mut deployment = Deployment::apart_on_cable(Behaviour::Echo, &["w1"]).await;
    deployment.cable().cut();
    deployment.front.start_again();
    deployment.workers[0].start_again();
    for hub in [&mut deployment.front, &mut deployment.workers[0]] {
        until("it waits", DEADLINE, async || status(hub, "/readyz").await == 503).await;
        hub.terminate().await;
        assert_eq!(hub.exit_code(), Some(0), "{}", hub.log());
    }
}

/// A server that is left alone may lead for some seconds yet: who starts meanwhile finds it well, and
/// is started again.
async fn start_until_it_waits(hub: &mut Hub, words: &str) {
    hub.start_again();
    until("it starts and waits", DEADLINE, async || {
        if status(hub, "/readyz").await == 200 {
            hub.start_again();
        }
        hub.log().contains(words)
    })
    .await;
}

/// The connection stands, and nothing that is asked over it is answered: one of three servers alone.
#[tokio::test]
async fn a_queue_that_does_not_answer_is_waited_for() {
    let mut deployment = Deployment::apart_on_three(Behaviour::Echo, &["w1"]).await;
    let mut ledger = Ledger::default();
    for nth in [1, 2] {
        deployment.cluster.as_mut().unwrap().server(nth).kill9();
    }
    let words = "still waiting for what this process stands on";
    start_until_it_waits(&mut deployment.front, words).await;
    start_until_it_waits(&mut deployment.workers[0], words).await;
    assert_waiting(&deployment, words).await;
    deployment.cluster.as_mut().unwrap().start_again().await.unwrap();
    goes_on(&mut deployment, &mut ledger, 1).await;
}

/// How far a start has come when the broker dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Spawned,
    Alive,
    OneIsReady,
}

impl Moment {
    async fn wait(self, deployment: &Deployment) {
        let hubs = [&deployment.front, &deployment.workers[0]];
        match self {
            Self::Spawned => {}
            Self::Alive => {
                for hub in hubs {
                    until("it is alive", DEADLINE, async || status(hub, "/livez").await == 200).await;
                }
            }
            Self::OneIsReady => {
                until("one of them is ready", DEADLINE, async || {
                    status(hubs[0], "/readyz").await == 200 || status(hubs[1], "/readyz").await == 200
                })
                .await;
            }
        }
    }
}

/// Where a process has ended, it is never ready.
#[tokio::test]
async fn a_broker_that_dies_in_the_middle_of_a_start_is_waited_for() {
    let mut deployment = Deployment::apart(Behaviour::Echo, &["w1"]).await;
    let mut ledger = Ledger::default();
    for (conversation, moment) in [Moment::Spawned, Moment::Alive, Moment::OneIsReady].into_iter().enumerate() {
        deployment.front.start_again();
        deployment.workers[0].start_again();
        moment.wait(&deployment).await;
        deployment.nats.as_mut().unwrap().stop();
        Moment::Alive.wait(&deployment).await;
        deployment.nats.as_mut().unwrap().start_again().await;
        goes_on(&mut deployment, &mut ledger, conversation).await;
    }
}

#[tokio::test]
async fn streams_that_were_never_made_are_not_waited_for() {
    let mut deployment = Deployment::apart(Behaviour::Echo, &["w1"]).await;
    let js = deployment.jetstream().await;
    js.delete_stream("INBOUND").await.unwrap();
    deployment.front.start_again();
    deployment.workers[0].start_again();
    for hub in [&mut deployment.front, &mut deployment.workers[0]] {
        until("it ends", DEADLINE, async || !hub.is_running()).await;
        assert_eq!(hub.exit_code(), Some(1));
        assert!(hub.log().contains("run `omnihub migrate up`"), "{}", hub.log());
    }
}
