//! One instance whose agent hangs, with 20,000 messages in the queue, and sixty others: how much
//! longer these wait than without it.
//!
//! Runs without and with the hanging one alternate, on the same processes; after each the agent
//! comes back and everything is answered. The rate leaves the machine time, and how late the
//! generator was itself is shown apart: it is part of no promise.

use std::time::Duration;

use omnihub_stage::until;
use serde_json::json;

use super::{
    Terms,
    load::{Message, Poster},
    outside::answer_to,
    row::{About, Row},
    site::{Shape, Site},
    statistics::{median, percentile, time, worst},
};

const FIGURE: &str = "fairness";
const STUCK: &str = "stuck";
const OTHERS: usize = 60;

/// Messages a second, of all others together.
const RATE: f64 = 100.0;

/// Conversations of each of the others, and of the one that hangs.
const CUSTOMERS: usize = 5;
const STUCK_CUSTOMERS: usize = 2_000;

/// The default cap of an instance's turns at once.
const CAP: usize = 1_000;

/// Webhooks at once while the queue is filled.
const AT_ONCE: usize = 32;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The p99 may move by so much.
const GOAL: f64 = 0.10;

/// One run's latencies, from the moment a webhook was due to its reply.
#[derive(Clone, Copy, Debug)]
struct Run {
    half: Duration,
    most: Duration,
    late: Duration,
    answered: usize,
}

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let (rounds, queued, seconds) = terms.size((5, 20_000, 30), (1, 1_500, 5));
    let site = Site::start(&Shape { workers: 1, brokers: terms.brokers, lease: None }).await?;
    site.make_instance(STUCK, "gate", &json!({})).await?;
    for nth in 0..OTHERS {
        site.make_instance(&other(nth), "0", &json!({})).await?;
    }
    let (poster, count) = (site.poster()?, seconds * RATE as usize);
    // Connections, caches and code pages are made before anything is measured.
    others(&site, &poster, "warm", count / 3).await?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        alone.push(others(&site, &poster, &format!("a{round}"), count).await?);
        fill(&site, &poster, round, queued).await?;
        beside.push(others(&site, &poster, &format!("b{round}"), count).await?);
        drain(&site, (round + 1) * queued).await?;
    }
    Ok(rows(&alone, &beside, count, stuck_answered(&site), rounds * queued))
}

fn rows(alone: &[Run], beside: &[Run], count: usize, stuck: usize, queued: usize) -> Vec<Row> {
    let of = |runs: &[Run], read: fn(&Run) -> Duration| runs.iter().map(read).collect::<Vec<_>>();
    let told = |runs: &[Run], read| {
        let times = of(runs, read);
        let least = times.iter().min().copied().unwrap_or_default();
        format!("{} ({} to {})", time(median(&times)), time(least), time(worst(&times)))
    };
    let row = |what: &str, runs: &[Run], read| {
        let what = format!("{what}, median (spread) of {} runs", runs.len());
        Row::note(FIGURE, About::Time, what, told(runs, read))
    };
    let most = |runs| median(&of(runs, |run| run.most)).as_secs_f64();
    let moved = most(beside) / most(alone) - 1.0;
    let all: usize = alone.iter().chain(beside).map(|run| run.answered).sum();
    vec![
        row("p99 of the others without it", alone, |run| run.most),
        row("p99 of the others with it", beside, |run| run.most),
        Row::note(FIGURE, About::Time, "the p99 moves by", format!("{:+.1} %", moved * 100.0))
            .goal(format!("< {:.0} %", GOAL * 100.0), moved < GOAL),
        row("p50 of the others without it", alone, |run| run.half),
        row("p50 of the others with it", beside, |run| run.half),
        row("p99 of the generator's own lateness without it", alone, |run| run.late),
        row("p99 of the generator's own lateness with it", beside, |run| run.late),
        Row::count(FIGURE, "messages of the others answered", all, count * (alone.len() + beside.len())),
        Row::count(FIGURE, "messages of the hanging one answered when its agent is back", stuck, queued),
    ]
}

/// The others write; every webhook is posted once, at its time.
async fn others(site: &Site, poster: &Poster, run: &str, count: usize) -> anyhow::Result<Run> {
    let message = |nth: usize| Message::new(&other(nth), nth % (OTHERS * CUSTOMERS), format!("{run}-{nth}"));
    let posted = poster.steadily(count, RATE, message).await?;
    let reply = |nth: usize| site.outside.bubble_at(&answer_to(&message(nth).text));
    // One that is not answered shows in the row.
    let _ = until("the others are answered", PATIENCE, async || (0..count).all(|nth| reply(nth).is_some())).await;
    let took: Vec<Duration> =
        posted.iter().filter_map(|one| Some(reply(one.nth)?.saturating_duration_since(one.due.into_std()))).collect();
    let late: Vec<Duration> = posted.iter().map(|one| one.late).collect();
    let (half, most, late) = (percentile(&took, 0.5), percentile(&took, 0.99), percentile(&late, 0.99));
    Ok(Run { half, most, late, answered: took.len() })
}

/// The agent hangs, and the queue fills.
async fn fill(site: &Site, poster: &Poster, round: usize, queued: usize) -> anyhow::Result<()> {
    site.outside.open_gate(false);
    let message = |nth: usize| Message::new(STUCK, 100_000 + nth % STUCK_CUSTOMERS, stuck_text(round, nth));
    poster.all((0..queued).map(message), AT_ONCE).await?;
    let wanted = CAP.min(queued);
    until("as many turns as may wait for it", PATIENCE, async || site.outside.waiting() >= wanted).await?;
    outcomes_recorded(site).await
}

/// The agent is back, and everything is answered.
async fn drain(site: &Site, stuck: usize) -> anyhow::Result<()> {
    site.outside.open_gate(true);
    until("the hanging one's messages are answered", PATIENCE, async || stuck_answered(site) >= stuck).await?;
    site.settled(PATIENCE).await.map(drop)
}

/// Waits until the recorder has written what there was to write: it is not what is measured.
async fn outcomes_recorded(site: &Site) -> anyhow::Result<()> {
    let js = site.jetstream().await?;
    until("traces are recorded", PATIENCE, async || super::site::waiting_in(&js, "TRACES").await == Some(0)).await
}

fn stuck_answered(site: &Site) -> usize {
    site.outside.bubbles_beginning(&answer_to("stuck-"))
}

fn stuck_text(round: usize, nth: usize) -> String {
    format!("stuck-{round}-{nth}")
}

fn other(nth: usize) -> String {
    format!("other{}", nth % OTHERS)
}
