//! One loopback HTTP server, stopped on drop.

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    _stop: DropGuard,
}

impl Server {
    /// Serves `router` on a free loopback port until the server is dropped. `stop` is cancelled
    /// then: a handler that waits must also wait for it, or its connection lives on.
    ///
    /// # Errors
    /// When no port can be bound.
    pub(crate) async fn start(router: Router, stop: CancellationToken) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding a loopback port for a fake")?;
        let url = format!("http://{}", listener.local_addr().context("reading the fake's port")?);
        let stopped = stop.clone();
        // An accept loop that fails shows as refused connections in the test that uses it.
        tokio::spawn(
            async move { axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned()).await },
        );
        Ok(Self { url, _stop: stop.drop_guard() })
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
