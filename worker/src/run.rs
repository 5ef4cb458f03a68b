//! A worker from start to stop.

use std::sync::Arc;

use omnihub_common::{
    instance::Directory,
    queue::{DeadLetters, Layout, Lease, Media, MediaError, Membership, MembershipError, Nats, TraceBus},
    trace::Traces,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
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
    /// Joins the workers.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn join(
        nats: Nats,
        layout: Layout,
        directory: Arc<Directory>,
        traces: Traces,
        settings: WorkerSettings,
    ) -> Result<Self, WorkerError> {
        let lease = Lease::default();
        let membership = Membership::join(&nats.js, &layout, &settings.id, lease.clone()).await?;
        let kit = Kit {
            directory,
            http: outbound_client()?,
            traces: TraceBus::new(nats.clone()),
            dead: DeadLetters::new(nats.js.clone()),
            media: Media::open(&nats.js).await?,
            metrics: TurnMetrics::new(),
            receipts: Receipts::default(),
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
        let (scheduler, figures) = Scheduler::new(self.kit, &self.settings, events.clone(), doubt);
        show(figures, self.owned.subscribe());
        let scheduler = tokio::spawn(scheduler.run(inbox));
        let recording = CancellationToken::new();
        let (recorder, until) = (self.recorder, recording.clone());
        let recorder = tokio::spawn(async move { recorder.run(until).await });
        let ownership = Ownership {
            nats: self.nats,
            layout: self.layout,
            me: self.membership.id().to_owned(),
            roll: self.membership.roll(),
            lease: self.lease,
            events,
            owned: self.owned,
        };
        tracing::info!(worker.id = ownership.me, "the worker has joined");
        let ended = serve(ownership, self.membership, doubts, &stop, self.settings.grace).await;
        scheduler.abort();
        recording.cancel();
        if let Err(error) = recorder.await {
            tracing::error!(error.message = %error, "the recorder did not end well");
        }
        ended
    }
}

/// Owns partitions until told to stop; the heartbeat goes on while they are given back.
async fn serve(
    ownership: Ownership,
    mut membership: Membership,
    doubts: mpsc::UnboundedReceiver<u16>,
    stop: &CancellationToken,
    grace: std::time::Duration,
) -> Result<(), WorkerError> {
    let (beating, releasing) = (CancellationToken::new(), CancellationToken::new());
    let mut owning = tokio::spawn(ownership.run(doubts, releasing.clone(), grace));
    let stopping = stop.clone();
    let retire_first = CancellationToken::new();
    let mut heart = {
        let (beating, retire) = (beating.clone(), retire_first.clone());
        tokio::spawn(async move {
            membership = keep_beating(membership, retire).await?;
            if let Err(error) = membership.retire().await {
                tracing::debug!(error.message = %error, "the readiness record will expire by itself");
            }
            // Alive, no longer ready: the others see what is released at once.
            keep_beating(membership, beating).await
        })
    };
    let lost = tokio::select! {
        () = stopping.cancelled() => None,
        ended = &mut heart => Some(ended),
    };
    retire_first.cancel();
    releasing.cancel();
    if let Some(ended) = lost {
        owning.abort();
        return match ended {
            Ok(Err(error)) => Err(error.into()),
            _ => Ok(()),
        };
    }
    let _ = (&mut owning).await;
    beating.cancel();
    if let Ok(Ok(mut membership)) = heart.await
        && let Err(error) = membership.leave().await
    {
        tracing::debug!(error.message = %error, "the worker's record will expire by itself");
    }
    Ok(())
}

/// One client for agents and channels: no redirects (a redirected call would carry keys
/// elsewhere), connections kept.
fn outbound_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(std::time::Duration::from_secs(5))
        .user_agent(concat!("omnihub/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Gauges that answer an operator.
fn show(figures: watch::Receiver<Figures>, owned: watch::Receiver<Option<usize>>) {
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
    gauge(
        "omnihub_partitions_owned",
        "Partitions this worker owns",
        Box::new(move || owned.borrow().unwrap_or_default() as u64),
    );
}
