//! What ingress and workers ask on every message: whose is it?
//!
//! Two memories stand before the table. The *fresh* one answers while `trust` holds it for good:
//! as long as changes are told to this process (see [`Directory::follow`]) for half a minute or
//! until one is told, else for a second; for names that do not exist always for a second. The
//! *known* one holds what was last read of each instance and answers while the database is down;
//! then the database is asked once a second whether it is back.
//!
//! What this is not for: the admin API reads and writes the table itself.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use moka::{future::Cache, ops::compute::Op};
use opentelemetry::metrics::Counter;
use sea_orm::DbErr;
use tokio::sync::{Semaphore, broadcast};

use super::{
    ChannelSettings, Instance, Instances, Lookup, StoreError,
    trust::{Trust, Worth},
};
use crate::{
    config::{ConfigError, Settings, number_or},
    database,
};

/// How long the database may take for one read before it counts as down.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many answers are remembered: ten times the instances that we plan for.
const CAPACITY: u64 = 100_000;
/// How many forced reads may run at once. Strangers cause them (a wrong name, a wrong secret), so
/// they must leave connections to everybody else.
const FORCED_READS: usize = 4;
/// So many changes may wait for one who hears of them; beyond that all is [`Change::Any`] to them.
const CHANGES_KEPT: usize = 1024;
/// The setting for [`DirectorySettings::known_for`], in hours.
const KNOWN_HOURS: &str = "OMNIHUB_INSTANCE_CACHE_HOURS";
/// The setting for [`DirectorySettings::watched_for`], in seconds.
const POLL_SECONDS: &str = "OMNIHUB_INSTANCE_POLL";

/// What a lookup found: none, one, or for a WhatsApp instance several.
type Found = Arc<[Arc<Instance>]>;

/// What was found, when, and under which number of [`Trust`].
#[derive(Clone, Debug)]
struct Remembered {
    found: Found,
    at: Instant,
    stamp: u64,
    /// The database did not answer: it is what was known from before.
    stale: bool,
}

/// What a process hears of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The instance with this row id was made, changed or deleted.
    One(i64),
    /// Any may have been: changes were not told for a while, and are again.
    Any,
}

/// An instance cannot be had, and nothing is known from before: to be asked again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The database does not answer.
    #[error("the database does not answer, and this instance was not seen before")]
    Away,
    /// Who keeps a secret of it does not answer, and it was not told before.
    #[error("who keeps a secret of the instance does not answer")]
    SecretAway,
    /// Its row is there, and this process cannot read it: a secret in it does not open or is not to
    /// be had, or it is damaged. A person must mend that.
    #[error("the instance's row cannot be read")]
    Unreadable,
}

/// How long the directory remembers.
#[derive(Clone, Copy, Debug)]
pub struct DirectorySettings {
    /// How long an answer is given without asking the database while nobody tells of changes, and
    /// how often a database that is down is asked again.
    pub fresh_for: Duration,
    /// The same while changes are told; after this time a change that nobody told is seen too.
    pub watched_for: Duration,
    /// How long an instance that was read once is answered while the database is down.
    pub known_for: Duration,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        Self {
            fresh_for: Duration::from_secs(1),
            // Below the half minute that is promised for a change made in the database by hand.
            watched_for: Duration::from_secs(25),
            known_for: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl DirectorySettings {
    /// `OMNIHUB_INSTANCE_CACHE_HOURS` (24) and `OMNIHUB_INSTANCE_POLL` (25 seconds).
    ///
    /// # Errors
    /// Names the one that is no such number.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let hours = number_or(settings, KNOWN_HOURS, 24, 1..=8760)? as u64;
        let seconds = number_or(settings, POLL_SECONDS, 25, 1..=3600)? as u64;
        let (known_for, watched_for) = (Duration::from_hours(hours), Duration::from_secs(seconds));
        Ok(Self { known_for, watched_for, ..Self::default() })
    }
}

/// The instances, as those who handle messages see them. Cheap to ask, shared by all tasks.
#[derive(Debug)]
pub struct Directory {
    pub(super) instances: Arc<Instances>,
    fresh: Cache<Lookup, Remembered>,
    known: Cache<Lookup, Found>,
    pub(super) settings: DirectorySettings,
    trust: RwLock<Trust>,
    changes: broadcast::Sender<Change>,
    /// When a database that failed may be asked again.
    ask_again: Mutex<Option<Instant>>,
    forced: Semaphore,
    answered_stale: Counter<u64>,
}

impl Directory {
    /// Over the table.
    #[must_use]
    pub fn new(instances: Arc<Instances>, settings: DirectorySettings) -> Self {
        let meter = opentelemetry::global::meter("omnihub");
        Self {
            instances,
            fresh: Cache::builder().max_capacity(CAPACITY).time_to_live(settings.watched_for).build(),
            known: Cache::builder().max_capacity(CAPACITY).time_to_live(settings.known_for).build(),
            settings,
            trust: RwLock::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            ask_again: Mutex::new(None),
            forced: Semaphore::new(FORCED_READS),
            answered_stale: meter
                .u64_counter("omnihub_instance_stale_answers_total")
                .with_description("Reads of instances that failed and were answered from what was known before.")
                .build(),
        }
    }

