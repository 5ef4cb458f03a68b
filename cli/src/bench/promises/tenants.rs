//! Ten thousand instances in one hub: what a page of the list costs when there are so many, how
//! long a process takes to start and to know them all, and that a webhook asks no database whose it
//! is: it is away while each instance gets its first one.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use omnihub_stage::until;
use serde_json::json;

use super::{
    Terms,
    load::Message,
    row::{About, Row},
    site::{Shape, Site},
    statistics::{percentile, time, worst},
};

const FIGURE: &str = "tenants";

/// A page of the list.
const PAGE: usize = 50;
const PAGE_GOAL: Duration = Duration::from_millis(50);
/// How often each page is asked for.
const ASKED: usize = 100;

const START_GOAL: Duration = Duration::from_secs(5);

/// Instances that are made, and webhooks that are posted, at once.
const AT_ONCE: usize = 16;

/// How long the answers may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let count = terms.size(10_000, 300);
    let mut site = Site::start(&Shape { workers: 1, brokers: terms.brokers, lease: None }).await?;
    let began = Instant::now();
    let nothing = json!({});
    stream::iter(0..count)
        .map(|nth| {
            let (site, nothing) = (&site, &nothing);
            async move { site.make_instance(&instance(nth), "0", nothing).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let mut rows =
        vec![Row::note(FIGURE, About::Time, format!("{count} instances made over REST"), time(began.elapsed()))];
    rows.extend(pages(&site, count).await?);
    rows.extend(starts(&mut site, count).await?);
    rows.extend(webhooks(&site, count).await?);
    Ok(rows)
}

/// The first, a middle and the last page.
async fn pages(site: &Site, count: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (page, skip) in [("first", 0), ("middle", count / 2), ("last", count - PAGE)] {
        let mut took = Vec::with_capacity(ASKED);
        for _ in 0..ASKED {
            let began = Instant::now();
            let found = site.list_instances(skip, PAGE).await?;
            took.push(began.elapsed());
            anyhow::ensure!(found == PAGE, "the {page} page has {found} instances");
        }
        let (half, most) = (percentile(&took, 0.5), percentile(&took, 0.99));
        rows.push(
            Row::note(
                FIGURE,
                About::Time,
                format!("the {page} page of {PAGE}: median, p99, worst of {ASKED}"),
                [half, most, worst(&took)].map(time).join(", "),
            )
            .goal(format!("p99 < {}", time(PAGE_GOAL)), most < PAGE_GOAL),
        );
    }
    Ok(rows)
}

/// Both parts start anew.
async fn starts(site: &mut Site, count: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    site.ingress.terminate().await?;
    let began = Instant::now();
    site.ingress.start_again()?;
    site.ingress.wait_ready().await?;
    let ready = began.elapsed();
    site.knows_at(&site.ingress.url(), count).await?;
    rows.push(start("the ingress", ready, began.elapsed()));

    let worker = site.workers.first_mut().context("a worker")?;
    worker.terminate().await?;
    let began = Instant::now();
    worker.start_again()?;
    let url = worker.url();
    site.knows_at(&url, count).await?;
    let known = began.elapsed();
    site.shared().await?;
    rows.push(start("the worker (ready = owns every partition)", began.elapsed(), known));
    Ok(rows)
}

fn start(who: &str, ready: Duration, known: Duration) -> Row {
    let what = format!("start of {who}: until ready, until it knows every instance");
    let goal = format!("both < {}", time(START_GOAL));
    Row::note(FIGURE, About::Time, what, [ready, known].map(time).join(", "))
        .goal(goal, ready < START_GOAL && known < START_GOAL)
}

/// One webhook for each, while the database is away.
async fn webhooks(site: &Site, count: usize) -> anyhow::Result<Vec<Row>> {
    site.postgres.halt().await?;
    let poster = site.poster()?;
    let mut posted = stream::iter(0..count)
        .map(|nth| {
            let poster = &poster;
            async move {
                let began = Instant::now();
                let answer = poster.once(&Message::new(&instance(nth), nth, format!("t{nth}"))).await;
                (answer.status, began.elapsed())
            }
        })
        .buffer_unordered(AT_ONCE);
    let (mut accepted, mut took) = (0, Vec::with_capacity(count));
    while let Some((status, elapsed)) = posted.next().await {
        accepted += usize::from(status == 200);
        took.push(elapsed);
    }
    // One that is not answered shows in the row.
    let _ = until("every message is answered", PATIENCE, async || site.outside.bubbles() >= accepted).await;
    let answered = site.outside.bubbles();
    site.postgres.start_again().await?;
    let times = [percentile(&took, 0.5), percentile(&took, 0.99)].map(time).join(", ");
    Ok(vec![
        Row::count(FIGURE, "first webhooks, one of each, accepted without a database", accepted, count),
        Row::note(FIGURE, About::Time, format!("their answer, {AT_ONCE} at once: median, p99"), times),
        Row::count(FIGURE, "answered by the agent meanwhile", answered, count),
    ])
}

fn instance(nth: usize) -> String {
    format!("tenant{nth}")
}
