//! Claiming a partition: who does it, and the ownership records it reads and writes.
//!
//! Decisions are in [`super::ownership`]; what a claim wins is a [`Partition`](super::Partition).

use std::sync::Arc;

use async_nats::{
    HeaderMap,
    jetstream::{
        Context,
        context::{PublishError, PublishErrorKind},
        stream::LastRawMessageErrorKind,
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    Layout, Lease, Nats, Subjects,
    membership::Roll,
    ownership::{OwnershipRecord, Step, Terms, step},
    partition::{EXPECTED_SEQUENCE, Partition, SharedPartition},
};

/// What went wrong below.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a claim or a look at its record failed; the next one may not.
#[derive(Debug, thiserror::Error)]
#[error("partition {partition} could not be claimed, verified or read")]
pub struct ClaimError {
    partition: u16,
    #[source]
    source: Cause,
}

impl ClaimError {
    pub(super) fn new(partition: u16, source: impl Into<Cause>) -> Self {
        Self { partition, source: source.into() }
    }
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// The partition is ours.
    Mine(SharedPartition),
    /// Its owner is alive, or somebody else was faster.
    NotYet,
}

/// A worker as far as it claims partitions.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The connection that its partitions use.
    pub nats: Nats,
    /// Where everything lies.
    pub layout: Layout,
    /// Its id among the workers.
    pub me: String,
    /// Who else is there.
    pub roll: Roll,
    /// Under which it acts.
    pub lease: Lease,
}

impl Claimant {
    /// Claims a partition that rendezvous gives to this worker: reads the ownership record, then
    /// whether its owner is alive, then writes. The order matters, see [`step`]. Cancelling
    /// `until` loses the partition together with all others that were claimed under it.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn claim(&self, partition: u16, terms: Terms, until: &CancellationToken) -> Result<Claimed, ClaimError> {
        let failed = |source: Cause| ClaimError::new(partition, source);
        // Looked at first: what changes from here on throws doubt on what is read.
        let connection = self.nats.connection();
        let record = read_record(&self.nats.js, &self.layout.turns(partition), partition).await.map_err(failed)?;
        let alive = match &record {
            Some((record, _)) if terms.from_the_dead && !record.owner.is_empty() && record.owner != self.me => {
                self.roll.alive(&record.owner).await.map_err(|error| failed(error.into()))?
            }
            _ => false,
        };
        let read = record.as_ref().map(|(record, sequence)| (record, *sequence));
        let Step::Claim { epoch, expected } = step(&self.me, read, terms, |_| alive) else {
            return Ok(Claimed::NotYet);
        };
        let record = OwnershipRecord::new(&self.me, epoch);
        match write_record(&self.nats.js, partition, &record, expected).await {
            Ok(fence) => Ok(Claimed::Mine(Arc::new(Partition::new(
                self,
                partition,
                record,
                fence,
                connection,
                until.child_token(),
            )))),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Claimed::NotYet),
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl Claimant {
    /// Takes this worker's name off a partition that it does not act for: one that it dropped
    /// without a word, or had in an earlier life. While it stands there, nobody else may claim it.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn waive(&self, partition: u16) -> Result<(), ClaimError> {
        let failed = |source: Cause| ClaimError::new(partition, source);
        let record = read_record(&self.nats.js, &self.layout.turns(partition), partition).await.map_err(failed)?;
        let Some((record, sequence)) = record.filter(|(record, _)| record.owner == self.me) else { return Ok(()) };
        let released = OwnershipRecord::new("", record.epoch);
        match write_record(&self.nats.js, partition, &released, sequence).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// The ownership record of a partition and its sequence, from the stream's leader.
pub(super) async fn read_record(
    js: &Context,
    turns: &str,
    partition: u16,
) -> Result<Option<(OwnershipRecord, u64)>, Cause> {
    let stream = js.get_stream_no_info(turns).await?;
    match stream.get_last_raw_message_by_subject(&Subjects::own(partition)).await {
        Ok(message) => Ok(Some((serde_json::from_slice(&message.payload)?, message.sequence))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Who has a partition by its ownership record; none when nobody has it.
///
/// # Errors
/// When NATS does not answer.
pub async fn owner_recorded(js: &Context, layout: &Layout, partition: u16) -> Result<Option<String>, ClaimError> {
    let record = read_record(js, &layout.turns(partition), partition).await;
    let record = record.map_err(|source| ClaimError::new(partition, source))?;
    Ok(record.map(|(record, _)| record.owner).filter(|owner| !owner.is_empty()))
}

/// Writes the ownership record of a partition over the one with the sequence `expected`.
pub(super) async fn write_record(
    js: &Context,
    partition: u16,
    record: &OwnershipRecord,
    expected: u64,
) -> Result<u64, PublishError> {
    let payload = serde_json::to_vec(record).map_err(|e| PublishError::with_source(PublishErrorKind::Other, e))?;
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_SEQUENCE, expected.to_string());
    let ack = js.publish_with_headers(Subjects::own(partition), headers, payload.into()).await?;
    Ok(ack.await?.sequence)
}
