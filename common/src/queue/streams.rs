//! The streams: made by `migrate up` (and `up`), read by every other process.

use std::time::Duration;

use async_nats::jetstream::{
    Context, kv, object_store,
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};

use super::{Subjects, connect::is_unanswered, layout::Layout, layout::LayoutError};

/// Outcomes, kept until the recorder has them in the database (work-queue).
pub const TRACES: &str = "TRACES";
/// Steps and payloads, bounded, the oldest dropped first (limits).
pub const TRACE_STEPS: &str = "TRACE_STEPS";
/// Dead letters, one per subject, 30 days.
pub const DEAD: &str = "DEAD";
/// The durable consumer of the recorder, of the same name on both trace streams.
pub const RECORDER: &str = "recorder";
/// The bucket of the workers' heartbeats.
pub const MEMBERS: &str = "members";
/// The bucket of the instances' versions, by row id: a new version says "read it again".
pub const CONFIG: &str = "config";
/// The bucket of idempotency keys, by instance.
pub const IDEMPOTENCY: &str = "idempotency";
/// The bucket of how accounts are connected, by row id.
pub const ACCOUNTS: &str = "accounts";
/// The bucket of what else people are called, by row id of the instance.
pub const ALIASES: &str = "aliases";
/// The object store of media and of bodies that are too large for a queue message.
pub const MEDIA: &str = "media";
/// The object store of what dead letters refer to, kept as long as they are.
pub const DEAD_MEDIA: &str = "dead_media";

/// How long JetStream itself remembers a `Nats-Msg-Id`.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DEAD_LETTERS_LIVE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Accepted messages that may wait, in bytes over all shards; beyond it ingress answers 503.
const INBOUND_BYTES: i64 = 1 << 30;
/// The server's words for code 10047, `JSStorageResourcesExceededErr`.
const NO_ROOM: &str = "insufficient storage resources";
/// The server's words for code 10005, `JSClusterNoPeersErrF`: a cluster that has just started.
const NO_PEERS: &str = "no suitable peers for placement";
/// The client's words for a server that does not answer: one whose cluster has no leader yet.
const TIMED_OUT: &str = "timed out";
const TRACES_BYTES: i64 = 512 << 20;
const STEPS_BYTES: i64 = 256 << 20;
const MEDIA_BYTES: i64 = 1 << 30;
const DEAD_MEDIA_BYTES: i64 = 256 << 20;

/// Streams that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The broker refused or did not answer.
    #[error("the stream {stream} could not be prepared")]
    Stream {
        /// The stream.
        stream: String,
        /// What the broker said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker has less room than the streams reserve.
    #[error(
        "NATS has no room for the queue's streams, which reserve 3 GiB: free disk space, or raise its max_file_store"
    )]
    NoRoom,
    /// The servers of a cluster do not all know each other yet.
    #[error("NATS cannot place the stream {stream} now: are all servers of the cluster up?")]
    NotPlaced {
        /// The stream.
        stream: String,
        /// What the broker said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The streams are not there.
    #[error("the queue's streams do not exist (yet, or any more): run `omnihub migrate up`")]
    Absent,
    /// The streams are of another version.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl PrepareError {
    /// Whether trying again in a moment may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotPlaced { .. } => true,
            Self::Stream { source, .. } => source.to_string().contains(TIMED_OUT),
            Self::NoRoom | Self::Absent | Self::Layout(_) => false,
        }
    }

    /// Whether the broker is away, or cannot answer at the moment.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Stream { source, .. } if is_unanswered(source.as_ref()))
    }
}

