//! What every call that leaves the worker has in common, to an agent or to a channel.

use std::time::Duration;

/// How long it may take until a connection stands.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// After thousands of turns at once only so many connections to a host are kept.
pub(crate) const IDLE_PER_HOST: usize = 512;

/// So long a connection is kept that nobody needs.
pub(crate) const IDLE: Duration = Duration::from_secs(90);

/// How the worker names itself.
pub(crate) const USER_AGENT: &str = concat!("omnihub/", env!("CARGO_PKG_VERSION"));

/// The client for channels, and for agents that [`crate::agent::Client`] does not call itself: no
/// redirects (a redirected call would carry keys elsewhere), connections kept.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE)
        .user_agent(USER_AGENT)
        .build()
}
