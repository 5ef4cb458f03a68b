//! Membership: which workers are alive, and which are ready to own partitions.
//!
//! `l.<id>` says alive, `r.<id>` says ready; both fall out of the bucket when their worker has
//! been silent for the time to live. A nonce made at start, written by compare-and-set, lets two
//! processes with one id find out: the later one wins and the earlier one stops.

use std::time::{Duration, Instant};

use async_nats::jetstream::{
    Context,
    kv::{Store, UpdateErrorKind},
    stream::{LastRawMessageErrorKind, Stream},
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    Layout, Lease, Subjects,
    connect::is_unanswered,
    ownership::{Contest, contest},
    streams::MEMBERS,
    subject::token,
};

/// How long a worker that joins others waits before it takes partitions from them: a worker that
/// starts and dies at once should move nothing.
const SETTLING: Duration = Duration::from_secs(10);

/// Why membership cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Another process uses the same id.
    #[error("another worker runs with the id {0:?}: give each its own OMNIHUB_WORKER_ID")]
    Superseded(String),
    /// NATS did not answer; the next heartbeat may.
    #[error("membership could not be written or read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl MembershipError {
    /// Whether the broker is away, or cannot answer at the moment.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable(source) if is_unanswered(source.as_ref()))
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> MembershipError {
    MembershipError::Unavailable(error.into())
}

/// This worker's place among the workers.
#[derive(Debug)]
pub struct Membership {
    id: String,
    nonce: Bytes,
    store: Store,
    stream: Stream<()>,
    ttl: Duration,
    lease: Lease,
    /// What the next compare-and-set expects.
    revision: u64,
    /// The revision of the last heartbeat that was confirmed; 0 before the first.
    confirmed: u64,
    ready_from: Option<Instant>,
    settling: bool,
}