/// Makes every stream that is missing and brings the limits of the others up to date. The layout
/// that existing streams carry wins over `wanted`, since messages already lie in it.
///
/// # Errors
/// When the broker refuses, or the streams are of a version that this build cannot honour.
pub async fn prepare(js: &Context, wanted: &Layout) -> Result<Layout, PrepareError> {
    let layout = match read_layout(js).await {
        Ok(existing) => existing,
        Err(PrepareError::Absent) => wanted.clone(),
        Err(error) => return Err(error),
    };
    let mut configs: Vec<Config> = vec![traces(&layout), trace_steps(&layout), dead(&layout)];
    for shard in layout.every_shard() {
        configs.push(turns(&layout, shard));
    }
    // INBOUND comes last: its metadata say that the rest is complete.
    for shard in layout.every_shard().collect::<Vec<_>>().into_iter().rev() {
        configs.push(inbound(&layout, shard));
    }
    js.create_or_update_key_value(members(&layout)).await.map_err(|error| failed(MEMBERS, error))?;
    js.create_or_update_key_value(config_versions(&layout)).await.map_err(|error| failed(CONFIG, error))?;
    js.create_or_update_key_value(idempotency(&layout)).await.map_err(|error| failed(IDEMPOTENCY, error))?;
    js.create_or_update_key_value(accounts(&layout)).await.map_err(|error| failed(ACCOUNTS, error))?;
    js.create_or_update_key_value(aliases(&layout)).await.map_err(|error| failed(ALIASES, error))?;
    prepare_media(js, &layout).await?;
    for config in configs {
        let name = config.name.clone();
        js.create_or_update_stream(config).await.map_err(|error| failed(&name, error))?;
    }
    Ok(layout)
}

/// The names of all streams of a layout, those of buckets and object stores among them.
#[must_use]
pub fn names(layout: &Layout) -> Vec<String> {
    let shards = layout.every_shard().flat_map(|shard| ["INBOUND", "TURNS"].map(|name| layout.sharded(name, shard)));
    let buckets = [MEMBERS, CONFIG, IDEMPOTENCY, ACCOUNTS, ALIASES].map(|bucket| format!("KV_{bucket}"));
    let objects = [MEDIA, DEAD_MEDIA].map(|bucket| format!("OBJ_{bucket}"));
    shards.chain([TRACES, TRACE_STEPS, DEAD].map(str::to_owned)).chain(buckets).chain(objects).collect()
}

/// Reads the layout that the streams were made with.
///
/// # Errors
/// [`PrepareError::Absent`] when they were not made yet.
pub async fn read_layout(js: &Context) -> Result<Layout, PrepareError> {
    use async_nats::jetstream::{ErrorCode, context::GetStreamErrorKind};
    for name in ["INBOUND", "INBOUND_0"] {
        match js.get_stream(name).await {
            Ok(stream) => {
                let config = &stream.cached_info().config;
                return Ok(Layout::from_metadata(&config.metadata, config.num_replicas)?);
            }
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(known) if known.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                _ => return Err(failed(name, error)),
            },
        }
    }
    Err(PrepareError::Absent)
}

async fn prepare_media(js: &Context, layout: &Layout) -> Result<(), PrepareError> {
    let stores = [
        (MEDIA, "Media and large bodies of accepted messages", 7 * DAY, MEDIA_BYTES),
        (DEAD_MEDIA, "Media and large bodies of dead letters", DEAD_LETTERS_LIVE, DEAD_MEDIA_BYTES),
    ];
    for (bucket, purpose, max_age, max_bytes) in stores {
        if js.get_object_store(bucket).await.is_ok() {
            continue;
        }
        let config = object_store::Config {
            bucket: bucket.to_owned(),
            description: Some(purpose.to_owned()),
            max_age,
            max_bytes,
            num_replicas: layout.replicas,
            ..Default::default()
        };
        js.create_object_store(config).await.map_err(|error| failed(bucket, error))?;
    }
    Ok(())
}

