//! Customers who write all the time while workers die, and when their conversations go on.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use omnihub_stage::until;
use serde_json::json;
use tokio::{task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;

use super::{
    load::{Message, Poster},
    outside::Call,
    row::{About, Row},
    site::{Shape, Site},
};

const INSTANCES: usize = 4;
const CUSTOMERS: usize = 64;

/// Each of them writes so often.
const EVERY: Duration = Duration::from_secs(1);

/// How long the agent takes, in milliseconds: some turn is always running.
const PACE: &str = "100";

/// How long conversations may stand still before that is no figure any more.
const STANDSTILL: Duration = Duration::from_secs(90);

/// The hub, its customers, and who has heard what.
pub(super) struct Scene {
    pub(super) site: Site,
    stop: CancellationToken,
    writing: JoinSet<anyhow::Result<usize>>,
}

/// When conversations went on, counted from one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct WentOn {
    /// The first of them.
    pub(super) first: Duration,
    /// The last of them.
    pub(super) last: Duration,
}

impl Scene {
    /// Two workers; every customer has been answered once.
    pub(super) async fn start(brokers: usize, lease: Duration) -> anyhow::Result<Self> {
        let site = Site::start(&Shape { workers: 2, brokers, lease: Some(lease) }).await?;
        for nth in 0..INSTANCES {
            site.make_instance(&instance(nth), PACE, &json!({})).await?;
        }
        let (poster, stop, mut writing) = (site.poster()?, CancellationToken::new(), JoinSet::new());
        for customer in 0..CUSTOMERS {
            writing.spawn(write(poster.clone(), customer, stop.clone()));
        }
        let scene = Self { site, stop, writing };
        let (everybody, began) = ((0..CUSTOMERS).collect(), Instant::now() - STANDSTILL);
        scene.went_on(&everybody, began).await.context("the first messages")?;
        Ok(scene)
    }

    /// Waits until the agent was asked by each of these customers after `since`. A question of a
    /// worker that is dead by now may still have been on the wire; it is never answered, so only
    /// answered ones count.
    pub(super) async fn went_on(&self, customers: &HashSet<usize>, since: Instant) -> anyhow::Result<WentOn> {
        let mut first_calls = HashMap::new();
        until("the conversations go on", STANDSTILL, async || {
            first_calls = self.site.outside.calls(|calls| first_calls_after(calls, since, customers));
            first_calls.len() == customers.len()
        })
        .await
        .with_context(|| self.standing(customers, &first_calls))?;
        let after = |at: Option<&Instant>| at.map(|at| at.duration_since(since)).unwrap_or_default();
        Ok(WentOn { first: after(first_calls.values().min()), last: after(first_calls.values().max()) })
    }

    /// What is known of those that did not go on.
    fn standing(&self, customers: &HashSet<usize>, went_on: &HashMap<usize, Instant>) -> String {
        let standing = customers.iter().filter(|customer| !went_on.contains_key(customer));
        let told = standing.map(|customer| {
            let its = |call: &&Call| customer_in(&call.text) == Some(*customer);
            let last = self.site.outside.calls(|calls| calls.iter().rev().find(its).cloned());
            let last = last.map(|call| (call.text, call.answered, call.at.elapsed()));
            format!("customer {customer} stands still, the last call (answered, ago) being {last:?}")
        });
        let logs =
            self.site.workers.iter().map(|worker| format!("the log of {}:\n{}", worker.command(), worker.tail()));
        told.chain(logs).collect::<Vec<_>>().join("\n")
    }

    /// The customers stop; every message is answered, and the rows say so.
    pub(super) async fn end(mut self, figure: &'static str) -> anyhow::Result<Vec<Row>> {
        self.stop.cancel();
        let mut accepted = 0;
        while let Some(written) = self.writing.join_next().await {
            accepted += written??;
        }
        // One that is not answered shows in the row.
        let _ = until("every message is answered", STANDSTILL, async || self.site.outside.bubbles() >= accepted).await;
        let repeated = self.site.outside.repeated().to_string();
        Ok(vec![
            Row::count(figure, "messages answered", self.site.outside.bubbles(), accepted),
            Row::note(figure, About::Deeds, "bubbles that went out twice (in flight at a kill)", repeated),
        ])
    }
}

fn instance(customer: usize) -> String {
    format!("shop{}", customer % INSTANCES)
}

/// One customer; answers how many messages were accepted.
async fn write(poster: Poster, customer: usize, stop: CancellationToken) -> anyhow::Result<usize> {
    // Not all in the same moment.
    tokio::time::sleep(EVERY.mul_f64(customer as f64 / CUSTOMERS as f64)).await;
    let (mut tick, mut nth) = (interval(EVERY), 0);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(nth),
            _ = tick.tick() => {
                poster.until_accepted(&Message::new(&instance(customer), customer, text(customer, nth))).await?;
                nth += 1;
            }
        }
    }
}

fn text(customer: usize, nth: usize) -> String {
    format!("c{customer} m{nth}")
}

fn customer_in(text: &str) -> Option<usize> {
    text.strip_prefix('c')?.split(' ').next()?.parse().ok()
}

/// For each of these customers the first answered call that came after `since`. Pure.
fn first_calls_after(calls: &[Call], since: Instant, customers: &HashSet<usize>) -> HashMap<usize, Instant> {
    let later = calls.partition_point(|call| call.at <= since);
    let mut first = HashMap::new();
    for call in calls[later..].iter().filter(|call| call.answered) {
        if let Some(customer) = customer_in(&call.text).filter(|customer| customers.contains(customer)) {
            first.entry(customer).or_insert(call.at);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answered_calls_of_these_customers_after_the_moment_count() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let call = |ms, customer, answered| Call { text: text(customer, 0), at: at(ms), answered };
        let calls = [
            call(1, 1, true),
            call(11, 1, false),
            call(12, 2, true),
            call(13, 1, true),
            call(14, 1, true),
            call(15, 3, true),
        ];
        let first = first_calls_after(&calls, at(10), &HashSet::from([1, 3]));
        assert_eq!(first, HashMap::from([(1, at(13)), (3, at(15))]));
    }
}
