//! The connection to NATS.

use std::time::Duration;

use async_nats::{
    ConnectOptions, Event,
    jetstream::{self, context::GetStreamError},
};
use backon::{ExponentialBuilder, Retryable};
use tokio::sync::watch;

use crate::config::{ConfigError, NatsSettings};

/// The oldest server that keeps what we rely on (nats-server#8491).
const OLDEST_SERVER: (u32, u32, u32) = (2, 15, 1);
/// How long a JetStream request or a PubAck may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting at start is tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the client may take to report what it has done.
const EVENT_PATIENCE: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or the credentials were refused.
    #[error("no connection to NATS within {} s: is it running, and is NATS_URL right?", PATIENCE.as_secs())]
    Unreachable(#[from] async_nats::ConnectError),
    /// `NATS_URL` cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server is too old.
    #[error("nats-server {found} is too old: 2.15.1 or newer is needed")]
    TooOld {
        /// The version it names.
        found: String,
    },
    /// The server runs without JetStream.
    #[error("the nats-server runs without JetStream: start it with `-js`")]
    NoJetStream,
}

impl ConnectError {
    /// Whether a server may be there later; refused credentials will not mend themselves.
    #[must_use]
    pub fn is_away(&self) -> bool {
        use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation, ServerParse};
        let Self::Unreachable(error) = self else { return false };
        !matches!(error.kind(), Authentication | AuthorizationViolation | ServerParse)
    }
}

/// Whether a request failed because the broker did not answer it, or cannot now: everything but its
/// word that a stream or bucket is not there.
pub(super) fn is_unanswered(error: &(dyn std::error::Error + 'static)) -> bool {
    use async_nats::jetstream::{ErrorCode, context::GetStreamErrorKind};
    let missing = |error: &GetStreamError| match error.kind() {
        GetStreamErrorKind::JetStream(known) => known.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    };
    !std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.downcast_ref::<GetStreamError>().is_some_and(missing))
}

/// A connection that heals itself.
#[derive(Clone, Debug)]
pub struct Nats {
    /// JetStream on it.
    pub js: jetstream::Context,
    /// Counts (re)connections and losses: whoever holds state of the server's checks it again
    /// whenever this changes.
    pub changes: watch::Receiver<u64>,
}

impl Nats {
    /// Which connection this is, by the count of [`Nats::changes`].
    #[must_use]
    pub fn connection(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.js.client().connection_state() == async_nats::connection::State::Connected
    }
}

/// Connects, waiting for a server that is still starting.
///
/// # Errors
/// When there is none within 30 s, or it cannot serve us.
pub async fn connect(settings: &NatsSettings, name: &str) -> Result<Nats, ConnectError> {
    let (changed, mut changes) = watch::channel(0_u64);
    let servers = settings.servers()?;
    let attempt =
        || async { options(settings, name, changed.clone())?.connect(&servers).await.map_err(ConnectError::from) };
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(PATIENCE))
        .without_max_times();
    let mut told = false;
    let tell = |error: &ConnectError, _| {
        if !std::mem::replace(&mut told, true) {
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(error.cause = cause, "waiting for NATS");
        }
    };
    let unreachable = |error: &ConnectError| matches!(error, ConnectError::Unreachable(_));
    let client = attempt.retry(backoff).when(unreachable).notify(tell).await?;
    let server = client.server_info();
    if version(&server.version).is_none_or(|found| found < OLDEST_SERVER) {
        return Err(ConnectError::TooOld { found: server.version });
    }
    if !server.jetstream {
        return Err(ConnectError::NoJetStream);
    }
    // The event of this very connection must not look like a later change.
    let _ = tokio::time::timeout(EVENT_PATIENCE, changes.wait_for(|count| *count > 0)).await;
    let js = jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).max_ack_inflight(20_000).build(client);
    Ok(Nats { js, changes })
}

fn options(settings: &NatsSettings, name: &str, changed: watch::Sender<u64>) -> Result<ConnectOptions, ConfigError> {
    let options = settings
        .connect_options()?
        .name(name)
        .connection_timeout(Duration::from_secs(5))
        .ping_interval(Duration::from_secs(10))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(delay)
        .event_callback(move |event| {
            if matches!(event, Event::Connected | Event::Disconnected) {
                changed.send_modify(|count| *count += 1);
            }
            async move {
                match event {
                    Event::Connected => tracing::debug!("connected to NATS"),
                    Event::Disconnected => tracing::warn!("the connection to NATS is lost"),
                    other => tracing::debug!(nats.event = %other, "NATS client event"),
                }
            }
        });
    Ok(options)
}

/// The wait before the client dials for the `attempt`th time since it was last connected. The
/// first is the one of a start, or the first after a loss: a worker that was killed and is back
/// has nothing to wait for.
///
/// ```text
/// 1: at once   2: 100 ms   3: 200 ms   4: 400 ms   5 and later: 800 ms
/// ```
fn delay(attempt: usize) -> Duration {
    match attempt {
        0 | 1 => Duration::ZERO,
        later => Duration::from_millis(50 << (later - 1).min(4)),
    }
}

fn version(text: &str) -> Option<(u32, u32, u32)> {
    let plain = text.split(['-', '+']).next()?;
    let mut parts = plain.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dial_is_made_at_once_and_later_ones_wait_longer() {
        let waits: Vec<u128> = [0, 1, 2, 3, 4, 5, 6, 1_000].map(|attempt| delay(attempt).as_millis()).into();
        assert_eq!(waits, [0, 0, 100, 200, 400, 800, 800, 800]);
    }

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("2.15.1"), Some((2, 15, 1)));
        assert_eq!(version("2.16.0-beta.1"), Some((2, 16, 0)));
        assert!(version("2.9.10") < Some(OLDEST_SERVER));
        assert_eq!(version("two"), None);
    }
}
