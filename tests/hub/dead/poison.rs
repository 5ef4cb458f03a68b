//! Messages that kill whoever handles them, and messages that only seem to.

use omnihub_fakes::{AgentCall, Answer, Behaviour};
use serde_json::json;

use super::{ids, list, redrive, total};
use crate::harness::{DEADLINE, Database, Site, until};

/// A turn is begun so often: once before anything was counted, then as often as is counted.
const BEGINNINGS: usize = 8;

fn calls(site: &Site, text: &str) -> usize {
    site.agent.calls().iter().filter(|call| call.message() == text).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_kills_its_workers_ends_as_a_dead_letter() {
    let same = [("OMNIHUB_WORKER_ID", "w1")];
    let mut site = Site::parts_with(Database::Sqlite, Behaviour::Hang, &same).await;
    let poison = site.say("14155554001", "poison").await;
    let behind = site.say("14155554001", "harmless").await;
    for nth in 1..=BEGINNINGS {
        until("the agent is asked once more", DEADLINE, async || calls(&site, "poison") == nth).await;
        let worker = site.worker.as_mut().unwrap();
        worker.kill9();
        if nth == BEGINNINGS {
            site.agent.set_behaviour(Behaviour::custom(|call: &AgentCall| Answer::text(call, "well")));
        }
        worker.start_again();
    }
    let trace = site.ended(&poison).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("begun_too_often")));
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

/// The turns that a worker says it runs.
async fn turns_running(worker: &str) -> Option<f64> {
    let page = reqwest::get(format!("{worker}/metrics")).await.ok()?.text().await.ok()?;
    let line = page.lines().find(|line| line.starts_with("omnihub_turns_running"))?;
    line.rsplit(' ').next()?.parse().ok()
}
