//! What an operator may set about an ingress.

use std::{num::NonZeroU32, time::Duration};

use omnihub_common::{
    config::{ConfigError, Settings, number_or},
    instance::public_url,
};

/// What no program that works rightly asks for: two hundred a second.
const DEFAULT_API_RATE: usize = 12_000;

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
    /// How often accounts are watched over, `OMNIHUB_ACCOUNT_CHECK` in seconds: whether the hub was away
    /// and has missed messages, and which accounts are silent; never at 0.
    pub account_check: Option<Duration>,
    /// Requests of one key to the admin API in a minute, `OMNIHUB_API_RATE`; over it they get 429.
    pub api_rate: NonZeroU32,
    /// Proxies between callers and this process, `OMNIHUB_PROXY_HOPS`: each writes into
    /// `X-Forwarded-For` for whom it asks.
    pub proxy_hops: usize,
    /// How long a stop waits for requests, `OMNIHUB_STOP_GRACE` in seconds.
    pub grace: Duration,
}

impl IngressSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let api_rate = number_or(settings, "OMNIHUB_API_RATE", DEFAULT_API_RATE, 1..=1_000_000_000)?;
        Ok(Self {
            webhook_limit: number_or(settings, "OMNIHUB_WEBHOOK_LIMIT", 64 * 1024 * 1024, 1024..=1024 * 1024 * 1024)?,
            concurrency: number_or(settings, "OMNIHUB_INGRESS_CONCURRENCY", 4096, 1..=1_000_000)?,
            in_flight: number_or(settings, "OMNIHUB_INGRESS_IN_FLIGHT", 4096, 1..=1_000_000)?,
            backlog: number_or(settings, "OMNIHUB_INSTANCE_BACKLOG", 50_000, 1..=100_000_000)? as u64,
            public_url: public_url(settings)?,
            webhook_check: seconds_or_never(settings, "OMNIHUB_WEBHOOK_CHECK", 300)?,
            account_check: seconds_or_never(settings, "OMNIHUB_ACCOUNT_CHECK", 60)?,
            api_rate: u32::try_from(api_rate).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX),
            proxy_hops: number_or(settings, "OMNIHUB_PROXY_HOPS", 0, 0..=16)?,
            grace: Duration::from_secs(number_or(settings, "OMNIHUB_STOP_GRACE", 25, 0..=3600)? as u64),
        })
    }
}

/// A time in seconds; 0 is never.
fn seconds_or_never(
    settings: &dyn Settings,
    name: &'static str,
    default: usize,
) -> Result<Option<Duration>, ConfigError> {
    let seconds = number_or(settings, name, default, 0..=86_400)? as u64;
    Ok((seconds > 0).then_some(Duration::from_secs(seconds)))
}
