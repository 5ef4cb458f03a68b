//! The database is away for long: everything is answered, and every outcome is recorded afterwards.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use omnihub_fakes::Behaviour;

use crate::harness::{DEADLINE, Deployment, Ledger, until};

const CONVERSATIONS: usize = 200;
const MESSAGES: usize = 10;
const AT_ONCE: usize = 64;
/// As much as two thousand turns may take on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(150);

/// What an agent says on a usual day.
const REPLY: &str = "Good morning! Order 48213 left our warehouse yesterday at 16:40 and is expected within three \
    working days.\n\nYou can follow it under RS123456789BR on the carrier's page. If the address is to change, \
    answer this message until 18:00 today, please. Is there anything else that I can do for you?";

/// The traces can be read again.
async fn readable(deployment: &Deployment) {
    let health = format!("{}/health", deployment.front.url());
    until("the database is back", DEADLINE, async || {
        let page = reqwest::get(&health).await.unwrap().json::<serde_json::Value>().await.unwrap_or_default();
        page["services"]["database"]["status"] == "up"
    })
    .await;
}

async fn state(js: &jetstream::Context, stream: &str) -> jetstream::stream::State {
    js.get_stream(stream).await.unwrap().cached_info().state.clone()
}

#[tokio::test]
async fn two_thousand_messages_without_the_database() {
    let mut deployment = Deployment::apart_on_cable(Behaviour::Fixed(REPLY.into()), &["w1", "w2"]).await;
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..1, 1, 1).await;
    deployment.evolution.wait_for_sent(1, DEADLINE).await.unwrap();
    until("the first trace is there", DEADLINE, async || deployment.traces("status=completed").await == 1).await;

    // The second worker takes its share during the outage, of an instance that it never served.
    for worker in &deployment.workers {
        let read_ahead = async || deployment.metric(worker, "omnihub_instances_known").await >= 1.0;
        until("the instance is known", DEADLINE, read_ahead).await;
    }
    deployment.cable().cut();
    ledger.post(&deployment, 0..CONVERSATIONS, MESSAGES, AT_ONCE).await;
    deployment.evolution.wait_for_sent(1 + CONVERSATIONS * MESSAGES, LONG).await.unwrap();
    let js = deployment.jetstream().await;
    until("every outcome waits", DEADLINE, async || {
        state(&js, "TRACES").await.messages == (CONVERSATIONS * MESSAGES) as u64
    })
    .await;
    let waiting = state(&js, "TRACES").await;
    let bytes = waiting.bytes / waiting.messages;
    eprintln!("{bytes} bytes per outcome; 10 minutes at 200/s take {} MiB", (bytes * 120_000) >> 20);
    assert!(bytes * 120_000 * 2 < 512 << 20, "{bytes} bytes per outcome");

    // A worker dies meanwhile: what it held goes to the others.
    deployment.workers[1].kill9();
    deployment.cable().mend();
    let mended = Instant::now();
    readable(&deployment).await;
    let recorded = async || deployment.traces("status=completed&outcome=answered").await == ledger.len();
    until("every outcome is recorded", LONG, recorded).await;
    eprintln!("{} outcomes recorded within {:?}", ledger.len(), mended.elapsed());
    assert_eq!(deployment.evolution.sent().len(), ledger.len(), "each was answered once");
    assert_eq!(deployment.traces("").await, ledger.len());
    until("no outcome waits", DEADLINE, async || state(&js, "TRACES").await.messages == 0).await;
    deployment.assert_no_violations();
}

#[tokio::test]
async fn a_full_stream_of_outcomes_delays_and_loses_nothing() {
    let deployment = Deployment::apart_on_cable(Behaviour::Echo, &["w1"]).await;
    let js = deployment.jetstream().await;
    let small = async |stream: &str, bytes: i64| {
        let mut config = js.get_stream(stream).await.unwrap().cached_info().config.clone();
        config.max_bytes = bytes;
        js.update_stream(config).await.unwrap();
    };
    let mut ledger = Ledger::default();
    ledger.post(&deployment, 0..1, 1, 1).await;
    ledger.assert_answered(&deployment, 0).await;
    small("TRACES", 16 * 1024).await;
    small("TRACE_STEPS", 64 * 1024).await;
    deployment.cable().cut();
    ledger.post(&deployment, 0..60, 3, 20).await;
    let full = async || deployment.workers[0].log().contains("maximum bytes exceeded");
    until("the stream is full", DEADLINE, full).await;
    let refused = deployment.post(&Ledger::webhook(61, 0)).await;
    assert_eq!(refused.status, 200, "what waits for the stream is still accepted");

    deployment.cable().mend();
    readable(&deployment).await;
    deployment.evolution.wait_for_sent(ledger.len() + 1, DEADLINE).await.unwrap();
    let recorded = async || deployment.traces("status=completed&outcome=answered").await == ledger.len() + 1;
    until("every outcome is recorded", DEADLINE, recorded).await;
    assert_eq!(deployment.evolution.sent().len(), ledger.len() + 1, "each was answered once");
    deployment.settle(61).await;
}
