//! What is said in voice messages, written down by the server that the instance names.
//!
//! ```text
//! written down before (this attempt, another one, another worker)  ->  read from the object store
//! being written down right now                                     ->  waited for
//! neither                                                          ->  asked for, kept beside the file
//! ```
//!
//! Whoever waits may go away: the work goes on, and who comes next finds it done. So no message is
//! paid for twice because its question was withdrawn, its agent failed or its worker died; only what
//! failed, or what the store has no room for, is asked for again. What is absent: no failure here is
//! a reason to fail a message.

mod call;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use omnihub_common::{
    channel::whatsapp::outbound::Evolution,
    instance::Instance,
    queue::{Media, MediaError, now_ms},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::{
    breaker::{Address, Breakers, Permit},
    files::{FileDesk, FileRef},
};
use call::{CallError, Recording, transcribe};

/// Files beyond so many bytes are not sent: OpenAI's own limit.
const LARGEST: u64 = 25 * 1024 * 1024;

/// Getting the file and waiting for a turn take at most so long beside the call.
const BESIDE: Duration = Duration::from_secs(60);

/// Calls at once in this worker: each holds a file until it is sent.
const AT_ONCE: usize = 256;

/// What may be read of a transcript that was kept.
const LARGEST_KEPT: u64 = 1024 * 1024;

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transcript {
    /// The words.
    pub(crate) text: String,
    /// The model that was named.
    pub(crate) model: String,
    /// When they were there, in milliseconds since 1970.
    pub(crate) at: i64,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
}

/// What has come of it, or why nothing has: a sentence for the trace.
pub(crate) type Heard = Result<Transcript, String>;

/// What is heard of one message.
#[derive(Clone, Debug)]
pub(crate) struct Sound {
    /// Where its file is.
    pub(crate) at: FileRef,
    /// What is known of it.
    pub(crate) about: Value,
}

/// What it takes to listen, shared by all turns of a worker.
#[derive(Debug)]
pub(crate) struct Listener {
    http: reqwest::Client,
    media: Media,
    files: Arc<FileDesk>,
    breakers: Arc<Breakers>,
    patience: Duration,
    seats: Semaphore,
    /// What is being written down now, by the name of its object.
    under_way: Mutex<HashMap<String, watch::Receiver<Option<Heard>>>>,
}

impl Listener {
    /// A server may take `patience` for a message.
    pub(crate) fn new(
        http: reqwest::Client,
        media: Media,
        files: Arc<FileDesk>,
        breakers: Arc<Breakers>,
        patience: Duration,
    ) -> Arc<Self> {
        let (seats, under_way) = (Semaphore::new(AT_ONCE), Mutex::default());
        Arc::new(Self { http, media, files, breakers, patience, seats, under_way })
    }

    /// What is said in a message. It may be dropped at any time: the work goes on.
    pub(crate) async fn hear(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        sound: Sound,
        evolution: Option<Evolution>,
    ) -> Heard {
        let mut heard = self.begin(instance, sound, evolution);
        match heard.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(heard)) => heard.clone(),
            _ => Err("the work on it was cut".to_owned()),
        }
    }

    /// Joins the work on a message, or begins it.
    fn begin(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        sound: Sound,
        evolution: Option<Evolution>,
    ) -> watch::Receiver<Option<Heard>> {
        let name = sound.at.transcript();
        let mut under_way = self.lock();
        if let Some(running) = under_way.get(&name) {
            return running.clone();
        }
        let (done, heard) = watch::channel(None);
        under_way.insert(name.clone(), heard.clone());
        let (listener, instance) = (Arc::clone(self), Arc::clone(instance));
        tokio::spawn(async move {
            let place = Place { listener: &listener, name: &name };
            let result = listener.kept_or_made(&instance, &name, &sound, evolution.as_ref()).await;
            // Who comes from here on finds it in the store.
            drop(place);
            done.send_replace(Some(result));
        });
        heard
    }

    async fn kept_or_made(
        &self,
        instance: &Instance,
        name: &str,
        sound: &Sound,
        evolution: Option<&Evolution>,
    ) -> Heard {
        if let Some(kept) = self.kept(name).await {
            return Ok(kept);
        }
        let making = tokio::time::timeout(self.patience + BESIDE, self.made(instance, sound, evolution));
        let transcript = making.await.unwrap_or_else(|_| Err("it took too long".to_owned()))?;
        let bytes = serde_json::to_vec(&transcript).unwrap_or_default();
        if let Err(error) = self.media.put(name, &bytes).await
            && !matches!(error, MediaError::Full)
        {
            tracing::debug!(error.message = %error, "a transcript could not be kept");
        }
        Ok(transcript)
    }

    async fn kept(&self, name: &str) -> Option<Transcript> {
        let bytes = self.media.get(name, LARGEST_KEPT).await.ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    async fn made(&self, instance: &Instance, sound: &Sound, evolution: Option<&Evolution>) -> Heard {
        let settings = &instance.media.transcript;
        let address = Address::Transcript(settings.api_url.clone().unwrap_or_default());
        let seat = self.seats.acquire().await.map_err(|_| "the worker ends".to_owned())?;
        let fetched = self.files.fetch(&sound.at, &sound.about, LARGEST, evolution).await;
        let (file, room) = fetched.map_err(|why| format!("its file is not to be had: {why}"))?;
        let recording = Recording::new(settings, &file, room);
        drop(file);
        let server = |why: &str| format!("of the transcription server: {why}");
        let parked = |_| server("it is left alone for a while, since it fails");
        let permit = self.breakers.admit(&address).map_err(parked)?;
        let since = Instant::now();
        let asked = transcribe(&self.http, settings, recording, self.patience).await;
        drop(seat);
        tell(permit, &asked);
        let text = asked.map_err(|error| server(&error.to_string()))?;
        let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Transcript { text, model: settings.effective_model().to_owned(), at: now_ms(), took_ms })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Heard>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says to the circuit how a call ended: a server that is away, late or broken fails.
fn tell(permit: Permit, asked: &Result<String, CallError>) {
    match asked {
        Err(CallError::Away | CallError::Late | CallError::Refused(500..)) => permit.failed(),
        _ => permit.answered(),
    }
}

/// A message's place among those under way, given back also when the work panics.
struct Place<'a> {
    listener: &'a Listener,
    name: &'a str,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.listener.lock().remove(self.name);
    }
}
