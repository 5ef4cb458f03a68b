//! A process that has started before what it stands on.
//!
//! It waits, and says so: alive, not ready, every webhook and request a 503 to come back with. A
//! supervisor that would start it again for nothing has no reason to, and Evolution, which drops a
//! message for ever on most other answers, posts it again.

use std::{io, net, os::fd::AsFd as _, time::Duration};

use axum::{
    Json,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::IntoResponse,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Program;
use crate::health::{self, Health, Need};

/// Who connects during a start that takes no longer is answered by the role itself.
const QUICK: Duration = Duration::from_secs(1);
/// Seconds after which a request is worth another try.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Answers on a role's port until the role does; ends with this value.
#[derive(Debug)]
pub struct WaitingRoom {
    _until: DropGuard,
}

impl WaitingRoom {
    /// Begins to answer.
    ///
    /// # Errors
    /// When the operating system has no descriptor left.
    pub fn open(program: &Program, listener: &TcpListener) -> io::Result<Self> {
        // The same socket twice: who connects while the one closes is answered by the other.
        let twin = TcpListener::from_std(net::TcpListener::from(listener.as_fd().try_clone_to_owned()?))?;
        let health = Health::new(program.stop.token());
        health.add("start", Need::Needed, || async {
            Err("waiting for the database or for NATS; the log says which".to_owned())
        });
        let pages = health::routes(health, program.metrics.clone()).fallback(not_yet);
        let until = CancellationToken::new();
        let closed = until.clone();
        tokio::spawn(async move {
            if tokio::time::timeout(QUICK, closed.cancelled()).await.is_ok() {
                return;
            }
            let serving = axum::serve(twin, pages).with_graceful_shutdown(closed.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::warn!(error.message = %error, "nobody is told that this process waits");
            }
        });
        Ok(Self { _until: until.drop_guard() })
    }
}

async fn not_yet() -> impl IntoResponse {
    let problem = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "starting",
        "detail": "the hub has started and waits for its database or its queue; come back in a moment",
    });
    let headers =
        [(CONTENT_TYPE, "application/problem+json".to_owned()), (RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(problem))
}
