//! NATS comes back with the store of a minute ago, as after a power loss where writes are not
//! forced to the disk: its sequences are given again, to other messages and other records.
//!
//! The cast: customers (`customers`) who write all the time, also while the servers are away; the
//! `ledger` that says what the store lost and holds the hub to it. The workers and the ingress
//! live on, since they have the memory that a put-back store could be confused with. What the
//! store has is read at the servers while the links to them are cut, so that it is exact.

mod customers;
mod ledger;

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_nats::jetstream;
use omnihub_common::queue::{Envelope, EnvelopeBody};
use omnihub_stage::{connect_postgres, until};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use self::{
    customers::Customers,
    ledger::{Loss, Verdict, Written, verdict},
};
use super::{
    Terms,
    broker::Broker,
    outside::answer_to,
    row::{About, Row},
    site::{Shape, Site},
    statistics::time,
};

const FIGURE: &str = "rewind";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long customers write: before the copy, from the copy to the loss, and after it.
#[derive(Clone, Copy, Debug)]
struct Times {
    before: Duration,
    lost: Duration,
    after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    AtRest,
    Live,
    OneOfThree,
}

impl Case {
    fn of(brokers: usize) -> &'static [Self] {
        if brokers == 3 { &[Self::AtRest, Self::Live, Self::OneOfThree] } else { &[Self::AtRest, Self::Live] }
    }

    fn what(self, brokers: usize) -> &'static str {
        match (self, brokers) {
            (Self::AtRest, 3) => "all three stores copied at rest",
            (Self::Live, 3) => "all three stores copied under load",
            (Self::OneOfThree, _) => "one of three stores copied under load",
            (Self::AtRest, _) => "the store copied at rest",
            (Self::Live, _) => "the store copied under load",
        }
    }
}

/// The measurement.
pub(super) async fn measure(terms: Terms) -> anyhow::Result<Vec<Row>> {
    let seconds = |[before, lost, after]: [u64; 3]| {
        let [before, lost, after] = [before, lost, after].map(Duration::from_secs);
        Times { before, lost, after }
    };
    let times = seconds(terms.size([10, 60, 20], [2, 5, 3]));
    let broker = Broker::start_behind_links(terms.brokers).await?;
    let mut site = Site::start_on(broker, &Shape { workers: 2, brokers: terms.brokers, lease: None }).await?;
    for nth in 0..customers::INSTANCES {
        site.make_instance(&customers::instance(nth), customers::PACE, &json!({})).await?;
    }
    let mut rows = Vec::new();
    for case in Case::of(terms.brokers) {
        rows.extend(one_case(&mut site, *case, times, terms.brokers).await?);
    }
    Ok(rows)
}

async fn one_case(site: &mut Site, case: Case, times: Times, brokers: usize) -> anyhow::Result<Vec<Row>> {
    let (copy, poster) = (tempfile::tempdir().context("no temporary folder")?, site.poster()?);
    let mut customers = Customers::begin(&poster, &format!("{case:?}-a"));
    tokio::time::sleep(times.before).await;
    let mut written = Vec::new();
    if case == Case::AtRest {
        written = customers.end().await?;
        site.settled(PATIENCE).await?;
        site.broker.snapshot(copy.path())?;
        customers = Customers::begin(&poster, &format!("{case:?}-b"));
    } else {
        site.broker.snapshot(copy.path())?;
    }
    tokio::time::sleep(times.lost).await;
    let began = Instant::now();
    let loss = match case {
        Case::OneOfThree => put_one_back(site, copy.path()).await?,
        _ => put_all_back(site, copy.path()).await?,
    };
    let away = began.elapsed();
    tokio::time::sleep(times.after).await;
    written.extend(customers.end().await?);
    // One that is not answered shows in the rows.
    let _ = until("all is answered but what was lost", PATIENCE, async || owing(site, &written, &loss) == 0).await;
    let _ = site.settled(PATIENCE).await;
    let prefix = answer_to(&format!("{case:?}-"));
    let bubbles = site.outside.look(|bubbles| {
        let of_case = bubbles.iter().filter(|(text, _)| text.starts_with(&prefix));
        of_case.map(|(text, bubble)| (text.clone(), bubble.clone())).collect()
    });
    let seen = site.outside.calls(|calls| verdict(&written, &bubbles, calls, &loss));
    let told = told(site, &written, &loss).await?;
    let alive = site.workers.iter_mut().chain([&mut site.ingress]).map(|part| usize::from(part.is_running())).sum();
    Ok(rows(case.what(brokers), &seen, told, alive, away))
}