fn failed(stream: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PrepareError {
    let source = source.into();
    // Streams, buckets and object stores each have an error of their own around the server's.
    if source.to_string().contains(NO_ROOM) {
        return PrepareError::NoRoom;
    }
    let stream = stream.to_owned();
    if source.to_string().contains(NO_PEERS) {
        return PrepareError::NotPlaced { stream, source };
    }
    PrepareError::Stream { stream, source }
}

fn base(layout: &Layout, name: String, subjects: Vec<String>, purpose: &str) -> Config {
    Config {
        name,
        subjects,
        description: Some(purpose.to_owned()),
        storage: StorageType::File,
        num_replicas: layout.replicas,
        metadata: layout.metadata(),
        ..Default::default()
    }
}

fn partitions_of(layout: &Layout, shard: u16) -> impl Iterator<Item = u16> {
    (0..layout.partitions).filter(move |partition| partition % layout.shards.max(1) == shard)
}

fn inbound(layout: &Layout, shard: u16) -> Config {
    let subjects = partitions_of(layout, shard).map(Subjects::inbound_partition).collect();
    Config {
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: INBOUND_BYTES / i64::from(layout.shards.max(1)),
        duplicate_window: DUPLICATE_WINDOW,
        ..base(layout, layout.sharded("INBOUND", shard), subjects, "Accepted messages, until their turn has ended")
    }
}

fn turns(layout: &Layout, shard: u16) -> Config {
    let subjects = partitions_of(layout, shard).flat_map(|p| [Subjects::turn_partition(p), Subjects::own(p)]).collect();
    Config {
        retention: RetentionPolicy::Limits,
        max_messages_per_subject: 1,
        allow_message_ttl: true,
        ..base(layout, layout.sharded("TURNS", shard), subjects, "Checkpoints of conversations, and who owns what")
    }
}

fn traces(layout: &Layout) -> Config {
    Config {
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: TRACES_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        ..base(layout, TRACES.to_owned(), vec!["trace.*".to_owned()], "Outcomes, until they are in the database")
    }
}

fn trace_steps(layout: &Layout) -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_bytes: STEPS_BYTES,
        max_age: DAY,
        ..base(layout, TRACE_STEPS.to_owned(), vec!["step.*".to_owned()], "Steps and payloads of turns")
    }
}

fn dead(layout: &Layout) -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        max_messages_per_subject: 1,
        max_age: DEAD_LETTERS_LIVE,
        ..base(layout, DEAD.to_owned(), vec!["dead.>".to_owned()], "Messages that could not be answered")
    }
}

fn members(layout: &Layout) -> kv::Config {
    kv::Config {
        bucket: MEMBERS.to_owned(),
        description: "Which workers are alive and ready".to_owned(),
        history: 1,
        max_age: layout.lease_ttl,
        num_replicas: layout.replicas,
        ..Default::default()
    }
}

fn config_versions(layout: &Layout) -> kv::Config {
    kv::Config {
        bucket: CONFIG.to_owned(),
        description: "Which instances were changed".to_owned(),
        history: 1,
        // Only those who watch want it; who comes later reads the database.
        max_age: DAY,
        num_replicas: layout.replicas,
        ..Default::default()
    }
}

fn idempotency(layout: &Layout) -> kv::Config {
    kv::Config {
        bucket: IDEMPOTENCY.to_owned(),
        description: "Idempotency keys of sends".to_owned(),
        history: 1,
        max_age: DAY,
        num_replicas: layout.replicas,
        ..Default::default()
    }
}

fn accounts(layout: &Layout) -> kv::Config {
    kv::Config {
        bucket: ACCOUNTS.to_owned(),
        description: "How the accounts of instances are connected".to_owned(),
        history: 1,
        num_replicas: layout.replicas,
        ..Default::default()
    }
}

fn aliases(layout: &Layout) -> kv::Config {
    kv::Config {
        bucket: ALIASES.to_owned(),
        description: "What else the people are called who write".to_owned(),
        history: 1,
        num_replicas: layout.replicas,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_says_before_it_has_a_leader_may_pass_and_a_refusal_does_not() {
        let said = |words: &str| failed("INBOUND", words).may_pass();
        assert!(said("JetStream error: jetstream request timed out: jetstream request timed out"));
        assert!(said("no suitable peers for placement, insufficient replicas"));
        assert!(!said("insufficient storage resources available"));
        assert!(!said("replicas > 1 not supported in non-clustered mode"));
    }
}
