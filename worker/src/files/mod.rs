//! The files that came with the messages of a turn, brought together for its agent.
//!
//! ```text
//! in the object store (the webhook had it)  ->  read
//! behind a link (Evolution has an S3 store) ->  fetched, kept in the store, read
//! nowhere else                              ->  asked of Evolution, kept in the store, read
//! not to be had, or too large               ->  the agent is told of it only, and a warning says why
//! wanted as a link                          ->  kept in the store, and not read
//! ```
//!
//! What has been set aside in memory for files is bounded over all turns of a worker: a turn whose
//! files find no room waits for it, and after a while goes without them. What is absent: no file is a reason to fail a message.

mod link;
mod own;

use std::{sync::Arc, time::Duration};

use omnihub_common::{
    channel::{
        InboundMessage,
        whatsapp::{
            file::{FileError, FileKey},
            outbound::Evolution,
        },
    },
    queue::{Envelope, InstanceToken, Media, MediaError},
};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::agent::{self, File, Files};
pub(crate) use link::Links;
use link::{LONGEST_LINK, LinkError};
pub(crate) use own::OwnLinks;

/// What the files of all turns may take at once, in KiB of memory.
const ROOM: u32 = 512 * 1024;

/// So often a file is in memory while its request is written: itself, in base64, in the body, and in
/// what is sent.
const TIMES: u64 = 4;

/// How long the files of one question are waited for; then it goes without those that are missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file may have so many bytes more than was told, and an eighth.
const SLACK: u64 = 64 * 1024;

/// How long to wait before Evolution is asked a second time.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a file is not given, for people.
const TOO_LARGE: &str = "it is too large";

/// Where the file of a message may be.
#[derive(Clone, Debug)]
pub(crate) struct FileRef {
    message_id: String,
    object: String,
    /// The object of what is said in it.
    transcript: String,
    link: Option<String>,
    key: Option<FileKey>,
}

impl FileRef {
    /// Of a message and its `data`; none where it has no file. What the message itself says of the
    /// store is not listened to: an object is known by whose it is.
    pub(crate) fn of(envelope: &Envelope, message: &InboundMessage, data: &Value) -> Option<Box<Self>> {
        if !message.content.kind.has_media() {
            return None;
        }
        let instance = InstanceToken::new(&envelope.instance, envelope.instance_id);
        Some(Box::new(Self {
            message_id: message.provider_id.clone(),
            object: Media::name(&instance, envelope.id, "media"),
            transcript: Media::name(&instance, envelope.id, "transcript"),
            link: data["message"]["mediaUrl"].as_str().filter(|link| link.len() <= LONGEST_LINK).map(str::to_owned),
            key: FileKey::of(data),
        }))
    }

    /// The name of the object that holds what is said in it.
    pub(crate) fn transcript(&self) -> String {
        self.transcript.clone()
    }

    /// Whether this is told of its message's file.
    pub(crate) fn is_of(&self, about: &Value) -> bool {
        about["message_id"] == *self.message_id
    }
}

/// A file that the agent is to have.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) at: &'a FileRef,
    /// What is told of it.
    pub(crate) about: Value,
    /// Whether a link to it will do.
    pub(crate) as_link: bool,
}

/// What has come of it.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) files: Files,
    /// The messages whose files are too large.
    pub(crate) too_large: Vec<String>,
    /// For the trace.
    pub(crate) warnings: Vec<String>,
}

/// Where files are had from.
#[derive(Debug)]
pub(crate) struct FileDesk {
    media: Media,
    links: Links,
    /// None where nobody says how agents reach the hub.
    own: Option<OwnLinks>,
    room: Arc<Semaphore>,
    most: u64,
}

impl FileDesk {
    /// The files of one question together may have `most` bytes; 0 = none are given.
    pub(crate) fn new(media: Media, links: Links, own: Option<OwnLinks>, most: u64) -> Self {
        Self { media, links, own, room: Arc::new(Semaphore::new(ROOM as usize)), most }
    }

    /// Whether files are given at all.
    pub(crate) fn gives(&self) -> bool {
        self.most > 0
    }

    /// Whether agents can be given links.
    pub(crate) fn has_links(&self) -> bool {
        self.own.is_some()
    }

