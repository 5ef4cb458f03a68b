//! What an operator may set about an ingress.

use std::time::Duration;

use omnihub_common::{
    config::{ConfigError, Settings, number_or},
    instance::service_url,
};

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
    /// The hub's address as Evolution reaches it, `OMNIHUB_PUBLIC_URL`.
    pub public_url: Option<String>,
    /// How often registered webhooks are looked at, `OMNIHUB_WEBHOOK_CHECK` in seconds; none at 0.
    pub webhook_check: Option<Duration>,
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
            public_url: public_url(settings)?,
            webhook_check: Some(number_or(settings, "OMNIHUB_WEBHOOK_CHECK", 300, 0..=86_400)? as u64)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            grace: Duration::from_secs(number_or(settings, "OMNIHUB_STOP_GRACE", 25, 0..=3600)? as u64),
        })
    }
}

fn public_url(settings: &dyn Settings) -> Result<Option<String>, ConfigError> {
    let name = "OMNIHUB_PUBLIC_URL";
    let url = settings.get(name).map(|url| service_url(&url)).transpose();
    url.map_err(|problem| ConfigError::bad(name, problem.to_string()))
}
