//! The object store: media taken out of webhooks, and bodies too large for a queue message.

use std::{collections::HashSet, io, time::Duration};

use async_nats::jetstream::{
    Context,
    object_store::{Object, ObjectStore},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt, copy as io_copy, sink};

use super::{
    InstanceToken, MessageId,
    connect::is_unanswered,
    envelope::{trace_id, trace_tail},
    streams::{DEAD_MEDIA, MEDIA},
};

/// How long reading an object may take.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// A piece of an object has at most so many bytes.
const PIECE: usize = 64 * 1024;

/// Objects of one message, named so that an instance's can be found and removed.
#[derive(Clone)]
pub struct Media {
    store: ObjectStore,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Media")
    }
}

/// The object store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The object is not there (any more).
    #[error("the object is not in the store")]
    Absent,
    /// The store is at its limit.
    #[error("the object store is full")]
    Full,
    /// NATS did not answer or refused.
    #[error("the object store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl MediaError {
    /// Whether the broker is away, or cannot answer at the moment.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable(source) if is_unanswered(source.as_ref()))
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> MediaError {
    MediaError::Unavailable(error.into())
}

impl Media {
    /// Opens the store.
    ///
    /// # Errors
    /// When NATS does not answer or the store was not made yet.
    pub async fn open(js: &Context) -> Result<Self, MediaError> {
        Self::open_bucket(js, MEDIA).await
    }

    /// Opens the store of what dead letters refer to, which keeps as long as they do.
    ///
    /// # Errors
    /// As [`Media::open`].
    pub async fn open_dead(js: &Context) -> Result<Self, MediaError> {
        Self::open_bucket(js, DEAD_MEDIA).await
    }

    async fn open_bucket(js: &Context, bucket: &str) -> Result<Self, MediaError> {
        Ok(Self { store: js.get_object_store(bucket).await.map_err(unavailable)? })
    }

    /// The name of a message's object; `what` tells its objects apart (`media`, `body`).
    #[must_use]
    pub fn name(instance: &InstanceToken, id: MessageId, what: &str) -> String {
        format!("{}/{}/{what}", instance.as_str(), id.to_hex())
    }

    /// Stores an object; the same name again replaces it.
    ///
    /// # Errors
    /// When NATS does not confirm.
    pub async fn put(&self, name: &str, mut bytes: &[u8]) -> Result<(), MediaError> {
        self.put_from(name, &mut bytes).await
    }

    async fn put_from(&self, name: &str, from: &mut (impl AsyncRead + Unpin)) -> Result<(), MediaError> {
        self.store.put(name, from).await.map(drop).map_err(|error| {
            // The client keeps the server's code only in its words.
            if error.to_string().contains("maximum bytes exceeded") { MediaError::Full } else { unavailable(error) }
        })
    }

    /// Copies an object into another store, chunk by chunk.
    ///
    /// # Errors
    /// [`MediaError::Absent`] when it is gone.
    pub async fn copy(&self, name: &str, to: &Self, new_name: &str) -> Result<(), MediaError> {
        let copying = async { to.put_from(new_name, &mut self.object(name).await?).await };
        // A chunk that was removed meanwhile is waited for without end by the client.
        tokio::time::timeout(READ_PATIENCE, copying).await.map_err(unavailable)?
    }

    /// How many bytes an object has.
    ///
    /// # Errors
    /// [`MediaError::Absent`] when it is not there, or gone.
    pub async fn size(&self, name: &str) -> Result<u64, MediaError> {
        use async_nats::jetstream::object_store::InfoErrorKind;
        match self.store.info(name).await {
            Ok(info) if info.deleted => Err(MediaError::Absent),
            Ok(info) => Ok(info.size as u64),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Err(MediaError::Absent),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn has(&self, name: &str) -> Result<bool, MediaError> {
        match self.size(name).await {
            Ok(_) => Ok(true),
            Err(MediaError::Absent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn remove(&self, name: &str) -> Result<(), MediaError> {
        use async_nats::jetstream::object_store::DeleteErrorKind;
        match self.store.delete(name).await {
            Err(error) if error.kind() != DeleteErrorKind::NotFound => Err(unavailable(error)),
            _ => Ok(()),
        }
    }

    async fn object(&self, name: &str) -> Result<Object, MediaError> {
        use async_nats::jetstream::object_store::GetErrorKind;
        self.store.get(name).await.map_err(|error| match error.kind() {
            GetErrorKind::NotFound => MediaError::Absent,
            _ => unavailable(error),
        })
    }

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`MediaError::Absent`] when it is gone.
    pub async fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, MediaError> {
        let object = self.object(name).await?;
        let mut bytes = Vec::new();
        // A chunk that was removed meanwhile is waited for without end by the client.
        let read = tokio::time::timeout(READ_PATIENCE, object.take(limit).read_to_end(&mut bytes)).await;
        read.map_err(unavailable)?.map_err(unavailable)?;
        Ok(bytes)
    }

    /// A part of an object, piece by piece, each within `patience`: so many bytes from this one on.
    ///
    /// # Errors
    /// [`MediaError::Absent`] when it is gone.
    pub async fn pieces(
        &self,
        name: &str,
        from: u64,
        length: u64,
        patience: Duration,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, MediaError> {
        let mut object = self.object(name).await?;
        // A chunk that was removed meanwhile is waited for without end by the client.
        let skipped = tokio::time::timeout(patience, io_copy(&mut (&mut object).take(from), &mut sink())).await;
        skipped.map_err(unavailable)?.map_err(unavailable)?;
        Ok(stream::try_unfold((object, length), move |(mut object, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let mut piece = BytesMut::with_capacity(PIECE);
            match tokio::time::timeout(patience, (&mut object).take(left).read_buf(&mut piece)).await?? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                read => Ok(Some((piece.freeze(), (object, left - read as u64)))),
            }
        }))
    }

    /// Removes the objects of some messages of an instance, which are known by their traces.
    pub(super) async fn remove_of(
        &self,
        instance: &InstanceToken,
        traces: &HashSet<[u8; 10]>,
    ) -> Result<(), MediaError> {
        let prefix = format!("{}/", instance.as_str());
        let is_meant = |name: &str| {
            let id = name.strip_prefix(&prefix).and_then(|rest| MessageId::of_hex(rest.split('/').next()?));
            id.is_some_and(|id| traces.contains(&trace_tail(trace_id(None, id))))
        };
        let mut objects = self.store.list().await.map_err(unavailable)?;
        while let Some(object) = objects.try_next().await.map_err(unavailable)? {
            if is_meant(&object.name) {
                self.store.delete(&object.name).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }

    /// Removes every object of an instance.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn purge(&self, instance: &InstanceToken) -> Result<(), MediaError> {
        let prefix = format!("{}/", instance.as_str());
        let mut objects = self.store.list().await.map_err(unavailable)?;
        while let Some(object) = objects.try_next().await.map_err(unavailable)? {
            if object.name.starts_with(&prefix) {
                self.store.delete(&object.name).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }
}