    /// Changes of instances as this process hears of them. Listen first, then read: what changes
    /// after the read is told.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Forgets what is remembered of an instance that was made, changed or deleted; for whoever
    /// did it in this process, and for whoever hears that it was done in another.
    pub fn changed(&self, instance: i64) {
        self.with_trust(|trust| trust.changed(instance));
        // An error means that nobody listens.
        let _ = self.changes.send(Change::One(instance));
    }

    /// Changes are told from here on: whatever is remembered from before is read again.
    pub(crate) fn watching(&self) {
        self.with_trust(Trust::watching);
        let _ = self.changes.send(Change::Any);
    }

    /// Changes may go unnoticed from here on.
    pub(super) fn blind(&self) {
        self.with_trust(Trust::blind);
    }

    /// Whether changes are told to this process.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).is_watching()
    }

    fn with_trust(&self, change: impl FnOnce(&mut Trust)) {
        change(&mut self.trust.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The number for a read that begins now; see [`Directory::good_for`].
    pub(crate) fn stamp(&self) -> u64 {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).stamp()
    }

    /// The instance of this name, as it is now as far as this process has been told; where nobody
    /// tells, at most a second old while the database is up.
    ///
    /// # Errors
    /// [`Unavailable`] when the database does not answer and the instance is not known.
    pub async fn by_name(&self, name: &str) -> Result<Option<Arc<Instance>>, Unavailable> {
        self.first(Lookup::Name(name.to_owned())).await
    }

    /// The instance with this row id.
    ///
    /// # Errors
    /// As [`Directory::by_name`].
    pub async fn by_id(&self, id: i64) -> Result<Option<Arc<Instance>>, Unavailable> {
        self.first(Lookup::Id(id)).await
    }

    /// The default instance.
    ///
    /// # Errors
    /// As [`Directory::by_name`].
    pub async fn default_instance(&self) -> Result<Option<Arc<Instance>>, Unavailable> {
        self.first(Lookup::Default).await
    }

    /// Those that Evolution servers know by this name, oldest first. Names are unique on one
    /// server only: whose a webhook is, its secret must tell.
    ///
    /// # Errors
    /// As [`Directory::by_name`].
    pub async fn by_whatsapp_instance(&self, slug: &str) -> Result<Vec<Arc<Instance>>, Unavailable> {
        Ok(self.look_up(Lookup::WhatsappInstance(slug.to_owned())).await?.to_vec())
    }

    /// The instance of this name as the database has it now, never from memory: before a webhook
    /// is refused for ever, since an instance or a secret may be newer than what is remembered.
    ///
    /// # Errors
    /// [`Unavailable`] when the database does not answer, even if the instance is known.
    pub async fn fresh_by_name(&self, name: &str) -> Result<Option<Arc<Instance>>, Unavailable> {
        Ok(self.forced(Lookup::Name(name.to_owned())).await?.first().cloned())
    }

    /// The default instance as the database has it now; see [`Directory::fresh_by_name`].
    ///
    /// # Errors
    /// As [`Directory::fresh_by_name`].
    pub async fn fresh_default(&self) -> Result<Option<Arc<Instance>>, Unavailable> {
        Ok(self.forced(Lookup::Default).await?.first().cloned())
    }

    /// Those of an Evolution name as the database has them now; see [`Directory::fresh_by_name`].
    ///
    /// # Errors
    /// As [`Directory::fresh_by_name`].
    pub async fn fresh_by_whatsapp_instance(&self, slug: &str) -> Result<Vec<Arc<Instance>>, Unavailable> {
        Ok(self.forced(Lookup::WhatsappInstance(slug.to_owned())).await?.to_vec())
    }

    async fn forced(&self, lookup: Lookup) -> Result<Found, Unavailable> {
        let seat = tokio::time::timeout(PATIENCE, self.forced.acquire()).await;
        let _seat = seat.map_err(|_| Unavailable::Away)?.map_err(|_| Unavailable::Away)?;
        let stamp = self.stamp();
        // Secrets that are kept somewhere else too: a webhook may show one that is new there.
        let found = self.read(&lookup, Some(self.settings.fresh_for)).await?;
        let remembered = Remembered { found: Arc::clone(&found), at: Instant::now(), stamp, stale: false };
        self.fresh.insert(lookup, remembered).await;
        Ok(found)
    }

    async fn first(&self, lookup: Lookup) -> Result<Option<Arc<Instance>>, Unavailable> {
        Ok(self.look_up(lookup).await?.first().cloned())
    }

    /// From the fresh memory, else one read for all who ask at once.
    async fn look_up(&self, lookup: Lookup) -> Result<Found, Unavailable> {
        if let Some(remembered) = self.fresh.get(&lookup).await
            && self.is_good(&lookup, &remembered)
        {
            return Ok(remembered.found);
        }
        let asked = lookup.clone();
        let load = async |present: Option<moka::Entry<Lookup, Remembered>>| {
            // Whoever asked before us may have read it meanwhile.
            match present {
                Some(present) if self.is_good(&asked, present.value()) => Ok(Op::Nop),
                _ => self.load(&asked).await.map(Op::Put),
            }
        };
        let loaded = self.fresh.entry(lookup).and_try_compute_with(load).await?;
        Ok(loaded.into_entry().ok_or(Unavailable::Away)?.into_value().found)
    }

    fn is_good(&self, lookup: &Lookup, remembered: &Remembered) -> bool {
        let trust = self.trust.read().unwrap_or_else(PoisonError::into_inner);
        let good_for = match trust.worth(lookup, &remembered.found, remembered.stamp) {
            Worth::Nothing => return false,
            Worth::Long if !remembered.stale => self.settings.watched_for,
            Worth::Long | Worth::Briefly => self.settings.fresh_for,
        };
        remembered.at.elapsed() < good_for
    }

    /// How long something may be answered again that belongs to an instance (or to the whole hub)
    /// and was read under a stamp; `stale` says that the database did not answer.
    pub(crate) fn good_for(&self, instance: i64, stamp: u64, stale: bool) -> Duration {
        match self.trust.read().unwrap_or_else(PoisonError::into_inner).worth_of(instance, stamp) {
            Worth::Nothing => Duration::ZERO,
            Worth::Long if !stale => self.settings.watched_for,
            Worth::Long | Worth::Briefly => self.settings.fresh_for,
        }
    }

    /// Reads something else for those who handle messages, with the directory's own patience: a
    /// database that is down is asked once a second, by all rooms together.
    pub(crate) async fn ask<T>(&self, read: impl Future<Output = Result<T, DbErr>>) -> Result<T, Unavailable> {
        if !self.may_ask() {
            return Err(Unavailable::Away);
        }
        let error = match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(found)) => {
                self.set_ask_again(None);
                return Ok(found);
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let is_down = error.as_ref().is_none_or(database::is_away);
        // What one table says is nothing against the database: the others are asked on.
        let again = is_down.then(|| Instant::now() + self.settings.fresh_for);
        let known = self.set_ask_again(again).is_some();
        if !known {
            let cause = error.map(|error| error.to_string()).unwrap_or_default();
            tracing::warn!(error.message = cause, "what belongs to an instance could not be read");
        }
        Err(Unavailable::Away)
    }

    /// From the database, else as it was last known. That too is then fresh for a second, so
    /// nobody waits for a database that is down more than once a second.
    async fn load(&self, lookup: &Lookup) -> Result<Remembered, Unavailable> {
        let stamp = self.stamp();
        match self.read(lookup, None).await {
            Ok(found) => Ok(Remembered { found, at: Instant::now(), stamp, stale: false }),
            Err(unavailable) => {
                let found = self.known.get(lookup).await.ok_or(unavailable)?;
                self.answered_stale.add(1, &[]);
                Ok(Remembered { found, at: Instant::now(), stamp, stale: true })
            }
        }
    }

    /// From the database, unless it failed a moment ago; and remembered.
    async fn read(&self, lookup: &Lookup, max_age: Option<Duration>) -> Result<Found, Unavailable> {
        if !self.may_ask() {
            return Err(Unavailable::Away);
        }
        let rows = match tokio::time::timeout(PATIENCE, self.instances.find(lookup)).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return Err(self.failed(lookup, Some(&error))),
            Err(_) => return Err(self.failed(lookup, None)),
        };
        if self.set_ask_again(None).is_some() {
            tracing::info!("instances can be read again");
        }
        let resolved = join_all(rows.into_iter().map(|row| self.instances.resolve(row, max_age))).await;
        let found = resolved.into_iter().map(|row| row.map(Arc::new)).collect::<Result<Found, _>>();
        let found = found.map_err(|error| self.failed(lookup, Some(&error)))?;
        self.remember(lookup, &found).await;
        Ok(found)
    }