impl Membership {
    /// Joins: the first heartbeat is written before this returns.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn join(js: &Context, layout: &Layout, id: &str, lease: Lease) -> Result<Self, MembershipError> {
        let store = js.get_key_value(MEMBERS).await.map_err(unavailable)?;
        let stream = js.get_stream_no_info(format!("KV_{MEMBERS}")).await.map_err(unavailable)?;
        let nonce = Bytes::from(hex::encode(rand::random::<[u8; 16]>()));
        let mut member = Self {
            id: token(id),
            nonce,
            store,
            stream,
            ttl: layout.lease_ttl,
            lease,
            revision: 0,
            confirmed: 0,
            ready_from: None,
            settling: false,
        };
        // Whoever had the id before loses the compare-and-set from now on.
        member.revision = member.read(&Subjects::alive(&member.id)).await?.map_or(0, |(sequence, _)| sequence);
        let ready = member.ready().await?;
        let settled = ready.is_empty() || ready.contains(&member.id);
        member.settling = !settled;
        member.ready_from = Some(if settled { Instant::now() } else { Instant::now() + SETTLING });
        member.beat().await?;
        Ok(member)
    }

    /// This worker's id, as it stands in subjects and records.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How often to call [`Membership::beat`].
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.ttl / 6
    }

    /// One heartbeat; renews the lease.
    ///
    /// # Errors
    /// [`MembershipError::Superseded`] is final: stop acting and exit.
    pub async fn beat(&mut self) -> Result<(), MembershipError> {
        let sent = self.lease.sending();
        let ready = self.ready_from.is_some_and(|from| from <= Instant::now());
        let (store, key, nonce) = (self.store.clone(), Subjects::ready(&self.id), self.nonce.clone());
        let write_ready = async move { if ready { store.put(key, nonce).await.map(drop) } else { Ok(()) } };
        // At once: one after the other, a slow broker would stretch the time between heartbeats.
        // An answer that a broken connection swallowed must not cost the lease, whichever it was.
        let (patience, lease, ttl) = (self.ttl / 3, self.lease.clone(), self.ttl);
        let alive = async {
            tokio::time::timeout(patience, self.write_alive()).await.map_err(unavailable)??;
            lease.renewed(sent, ttl);
            Ok(())
        };
        let (alive, ready) = tokio::join!(alive, tokio::time::timeout(patience, write_ready));
        alive?;
        ready.map_err(unavailable)?.map_err(unavailable)
    }

    /// Whether it waits to be ready; ask [`Membership::settled`] now and then.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.settling
    }

    /// Ends the settling when its time is over, or early when the last ready worker is gone:
    /// nobody is left to spare. `true` when the next heartbeat says ready for the first time.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn settled(&mut self) -> Result<bool, MembershipError> {
        let Some(from) = self.ready_from.filter(|_| self.settling) else { return Ok(false) };
        if from > Instant::now() && !self.ready().await?.is_empty() {
            return Ok(false);
        }
        (self.settling, self.ready_from) = (false, Some(from.min(Instant::now())));
        Ok(true)
    }

    /// No longer ready, still alive: the others may take over what is released.
    ///
    /// # Errors
    /// When NATS does not answer; the record then falls out by itself.
    pub async fn retire(&mut self) -> Result<(), MembershipError> {
        (self.ready_from, self.settling) = (None, false);
        self.remove(&Subjects::ready(&self.id)).await
    }

    /// Gone, after everything is released.
    ///
    /// # Errors
    /// When NATS does not answer; the record then falls out by itself.
    pub async fn leave(&mut self) -> Result<(), MembershipError> {
        self.remove(&Subjects::alive(&self.id)).await
    }

    async fn ready(&self) -> Result<Vec<String>, MembershipError> {
        Roll { stream: self.stream.clone() }.ready().await
    }

    async fn write_alive(&mut self) -> Result<(), MembershipError> {
        let key = Subjects::alive(&self.id);
        for _ in 0..3 {
            match self.store.update(&key, self.nonce.clone(), self.revision).await {
                Ok(revision) => {
                    (self.revision, self.confirmed) = (revision, revision);
                    return Ok(());
                }
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(unavailable(error)),
            }
            // Our own write whose answer was lost, an entry that fell out, or somebody else.
            match self.read(&key).await? {
                Some((sequence, nonce)) => match contest(self.confirmed, sequence, nonce == self.nonce) {
                    Contest::Mine => self.revision = sequence,
                    Contest::Lost => return Err(MembershipError::Superseded(self.id.clone())),
                },
                None => self.revision = 0,
            }
        }
        Err(unavailable("the heartbeat was refused three times"))
    }

    async fn read(&self, key: &str) -> Result<Option<(u64, Bytes)>, MembershipError> {
        read(&self.stream, key).await
    }

    async fn remove(&self, key: &str) -> Result<(), MembershipError> {
        self.stream.purge().filter(format!("$KV.{MEMBERS}.{key}")).await.map(drop).map_err(unavailable)
    }
}

/// Reads who is there. Everything is read from the stream's leader, since a direct get may be
/// stale in a cluster.
#[derive(Clone, Debug)]
pub struct Roll {
    stream: Stream<()>,
}

impl Roll {
    /// A reader on a connection.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn open(js: &Context) -> Result<Self, MembershipError> {
        let stream = js.get_stream_no_info(format!("KV_{MEMBERS}")).await.map_err(unavailable)?;
        Ok(Self { stream })
    }

    /// The ready workers, sorted.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn ready(&self) -> Result<Vec<String>, MembershipError> {
        let filter = format!("$KV.{MEMBERS}.{}", Subjects::ready(">"));
        let mut subjects = self.stream.info_with_subjects(filter).await.map_err(unavailable)?;
        let mut workers = Vec::new();
        while let Some(entry) = subjects.next().await {
            let (subject, _) = entry.map_err(unavailable)?;
            workers.extend(subject.rsplit('.').next().map(str::to_owned));
        }
        workers.sort();
        Ok(workers)
    }

    /// Whether a worker is alive.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn alive(&self, worker: &str) -> Result<bool, MembershipError> {
        Ok(read(&self.stream, &Subjects::alive(worker)).await?.is_some())
    }
}

async fn read(stream: &Stream<()>, key: &str) -> Result<Option<(u64, Bytes)>, MembershipError> {
    match stream.get_last_raw_message_by_subject(&format!("$KV.{MEMBERS}.{key}")).await {
        Ok(message) => Ok(Some((message.sequence, message.payload))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}
