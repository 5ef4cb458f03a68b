//! A partition that this worker owns: how it is written to, verified and given back. How it is
//! claimed is in [`super::claim`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{
        Context, ErrorCode,
        context::{PublishError, PublishErrorKind},
        stream::LastRawMessageErrorKind,
    },
};
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    Checkpoint, LaneAddress, Lease, Nats, Subjects,
    checkpoint::CheckpointError,
    claim::{Cause, ClaimError, Claimant, read_record, write_record},
    consumer::remove,
    ownership::OwnershipRecord,
};

/// The server compares the last sequence of a subject with this header.
pub(super) const EXPECTED_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
/// The subject that is compared, when it is not the one written to.
const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
/// How long a stored message lives (nats-server 2.11).
pub(super) const TTL_HEADER: &str = "Nats-TTL";
/// A conversation that has been silent for so long may be forgotten.
const CLOSED_CHECKPOINT_TTL: &str = "720h";
/// The shortest that the server takes.
const FORGOTTEN_CHECKPOINT_TTL: &str = "1s";
/// Between two tries to write. Soon enough after a reconnection, which wakes nobody here.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Why a checkpoint was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another owner has taken over, or our lease has lapsed: stop, say nothing to anybody.
    #[error("the partition is no longer ours")]
    Fenced,
    /// The checkpoint cannot be written at all.
    #[error("the checkpoint was refused")]
    Refused(#[source] Cause),
}

/// An owned partition.
pub struct Partition {
    number: u16,
    /// The record that made it ours, and its sequence.
    record: OwnershipRecord,
    fence: u64,
    nats: Nats,
    /// The state of the connection when the record was last seen in its place.
    verified: AtomicU64,
    inbound: String,
    turns: String,
    lease: Lease,
    /// One write in flight: a replicated stream refuses concurrent writes that name the same
    /// expected subject, even when the sequence is right.
    writer: Mutex<()>,
    closing: CancellationToken,
    gone: CancellationToken,
    generation: AtomicU64,
    listening: AtomicBool,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({} epoch {} fence {})", self.number, self.record.epoch, self.fence)
    }
}

impl Partition {
    /// What a claim has won. `connection` is the state of the connection before the claim;
    /// `gone` is cancelled when the partition is lost.
    pub(super) fn new(
        claimant: &Claimant,
        number: u16,
        record: OwnershipRecord,
        fence: u64,
        connection: u64,
        gone: CancellationToken,
    ) -> Self {
        Self {
            number,
            record,
            fence,
            nats: claimant.nats.clone(),
            verified: AtomicU64::new(connection),
            inbound: claimant.layout.inbound(number),
            turns: claimant.layout.turns(number),
            lease: claimant.lease.clone(),
            writer: Mutex::new(()),
            closing: CancellationToken::new(),
            gone,
            generation: AtomicU64::new(0),
            listening: AtomicBool::new(false),
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The epoch of this ownership.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.record.epoch
    }

    /// What tells this ownership apart from another one of the same epoch.
    pub(super) fn nonce(&self) -> &str {
        &self.record.nonce
    }

    /// The stream its messages wait in.
    #[must_use]
    pub(super) fn inbound(&self) -> &str {
        &self.inbound
    }

    pub(super) fn js(&self) -> &Context {
        &self.nats.js
    }

    /// Cancelled when the partition is no longer ours: whoever works for it stops.
    #[must_use]
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Cancelled when it is given back while turns still run, a moment before it is gone: whoever
    /// works for it leaves word of how far it is, and stops.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// The generation of the consumer that feeds it now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Whether its consumer is there.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::SeqCst)
    }

