//! The worker as a role: alone in its process, or beside an ingress in `omnihub up`.

use omnihub_common::{
    config::HttpSettings,
    process::{Ground, Program, listen},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs a worker in a process of its own: `omnihub worker`, `omnihub-worker`.
///
/// # Errors
/// When a setting cannot be used, the port is taken, or the database or NATS cannot be reached.
pub async fn run_alone(program: Program) -> anyhow::Result<()> {
    let http = HttpSettings::worker(&*program.settings)?;
    let listener = listen(&http, "Set OMNIHUB_WORKER_PORT to another one.").await?;
    let ground = Ground::open(&program).await?;
    tracing::info!(http.address = %listener.local_addr()?, "worker's health and metrics listen");
    run(Some(listener), ground, program.stop.token()).await
}

/// Works until told to stop, then finishes its turns within the grace.
///
/// The listener serves health and metrics; beside an ingress there is none, since the ingress
/// answers for both.
///
/// # Errors
/// When what it stands on cannot be used, or the worker loses its membership.
pub async fn run(listener: Option<TcpListener>, ground: Ground, stop: CancellationToken) -> anyhow::Result<()> {
    // joined later: turns and recorder (`crate::run`), and the health page.
    drop((listener, ground));
    stop.cancelled().await;
    Ok(())
}
