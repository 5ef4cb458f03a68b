//! One value of a bucket, changed by several at once: read with its place, and written only where
//! nobody has written meanwhile.

use async_nats::{
    HeaderMap,
    jetstream::{
        Context, ErrorCode,
        context::{GetStreamError, GetStreamErrorKind, PublishError, PublishErrorKind},
        stream::LastRawMessageErrorKind,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::partition::{EXPECTED_SEQUENCE, refusal};

/// The place of a value that is not there.
pub(super) const ABSENT: u64 = 0;

/// A bucket does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the bucket {bucket:?} does not answer")]
pub struct BucketError {
    bucket: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A bucket by its name.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    js: Context,
    name: &'static str,
}

impl Bucket {
    pub(super) fn new(js: Context, name: &'static str) -> Self {
        Self { js, name }
    }

    /// Where the bucket keeps what has this key; also for a filter of keys.
    pub(super) fn subject(name: &str, key: &str) -> String {
        format!("$KV.{name}.{key}")
    }

    /// Reads from the leader: another server may not have it yet. What another version wrote is as
    /// good as nothing, but has its place.
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<(Option<T>, u64), BucketError> {
        let stream =
            self.js.get_stream_no_info(format!("KV_{}", self.name)).await.map_err(|error| self.failed(error))?;
        match stream.get_last_raw_message_by_subject(&Self::subject(self.name, key)).await {
            Ok(message) => Ok((serde_json::from_slice(&message.payload).ok(), message.sequence)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok((None, ABSENT)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Writes the value in the place of the one that was read from there ([`ABSENT`]: of none), and
    /// answers its place; none when somebody else has written meanwhile.
    pub(super) async fn write(
        &self,
        key: &str,
        value: &impl Serialize,
        place: u64,
    ) -> Result<Option<u64>, BucketError> {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_SEQUENCE, place.to_string());
        let payload = serde_json::to_vec(value).map_err(|error| self.failed(error))?;
        let subject = Self::subject(self.name, key);
        let published = async { self.js.publish_with_headers(subject, headers, payload.into()).await?.await };
        match published.await {
            Ok(ack) => Ok(Some(ack.sequence)),
            Err(error) if is_outdated(&error) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Removes every value with such a key, and what stood there before. A bucket that an earlier build
    /// has not made has none.
    pub(super) async fn remove(&self, keys: &str) -> Result<(), BucketError> {
        let stream = match self.js.get_stream(format!("KV_{}", self.name)).await {
            Ok(stream) => stream,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(self.failed(error)),
        };
        let purged = stream.purge().filter(Self::subject(self.name, keys)).await;
        purged.map(drop).map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BucketError {
        BucketError { bucket: self.name, source: error.into() }
    }
}

/// Whether there is no such bucket.
fn is_absent(error: &GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(known) => known.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    }
}

/// Whether somebody else has written meanwhile.
fn is_outdated(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::WrongLastSequence
        || refusal(error) == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
