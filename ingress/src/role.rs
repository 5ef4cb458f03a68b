//! The ingress as a role: alone in its process, or beside a worker in `omnihub up`.

use std::{io::Write as _, sync::Arc};

use omnihub_common::{
    config::HttpSettings,
    instance::{Announcer, EvolutionFallback},
    key::{AdminKey, Created},
    process::{Ground, Program, listen},
    queue::{Backlogs, DeadLetters, Intake, Media, TraceBus, dead::Redriver},
    secret::Secret,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::dead::DeadDesk,
    live::Live,
    purge::Purger,
    server::{Doors, serve},
    settings::IngressSettings,
    state::AppState,
    webhook::{Quota, WebhookMeters, WebhookState},
};

/// Runs an ingress in a process of its own: `omnihub ingress`, `omnihub-ingress`.
///
/// # Errors
/// When a setting cannot be used, the port is taken, or the tables or streams were not made yet. A
/// database or NATS that is away is waited for.
pub async fn run_alone(program: Program) -> anyhow::Result<()> {
    let listener = listen(&HttpSettings::ingress(&*program.settings)?, "Set API_PORT to another one.").await?;
    // A setting that is wrong is said at once, not after a wait.
    IngressSettings::load(&*program.settings)?;
    let Some(ground) = Ground::when_there(&program, &listener).await? else { return Ok(()) };
    tracing::info!(http.address = %listener.local_addr()?, "ingress listens");
    run(listener, ground, program.stop.token()).await
}

/// Serves webhooks and the admin API until told to stop, then finishes what is in flight.
///
/// # Errors
/// When what it stands on cannot be used, or the listener fails.
pub async fn run(listener: TcpListener, ground: Ground, stop: CancellationToken) -> anyhow::Result<()> {
    let settings = IngressSettings::load(&*ground.settings)?;
    let (admin_key, created) = AdminKey::load(&*ground.settings, &ground.data)?;
    if let Created::Now(key) = created {
        // Standard error, not the log: the log is kept, the key is shown once.
        show_once(&key);
    }
    let tenants = ground.tenants().await?;
    let (nats, layout) = ground.queue("omnihub-ingress").await?;
    let media = Media::open(&nats.js).await?;
    let intake = Intake::new(nats.clone(), layout.clone(), media, settings.in_flight);
    let redriver = Redriver::new(DeadLetters::open(nats.clone()).await?, intake.clone());
    ground.health.add_database(ground.database.clone());
    ground.health.add_nats(nats.clone());
    ground.health.add_queue(nats.clone(), layout.clone());
    let _following = tenants.directory.follow(nats.clone());
    let doors = Doors {
        admin: AppState {
            database: ground.database,
            instances: tenants.instances,
            directory: tenants.directory.clone(),
            announcer: Announcer::start(tenants.directory.clone(), nats.clone()),
            admin_key: Arc::new(admin_key),
            keys: tenants.keys,
            evolution_fallback: Arc::new(EvolutionFallback::load(&*ground.settings)),
            purger: Purger::start(nats.clone(), layout.clone()),
            dead: Some(DeadDesk::new(redriver, TraceBus::new(nats.clone()))),
            live: Live::new(nats.clone(), layout.clone(), stop.clone()),
        },
        webhook: WebhookState {
            directory: tenants.directory,
            quota: Quota::new(Backlogs::follow(nats.clone(), layout), settings.backlog),
            intake,
            traces: TraceBus::new(nats),
            webhooks: WebhookMeters::default(),
        },
        health: ground.health,
        metrics: ground.metrics,
    };
    Ok(serve(listener, doors, &settings, stop).await?)
}

/// Shows an admin key that was just made.
fn show_once(key: &Secret) {
    let line = format!("The admin key, shown this once: {}\n", key.expose());
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
