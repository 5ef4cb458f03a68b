//! What an operator may set about an ingress.

use std::time::Duration;

use omnihub_common::config::{ConfigError, Settings, number_or};

/// The settings of an ingress.
#[derive(Clone, Debug)]
pub struct IngressSettings {
    /// Bytes of a webhook's body at most, `OMNIHUB_WEBHOOK_LIMIT`; 64 MiB unless set.
    pub webhook_limit: usize,
    /// Requests at once, `OMNIHUB_INGRESS_CONCURRENCY`; over it they get 503.
    pub concurrency: usize,
    /// Unconfirmed publishes at once, `OMNIHUB_INGRESS_IN_FLIGHT`; over it webhooks get 503.
    pub in_flight: usize,
    /// Messages of one instance that may wait, `OMNIHUB_INSTANCE_BACKLOG`; over it its webhooks get
    /// 503, and nobody else's.
    pub backlog: u64,
    /// How long a stop waits for requests, `OMNIHUB_STOP_GRACE` in seconds.
    pub grace: Duration,
}

impl IngressSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            webhook_limit: number_or(settings, "OMNIHUB_WEBHOOK_LIMIT", 64 * 1024 * 1024, 1024..=1024 * 1024 * 1024)?,
            concurrency: number_or(settings, "OMNIHUB_INGRESS_CONCURRENCY", 4096, 1..=1_000_000)?,
            in_flight: number_or(settings, "OMNIHUB_INGRESS_IN_FLIGHT", 4096, 1..=1_000_000)?,
            backlog: number_or(settings, "OMNIHUB_INSTANCE_BACKLOG", 50_000, 1..=100_000_000)? as u64,
            grace: Duration::from_secs(number_or(settings, "OMNIHUB_STOP_GRACE", 25, 0..=3600)? as u64),
        })
    }
}
