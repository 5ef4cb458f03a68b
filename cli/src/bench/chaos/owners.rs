//! Who owned which conversation and when, as the broker kept it: a mirror of the ownership records
//! that forgets none of them, read at the end.

use std::collections::HashMap;

use anyhow::Context as _;
use async_nats::jetstream::{consumer::pull::OrderedConfig, stream};
use futures_util::StreamExt as _;
use omnihub_common::{
    conversation::whatsapp_session_name,
    queue::{OwnershipRecord, Subjects, partition_of},
};
use serde_json::Value;

use super::{
    facts::{Owners, Span, Tenure, Worker},
    play,
    schedule::Shape,
    site::Site,
};

/// The mirror; the hub knows nothing of it.
const MIRROR: &str = "CHAOS_OWNERS";

/// How many partitions a hub has.
pub(super) const PARTITIONS: u16 = 32;

/// Keeps every ownership record from now on; a mirror keeps the time of each.
pub(super) async fn keep(site: &Site, shape: &Shape) -> anyhow::Result<()> {
    let turns = stream::Source {
        name: "TURNS".to_owned(),
        filter_subject: Some(Subjects::own_any()),
        ..stream::Source::default()
    };
    let mirror = stream::Config {
        name: MIRROR.to_owned(),
        mirror: Some(turns),
        num_replicas: shape.brokers,
        ..stream::Config::default()
    };
    site.queue().await?.create_stream(mirror).await.context("the mirror of the ownership records")?;
    Ok(())
}

/// Reads them; `began_ms` is when the load began, in milliseconds of the Unix epoch.
pub(super) async fn read(site: &Site, conversations: usize, began_ms: i128) -> anyhow::Result<Owners> {
    let mut owners = Owners::default();
    let ids = instance_ids(site).await?;
    for conversation in 0..conversations {
        let instance = play::instance(conversation);
        let id = ids.get(&instance).with_context(|| format!("no instance {instance}"))?;
        let name = whatsapp_session_name(None, &instance, &play::phone(conversation));
        owners.partition.insert(conversation, partition_of(*id, &name, PARTITIONS));
    }
    for (subject, record, at) in records(site).await? {
        let partition =
            subject.rsplit('.').next().and_then(|word| word.parse().ok()).context("an ownership subject")?;
        let at = u64::try_from(at - began_ms).unwrap_or_default();
        let tenures: &mut Vec<Tenure> = owners.tenures.entry(partition).or_default();
        if let Some(open) = tenures.last_mut().filter(|last| last.span.to == u64::MAX) {
            open.span.to = at;
        }
        if let Some(worker) = worker(&record.owner) {
            tenures.push(Tenure { worker, span: Span { from: at, to: u64::MAX } });
        }
    }
    Ok(owners)
}

/// Every record in the order it was kept, with its time in milliseconds of the Unix epoch.
async fn records(site: &Site) -> anyhow::Result<Vec<(String, OwnershipRecord, i128)>> {
    let stream = site.queue().await?.get_stream(MIRROR).await?;
    let count = usize::try_from(stream.cached_info().state.messages)?;
    let mut messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?.take(count);
    let mut records = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message?;
        let at = message.info().map_err(|error| anyhow::anyhow!(error))?.published.unix_timestamp_nanos() / 1_000_000;
        records.push((message.subject.to_string(), serde_json::from_slice(&message.payload)?, at));
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
