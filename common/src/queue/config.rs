//! That an instance was changed: told to every process through the bucket `config`.
//!
//! Whoever changes an instance writes a new version under its row id ([`announce_change`]); every
//! ingress and worker watches the bucket ([`ConfigWatch`]). A version says nothing but "read it
//! again": the database stays the only truth, and a watch that ends means that anything may have
//! changed meanwhile.

use std::{error::Error, time::Duration};

use async_nats::jetstream::{
    Context,
    consumer::{AckPolicy, DeliverPolicy, push},
};
use futures_util::StreamExt;

use super::{now_ms, streams::CONFIG};

/// The broker says so often that nothing has changed. A watch that hears nothing for twice as long
/// is broken, however whole its connection looks.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// The server removes the consumer of a watcher that is gone.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A version that was not written, or a watch that did not begin.
#[derive(Debug, thiserror::Error)]
#[error("the bucket of configuration versions does not answer")]
pub struct ConfigBucketError(#[source] Box<dyn Error + Send + Sync>);

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> ConfigBucketError {
    ConfigBucketError(error.into())
}

/// Tells every process that the instance with this row id was made, changed or deleted.
///
/// # Errors
/// When the broker does not confirm; telling it again is harmless.
pub async fn announce_change(js: &Context, instance: i64) -> Result<(), ConfigBucketError> {
    let ack = js.publish(format!("$KV.{CONFIG}.{instance}"), now_ms().to_string().into()).await;
    ack.map_err(failed)?.await.map(drop).map_err(failed)
}

/// Hears of every change from its beginning on, until it breaks.
pub struct ConfigWatch {
    messages: push::Messages,
    expected: u64,
}

impl std::fmt::Debug for ConfigWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConfigWatch")
    }
}

impl ConfigWatch {
    /// Begins to watch. Changes from before are not told: whoever watches reads afresh from here on.
    ///
    /// # Errors
    /// When the broker does not answer, or the bucket was not made yet.
    pub async fn open(js: &Context) -> Result<Self, ConfigBucketError> {
        let config = push::Config {
            deliver_subject: js.client().new_inbox(),
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::None,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: ABANDONED_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let stream = js.get_stream_no_info(format!("KV_{CONFIG}")).await.map_err(failed)?;
        let consumer = stream.create_consumer(config).await.map_err(failed)?;
        Ok(Self { messages: consumer.messages().await.map_err(failed)?, expected: 1 })
    }

    /// The row id of the next instance that was changed; `None` when the watch has broken.
    pub async fn next(&mut self) -> Option<i64> {
        let message = self.messages.next().await?.ok()?;
        if message.info().ok()?.consumer_sequence != self.expected {
            return None;
        }
        self.expected += 1;
        // A key that is no row id was written by nobody of ours.
        message.subject.rsplit('.').next()?.parse().ok()
    }
}
