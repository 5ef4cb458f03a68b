//! The layout of the streams: decided once, when they are made, and kept in their metadata.

use std::{collections::HashMap, time::Duration};

use crate::config::{ConfigError, Settings};

/// How the broker writes to disk, which decides what a power loss may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Every write is on disk before it is confirmed (`sync_interval: always`).
    Always,
    /// The broker's default: a power loss may take the last two minutes of one server.
    Interval,
}

/// What every process must agree on about the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Partitions over all shards (P).
    pub partitions: u16,
    /// Streams that `INBOUND` and `TURNS` are spread over (S).
    pub shards: u16,
    /// How long a silent worker counts as alive.
    pub lease_ttl: Duration,
    /// How the broker writes.
    pub fsync: Fsync,
    /// Copies of each stream in a cluster.
    pub replicas: usize,
}

/// Streams whose metadata this build cannot honour.
#[derive(Debug, thiserror::Error)]
#[error("the streams were made with {key} = {value:?}, which this version cannot honour")]
pub struct LayoutError {
    key: &'static str,
    value: String,
}

const PARTITIONS: &str = "omnihub.partitions";
const SHARDS: &str = "omnihub.shards";
const LEASE_TTL: &str = "omnihub.lease_ttl_ms";
const FSYNC: &str = "omnihub.fsync";
const FORMAT: &str = "omnihub.format";

impl Layout {
    /// For a broker that writes everything through: four shards, since one stream's fsync is the
    /// bottleneck.
    #[must_use]
    pub fn fsync_always() -> Self {
        Self { partitions: 32, shards: 4, lease_ttl: Duration::from_secs(5), fsync: Fsync::Always, replicas: 1 }
    }

    /// The layout asked for by the environment: `OMNIHUB_NATS_FSYNC` (`always`, `default`),
    /// `OMNIHUB_NATS_REPLICAS`, `OMNIHUB_LEASE_TTL` in seconds. Read only when streams are made.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let fsync = match settings.get("OMNIHUB_NATS_FSYNC").as_deref() {
            None | Some("default") => Fsync::Interval,
            Some("always") => Fsync::Always,
            Some(_) => return Err(bad("OMNIHUB_NATS_FSYNC", "expected `always` or `default`")),
        };
        let replicas = match settings.get("OMNIHUB_NATS_REPLICAS").map(|value| value.parse::<usize>()) {
            None => 1,
            Some(Ok(copies @ (1 | 3 | 5))) => copies,
            Some(_) => return Err(bad("OMNIHUB_NATS_REPLICAS", "expected 1, 3 or 5")),
        };
        let lease_ttl = match settings.get("OMNIHUB_LEASE_TTL").map(|value| value.parse::<u64>()) {
            None if replicas > 1 => Duration::from_secs(15),
            None => Duration::from_secs(5),
            Some(Ok(seconds @ 1..=300)) => Duration::from_secs(seconds),
            Some(_) => return Err(bad("OMNIHUB_LEASE_TTL", "expected 1 to 300 seconds")),
        };
        let shards = if fsync == Fsync::Always { 4 } else { 1 };
        Ok(Self { partitions: 32, shards, lease_ttl, fsync, replicas })
    }

    /// The shard of a partition.
    #[must_use]
    pub fn shard_of(&self, partition: u16) -> u16 {
        partition % self.shards.max(1)
    }

    /// The stream that holds a partition's messages.
    #[must_use]
    pub fn inbound(&self, partition: u16) -> String {
        self.sharded("INBOUND", self.shard_of(partition))
    }

    /// The stream that holds a partition's checkpoints and ownership record.
    #[must_use]
    pub fn turns(&self, partition: u16) -> String {
        self.sharded("TURNS", self.shard_of(partition))
    }

    /// Every shard's number.
    pub fn every_shard(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.shards.max(1)
    }

    /// The name of a shard of a stream.
    pub(super) fn sharded(&self, stream: &str, shard: u16) -> String {
        if self.shards > 1 { format!("{stream}_{shard}") } else { stream.to_owned() }
    }

    pub(super) fn metadata(&self) -> HashMap<String, String> {
        let fsync = match self.fsync {
            Fsync::Always => "always",
            Fsync::Interval => "default",
        };
        HashMap::from([
            (FORMAT.to_owned(), "1".to_owned()),
            (PARTITIONS.to_owned(), self.partitions.to_string()),
            (SHARDS.to_owned(), self.shards.to_string()),
            (LEASE_TTL.to_owned(), self.lease_ttl.as_millis().to_string()),
            (FSYNC.to_owned(), fsync.to_owned()),
        ])
    }

    /// Reads what a stream's metadata say, whatever the environment asks for.
    pub(super) fn from_metadata(metadata: &HashMap<String, String>, replicas: usize) -> Result<Self, LayoutError> {
        let read = |key: &'static str| metadata.get(key).cloned().unwrap_or_default();
        let number = |key: &'static str, range: std::ops::RangeInclusive<u64>| {
            let value = read(key);
            value.parse::<u64>().ok().filter(|n| range.contains(n)).ok_or(LayoutError { key, value })
        };
        number(FORMAT, 1..=1)?;
        let fsync = match read(FSYNC).as_str() {
            "always" => Fsync::Always,
            "default" => Fsync::Interval,
            other => return Err(LayoutError { key: FSYNC, value: other.to_owned() }),
        };
        Ok(Self {
            partitions: u16::try_from(number(PARTITIONS, 1..=1024)?).unwrap_or(32),
            shards: u16::try_from(number(SHARDS, 1..=64)?).unwrap_or(1),
            lease_ttl: Duration::from_millis(number(LEASE_TTL, 500..=600_000)?),
            fsync,
            replicas,
        })
    }
}

fn bad(name: &'static str, problem: &str) -> ConfigError {
    ConfigError::Bad { name, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tell_the_layout_back() {
        for layout in [Layout::fsync_always(), Layout::load(&HashMap::new()).unwrap()] {
            assert_eq!(Layout::from_metadata(&layout.metadata(), 1).unwrap(), layout);
        }
        let mut future = Layout::fsync_always().metadata();
        future.insert(FORMAT.to_owned(), "2".to_owned());
        assert!(Layout::from_metadata(&future, 1).unwrap_err().to_string().contains("omnihub.format"));
        assert!(Layout::from_metadata(&HashMap::new(), 1).is_err(), "streams of somebody else");
    }

    #[test]
    fn settings_are_checked_by_name() {
        let load = |name: &str, value: &str| Layout::load(&HashMap::from([(name.to_owned(), value.to_owned())]));
        assert_eq!(load("OMNIHUB_NATS_FSYNC", "always").unwrap().shards, 4);
        assert_eq!(load("OMNIHUB_NATS_REPLICAS", "3").unwrap().lease_ttl, Duration::from_secs(15));
        assert!(load("OMNIHUB_LEASE_TTL", "0").unwrap_err().to_string().contains("OMNIHUB_LEASE_TTL"));
        assert!(load("OMNIHUB_NATS_FSYNC", "sometimes").is_err());
    }
}
