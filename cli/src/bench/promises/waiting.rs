//! Ten thousand turns that wait for a slow agent in one worker: what memory they take.
//!
//! So that all of them wait at once however fast the machine accepts, the agent takes its five
//! seconds from the moment when the last of them has asked.

use std::time::{Duration, Instant};

use omnihub_stage::until;
use serde_json::json;

use super::super::machine::{Memory, memory_of};
use super::{
    Terms,
    load::Message,
    row::{About, Row},
    site::{Shape, Site},
    statistics::{size, time},
};

const FIGURE: &str = "waiting";

/// Each has the default cap of turns at once.
const TURNS_PER_INSTANCE: usize = 1_000;

/// What the agent takes.
const AGENT: Duration = Duration::from_secs(5);

const GOAL: u64 = 400_000_000;

/// How long it may take until all wait, and until all are answered.
const PATIENCE: Duration = Duration::from_secs(180);

/// Webhooks at once.
const AT_ONCE: usize = 64;

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let turns = terms.size(10_000, 1_000);
    let site = Site::start(&Shape { workers: 1, brokers: terms.brokers, lease: None }).await?;
    for nth in 0..turns / TURNS_PER_INSTANCE {
        site.make_instance(&instance(nth * TURNS_PER_INSTANCE), "gate", &json!({})).await?;
    }
    let memory = || memory_of(site.workers[0].id()).unwrap_or_default();
    let idle = memory();
    site.outside.open_gate(false);
    let began = Instant::now();
    let messages = (0..turns).map(|nth| Message::new(&instance(nth), nth, format!("w{nth}")));
    site.poster()?.all(messages, AT_ONCE).await?;
    // Fewer show in the row.
    let _ = until("all turns wait", PATIENCE, async || site.outside.waiting() >= turns).await;
    let asked = began.elapsed();
    tokio::time::sleep(AGENT).await;
    let waiting = memory();
    site.outside.open_gate(true);
    let opened = Instant::now();
    let _ = until("all turns are answered", PATIENCE, async || site.outside.bubbles() >= turns).await;
    let answered = opened.elapsed();
    let _ = site.settled(PATIENCE).await;
    let Memory { now: after, peak } = memory();
    let calls = site.outside.calls(<[_]>::len);
    let repeated = calls - turns.min(calls);
    Ok(vec![
        Row::count(FIGURE, "turns that waited at once in one worker", site.outside.most_waiting(), turns),
        Row::note(FIGURE, About::Size, "most memory of the worker", size(peak))
            .goal(format!("< {}", size(GOAL)), peak > 0 && peak < GOAL),
        Row::note(
            FIGURE,
            About::Size,
            "its memory before, while all wait, and after",
            [idle.now, waiting.now, after].map(size).join(", "),
        ),
        Row::count(FIGURE, "answered", site.outside.bubbles(), turns),
        Row::count(FIGURE, "agent calls repeated", repeated, 0),
        Row::count(FIGURE, "bubbles repeated", site.outside.repeated(), 0),
        Row::note(
            FIGURE,
            About::Time,
            "from the first webhook until all had asked, and from the agent's answer until all were answered",
            format!("{}, {}", time(asked), time(answered)),
        ),
    ])
}

fn instance(turn: usize) -> String {
    format!("patient{}", turn / TURNS_PER_INSTANCE)
}
