//! Five messages within two seconds, of an instance that gathers for 1.5 s: the agent is asked
//! once, about all five. Also when the worker is killed in the middle of them.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use omnihub_stage::until;
use serde_json::json;
use tokio::time::sleep_until;

use super::{
    Terms,
    load::{Message, Poster},
    outside::answer_to,
    row::{About, Row},
    site::{Shape, Site},
};

const FIGURE: &str = "burst";
const INSTANCE: &str = "gatherer";

/// The messages of a burst, and the time between two of them.
const MESSAGES: usize = 5;
const BETWEEN: Duration = Duration::from_millis(400);
const DEBOUNCE_MS: u64 = 1_500;

/// When the worker dies, from the first message on.
const KILL_AFTER: Duration = Duration::from_millis(1_000);

const LEASE: Duration = Duration::from_secs(2);

/// How long the answers may take.
const ANSWERED: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Undisturbed,
    TakenOver,
    Restarted,
}

impl Case {
    fn what(self) -> &'static str {
        match self {
            Self::Undisturbed => "bursts that were one agent call",
            Self::TakenOver => "the same, their worker killed in the window, another one goes on",
            Self::Restarted => "the same, their worker killed in the window and started again",
        }
    }
}

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let mut site = Site::start(&Shape { workers: 2, brokers: terms.brokers, lease: Some(LEASE) }).await?;
    let gathering = json!({ "debounce_ms": DEBOUNCE_MS, "overlap": "queue" });
    site.make_instance(INSTANCE, "20", &gathering).await?;
    let customers = terms.size(100, 20);
    let mut rows = Vec::new();
    for (nth, case) in [Case::Undisturbed, Case::TakenOver, Case::Restarted].into_iter().enumerate() {
        site.shared().await?;
        rows.extend(one_case(&mut site, case, nth, customers).await?);
    }
    Ok(rows)
}

async fn one_case(site: &mut Site, case: Case, nth: usize, customers: usize) -> anyhow::Result<Vec<Row>> {
    let (poster, began) = (site.poster()?, Instant::now());
    let writing =
        tokio::spawn(async move { try_join_all((0..customers).map(|customer| burst(&poster, nth, customer))).await });
    let victim = nth % 2;
    let hit = site.customers_of(victim).await?.len();
    if case != Case::Undisturbed {
        sleep_until((began + KILL_AFTER).into()).await;
        site.workers[victim].kill9();
        if case == Case::Restarted {
            site.workers[victim].start_again()?;
        }
    }
    let slowest = writing.await??.into_iter().max().unwrap_or_default();
    let answered = |customer: usize| site.outside.bubble_at(&answer_to(&whole(nth, customer))).is_some();
    // A burst that came apart never gets this answer; it shows in the rows.
    let _ = until("every burst is answered", ANSWERED, async || (0..customers).all(answered)).await;
    let calls = site.outside.calls(|calls| calls.iter().map(|call| call.text.clone()).collect::<Vec<_>>());
    let good = (0..customers).filter(|customer| answered(*customer) && is_one_call(&calls, nth, *customer)).count();
    let mut rows = vec![Row::count(FIGURE, case.what(), good, customers)];
    if case == Case::Undisturbed {
        let length = super::statistics::time(slowest);
        rows.push(Row::note(FIGURE, About::Time, "from the first message of a burst to the last, the slowest", length));
    } else {
        rows.push(Row::note(FIGURE, About::Deeds, "of them in the killed worker", hit.to_string()));
    }
    if case == Case::TakenOver {
        site.workers[victim].start_again()?;
        site.workers[victim].wait_ready().await?;
    }
    Ok(rows)
}

/// One customer writes; answers how long it took.
async fn burst(poster: &Poster, case: usize, customer: usize) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for nth in 0..MESSAGES {
        sleep_until((began + BETWEEN * u32::try_from(nth)?).into()).await;
        poster.until_accepted(&Message::new(INSTANCE, customer, text(case, customer, nth))).await?;
    }
    Ok(began.elapsed())
}

fn text(case: usize, customer: usize, nth: usize) -> String {
    format!("b{case}-{customer}-{nth}.")
}

/// What the agent should be asked.
fn whole(case: usize, customer: usize) -> String {
    (0..MESSAGES).map(|nth| text(case, customer, nth)).collect::<Vec<_>>().join("\n")
}

/// Whether the agent was asked once about a burst, and about all of it. Pure.
fn is_one_call(calls: &[String], case: usize, customer: usize) -> bool {
    let of_it = format!("b{case}-{customer}-");
    let about: Vec<&String> = calls.iter().filter(|text| text.contains(&of_it)).collect();
    about.len() == 1 && *about[0] == whole(case, customer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_that_came_apart_is_seen() {
        let other = whole(0, 11);
        assert!(is_one_call(&[whole(0, 1), other.clone()], 0, 1));
        assert!(!is_one_call(&[whole(0, 1), whole(0, 1)], 0, 1), "asked twice");
        let apart = [text(0, 1, 0), (1..MESSAGES).map(|nth| text(0, 1, nth)).collect::<Vec<_>>().join("\n")];
        assert!(!is_one_call(&apart, 0, 1));
        assert!(!is_one_call(&[other], 0, 1), "never asked");
    }
}
