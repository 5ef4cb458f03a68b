//! The object store: media taken out of webhooks, and bodies too large for a queue message.

use std::time::Duration;

use async_nats::jetstream::{Context, object_store::ObjectStore};
use futures_util::TryStreamExt;
use tokio::io::AsyncReadExt;

use super::{InstanceToken, MessageId, streams::MEDIA};

/// How long reading an object may take.
const READ_PATIENCE: Duration = Duration::from_secs(30);

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

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> MediaError {
    MediaError::Unavailable(error.into())
}

impl Media {
    /// Opens the store.
    ///
    /// # Errors
    /// When NATS does not answer or the store was not made yet.
    pub async fn open(js: &Context) -> Result<Self, MediaError> {
        Ok(Self { store: js.get_object_store(MEDIA).await.map_err(unavailable)? })
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
        self.store.put(name, &mut bytes).await.map(drop).map_err(|error| {
            // The client keeps the server's code only in its words.
            if error.to_string().contains("maximum bytes exceeded") { MediaError::Full } else { unavailable(error) }
        })
    }

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`MediaError::Absent`] when it is gone.
    pub async fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, MediaError> {
        use async_nats::jetstream::object_store::GetErrorKind;
        let object = self.store.get(name).await.map_err(|error| match error.kind() {
            GetErrorKind::NotFound => MediaError::Absent,
            _ => unavailable(error),
        })?;
        let mut bytes = Vec::new();
        // A chunk that was removed meanwhile is waited for without end by the client.
        let read = tokio::time::timeout(READ_PATIENCE, object.take(limit).read_to_end(&mut bytes)).await;
        read.map_err(unavailable)?.map_err(unavailable)?;
        Ok(bytes)
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
