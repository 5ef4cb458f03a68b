//! The ingress as a role: alone in its process, or beside a worker in `omnihub up`.

use omnihub_common::{
    config::HttpSettings,
    process::{Ground, Program, listen},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs an ingress in a process of its own: `omnihub ingress`, `omnihub-ingress`.
///
/// # Errors
/// When a setting cannot be used, the port is taken, or the database or NATS cannot be reached.
pub async fn run_alone(program: Program) -> anyhow::Result<()> {
    let listener = listen(&HttpSettings::ingress(&*program.settings)?, "Set API_PORT to another one.").await?;
    let ground = Ground::open(&program).await?;
    tracing::info!(http.address = %listener.local_addr()?, "ingress listens");
    run(listener, ground, program.stop.token()).await
}

/// Serves webhooks and the admin API until told to stop, then finishes what is in flight.
///
/// # Errors
/// When what it stands on cannot be used, or the listener fails.
pub async fn run(listener: TcpListener, ground: Ground, stop: CancellationToken) -> anyhow::Result<()> {
    // joined later: the state (keys, instances, directory, queue) and `crate::serve`.
    let metrics = ground.metrics;
    let content_type = [("content-type", omnihub_common::telemetry::MetricsPage::CONTENT_TYPE)];
    let app = axum::Router::new()
        .route("/livez", axum::routing::get(|| async { "ok" }))
        .route("/metrics", axum::routing::get(move || async move { (content_type, metrics.render()) }));
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}
