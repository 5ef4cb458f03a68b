//! kill -9 at the worst moments.

use std::time::Duration;

use futures_util::StreamExt;
use omnihub_common::queue::{Checkpoint, Phase};
use omnihub_fakes::Behaviour;

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, until};

fn slow() -> Behaviour {
    Behaviour::slow(Duration::from_millis(1500), Behaviour::Echo)
}

/// Kills what runs the turns while agents are asked, and starts it again.
async fn killed_between_accept_and_reply(mut deployment: Deployment, new_id: Option<&str>) {
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..10, 2, 10).await;
    deployment.agent.wait_for_calls(10, DEADLINE).await.unwrap();
    let worker = deployment.worker();
    worker.kill9();
    if let Some(id) = new_id {
        worker.set_env("OMNIHUB_WORKER_ID", id);
    }
    worker.start_again();
    worker.wait_ready().await;
    ledger.assert_answered(&deployment, 0).await;
    deployment.settle(10).await;
}

#[tokio::test]
async fn a_killed_hub_answers_after_its_restart_with_the_nats_server_it_left() {
    a_killed_hub_answers_after_its_restart(Deployment::up(slow()).await).await;
}

#[tokio::test]
async fn a_killed_hub_answers_after_its_restart_on_postgres_too() {
    a_killed_hub_answers_after_its_restart(Deployment::up_on_postgres(slow()).await).await;
}

async fn a_killed_hub_answers_after_its_restart(mut deployment: Deployment) {
    let before = deployment.nats_child();
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..10, 2, 10).await;
    deployment.agent.wait_for_calls(10, DEADLINE).await.unwrap();
    deployment.front.kill9();
    deployment.front.start_again();
    deployment.front.wait_ready().await;
    assert_eq!(deployment.nats_child(), before, "the orphan is adopted");
    ledger.assert_answered(&deployment, 0).await;
    deployment.settle(10).await;
}

#[tokio::test]
async fn a_killed_worker_goes_on_under_its_id() {
    killed_between_accept_and_reply(Deployment::apart(slow(), &["w1"]).await, None).await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_by_another_after_its_lease() {
    killed_between_accept_and_reply(Deployment::apart(slow(), &["w1"]).await, Some("w2")).await;
}

#[tokio::test]
async fn a_killed_worker_goes_on_under_its_id_on_three_servers() {
    killed_between_accept_and_reply(Deployment::apart_on_three(slow(), &["w1"]).await, None).await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_by_another_after_its_lease_on_three_servers() {
    killed_between_accept_and_reply(Deployment::apart_on_three_in_haste(slow(), &["w1"]).await, Some("w2")).await;
}

/// The one stored checkpoint, if there is one.
async fn stored_answer(deployment: &Deployment) -> Option<omnihub_common::queue::Answer> {
    let js = deployment.jetstream().await;
    for name in ["TURNS", "TURNS_0", "TURNS_1", "TURNS_2", "TURNS_3"] {
        let Ok(stream) = js.get_stream(name).await else { continue };
        let mut subjects = stream.info_with_subjects("turn.>").await.ok()?;
        if let Some(Ok((subject, _))) = subjects.next().await {
            let message = stream.get_last_raw_message_by_subject(&subject).await.ok()?;
            return match Checkpoint::read(&message.payload).ok()?.open?.phase {
                Phase::Sending(answer) => Some(answer),
                Phase::Asking => None,
            };
        }
    }
    None
}

async fn killed_while_sending(mut deployment: Deployment) {
    let bubbles: Vec<String> = (1..=5).map(|n| format!("{n} {}", "word ".repeat(60).trim_end())).collect();
    deployment.agent.set_behaviour(Behaviour::Fixed(bubbles.join("\n\n")));
    deployment.evolution.delay(Duration::from_millis(700));
    let webhook = Ledger::webhook(0, 0);
    deployment.post_until_accepted(&webhook, DEADLINE).await;
    until("bubble 2 is being sent", DEADLINE, async || {
        stored_answer(&deployment).await.is_some_and(|answer| answer.sent.len() == 1 && answer.in_doubt)
    })
    .await;
    deployment.worker().kill9();
    deployment.evolution.delay(Duration::ZERO);
    let worker = deployment.worker();
    worker.start_again();
    worker.wait_ready().await;
    let completed = async || deployment.traces("status=completed").await == 1;
    until("the trace is completed", DEADLINE, completed).await;

    let sent: Vec<String> = deployment.evolution.sent().into_iter().map(|sent| sent.text).collect();
    let repeated: Vec<&String> =
        (1..sent.len()).filter(|at| sent[..*at].contains(&sent[*at])).map(|at| &sent[at]).collect();
    assert!(repeated.is_empty() || repeated == [&bubbles[1]], "only the bubble in flight may go out twice: {sent:?}");
    // Its first send may land late: Evolution goes on when its caller is gone.
    let mut firsts: Vec<&String> = Vec::new();
    for text in &sent {
        if !firsts.contains(&text) {
            firsts.push(text);
        }
    }
    assert_eq!(firsts, bubbles.iter().collect::<Vec<_>>());
    assert_eq!(deployment.agent.calls().len(), 1, "a stored answer is never asked for again");
    deployment.assert_no_violations();
    deployment.settle(1).await;
}

#[tokio::test]
async fn a_hub_killed_while_sending_goes_on_with_the_bubble_in_flight() {
    killed_while_sending(Deployment::up(Behaviour::Echo).await).await;
}

#[tokio::test]
async fn a_hub_killed_while_sending_goes_on_on_postgres_too() {
    killed_while_sending(Deployment::up_on_postgres(Behaviour::Echo).await).await;
}

#[tokio::test]
async fn a_worker_killed_while_sending_goes_on_with_the_bubble_in_flight() {
    killed_while_sending(Deployment::apart(Behaviour::Echo, &["w1"]).await).await;
}

#[tokio::test]
async fn a_worker_killed_while_sending_goes_on_on_three_servers_too() {
    killed_while_sending(Deployment::apart_on_three(Behaviour::Echo, &["w1"]).await).await;
}
