//! What leaves the queue when an instance is deleted.

use async_nats::jetstream::Context;

use super::{
    InstanceToken, Layout, Media, Subjects, aliases,
    bucket::Bucket,
    idempotency, own_lid, pace,
    streams::{ACCOUNTS, ALIASES, DEAD, IDEMPOTENCY, TRACE_STEPS, TRACES},
};

/// Removes everything kept of an instance: waiting messages, checkpoints, dead letters, trace
/// events, idempotency keys, what else people are called, and media. Its row id is never used again, so whatever arrives late belongs to nobody.
///
/// # Errors
/// Names the stream that could not be purged; purging again is harmless.
pub async fn purge_instance(js: &Context, layout: &Layout, instance: &InstanceToken) -> Result<(), async_nats::Error> {
    let mut work = vec![
        (DEAD.to_owned(), Subjects::dead_instance(instance)),
        (TRACES.to_owned(), Subjects::trace(instance)),
        (TRACE_STEPS.to_owned(), Subjects::step(instance)),
    ];
    for shard in layout.every_shard() {
        work.push((layout.sharded("INBOUND", shard), Subjects::inbound_instance(instance)));
        work.push((layout.sharded("TURNS", shard), Subjects::turn_instance(instance)));
    }
    for (stream, filter) in work {
        js.get_stream_no_info(&stream).await?.purge().filter(filter).await?;
    }
    Bucket::new(js.clone(), IDEMPOTENCY).remove(&idempotency::keys_of(instance)).await?;
    if let Some(id) = InstanceToken::row_id(instance.as_str()) {
        Bucket::new(js.clone(), ALIASES).remove(&aliases::keys_of(id)).await?;
        for key in [id.to_string(), own_lid::key(id), pace::key(id)] {
            Bucket::new(js.clone(), ACCOUNTS).remove(&key).await?;
        }
    }
    Media::open(js).await?.purge(instance).await?;
    Media::open_dead(js).await?.purge(instance).await?;
    Ok(())
}
