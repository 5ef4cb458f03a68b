//! The end of a run: waiting until nothing is left to do, and reading what was recorded.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt as _;
use omnihub_common::queue::Checkpoint;
use omnihub_stage::until;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    facts::{Bubble, Call, Facts, Span, Trace},
    owners::{self, PARTITIONS},
    play,
    site::Site,
};

/// How long after the load and the faults everything may take to be done: a turn that has failed
/// three times waits 30 s.
const SETTLED: Duration = Duration::from_secs(120);

/// How many traces are asked for at once.
const PAGE: usize = 500;

/// Waits until everything is answered, traced and forgotten by the queue, then adds what was
/// recorded to the facts. What is not done in time shows in the facts.
pub(super) async fn settle(site: &Site, facts: &mut Facts, began: Instant) -> anyhow::Result<()> {
    let expected: usize = facts.accepted.iter().map(|message| message.bubbles).sum();
    let mut left = vec!["nothing was looked at".to_owned()];
    let waited = until("everything is settled", SETTLED, async || {
        let sent: HashSet<String> = site.evolution.sent().into_iter().map(|sent| sent.text).collect();
        if sent.len() < expected {
            left = vec![format!("{} of {expected} bubbles are out", sent.len())];
            return false;
        }
        left = what_is_left(site, facts.accepted.len()).await.unwrap_or_else(|error| vec![format!("{error:#}")]);
        left.is_empty()
    })
    .await;
    if waited.is_err() {
        facts.left.extend(left);
        if let Ok(left) = what_is_left(site, facts.accepted.len()).await {
            facts.left.extend(left);
        }
    }
    record(site, facts, began).await
}

/// What still stands in the hub, in words; nothing when it is done.
async fn what_is_left(site: &Site, messages: usize) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    let (_, ended) = site.get("traces?all_time=true&limit=1&outcome=answered").await?;
    if ended < messages {
        left.push(format!("{ended} of {messages} traces say that their message was answered"));
    }
    let js = site.queue().await?;
    let inbound = js.get_stream("INBOUND").await?;
    left.extend(left_in_queue(&inbound).await?);
    let outcomes = js.get_stream("TRACES").await?.cached_info().state.messages;
    if outcomes > 0 {
        left.push(format!("{outcomes} outcomes wait for the recorder"));
    }
    let dead = js.get_stream("DEAD").await?.cached_info().state.messages;
    if dead > 0 {
        left.push(format!("{dead} dead letters"));
    }
    left.extend(open_checkpoints(&js.get_stream("TURNS").await?).await?);
    Ok(left)
}

async fn left_in_queue(inbound: &Stream) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    let waiting = inbound.cached_info().state.messages;
    if waiting > 0 {
        left.push(format!("{waiting} messages wait in the queue"));
    }
    let consumers: Vec<_> = inbound.consumers().try_collect().await?;
    if consumers.len() != usize::from(PARTITIONS) {
        left.push(format!("{} consumers for {PARTITIONS} partitions", consumers.len()));
    }
    let in_flight: usize = consumers.iter().map(|consumer| consumer.num_ack_pending).sum();
    if in_flight > 0 {
        left.push(format!("{in_flight} messages are in flight"));
    }
    let filters: HashSet<&str> = consumers.iter().map(|consumer| consumer.config.filter_subject.as_str()).collect();
    if filters.len() != consumers.len() {
        left.push("a partition has two consumers".to_owned());
    }
    Ok(left)
}

async fn open_checkpoints(turns: &Stream) -> anyhow::Result<Vec<String>> {
    let subjects: Vec<(String, usize)> = turns.info_with_subjects("turn.>").await?.try_collect().await?;
    let mut open = 0;
    for (subject, _) in &subjects {
        let message = turns.get_last_raw_message_by_subject(subject).await?;
        let checkpoint = Checkpoint::read(&message.payload).context("a checkpoint cannot be read")?;
        open += usize::from(!checkpoint.is_closed());
    }
    Ok(if open > 0 { vec![format!("{open} checkpoints are open")] } else { Vec::new() })
}

async fn record(site: &Site, facts: &mut Facts, began: Instant) -> anyhow::Result<()> {
    let began = began.into_std();
    let ms =
        |at: std::time::Instant| u64::try_from(at.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX);
    for sent in site.evolution.sent() {
        match play::read_bubble(&sent.text) {
            Some((conversation, nth, part)) if sent.number.contains(&play::phone(conversation)) => {
                let span = Span { from: ms(sent.started), to: ms(sent.at) };
                facts.bubbles.push(Bubble { conversation, nth, part, span });
            }
            _ => facts.strange.push(format!("a person got something else: {:?}", sent.text)),
        }
    }
    let now = ms(std::time::Instant::now());
    for call in site.agent.calls() {
        let Some((conversation, ..)) = play::read(call.message()) else {
            facts.strange.push(format!("the agent was asked something else: {:?}", call.message()));
            continue;
        };
        let span = Span { from: ms(call.started), to: call.ended.map_or(now, ms) };
        facts.calls.push(Call { conversation, key: call.idempotency_key().to_owned(), span });
    }
    // The ledger knows what was in flight at a fault, the fake does not.
    let counted = |violation: &String| violation.starts_with("two calls at once in one conversation");
    let accused = [site.agent.violations(), site.evolution.violations()].concat();
    facts.violations.extend(accused.into_iter().filter(|violation| !counted(violation)));
    facts.traces = traces(site).await?;
    let conversations = facts.accepted.iter().map(|message| message.conversation + 1).max().unwrap_or_default();
    facts.owners = owners::read(site, conversations, unix_ms(began)).await?;
    facts.beats = owners::beats(site, unix_ms(began)).await?;
    Ok(())
}

/// A moment, in milliseconds of the Unix epoch.
fn unix_ms(at: std::time::Instant) -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(now.saturating_sub(at.elapsed()).as_millis()).unwrap_or_default()
}

async fn traces(site: &Site) -> anyhow::Result<Vec<Trace>> {
    let (mut traces, mut seen) = (Vec::new(), HashSet::new());
    loop {
        let (page, total) = site.get(&format!("traces?all_time=true&limit={PAGE}&offset={}", traces.len())).await?;
        let page = page.as_array().cloned().unwrap_or_default();
        let word = |trace: &Value, name: &str| trace[name].as_str().map(str::to_owned);
        for trace in &page {
            let id = word(trace, "trace_id").unwrap_or_default();
            anyhow::ensure!(seen.insert(id.clone()), "a trace stands on two pages");
            traces.push(Trace { id, outcome: word(trace, "outcome") });
        }
        if page.is_empty() || traces.len() >= total {
            return Ok(traces);
        }
    }
}
