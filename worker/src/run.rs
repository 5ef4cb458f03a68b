//! A worker from start to stop.

use std::{sync::Arc, time::Duration};

use omnihub_common::{
    access::Gate,
    config::NatsSettings,
    conversation::{Pauses, Tickets},
    instance::{Announcer, Budgets, Directory},
    person::Profiles,
    process::GroundError,
    queue::{
        Accounts, Claimant, DeadLetters, Layout, Lease, Media, MediaError, MediaLinks, MembershipError, Nats, Roll,
        SendOutcomes, TraceBus,
    },
    trace::{History, Traces},
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    agent,
    breaker::Breakers,
    files::{FileDesk, Links, OwnLinks},
    outbound,
    ownership::{Heart, HeartError, Life, Owned, Ownership},
    recorder::{Recorder, RecorderHealth},
    retention::Retention,
    scheduler::{Event, Figures, Lookout, Scheduler},
    settings::WorkerSettings,
    transcription::Listener,
    turn::{Beginner, Kit, OwnLids, Receipts, ReplyDoor, TurnMetrics, typing_seats},
};

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is nothing to stand on.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// The other workers cannot be read.
    #[error("the other workers cannot be read")]
    Membership(#[from] MembershipError),
    /// Its place among the workers could not be taken or was taken from it.
    #[error(transparent)]
    Heart(#[from] HeartError),
    /// The object store could not be opened.
    #[error("the object store could not be opened")]
    Media(#[from] MediaError),
    /// A part of the worker has ended although the worker has not.
    #[error("the worker's {0} has died; the log says why")]
    Died(&'static str),
    /// The client for agents and channels could not be made.
    #[error("the HTTP client could not be made")]
    Http(#[from] reqwest::Error),
}

impl WorkerError {
    /// Whether the database or NATS was away when it should have begun, so that the same may succeed
    /// later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Ground(error) => error.is_away(),
            Self::Membership(error) | Self::Heart(HeartError::Membership(error)) => error.is_away(),
            Self::Heart(HeartError::Connect(error)) => error.is_away(),
            Self::Media(error) => error.is_away(),
            Self::Heart(_) | Self::Died(_) | Self::Http(_) => false,
        }
    }
}

/// What a worker knows of the tenants.
#[derive(Debug)]
pub struct Tenants {
    /// The instances.
    pub directory: Arc<Directory>,
    /// Who is blocked, and which conversations are paused.
    pub gate: Arc<Gate>,
    /// What instances have spent.
    pub budgets: Budgets,
    /// Where it is kept which are paused.
    pub pauses: Pauses,
    /// What operators have told of people.
    pub profiles: Profiles,
    /// Links to files, for agents.
    pub media_links: MediaLinks,
    /// What agents show that answer later.
    pub tickets: Tickets,
}

/// A worker that has joined the others and is about to run.
#[derive(Debug)]
pub struct Worker {
    settings: WorkerSettings,
    kit: Arc<Kit>,
    recorder: Recorder,
    heart: Heart,
    claimant: Claimant,
    life: Life,
    retention: Retention,
    owned: watch::Sender<Option<Owned>>,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
}

impl Worker {
    /// Joins the workers; `pulse` is where its heart makes a connection of its own.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn join(
        nats: Nats,
        pulse: NatsSettings,
        layout: Layout,
        tenants: Tenants,
        traces: Traces,
        settings: WorkerSettings,
    ) -> Result<Self, WorkerError> {
        let (lease, life) = (Lease::default(), Life::new());
        let roll = Roll::open(&nats.js).await?;
        let heart = Heart::start(pulse, layout.clone(), settings.id.clone(), lease.clone(), life.clone());
        // While the heart connects on its own thread.
        let stores = async { tokio::join!(Media::open(&nats.js), DeadLetters::open(nats.clone())) };
        let (heart, (media, dead)) = tokio::join!(heart, stores);
        let (heart, http, media, dead) = (heart?, outbound::client()?, media?, dead?);
        let Tenants { directory, gate, budgets, pauses, profiles, media_links, tickets } = tenants;
        let breakers = Arc::new(Breakers::new());
        let (files, listener) = desks(&settings, &http, &media, media_links, &breakers)?;
        let announcer = Announcer::start(Arc::clone(&directory), nats.clone());
        let kit = Kit {
            history: History::new(traces.clone(), Arc::clone(&directory)),
            directory,
            gate,
            announcer,
            budgets,
            pauses,
            profiles,
            agents: agent::Client::new(http.clone()),
            http,
            traces: TraceBus::new(nats.clone()),
            outcomes: SendOutcomes::new(nats.clone()),
            dead,
            files,
            listener,
            media,
            metrics: TurnMetrics::new(),
            receipts: Receipts::default(),
            accounts: Accounts::new(nats.clone()),
            own_lids: OwnLids::new(Accounts::new(nats.clone())),
            breakers,
            typing: typing_seats(),
            replies: ReplyDoor::new(tickets, settings.public_url.clone()),
            beginner: Beginner::new(),
        };
        let retention = Retention::new(traces.clone(), settings.trace_retention_days);
        let recorder = Recorder::new(nats.js.clone(), traces);
        let (owned, _) = watch::channel(None);
        let claimant = Claimant { nats, layout, me: heart.id().to_owned(), roll, lease };
        let (kit, events) = (Arc::new(kit), mpsc::unbounded_channel());
        Ok(Self { settings, kit, recorder, heart, claimant, life, retention, owned, events })
    }

    /// What it owns; `None` until its first round.
    #[must_use]
    pub fn owned(&self) -> watch::Receiver<Option<Owned>> {
        self.owned.subscribe()
    }

    /// Whether traces reach the database.
    #[must_use]
    pub fn recorder_health(&self) -> RecorderHealth {
        self.recorder.health()
    }

    /// Runs until told to stop: finishes running turns within the grace, gives its partitions
    /// back and leaves.
    ///
    /// # Errors
    /// When another process has this worker's id.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let (doubt, doubts) = mpsc::unbounded_channel();
        let (events, inbox) = self.events;
        let breakers = self.kit.breakers.clone();
        let lookout = Lookout::new(self.claimant.nats.clone(), &self.settings.id);
        let (scheduler, figures) = Scheduler::new(self.kit, &self.settings, lookout, events.clone(), doubt);
        show(figures, self.owned.subscribe(), breakers);
        let telling = scheduler.backlog().tell(self.claimant.nats.clone(), self.heart.id().to_owned());
        let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
        // Whatever it is doing may be cut off: a batch is gone as a whole or not at all.
        let _retaining = AbortOnDropHandle::new(tokio::spawn(self.retention.run(self.owned.subscribe())));
        let end = CancellationToken::new();
        tracing::info!(worker.id = self.heart.id(), "the worker has joined");
        let ownership = Ownership::new(self.claimant, events, self.owned, end.clone(), self.life);
        let recording = CancellationToken::new();
        let (recorder, until) = (self.recorder, recording.clone());
        let mut recorder = tokio::spawn(async move { recorder.run(until).await });
        let mut scheduler = tokio::spawn(scheduler.run(inbox));
        let serving = serve(ownership, self.heart, doubts, &stop, self.settings.grace);
        // Each of the three runs as long as the worker: one that ends early ends it.
        let ended = tokio::select! {
            ended = serving => ended,
            _ = &mut scheduler => Err(WorkerError::Died("scheduler")),
            _ = &mut recorder => Err(WorkerError::Died("recorder")),
        };
        end.cancel();
        scheduler.abort();
        recording.cancel();
        if !recorder.is_finished()
            && let Err(error) = recorder.await
        {
            tracing::error!(error.message = %error, "the recorder did not end well");
        }
        ended
    }
}

