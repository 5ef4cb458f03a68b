//! Messages that kill whoever handles them, and messages that only seem to.

use std::time::Duration;

use futures_util::StreamExt;
use omnihub_common::queue::{Checkpoint, Phase};
use omnihub_fakes::{AgentCall, Answer, Behaviour};
use serde_json::json;

use super::{ids, jetstream_of, list, redrive, total};
use crate::harness::{DEADLINE, Database, INSTANCE, Site, until, webhook};

/// A turn is begun so often: once before anything was counted, then as often as is counted.
const BEGINNINGS: usize = 8;
/// As long as the first waits of those who were cut beside a poison.
const LONG: Duration = Duration::from_secs(150);
const SAME: [(&str, &str); 1] = [("OMNIHUB_WORKER_ID", "w1")];

fn calls(site: &Site, text: &str) -> usize {
    site.agent.calls().iter().filter(|call| call.message() == text).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_kills_its_workers_ends_as_a_dead_letter() {
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Hang, &SAME).await;
    let poison = site.say("14155554001", "poison").await;
    let behind = site.say("14155554001", "harmless").await;
    for nth in 1..=BEGINNINGS {
        hurried(&site, &poison, async || calls(&site, "poison") == nth).await;
        let worker = site.worker.as_mut().unwrap();
        worker.kill9();
        if nth == BEGINNINGS {
            site.agent.set_behaviour(Behaviour::custom(|call: &AgentCall| Answer::text(call, "well")));
        }
        worker.start_again();
    }
    assert_begun_too_often(&site, &poison).await;
    assert_eq!(calls(&site, "poison"), BEGINNINGS, "it is not begun again");
    // The conversation goes on.
    assert_eq!(site.ended(&behind).await["outcome"], "answered");
    assert_eq!(ids(&list(&site, "?reason=begun_too_often").await), [&poison]);

    // Once mended it can be answered: its attempts begin anew.
    assert_eq!(redrive(&site, &poison).await.status, 200);
    let trace = site.trace_when(&poison, "is answered", |trace| trace["outcome"] == "answered").await;
    assert_eq!(trace["attempts"], 1, "{trace}");
    assert_eq!((site.replies_to("14155554001").len(), total(&site).await), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_outages_cut_is_not_taken_for_poison() {
    let short = [("OMNIHUB_LEASE_TTL", "1")];
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Hang, &short).await;
    let trace = site.say("14155554002", "patient").await;
    for nth in 1..=BEGINNINGS + 2 {
        until("the agent is asked once more", DEADLINE, async || calls(&site, "patient") == nth).await;
        if nth == BEGINNINGS + 2 {
            site.agent.set_behaviour(Behaviour::Echo);
        }
        site.nats.as_mut().unwrap().stop();
        // Without its lease the worker cuts its turns.
        let worker = site.worker.as_ref().unwrap().url();
        until("the turn is cut", DEADLINE, async || turns_running(&worker).await == Some(0.0)).await;
        site.nats.as_mut().unwrap().start_again().await;
    }
    let trace = site.ended(&trace).await;
    assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(1)), "{trace}");
    assert_eq!(site.replies_to("14155554002"), ["echo: patient"]);
    assert_eq!(total(&site).await, 0);
}

/// Waits for a condition; a wait of the message for its next attempt is ended by a change of its
/// instance.
async fn hurried(site: &Site, trace: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut seconds = 60;
    until("it is begun once more", DEADLINE, async || {
        let found = site.get(&format!("/api/v1/where?trace_id={trace}")).await;
        if found["conversations"][0]["state"] == "retrying" {
            seconds = if seconds == 60 { 61 } else { 60 };
            site.change_instance(INSTANCE, json!({"agent_timeout": seconds})).await;
        }
        condition().await
    })
    .await;
}

