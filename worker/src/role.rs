//! The worker as a role: alone in its process, or beside an ingress in `omnihub up`.

use std::sync::Arc;

use omnihub_common::{
    access::Gate,
    config::{DataFolder, HttpSettings},
    conversation::Pauses,
    health::{self, Health, Need},
    instance::{Budgets, Directory},
    person::Profiles,
    process::{Ground, Program, listen},
    queue::{Layout, Nats},
    trace::Traces,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Tenants, Worker, WorkerError, settings::WorkerSettings};

/// Runs a worker in a process of its own: `omnihub worker`, `omnihub-worker`.
///
/// # Errors
/// When a setting cannot be used, the port is taken, or the tables or streams were not made yet. A
/// database or NATS that is away is waited for.
pub async fn run_alone(program: Program) -> anyhow::Result<()> {
    let http = HttpSettings::worker(&*program.settings)?;
    let listener = listen(&http, "Set OMNIHUB_WORKER_PORT to another one.").await?;
    // A setting that is wrong is said at once, not after a wait.
    let data = DataFolder::open_if_present(&*program.settings)?;
    let settings = WorkerSettings::load(&*program.settings, &data.0)?;
    let begun = Ground::when_there(
        &program,
        &listener,
        async |ground| Beginning::on(ground, settings.clone()).await,
        WorkerError::is_away,
    );
    let Some((ground, beginning)) = begun.await? else { return Ok(()) };
    tracing::info!(http.address = %listener.local_addr()?, "worker's health and metrics listen");
    work(Some(listener), ground, beginning, program.stop.token()).await
}

/// Works until told to stop, then finishes its turns within the grace, on a ground that is there.
///
/// The listener serves health and metrics; beside an ingress there is none, since the ingress
/// answers for both.
///
/// # Errors
/// When what it stands on cannot be used, or the worker loses its membership.
pub async fn run(listener: Option<TcpListener>, ground: Ground, stop: CancellationToken) -> anyhow::Result<()> {
    let settings = WorkerSettings::load(&*ground.settings, &ground.data.0)?;
    let beginning = Beginning::on(&ground, settings).await?;
    work(listener, ground, beginning, stop).await
}

/// A worker that has joined the others, and what it keeps at hand.
struct Beginning {
    worker: Worker,
    nats: Nats,
    layout: Layout,
    directory: Arc<Directory>,
    gate: Arc<Gate>,
}

impl Beginning {
    async fn on(ground: &Ground, settings: WorkerSettings) -> Result<Self, WorkerError> {
        // At once: whoever waits for this worker waits for its slowest step, not for all of them.
        let (tenants, (nats, layout)) = tokio::try_join!(ground.tenants(), ground.queue("omnihub-worker"))?;
        let (directory, traces) = (tenants.directory, Traces::new(ground.database.clone()));
        let pulse = ground.nats.clone();
        let gate = Arc::new(Gate::new(ground.database.clone(), Arc::clone(&directory)));
        let profiles = Profiles::new(ground.database.clone(), Arc::clone(&directory));
        let budgets = Budgets::new(ground.database.clone(), Arc::clone(&directory));
        let pauses = Pauses::new(ground.database.clone());
        let (directory_of, gate_of) = (Arc::clone(&directory), Arc::clone(&gate));
        let (tickets, media_links) = (tenants.tickets, tenants.media_links);
        let tenants =
            Tenants { directory: directory_of, gate: gate_of, budgets, pauses, profiles, media_links, tickets };
        let worker = Worker::join(nats.clone(), pulse, layout.clone(), tenants, traces, settings).await?;
        Ok(Self { worker, nats, layout, directory, gate })
    }
}

async fn work(
    listener: Option<TcpListener>,
    ground: Ground,
    beginning: Beginning,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Beginning { worker, nats, layout, directory, gate } = beginning;
    // The gate listens first, so that it hears of every change that the directory is told of.
    let _keeping = gate.follow();
    let _following = directory.follow(nats.clone());
    add_health(&ground.health, &worker);
    let Some(listener) = listener else { return Ok(worker.run(stop).await?) };
    ground.health.add_database(ground.database);
    ground.health.add_nats(nats.clone());
    ground.health.add_queue(nats, layout);
    let pages = health::routes(ground.health, ground.metrics);
    // The pages answer until the worker has ended: a stop is watched from outside.
    let until = CancellationToken::new();
    let serving = axum::serve(listener, pages).with_graceful_shutdown(until.clone().cancelled_owned());
    let serving = tokio::spawn(serving.into_future());
    let worked = worker.run(stop).await;
    until.cancel();
    serving.await??;
    Ok(worked?)
}

/// The worker's own part of the health: it has joined, and its recorder writes.
fn add_health(health: &Health, worker: &Worker) {
    let owned = worker.owned();
    health.add("worker", Need::Needed, move || {
        let settled = owned.borrow().is_some();
        async move { if settled { Ok(()) } else { Err("joining the other workers".to_owned()) } }
    });
    let recorder = worker.recorder_health();
    health.add("recorder", Need::Wanted, move || {
        let writing = recorder.is_writing();
        async move { if writing { Ok(()) } else { Err("traces wait for the database".to_owned()) } }
    });
}