    /// A file that is in the store, as a link.
    fn linked(&self, wanted: &Wanted<'_>) -> Option<File> {
        let own = self.own.as_ref().filter(|_| wanted.as_link)?;
        let link = own.to(wanted.at, agent::media_type(&wanted.about));
        Some(File { about: wanted.about.clone(), bytes: Vec::new(), link: Some(link) })
    }

    /// Brings the files together; `evolution` is where those are asked for that no webhook brought.
    pub(crate) async fn gather(&self, wanted: Vec<Wanted<'_>>, evolution: Option<&Evolution>) -> Gathered {
        let mut gathered = Gathered::default();
        let planned = self.plan(wanted, &mut gathered).await;
        let bytes = planned.iter().map(|plan| plan.most).sum::<u64>().min(self.most);
        // All at once: who holds a part of its room and waits for the rest would keep others waiting.
        let (late, mut left) = (Instant::now() + PATIENCE, self.most);
        let seat = timeout_at(late, Arc::clone(&self.room).acquire_many_owned(room(bytes))).await;
        let Ok(Ok(seat)) = seat else {
            gathered
                .warnings
                .push("the agent was told of the files only: the worker has no memory for more".to_owned());
            return gathered;
        };
        gathered.files.seat = Some(seat);
        for mut plan in planned {
            if let Some(linked) = self.linked(&plan.wanted).filter(|_| plan.is_stored) {
                gathered.files.list.push(linked);
                continue;
            }
            if plan.known.is_some_and(|size| size > left) {
                gathered.refuse(plan.wanted.at);
                continue;
            }
            plan.most = plan.most.min(left);
            let brought = timeout_at(late, self.bring(&plan, evolution)).await;
            match brought.unwrap_or_else(|_| Err(Absent::Because("it took too long to get it".to_owned()))) {
                Ok(Brought { bytes, is_kept }) => {
                    let linked = self.linked(&plan.wanted).filter(|_| is_kept);
                    let file = linked.unwrap_or(File { about: plan.wanted.about, bytes, link: None });
                    left = left.saturating_sub(file.bytes.len() as u64);
                    gathered.files.list.push(file);
                }
                Err(Absent::TooLarge) => gathered.refuse(plan.wanted.at),
                Err(Absent::Because(why)) => {
                    let id = &plan.wanted.at.message_id;
                    gathered.warnings.push(format!("the agent was told of the file of message {id} only: {why}"));
                }
            }
        }
        let taken: u64 = gathered.files.list.iter().map(|file| file.bytes.len() as u64).sum();
        gathered.files.keep_room(room(taken) as usize);
        gathered
    }

    /// One file of at most so many bytes, with its room in memory; or why it is not to be had.
    pub(crate) async fn fetch(
        &self,
        at: &FileRef,
        about: &Value,
        most: u64,
        evolution: Option<&Evolution>,
    ) -> Result<(File, OwnedSemaphorePermit), String> {
        let wanted = Wanted { at, about: about.clone(), as_link: false };
        let plan = self.plan_one(wanted, most).await.map_err(|_| TOO_LARGE.to_owned())?;
        let late = Instant::now() + PATIENCE;
        let seat = timeout_at(late, Arc::clone(&self.room).acquire_many_owned(room(plan.most))).await;
        let Ok(Ok(seat)) = seat else { return Err("the worker has no memory for it".to_owned()) };
        match timeout_at(late, self.bring(&plan, evolution)).await {
            Ok(Ok(Brought { bytes, .. })) => Ok((File { about: plan.wanted.about, bytes, link: None }, seat)),
            Ok(Err(Absent::TooLarge)) => Err(TOO_LARGE.to_owned()),
            Ok(Err(Absent::Because(why))) => Err(why),
            Err(_) => Err("it took too long to get it".to_owned()),
        }
    }

    /// Removes what was kept for an instance that was deleted meanwhile.
    pub(crate) async fn forget(&self, files: &[FileRef]) {
        for object in files.iter().flat_map(|file| [&file.object, &file.transcript]) {
            if let Err(error) = self.media.remove(object).await {
                tracing::debug!(error.message = %error, "a file of a deleted instance stays until it is too old");
            }
        }
    }

