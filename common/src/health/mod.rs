//! Health: `/livez`, `/readyz`, `/health` and `/metrics`, the same on every role's port.
//!
//! Each role adds its parts; whoever has a listener serves them all. `/livez` says that the
//! process answers, `/readyz` whether it should be sent work, and `/health` names every part with
//! what it really found: nothing here is a constant.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use sea_orm::DatabaseConnection;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    queue::{Layout, Nats, PrepareError, read_layout},
    telemetry::MetricsPage,
};

/// A part that does not answer within this time is down.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a check found: `Err` says what is wrong, for people.
pub type Found = Result<(), String>;
type Check = Arc<dyn Fn() -> BoxFuture<'static, Found> + Send + Sync>;

/// Whether a process can serve without a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Not ready without it.
    Needed,
    /// It serves on, with less: shown as degraded.
    Wanted,
}

#[derive(Clone)]
struct Part {
    name: &'static str,
    need: Need,
    check: Check,
}

/// The parts of a process.
#[derive(Clone, Default)]
pub struct Health {
    parts: Arc<RwLock<Vec<Part>>>,
    stopping: CancellationToken,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

impl Health {
    /// Health of a process that is no longer ready once `stopping` is cancelled.
    #[must_use]
    pub fn new(stopping: CancellationToken) -> Self {
        Self { parts: Arc::default(), stopping }
    }

    /// Adds a part, or replaces the one of this name.
    pub fn add<C, F>(&self, name: &'static str, need: Need, check: C)
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Found> + Send + 'static,
    {
        let part = Part { name, need, check: Arc::new(move || check().boxed()) };
        if let Ok(mut parts) = self.parts.write() {
            parts.retain(|known| known.name != name);
            parts.push(part);
        }
    }

    /// A part that will be added in a moment: not ready before it is.
    pub fn expect(&self, name: &'static str) {
        self.add(name, Need::Needed, || async { Err("starting".to_owned()) });
    }

    /// Adds the database: accepting and answering go on without it, from what is cached.
    pub fn add_database(&self, database: DatabaseConnection) {
        self.add("database", Need::Wanted, move || {
            let database = database.clone();
            async move { database.ping().await.map_err(|_| "the database does not answer".to_owned()) }
        });
    }

    /// Adds the broker.
    pub fn add_nats(&self, nats: Nats) {
        self.add("nats", Need::Needed, move || {
            let connected = nats.connected();
            async move { if connected { Ok(()) } else { Err("not connected to NATS".to_owned()) } }
        });
    }

    /// Adds the queue's streams, which a broker that lost its store no longer has. A broker that
    /// is merely slow to say so is not held against them.
    pub fn add_queue(&self, nats: Nats, layout: Layout) {
        self.add("queue", Need::Needed, move || {
            let (nats, layout) = (nats.clone(), layout.clone());
            async move {
                match tokio::time::timeout(PATIENCE / 2, read_layout(&nats.js)).await {
                    Ok(Err(error @ (PrepareError::Absent | PrepareError::Layout(_)))) => Err(error.to_string()),
                    Ok(Ok(found)) if found != layout => {
                        Err("the queue's streams were made anew in another layout: restart this process".to_owned())
                    }
                    _ => Ok(()),
                }
            }
        });
    }

    /// Every part with what is found of it now.
    pub async fn look(&self) -> Vec<(&'static str, Need, Found)> {
        let parts = self.parts.read().map(|parts| parts.clone()).unwrap_or_default();
        let looks = parts.into_iter().map(|part| async move {
            let found = tokio::time::timeout(PATIENCE, (part.check)()).await;
            (part.name, part.need, found.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
        join_all(looks).await
    }
}

/// The routes, ready to be merged into a role's own.
pub fn routes(health: Health, metrics: MetricsPage) -> Router {
    let page = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, MetricsPage::CONTENT_TYPE)], text) }
    };
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/health", get(show))
        .with_state(health)
        .route("/metrics", get(page))
}

async fn readyz(State(health): State<Health>) -> Response {
    if health.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    let found = health.look().await;
    let missing: Vec<&str> =
        found.iter().filter(|(_, need, found)| *need == Need::Needed && found.is_err()).map(|part| part.0).collect();
    if missing.is_empty() {
        "ready".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", missing.join(", "))).into_response()
    }
}

async fn show(State(health): State<Health>) -> Response {
    let found = health.look().await;
    let down = |need: Need| found.iter().any(|(_, n, found)| *n == need && found.is_err());
    let (status, word) = if down(Need::Needed) {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    } else if down(Need::Wanted) {
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, "healthy")
    };
    let services: Map<String, Value> = found
        .iter()
        .map(|(name, _, found)| {
            let state = match found {
                Ok(()) => json!({"status": "up"}),
                Err(detail) => json!({"status": "down", "detail": detail}),
            };
            ((*name).to_owned(), state)
        })
        .collect();
    let body = json!({"status": word, "timestamp": chrono::Utc::now(), "services": services});
    (status, Json(body)).into_response()
}
