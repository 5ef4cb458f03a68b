//! Payloads beyond a worker's budget stay in the stream until their turn.

use std::time::Duration;

use omnihub_fakes::Behaviour;

use crate::harness::{Database, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_beyond_the_budget_are_fetched_when_their_turn_comes() {
    let agent = Behaviour::slow(Duration::from_millis(300), Behaviour::Fixed("read".into()));
    let site = Site::up_with(Database::Sqlite, agent, &[("OMNIHUB_WORKER_PAYLOADS", "1")]).await;
    let texts: Vec<String> = (0..12).map(|nth| format!("{nth} {}", "x".repeat(150_000))).collect();
    let mut traces = Vec::new();
    for text in &texts {
        traces.push(site.say("14155553301", text).await);
    }
    for trace in &traces {
        assert_eq!(site.ended(trace).await["outcome"], "answered");
    }
    let asked: Vec<String> = site.agent.calls().iter().map(|call| call.message().to_owned()).collect();
    assert_eq!(asked, texts, "each whole, and in order");
    site.assert_no_violations();
}