/// Who brings what came with messages, and who listens to it.
fn desks(
    settings: &WorkerSettings,
    http: &reqwest::Client,
    media: &Media,
    media_links: MediaLinks,
    breakers: &Arc<Breakers>,
) -> Result<(Arc<FileDesk>, Arc<Listener>), reqwest::Error> {
    let links = Links::new(settings.media_store.clone())?;
    let own = settings.public_url.as_deref().map(|url| OwnLinks::new(url, media_links));
    let files = Arc::new(FileDesk::new(media.clone(), links, own, settings.media_to_agent as u64));
    let patience = settings.transcript_patience;
    let listener = Listener::new(http.clone(), media.clone(), files.clone(), breakers.clone(), patience);
    Ok((files, listener))
}

/// Owns partitions until told to stop. A stop goes
///
/// ```text
/// no longer ready  ->  partitions given back (running turns first)  ->  no longer alive
/// ```
///
/// so that the others see at once what becomes free, and nobody takes what is not.
async fn serve(
    ownership: Ownership,
    heart: Heart,
    doubts: mpsc::UnboundedReceiver<u16>,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<(), WorkerError> {
    let (retire, leave) = (heart.retire(), heart.leave());
    let owning = tokio::spawn(ownership.run(doubts, stop.clone(), grace));
    let owning = async {
        let owned = owning.await;
        leave.cancel();
        owned.map_err(|_| WorkerError::Died("ownership"))
    };
    let retiring = async {
        stop.cancelled().await;
        retire.cancel();
        Ok(())
    };
    tokio::try_join!(async { Ok(heart.ended().await?) }, owning, retiring).map(drop)
}

/// Gauges that answer an operator.
fn show(figures: watch::Receiver<Figures>, owned: watch::Receiver<Option<Owned>>, breakers: Arc<Breakers>) {
    let meter = opentelemetry::global::meter("omnihub");
    let gauge = |name: &'static str, description: &'static str, read: Box<dyn Fn() -> u64 + Send + Sync>| {
        meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(), &[]))
            .build();
    };
    let (running, lanes) = (figures.clone(), figures);
    gauge("omnihub_turns_running", "Turns that run now", Box::new(move || running.borrow().running as u64));
    gauge("omnihub_lanes", "Conversations with something to do", Box::new(move || lanes.borrow().lanes as u64));
    let (agents, servers) = (breakers.clone(), breakers);
    gauge(
        "omnihub_agent_breakers_open",
        "Agents that are not called for a while, since they fail",
        Box::new(move || agents.open().0 as u64),
    );
    gauge(
        "omnihub_channel_breakers_open",
        "Evolution servers that are not called for a while, since they fail",
        Box::new(move || servers.open().1 as u64),
    );
    gauge(
        "omnihub_partitions_owned",
        "Partitions this worker owns",
        Box::new(move || owned.borrow().map_or(0, |owned| owned.partitions) as u64),
    );
}