async fn assert_begun_too_often(site: &Site, trace: &str) {
    let trace = site.ended(trace).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("begun_too_often")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_share_a_worker_with_a_poison_are_answered() {
    let text = |call: &AgentCall| format!("echo: {}", call.message());
    let agent = Behaviour::paced(move |call| match call.message() {
        "poison" => (LONG * 2, Answer::text(call, "never")),
        _ => (Duration::from_millis(200), Answer::text(call, &text(call))),
    });
    let mut site = Site::parts_with(Database::Sqlite, agent, &SAME).await;
    let mut others = Vec::new();
    site.worker.as_mut().unwrap().kill9();
    site.say("14155554010", "poison").await;
    for nth in 0..4 {
        others.push(site.say(&format!("1415555402{nth}"), "harmless").await);
    }
    site.worker.as_mut().unwrap().start_again();
    // Whoever asks about the poison dies of it at once, with all that runs beside it.
    let mut kills = 0;
    while site.evolution.sent().len() < others.len() {
        until("the poison is begun, or all others are answered", LONG, async || {
            calls(&site, "poison") > kills || site.evolution.sent().len() >= others.len()
        })
        .await;
        if calls(&site, "poison") > kills {
            kills += 1;
            site.worker.as_mut().unwrap().kill9();
            site.worker.as_mut().unwrap().start_again();
        }
    }
    for trace in &others {
        assert_eq!(site.ended(trace).await["outcome"], "answered");
    }
    assert!(kills < BEGINNINGS, "they did not outlive it, they came after it");
    assert_eq!(total(&site).await, 0);
}

/// The last checkpoint that was written.
async fn last_checkpoint(site: &Site) -> Option<Checkpoint> {
    let stream = jetstream_of(site).await.get_stream("TURNS").await.unwrap();
    Checkpoint::read(&stream.get_last_raw_message_by_subject("turn.>").await.ok()?.payload).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answer_kills_its_workers_ends_as_a_dead_letter() {
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Echo, &SAME).await;
    site.evolution.delay(LONG * 2);
    let poison = site.say("14155554003", "poison").await;
    // Its answer was begun without a count once: the agent has answered meanwhile.
    for nth in 0..BEGINNINGS - 1 {
        hurried(&site, &poison, async || {
            let open = last_checkpoint(&site).await.and_then(|checkpoint| checkpoint.open);
            open.is_some_and(|open| {
                matches!(open.phase, Phase::Sending(_)) && !open.counted && open.beginnings as usize == nth
            })
        })
        .await;
        site.worker.as_mut().unwrap().kill9();
        site.worker.as_mut().unwrap().start_again();
    }
    assert_begun_too_often(&site, &poison).await;
    assert_eq!(calls(&site, "poison"), 1, "a stored answer is never asked for again");
    assert_eq!(ids(&list(&site, "?reason=begun_too_often").await), [&poison]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_before_is_marked_before_it_is_read() {
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Echo, &SAME).await;
    let checkpoints = async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap();
    let mut written = checkpoints.subscribe("turn.>").await.unwrap();
    checkpoints.flush().await.unwrap();
    // Nobody is ever asked about this one: reading it is all that is done with it.
    let mut own = webhook("14155554004", "typed by hand");
    own["data"]["key"]["fromMe"] = true.into();
    let path = format!("/webhook/evolution/{INSTANCE}");
    let first = site.accepted(&path, &own).await.remove(0);
    assert_eq!(site.ended(&first).await["outcome"], "ignored");
    let mut next = async || Checkpoint::read(&written.next().await.unwrap().payload).unwrap();
    assert!(next().await.is_closed(), "what comes for the first time costs one write");

    site.worker.as_mut().unwrap().kill9();
    own["data"]["key"]["id"] = crate::harness::message_id().into();
    let second = site.accepted(&path, &own).await.remove(0);
    site.worker.as_mut().unwrap().start_again();
    assert_eq!(site.ended(&second).await["outcome"], "ignored");
    let begun = next().await.open.unwrap();
    assert!(!begun.counted && begun.begun_by.is_some() && begun.beginnings == 0, "{begun:?}");
    assert!(next().await.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_stops_cut_is_not_taken_for_poison() {
    let settings = [SAME[0], ("OMNIHUB_STOP_GRACE", "0")];
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Hang, &settings).await;
    let trace = site.say("14155554005", "patient").await;
    for nth in 1..=BEGINNINGS + 2 {
        until("the agent is asked once more", DEADLINE, async || calls(&site, "patient") == nth).await;
        if nth == BEGINNINGS + 2 {
            site.agent.set_behaviour(Behaviour::Echo);
        }
        let worker = site.worker.as_mut().unwrap();
        worker.terminate().await;
        worker.start_again();
    }
    let trace = site.ended(&trace).await;
    assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(1)), "{trace}");
    assert_eq!(site.replies_to("14155554005"), ["echo: patient"]);
}

/// The turns that a worker says it runs.
async fn turns_running(worker: &str) -> Option<f64> {
    let page = reqwest::get(format!("{worker}/metrics")).await.ok()?.text().await.ok()?;
    let line = page.lines().find(|line| line.starts_with("omnihub_turns_running"))?;
    line.rsplit(' ').next()?.parse().ok()
}
