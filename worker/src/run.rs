//! A worker from start to stop.

use std::{sync::Arc, time::Duration};

use omnihub_common::{
    instance::Directory,
    queue::{DeadLetters, Layout, Lease, Media, MediaError, Membership, MembershipError, Nats, TraceBus},
    trace::Traces,
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    breaker::Breakers,
    ownership::{Ownership, keep_beating},
    recorder::{Recorder, RecorderHealth},
    scheduler::{Event, Figures, Scheduler},
    settings::WorkerSettings,
    turn::{Kit, Receipts, TurnMetrics},
};

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its place among the workers could not be taken or was taken from it.
    #[error("the worker has no place among the workers")]
    Membership(#[from] MembershipError),
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

/// A worker that has joined the others and is about to run.
#[derive(Debug)]
pub struct Worker {
    nats: Nats,
    layout: Layout,
    settings: WorkerSettings,
    kit: Arc<Kit>,
    recorder: Recorder,
    membership: Membership,
    lease: Lease,
    owned: watch::Sender<Option<usize>>,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
}

impl Worker {
    /// Joins the workers; `pulse` is the connection of its heartbeats.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn join(
        nats: Nats,
        pulse: Nats,
        layout: Layout,
        directory: Arc<Directory>,
        traces: Traces,
        settings: WorkerSettings,
    ) -> Result<Self, WorkerError> {
        let lease = Lease::default();
        let membership = Membership::join(&pulse.js, &layout, &settings.id, lease.clone()).await?;
        let kit = Kit {
            directory,
            http: outbound_client()?,
            traces: TraceBus::new(nats.clone()),
            dead: DeadLetters::new(nats.js.clone()),
            media: Media::open(&nats.js).await?,
            metrics: TurnMetrics::new(),
            receipts: Receipts::default(),
            breakers: Arc::new(Breakers::new()),
        };
        let recorder = Recorder::new(nats.js.clone(), traces);
        let (owned, _) = watch::channel(None);
        Ok(Self {
            nats,
            layout,
            settings,
            kit: Arc::new(kit),
            recorder,
            membership,
            lease,
            owned,
            events: mpsc::unbounded_channel(),
        })
    }

    /// How many partitions it owns; `None` until its first round.
    #[must_use]
    pub fn owned(&self) -> watch::Receiver<Option<usize>> {
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
        let (scheduler, figures) = Scheduler::new(self.kit, &self.settings, events.clone(), doubt);
        show(figures, self.owned.subscribe(), breakers);
        let telling = scheduler.backlog().tell(self.nats.clone(), self.membership.id().to_owned());
        let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
        let end = CancellationToken::new();
        let ownership = Ownership {
            nats: self.nats,
            layout: self.layout,
            me: self.membership.id().to_owned(),
            roll: self.membership.roll(),
            lease: self.lease,
            events,
            owned: self.owned,
            end: end.clone(),
        };
        tracing::info!(worker.id = ownership.me, "the worker has joined");
        let recording = CancellationToken::new();
        let (recorder, until) = (self.recorder, recording.clone());
        let mut recorder = tokio::spawn(async move { recorder.run(until).await });
        let mut scheduler = tokio::spawn(scheduler.run(inbox));
        let serving = serve(ownership, self.membership, doubts, &stop, self.settings.grace);
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

/// Owns partitions until told to stop. A stop goes
///
/// ```text
/// no longer ready  ->  partitions given back (running turns first)  ->  no longer alive
/// ```
///
/// so that the others see at once what becomes free, and nobody takes what is not.
async fn serve(
    ownership: Ownership,
    membership: Membership,
    doubts: mpsc::UnboundedReceiver<u16>,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<(), WorkerError> {
    let (retire, leave) = (stop.clone(), CancellationToken::new());
    let heart = beat(membership, retire, leave.clone());
    let owning = async {
        let owned = tokio::spawn(ownership.run(doubts, stop.clone(), grace)).await;
        leave.cancel();
        owned.map_err(|_| WorkerError::Died("ownership"))
    };
    tokio::try_join!(async { Ok(heart.await?) }, owning).map(drop)
}

/// Beats until everything is given back, no longer ready from the stop on.
async fn beat(
    membership: Membership,
    retire: CancellationToken,
    leave: CancellationToken,
) -> Result<(), MembershipError> {
    // A task of its own: nothing that is slow here may silence it.
    let beating = tokio::spawn(async move {
        let mut membership = keep_beating(membership, retire).await?;
        if let Err(error) = membership.retire().await {
            tracing::debug!(error.message = %error, "the readiness record will expire by itself");
        }
        let mut membership = keep_beating(membership, leave).await?;
        if let Err(error) = membership.leave().await {
            tracing::debug!(error.message = %error, "the worker's record will expire by itself");
        }
        Ok(())
    });
    beating.await.unwrap_or_else(|error| Err(MembershipError::Unavailable(error.into())))
}

/// One client for agents and channels: no redirects (a redirected call would carry keys
/// elsewhere), connections kept.
fn outbound_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("omnihub/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Gauges that answer an operator.
fn show(figures: watch::Receiver<Figures>, owned: watch::Receiver<Option<usize>>, breakers: Arc<Breakers>) {
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
        Box::new(move || owned.borrow().unwrap_or_default() as u64),
    );
}