    /// Keeps what was found for an outage, under the name and the id too, and forgets what is
    /// gone. Names that do not exist are not kept: strangers could make up any number.
    async fn remember(&self, lookup: &Lookup, found: &Found) {
        if found.is_empty() {
            let gone = self.known.remove(lookup).await;
            for instance in gone.iter().flat_map(|gone| gone.iter()) {
                self.known.invalidate(&Lookup::Name(instance.name.to_string())).await;
                self.known.invalidate(&Lookup::Id(instance.id)).await;
            }
            return;
        }
        self.known.insert(lookup.clone(), Arc::clone(found)).await;
        for instance in found.iter() {
            self.know(instance).await;
        }
    }

    /// Keeps an instance that was read ahead.
    pub(super) async fn know(&self, instance: &Arc<Instance>) {
        let alone: Found = Arc::new([Arc::clone(instance)]);
        self.known.insert(Lookup::Name(instance.name.to_string()), Arc::clone(&alone)).await;
        self.known.insert(Lookup::Id(instance.id), alone).await;
    }

    /// Keeps all that Evolution servers know by a name.
    pub(super) async fn know_account(&self, account: &str, instances: Vec<Arc<Instance>>) {
        self.known.insert(Lookup::WhatsappInstance(account.to_owned()), instances.into()).await;
    }

