//! Who owned which conversation and when, and when each worker showed that it was alive, as the
//! broker kept it: mirrors of the records that forget none of them, read at the end.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{consumer::pull::OrderedConfig, stream};
use futures_util::StreamExt as _;
use omnihub_common::{
    conversation::whatsapp_session_name,
    queue::{OwnershipRecord, Subjects, partition_of, streams::MEMBERS},
};
use omnihub_stage::until;
use serde_json::Value;

use super::{
    facts::{Owners, Span, Tenure, Worker},
    play,
    schedule::Shape,
    site::Site,
};

/// The mirror of the ownership records; the hub knows nothing of it.
const OWNERS: &str = "CHAOS_OWNERS";

/// The mirror of the heartbeats.
const BEATS: &str = "CHAOS_BEATS";

/// How long a mirror may take to have everything.
const CAUGHT_UP: Duration = Duration::from_secs(30);

/// How many partitions a hub has.
pub(super) const PARTITIONS: u16 = 32;

/// Keeps every record from now on; a mirror keeps the time of each.
pub(super) async fn keep(site: &Site, shape: &Shape) -> anyhow::Result<()> {
    let beats = format!("$KV.{MEMBERS}.{}", Subjects::alive("*"));
    for (name, stream, subject) in
        [(OWNERS, "TURNS".to_owned(), Subjects::own_any()), (BEATS, format!("KV_{MEMBERS}"), beats)]
    {
        let source = stream::Source { name: stream, filter_subject: Some(subject), ..stream::Source::default() };
        let mirror = stream::Config {
            name: name.to_owned(),
            mirror: Some(source),
            num_replicas: shape.brokers,
            ..stream::Config::default()
        };
        site.queue().await?.create_stream(mirror).await.with_context(|| format!("the mirror {name}"))?;
    }
    Ok(())
}

/// Reads the heartbeats: their times by worker. `began_ms` is as in [`read`].
pub(super) async fn beats(site: &Site, began_ms: i128) -> anyhow::Result<HashMap<Worker, Vec<u64>>> {
    let mut beats: HashMap<Worker, Vec<u64>> = HashMap::new();
    for Kept { subject, payload, at } in kept(site, BEATS).await? {
        // An empty one takes the worker's name away.
        if let Some(worker) = subject.rsplit('.').next().and_then(worker).filter(|_| !payload.is_empty()) {
            beats.entry(worker).or_default().push(u64::try_from(at - began_ms).unwrap_or_default());
        }
    }
    Ok(beats)
}

/// Reads who owned what; `began_ms` is when the load began, in milliseconds of the Unix epoch.
pub(super) async fn read(site: &Site, conversations: usize, began_ms: i128) -> anyhow::Result<Owners> {
    let mut owners = Owners::default();
    let ids = instance_ids(site).await?;
    for conversation in 0..conversations {
        let instance = play::instance(conversation);
        let id = ids.get(&instance).with_context(|| format!("no instance {instance}"))?;
        let name = whatsapp_session_name(None, &instance, &play::phone(conversation));
        owners.partition.insert(conversation, partition_of(*id, &name, PARTITIONS));
    }
    let mut history: HashMap<u16, Vec<(OwnershipRecord, u64)>> = HashMap::new();
    for Kept { subject, payload, at } in kept(site, OWNERS).await? {
        let record: OwnershipRecord = serde_json::from_slice(&payload)?;
        let partition =
            subject.rsplit('.').next().and_then(|word| word.parse().ok()).context("an ownership subject")?;
        history.entry(partition).or_default().push((record, u64::try_from(at - began_ms).unwrap_or_default()));
    }
    owners.tenures = history.iter().map(|(partition, records)| (*partition, tenures(records))).collect();
    Ok(owners)
}

/// Who owned a partition and when, by its records in their order.
///
/// The stream keeps one record of a partition: of those that were written while the mirror was cut
/// off only the last one is there. Whoever may have owned it meanwhile is nobody known.
fn tenures(records: &[(OwnershipRecord, u64)]) -> Vec<Tenure> {
    let mut tenures: Vec<Tenure> = Vec::new();
    let mut last: Option<(u64, u64)> = None;
    for (record, at) in records {
        let (last_epoch, since) = last.replace((record.epoch, *at)).unwrap_or((record.epoch, *at));
        if let Some(open) = tenures.last_mut().filter(|last| last.span.to == u64::MAX) {
            open.span.to = *at;
        }
        let owner = worker(&record.owner);
        // A claim has the next epoch, and what gives a partition back that of its claim.
        let next = if owner.is_some() { last_epoch + 1 } else { last_epoch };
        if record.epoch > next {
            tenures.push(Tenure { worker: None, span: Span { from: since, to: *at } });
        }
        if owner.is_some() {
            tenures.push(Tenure { worker: owner, span: Span { from: *at, to: u64::MAX } });
        }
    }
    tenures
}

/// A record, and when it was kept in milliseconds of the Unix epoch.
struct Kept {
    subject: String,
    payload: Vec<u8>,
    at: i128,
}

/// Every record of a mirror, in the order they were kept.
async fn kept(site: &Site, mirror: &str) -> anyhow::Result<Vec<Kept>> {
    let mut stream = site.queue().await?.get_stream(mirror).await?;
    until("the mirror has all", CAUGHT_UP, async || {
        stream.info().await.is_ok_and(|info| info.mirror.as_ref().is_some_and(|mirror| mirror.lag == 0))
    })
    .await?;
    let count = usize::try_from(stream.cached_info().state.messages)?;
    let mut messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?.take(count);
    let mut records = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message?;
        let at = message.info().map_err(|error| anyhow::anyhow!(error))?.published.unix_timestamp_nanos() / 1_000_000;
        records.push(Kept { subject: message.subject.to_string(), payload: message.payload.to_vec(), at });
    }
    Ok(records)
}

/// The worker by its id ([`play::name_of`]); nobody when it is empty, which says that a partition was released.
fn worker(id: &str) -> Option<Worker> {
    id.strip_prefix("worker-")?.parse().ok()
}

async fn instance_ids(site: &Site) -> anyhow::Result<HashMap<String, i64>> {
    let (page, _) = site.get("instances?limit=100").await?;
    let page = page.as_array().cloned().unwrap_or_default();
    let id = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["id"].as_i64()?));
    Ok(page.iter().filter_map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(records: &[(&str, u64, u64)]) -> Vec<(Option<Worker>, u64, u64)> {
        let records: Vec<_> =
            records.iter().map(|(owner, epoch, at)| (OwnershipRecord::new(*owner, *epoch), *at)).collect();
        tenures(&records).into_iter().map(|tenure| (tenure.worker, tenure.span.from, tenure.span.to)).collect()
    }

    #[test]
    fn a_tenure_lasts_from_a_claim_to_the_next_record() {
        let seen = told(&[("worker-0", 1, 10), ("", 1, 20), ("worker-1", 2, 30), ("worker-0", 3, 40)]);
        assert_eq!(seen, [(Some(0), 10, 20), (Some(1), 30, 40), (Some(0), 40, u64::MAX)]);
    }

    #[test]
    fn of_records_that_are_missing_nobody_is_known() {
        assert_eq!(
            told(&[("worker-0", 1, 10), ("worker-0", 4, 40)]),
            [(Some(0), 10, 40), (None, 10, 40), (Some(0), 40, u64::MAX)]
        );
        // The claim is missing, and what gave the partition back is there.
        assert_eq!(told(&[("worker-0", 1, 10), ("", 2, 40)]), [(Some(0), 10, 40), (None, 10, 40)]);
    }
}