    /// What each file may take.
    async fn plan<'a>(&self, wanted: Vec<Wanted<'a>>, gathered: &mut Gathered) -> Vec<Plan<'a>> {
        let mut planned = Vec::new();
        for wanted in wanted {
            match self.plan_one(wanted, self.most).await {
                Ok(plan) => planned.push(plan),
                Err(wanted) => gathered.refuse(wanted.at),
            }
        }
        planned
    }

    /// What a file may take, of at most so many bytes; itself again where it is known to have more.
    async fn plan_one<'a>(&self, wanted: Wanted<'a>, limit: u64) -> Result<Plan<'a>, Wanted<'a>> {
        let stored = self.media.size(&wanted.at.object).await.ok();
        if stored.is_some() && wanted.as_link && self.has_links() {
            return Ok(Plan { wanted, known: None, most: 0, is_stored: true });
        }
        let told = wanted.about["size"].as_u64().filter(|size| *size > 0);
        let known = stored.or(told);
        // What a person's phone says of its size need not be exact.
        let most = stored.or(told.map(|size| size.saturating_add(size / 8).saturating_add(SLACK))).unwrap_or(limit);
        match known {
            Some(size) if size > limit => Err(wanted),
            _ => Ok(Plan { wanted, known, most: most.min(limit), is_stored: stored.is_some() }),
        }
    }

    async fn bring(&self, plan: &Plan<'_>, evolution: Option<&Evolution>) -> Result<Brought, Absent> {
        let at = plan.wanted.at;
        if plan.is_stored
            && let Ok(bytes) = self.media.get(&at.object, plan.most).await
        {
            return Ok(Brought { bytes, is_kept: true });
        }
        let linked = match &at.link {
            Some(link) => self.links.follow(link, plan.most).await,
            None => Err(LinkError::Dead),
        };
        let bytes = match (linked, &at.key, evolution) {
            (Ok(bytes), ..) => bytes,
            (Err(LinkError::TooLarge), ..) => return Err(Absent::TooLarge),
            (Err(LinkError::Dead), Some(key), Some(evolution)) => ask_twice(evolution, key, plan.most).await?,
            (Err(LinkError::Dead), ..) => return Err(Absent::Because("there is nobody to ask for it".to_owned())),
        };
        // The next attempt finds it there. A store that is full or away only makes it ask again.
        let kept = self.media.put(&at.object, &bytes).await;
        if let Err(error) = &kept
            && !matches!(error, MediaError::Full)
        {
            tracing::debug!(error.message = %error, "a fetched file could not be kept");
        }
        Ok(Brought { bytes, is_kept: kept.is_ok() })
    }
}

async fn ask_twice(evolution: &Evolution, key: &FileKey, most: u64) -> Result<Vec<u8>, FileError> {
    match evolution.file(key, most).await {
        Err(error) if error.may_pass() => {
            tokio::time::sleep(PAUSE).await;
            evolution.file(key, most).await
        }
        done => done,
    }
}

/// A file that is brought, and how large it may be.
struct Plan<'a> {
    wanted: Wanted<'a>,
    known: Option<u64>,
    most: u64,
    is_stored: bool,
}

/// A file, and whether the store has it.
struct Brought {
    bytes: Vec<u8>,
    is_kept: bool,
}

/// Why a file is not given.
enum Absent {
    TooLarge,
    Because(String),
}

impl From<FileError> for Absent {
    fn from(error: FileError) -> Self {
        match error {
            FileError::TooLarge => Self::TooLarge,
            error => Self::Because(error.to_string()),
        }
    }
}

impl Gathered {
    fn refuse(&mut self, at: &FileRef) {
        let id = &at.message_id;
        self.warnings.push(format!("the agent was told of the file of message {id} only: {TOO_LARGE}"));
        self.too_large.push(id.clone());
    }
}

/// The room that so many bytes of files take, in KiB.
fn room(bytes: u64) -> u32 {
    u32::try_from((bytes * TIMES).div_ceil(1024)).unwrap_or(ROOM).min(ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::MOST_TO_AGENT;

    #[test]
    fn whatever_may_be_given_finds_room() {
        assert_eq!((room(0), room(1), room(1024)), (0, 1, 4));
        assert!(u64::from(ROOM) >= MOST_TO_AGENT as u64 * TIMES / 1024);
    }
}