    /// Keeps which one is the default.
    pub(super) async fn know_default(&self, instance: Option<&Arc<Instance>>) {
        match instance {
            Some(instance) => self.known.insert(Lookup::Default, Arc::new([Arc::clone(instance)])).await,
            None => self.known.invalidate(&Lookup::Default).await,
        }
    }

    /// Forgets an instance that is gone, for an outage too.
    pub(super) async fn unlearn(&self, instance: &Instance) {
        self.known.invalidate(&Lookup::Name(instance.name.to_string())).await;
        self.known.invalidate(&Lookup::Id(instance.id)).await;
        if let ChannelSettings::Whatsapp(whatsapp) = &instance.channel {
            self.known.invalidate(&Lookup::WhatsappInstance(whatsapp.whatsapp_instance.clone())).await;
        }
    }

    /// Logs the failure, and lets the database rest if it is down. A row that cannot be read says
    /// nothing about the database.
    fn failed(&self, lookup: &Lookup, error: Option<&StoreError>) -> Unavailable {
        let message = match error {
            Some(error) => error.with_causes(),
            None => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        let is_elsewhere = matches!(error, Some(StoreError::Unresolved { .. }));
        let is_down = !is_elsewhere && !matches!(error, Some(StoreError::Unreadable { .. }));
        let known = is_down && self.set_ask_again(Some(Instant::now() + self.settings.fresh_for)).is_some();
        if known {
            // Once an outage: the same line every second tells nothing new.
            tracing::debug!(lookup.kind = lookup.kind(), error.message = message, "the database is still away");
        } else {
            tracing::warn!(lookup.kind = lookup.kind(), error.message = message, "an instance could not be read");
        }
        match error {
            Some(StoreError::Unresolved { source, .. }) if source.is_away() => Unavailable::SecretAway,
            Some(StoreError::Unresolved { .. } | StoreError::Unreadable { .. }) => Unavailable::Unreadable,
            _ => Unavailable::Away,
        }
    }

    /// Whether the database may be asked. After a failure one asker a second gets a yes.
    fn may_ask(&self) -> bool {
        let mut ask_again = self.ask_again.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *ask_again {
            Some(at) if now < at => false,
            Some(_) => {
                *ask_again = Some(now + self.settings.fresh_for);
                true
            }
            None => true,
        }
    }

    fn set_ask_again(&self, at: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut *self.ask_again.lock().unwrap_or_else(PoisonError::into_inner), at)
    }
}

#[cfg(test)]
mod tests;
