//! The ingress as a role: alone in its process, or beside a worker in `omnihub up`.

use std::{io::Write as _, sync::Arc, time::Duration};

use omnihub_common::{
    config::HttpSettings,
    instance::{Announcer, EvolutionFallback},
    key::{AdminKey, Created},
    process::{Ground, GroundError, Program, Tenants, listen},
    queue::{
        Accounts, Aliases, Backlogs, DeadLetters, Intake, Layout, Media, MediaError, Nats, TraceBus, dead::Redriver,
    },
    secret::Secret,
    trace::Traces,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{dead::DeadDesk, limits::RateLimits, send::SendDesk},
    doctor::DoctorDesk,
    evolution::{CatchUp, Connections, Door, EvolutionDesk, watch::Watch},
    live::Live,
    media::MediaState,
    purge::Purger,
    server::{Doors, serve},
    settings::IngressSettings,
    state::AppState,
    webhook::{Quota, Sessions, WebhookMeters, WebhookState},
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
    let begun = Ground::when_there(&program, &listener, Beginning::on, BeginError::is_away);
    let Some((ground, beginning)) = begun.await? else { return Ok(()) };
    tracing::info!(http.address = %listener.local_addr()?, "ingress listens");
    open_doors(listener, ground, beginning, program.stop.token()).await
}

/// Serves webhooks and the admin API until told to stop, then finishes what is in flight, on a
/// ground that is there.
///
/// # Errors
/// When what it stands on cannot be used, or the listener fails.
pub async fn run(listener: TcpListener, ground: Ground, stop: CancellationToken) -> anyhow::Result<()> {
    let beginning = Beginning::on(&ground).await?;
    open_doors(listener, ground, beginning, stop).await
}

/// What the doors open on.
struct Beginning {
    tenants: Tenants,
    nats: Nats,
    layout: Layout,
    media: Media,
    letters: DeadLetters,
}

/// Why an ingress cannot begin.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error(transparent)]
    Ground(#[from] GroundError),
    #[error("the object store could not be opened")]
    Media(#[from] MediaError),
}

impl BeginError {
    fn is_away(&self) -> bool {
        match self {
            Self::Ground(error) => error.is_away(),
            Self::Media(error) => error.is_away(),
        }
    }
}

impl Beginning {
    async fn on(ground: &Ground) -> Result<Self, BeginError> {
        let tenants = ground.tenants().await?;
        let (nats, layout) = ground.queue("omnihub-ingress").await?;
        let (media, letters) = (Media::open(&nats.js).await?, DeadLetters::open(nats.clone()).await?);
        Ok(Self { tenants, nats, layout, media, letters })
    }
}

async fn open_doors(
    listener: TcpListener,
    ground: Ground,
    beginning: Beginning,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Beginning { tenants, nats, layout, media, letters } = beginning;
    let (settings, admin_key) = (IngressSettings::load(&*ground.settings)?, admin_key(&ground)?);
    let intake = Intake::new(nats.clone(), layout.clone(), media.clone(), settings.in_flight);
    let redriver = Redriver::new(letters, intake.clone());
    add_health(&ground, &nats, &layout);
    let _following = tenants.directory.follow(nats.clone());
    let announcer = Announcer::start(tenants.directory.clone(), nats.clone());
    let evolution_fallback = Arc::new(EvolutionFallback::load(&*ground.settings));
    let door = Door { public: settings.public_url.clone(), listener: Some(listener.local_addr()?) };
    let evolution = EvolutionDesk::new(door, evolution_fallback.clone())?;
    let watch = Watch::new(evolution.clone(), tenants.instances.clone(), announcer.clone(), ground.database.clone());
    keep_watching(watch, settings.webhook_check, &stop);
    let doctor =
        DoctorDesk::new(ground.settings.clone(), nats.clone(), ground.health.clone(), settings.public_url.clone())?;
    let (connections, opened) = hear_of_connections(&nats, &stop);
    let quota = Quota::new(Backlogs::follow(nats.clone(), layout.clone()), settings.backlog);
    let traces = Traces::new(ground.database.clone());
    let sessions = Sessions::new(Aliases::new(nats.clone(), layout.clone()));
    let webhook = WebhookState {
        directory: tenants.directory.clone(),
        quota: quota.clone(),
        intake: intake.clone(),
        traces: TraceBus::new(nats.clone()),
        recorded: traces.clone(),
        webhooks: WebhookMeters::default(),
        connections: connections.clone(),
        tickets: tenants.tickets.clone(),
        sessions: sessions.clone(),
    };
    let catch_up = CatchUp::new(evolution.clone(), tenants.instances.clone(), traces, webhook.clone());
    keep_up(catch_up, settings.account_check, opened, &stop);
    let doors = Doors {
        admin: AppState {
            database: ground.database,
            instances: tenants.instances,
            directory: tenants.directory,
            announcer,
            admin_key: Arc::new(admin_key),
            keys: tenants.keys,
            evolution_fallback,
            evolution,
            limits: Arc::new(RateLimits::new(settings.api_rate, settings.proxy_hops)),
            sealed: tenants.sealed,
            purger: Purger::start(nats.clone(), layout.clone()),
            dead: Some(DeadDesk::new(redriver, TraceBus::new(nats.clone()))),
            doctor: Some(doctor),
            sends: Some(SendDesk::new(nats.clone(), intake, quota, sessions.clone(), stop.clone())),
            accounts: Some(connections.accounts().clone()),
            sessions: Some(sessions),
            live: Live::new(nats, layout, stop.clone()),
        },
        webhook,
        media: MediaState { media, links: tenants.media_links },
        health: ground.health,
        metrics: ground.metrics,
    };
    Ok(serve(listener, doors, &settings, stop).await?)
}

/// An ingress needs its database, its broker and its streams.
fn add_health(ground: &Ground, nats: &Nats, layout: &Layout) {
    ground.health.add_database(ground.database.clone());
    ground.health.add_nats(nats.clone());
    ground.health.add_queue(nats.clone(), layout.clone());
}

/// Writes down what webhooks tell of connections, until told to stop; names accounts that come open.
fn hear_of_connections(nats: &Nats, stop: &CancellationToken) -> (Connections, mpsc::UnboundedReceiver<i64>) {
    let connections = Connections::new(Accounts::new(nats.clone()));
    let (opened, names) = mpsc::unbounded_channel();
    tokio::spawn(stop.clone().run_until_cancelled_owned(connections.clone().keep(opened)));
    (connections, names)
}

/// Looks for what no webhook has brought until told to stop, unless nobody wants it.
fn keep_up(catch_up: CatchUp, every: Option<Duration>, opened: mpsc::UnboundedReceiver<i64>, stop: &CancellationToken) {
    if let Some(every) = every {
        tokio::spawn(stop.clone().run_until_cancelled_owned(catch_up.run(every, opened)));
    }
}

/// Looks at the registered webhooks until told to stop, unless nobody wants it.
fn keep_watching(watch: Watch, every: Option<Duration>, stop: &CancellationToken) {
    if let Some(every) = every {
        tokio::spawn(stop.clone().run_until_cancelled_owned(watch.run(every)));
    }
}

/// The admin key; one that was just made is shown.
fn admin_key(ground: &Ground) -> anyhow::Result<AdminKey> {
    let (key, created) = AdminKey::load(&*ground.settings, &ground.data)?;
    if let Created::Now(new) = created {
        // Standard error, not the log: the log is kept, the key is shown once.
        show_once(&new);
    }
    Ok(key)
}

/// Shows an admin key that was just made.
fn show_once(key: &Secret) {
    let line = format!("The admin key, shown this once: {}\n", key.expose());
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