fn rows(case: &str, seen: &Verdict, told: usize, alive: usize, away: Duration) -> Vec<Row> {
    let what = |text: &str| format!("{case}: {text}");
    let count = |text, measured, wanted| Row::count(FIGURE, what(text), measured, wanted);
    let note = |text, measured: String| Row::note(FIGURE, About::Deeds, what(text), measured);
    let may_go = seen.forgotten - seen.ran_through;
    vec![
        note("messages accepted before the servers were back", seen.before.to_string()),
        note("of them unanswered, and not in the store any more", seen.forgotten.to_string()),
        count("of these answered by a turn that ran already", seen.ran_through_asked, seen.ran_through),
        count("messages lost, the goal being what the store lost and no turn had", seen.lost, may_go),
        count("of them still in the store", seen.lost_beyond, 0),
        count("new messages answered", seen.after_answered, seen.after),
        count("new messages whose trace says so", told, seen.after),
        note("bubbles sent again, their answer forgotten by the store", seen.repeated.to_string()),
        count("bubbles sent again for any other reason", seen.repeated_beyond, 0),
        count("messages answered before an earlier one", seen.overtaken, 0),
        count("bubbles to somebody else", seen.astray, 0),
        count("processes that lived on", alive, 3),
        Row::note(FIGURE, About::Time, what("the servers were away for"), time(away)),
    ]
}

/// Messages that must be answered and are not yet.
fn owing(site: &Site, written: &[Written], loss: &Loss) -> usize {
    site.outside.look(|bubbles| {
        let due =
            written.iter().filter(|message| message.accepted >= loss.healed || !loss.gone.contains(&message.text));
        due.filter(|message| !bubbles.contains_key(&answer_to(&message.text))).count()
    })
}

/// New messages whose trace says that they were answered.
async fn told(site: &Site, written: &[Written], loss: &Loss) -> anyhow::Result<usize> {
    const ANSWERED: &str = "SELECT message_content FROM message_traces WHERE outcome = 'answered'";
    let database = connect_postgres(&site.database.url()).await?;
    let answered = sea_orm::Statement::from_string(sea_orm::DatabaseBackend::Postgres, ANSWERED);
    let rows = database.query_all_raw(answered).await?;
    let texts = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<HashSet<String>, _>>()?;
    let new = written.iter().filter(|message| message.accepted >= loss.healed);
    Ok(new.filter(|message| texts.contains(&message.text)).count())
}

/// All servers lose their power at once, and come back with the copy.
async fn put_all_back(site: &mut Site, copy: &Path) -> anyhow::Result<Loss> {
    site.broker.cut();
    let had = texts_in_store(site).await?;
    site.broker.put_back(copy).await?;
    let kept = texts_in_store(site).await?;
    let gone = had.difference(&kept).cloned().collect();
    let healed = Instant::now();
    site.broker.heal();
    Ok(Loss { gone, kept, healed })
}

/// The server that leads the messages does so alone: the others have everything.
async fn put_one_back(site: &mut Site, copy: &Path) -> anyhow::Result<Loss> {
    let stream = site.jetstream().await?.get_stream("INBOUND").await?;
    let leader = stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone());
    site.broker.put_one_back(&leader.context("INBOUND has no leader")?, copy).await?;
    Ok(Loss { gone: HashSet::new(), kept: HashSet::new(), healed: Instant::now() })
}

/// The texts that wait in the servers' store, as soon as they say.
async fn texts_in_store(site: &Site) -> anyhow::Result<HashSet<String>> {
    let mut texts = Err(anyhow::anyhow!("never asked"));
    until("the messages have a leader", PATIENCE, async || {
        texts = read_texts(site).await;
        texts.is_ok()
    })
    .await?;
    texts
}

async fn read_texts(site: &Site) -> anyhow::Result<HashSet<String>> {
    use jetstream::stream::RawMessageErrorKind;
    let stream = site.jetstream().await?.get_stream("INBOUND").await?;
    let (mut texts, state) = (HashSet::new(), &stream.cached_info().state);
    for sequence in state.first_sequence..=state.last_sequence {
        match stream.get_raw_message(sequence).await {
            Ok(message) => texts.insert(text_of(&message.payload)?),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => continue,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(texts)
}

fn text_of(payload: &[u8]) -> anyhow::Result<String> {
    let envelope: Envelope = serde_json::from_slice(payload).context("a message in the store")?;
    let EnvelopeBody::Inline(body) = envelope.body else { anyhow::bail!("a message too large for this measurement") };
    let text = body.pointer("/message/conversation").and_then(serde_json::Value::as_str);
    text.map(str::to_owned).with_context(|| format!("a message without a text: {body}"))
}
