//! The database is away for ten minutes while 200 messages a second arrive: every message is
//! accepted and answered meanwhile, and every outcome is recorded afterwards.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_nats::jetstream;
use omnihub_stage::{connect_postgres, until};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::machine::memory_of;
use super::{
    Terms,
    load::Message,
    row::{About, Row},
    site::{Shape, Site},
    statistics::{size, time},
};

const FIGURE: &str = "outage";
const INSTANCES: usize = 20;
const CUSTOMERS: usize = 2_000;
const RATE: f64 = 200.0;

/// How long the answers, and then the records, may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often the streams are looked at.
const LOOK: Duration = Duration::from_secs(1);

const STREAMS: [&str; 4] = ["INBOUND", "TURNS", "TRACES", "TRACE_STEPS"];

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let seconds: usize = terms.size(600, 30);
    let count = seconds * RATE as usize;
    let site = Site::start(&Shape { workers: 2, brokers: terms.brokers, lease: None }).await?;
    for nth in 0..INSTANCES {
        site.make_instance(&instance(nth), "20", &json!({})).await?;
    }
    // The outage finds a hub that knows its instances, and is at work.
    site.knows(INSTANCES).await?;
    let poster = site.poster()?;
    poster.all((0..INSTANCES).map(|nth| message("before", nth)), 1).await?;
    until("the first messages are answered", PATIENCE, async || site.outside.bubbles() >= INSTANCES).await?;
    site.settled(PATIENCE).await?;

    site.postgres.halt().await?;
    let over = CancellationToken::new();
    let looking = tokio::spawn(look(site.jetstream().await?, over.clone()));
    let posted = poster.steadily(count, RATE, |nth| message("during", nth)).await?;
    let accepted = posted.iter().filter(|posted| posted.answer.status == 200).count();
    let all = accepted + INSTANCES;
    let answering = Instant::now();
    // One that is not answered shows in the row.
    let _ = until("every message is answered", PATIENCE, async || site.outside.bubbles() >= all).await;
    let (answered, answering) = (site.outside.bubbles(), answering.elapsed());
    site.postgres.start_again().await?;
    let back = Instant::now();
    let recorded = recorded(&site, all).await?;
    let catching_up = back.elapsed();
    over.cancel();
    let peaks = looking.await?;
    let peaks = peaks.iter().map(|(stream, bytes)| format!("{stream} {}", size(*bytes))).collect::<Vec<_>>().join(", ");
    let workers = site.workers.iter().map(|worker| worker.id());
    let memory: Vec<String> =
        workers.chain([site.ingress.id()]).map(|id| size(memory_of(id).unwrap_or_default().peak)).collect();
    Ok(vec![
        Row::count(FIGURE, format!("accepted at {RATE}/s in {seconds} s without a database"), accepted, count),
        Row::count(FIGURE, "answered while it was away", answered - INSTANCES.min(answered), accepted),
        Row::note(FIGURE, About::Time, "from the last webhook to the last answer", time(answering)),
        Row::count(FIGURE, "outcomes recorded when it was back", recorded - INSTANCES.min(recorded), accepted),
        Row::note(FIGURE, About::Time, "time to record them", time(catching_up)),
        Row::count(FIGURE, "bubbles repeated", site.outside.repeated(), 0),
        Row::note(FIGURE, About::Size, "streams at their largest", peaks),
        Row::note(FIGURE, About::Size, "most memory of the two workers and the ingress", memory.join(", ")),
    ])
}

/// Waits until so many messages have their outcome in the database, and answers how many have.
async fn recorded(site: &Site, wanted: usize) -> anyhow::Result<usize> {
    let database = connect_postgres(&site.database.url()).await?;
    let mut recorded = 0;
    // Fewer show in the row.
    let _ = until("every outcome is recorded", PATIENCE, async || {
        recorded = outcomes(&database).await.unwrap_or(recorded);
        recorded >= wanted
    })
    .await;
    Ok(recorded)
}

async fn outcomes(database: &DatabaseConnection) -> anyhow::Result<usize> {
    let row = database
        .query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DatabaseBackend::Postgres,
            "SELECT COUNT(*) FROM message_traces WHERE outcome IS NOT NULL",
        ))
        .await?
        .context("a count has a row")?;
    Ok(usize::try_from(row.try_get_by_index::<i64>(0)?)?)
}

/// Looks at the streams until it is over, and answers the most bytes of each.
async fn look(js: jetstream::Context, over: CancellationToken) -> BTreeMap<&'static str, u64> {
    let mut peaks = BTreeMap::new();
    let mut tick = tokio::time::interval(LOOK);
    while over.run_until_cancelled(tick.tick()).await.is_some() {
        for name in STREAMS {
            if let Ok(stream) = js.get_stream(name).await {
                let bytes = stream.cached_info().state.bytes;
                peaks.entry(name).and_modify(|peak: &mut u64| *peak = bytes.max(*peak)).or_insert(bytes);
            }
        }
    }
    peaks
}

fn instance(nth: usize) -> String {
    format!("tenant{}", nth % INSTANCES)
}

fn message(when: &str, nth: usize) -> Message {
    Message::new(&instance(nth), nth % CUSTOMERS, format!("{when}-{nth}"))
}