    /// A consumer of this generation is about to be made; it does not listen yet.
    pub fn begin_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::SeqCst);
        self.listening.store(false, Ordering::SeqCst);
    }

    pub(super) fn set_listening(&self) {
        self.listening.store(true, Ordering::SeqCst);
    }

    /// Whether work for it may go on right now; asked before each call to the outside.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.lease.holds() && !self.gone.is_cancelled()
    }

    /// Whether the ownership record is still the one we wrote: the whole of it, since a store that
    /// was put back from a copy gives its sequences again.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn verify(&self) -> Result<bool, ClaimError> {
        let connection = self.nats.connection();
        let record = read_record(self.js(), &self.turns, self.number).await;
        let record = record.map_err(|source| ClaimError::new(self.number, source))?;
        let ours = record.is_some_and(|(record, sequence)| sequence == self.fence && record == self.record);
        if ours {
            self.verified.store(connection, Ordering::SeqCst);
        }
        Ok(ours)
    }

    /// Whether the connection has stood since the ownership was verified. Over a new one nothing is
    /// written before: the broker may be one whose sequences our fence knows nothing of.
    fn is_verified(&self) -> bool {
        self.nats.connection() == self.verified.load(Ordering::SeqCst)
    }

    /// Reads a conversation's checkpoint from the stream's leader.
    ///
    /// # Errors
    /// When NATS does not answer, or the checkpoint is of another version.
    pub async fn read(&self, lane: &LaneAddress) -> Result<Option<Checkpoint>, ClaimError> {
        let failed = |source: Cause| ClaimError::new(self.number, source);
        let stream = self.js().get_stream_no_info(&self.turns).await.map_err(|error| failed(error.into()))?;
        match stream.get_last_raw_message_by_subject(&Subjects::turn(lane)).await {
            Ok(message) => match Checkpoint::read(&message.payload) {
                Ok(checkpoint) => Ok(Some(checkpoint)),
                Err(CheckpointError::Unreadable(error)) => {
                    // It can tell nobody anything any more; the conversation must go on.
                    tracing::error!(error.message = %error, partition.number = self.number, "an unreadable checkpoint is begun anew");
                    Ok(None)
                }
                Err(newer) => Err(failed(newer.into())),
            },
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Writes a conversation's checkpoint, fenced by our ownership. Tries again until the broker
    /// has said yes or no, or the partition is lost; a repeated write changes nothing.
    ///
    /// # Errors
    /// [`WriteError::Fenced`] when the partition is no longer ours.
    pub async fn write(&self, lane: &LaneAddress, checkpoint: &Checkpoint) -> Result<(), WriteError> {
        self.write_for(lane, checkpoint, checkpoint.is_closed().then_some(CLOSED_CHECKPOINT_TTL)).await
    }

    /// Forgets a conversation whose instance was deleted: an empty checkpoint takes the place of
    /// the last one and is itself gone in a moment.
    ///
    /// # Errors
    /// As [`Partition::write`].
    pub async fn forget(&self, lane: &LaneAddress) -> Result<(), WriteError> {
        self.write_for(lane, &Checkpoint::new(), Some(FORGOTTEN_CHECKPOINT_TTL)).await
    }

    async fn write_for(
        &self,
        lane: &LaneAddress,
        checkpoint: &Checkpoint,
        ttl: Option<&str>,
    ) -> Result<(), WriteError> {
        let payload = checkpoint.to_bytes().map_err(|error| WriteError::Refused(error.into()))?;
        let mut headers = self.fenced();
        if let Some(ttl) = ttl {
            headers.insert(TTL_HEADER, ttl);
        }
        let subject = Subjects::turn(lane);
        let mut pause = Duration::from_millis(10);
        let _one_at_a_time = self.writer.lock().await;
        loop {
            if !self.may_act() {
                return Err(WriteError::Fenced);
            }
            if !self.is_verified() {
                self.pause(&mut pause).await?;
                continue;
            }
            let error = match self.publish(subject.clone(), headers.clone(), payload.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.kind() {
                PublishErrorKind::WrongLastSequence => {
                    // Another owner: nothing of this ownership may act any more.
                    self.gone.cancel();
                    return Err(WriteError::Fenced);
                }
                PublishErrorKind::MaxPayloadExceeded => return Err(WriteError::Refused(error.into())),
                _ if is_concurrent_write(&error) => {}
                _ => {
                    tracing::warn!(error.message = %error, partition.number = self.number, "checkpoint write failed, trying again")
                }
            }
            self.pause(&mut pause).await?;
        }
    }

    /// Waits a while, a longer one each time, or until the partition is lost.
    async fn pause(&self, pause: &mut Duration) -> Result<(), WriteError> {
        tokio::select! {
            () = self.gone.cancelled() => return Err(WriteError::Fenced),
            () = tokio::time::sleep(*pause) => *pause = (*pause * 2).min(LONGEST_PAUSE),
        }
        Ok(())
    }

    /// Gives the partition back: nobody owns it, and the next worker need not wait for our lease.
    /// Its consumer goes too.
    ///
    /// # Errors
    /// When NATS does not answer; the next owner then waits until we count as dead.
    pub async fn release(&self) -> Result<(), ClaimError> {
        let record = OwnershipRecord::new("", self.epoch());
        let (written, ()) = tokio::join!(write_record(self.js(), self.number, &record, self.fence), remove(self));
        match written {
            Ok(_) => Ok(()),
            // Somebody has it already.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
            Err(error) => Err(ClaimError::new(self.number, error)),
        }
    }

    fn fenced(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_SEQUENCE, self.fence.to_string());
        headers.insert(EXPECTED_SUBJECT, Subjects::own(self.number));
        headers
    }

    async fn publish(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<(), PublishError> {
        self.js().publish_with_headers(subject, headers, payload).await?.await.map(drop)
    }
}

/// Whether a replicated stream refused the write only because another with the same expected
/// subject was in flight (JetStream error 10164).
fn is_concurrent_write(error: &PublishError) -> bool {
    refusal(error) == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

/// The server's own code, when it was the server that refused a publish.
pub(super) fn refusal(error: &PublishError) -> Option<ErrorCode> {
    let source = std::error::Error::source(error)?;
    Some(source.downcast_ref::<async_nats::jetstream::Error>()?.error_code())
}

/// Owned partitions are shared between the scheduler and the turns that run for them.
pub type SharedPartition = Arc<Partition>;
