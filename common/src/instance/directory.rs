//! What ingress and workers ask on every message: whose is it?
//!
//! Two memories stand before the table. The *fresh* one answers for a second, for instances that
//! exist and for names that do not, so that a busy instance costs one read a second and a change
//! is seen within a second. The *known* one holds what was last read of each instance and answers
//! while the database is down; then the database is asked once a second whether it is back.
//!
//! What this is not for: the admin API reads and writes the table itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::future::Cache;
use opentelemetry::metrics::Counter;
use tokio::sync::Semaphore;

use super::{Instance, Instances, Lookup, StoreError};
use crate::config::{ConfigError, Settings};

/// How long the database may take for one read before it counts as down.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many answers are remembered: ten times the instances that we plan for.
const CAPACITY: u64 = 100_000;
/// How many forced reads may run at once. Strangers cause them (a wrong name, a wrong secret), so
/// they must leave connections to everybody else.
const FORCED_READS: usize = 4;
/// The setting for [`DirectorySettings::known_for`], in hours.
const KNOWN_HOURS: &str = "OMNIHUB_INSTANCE_CACHE_HOURS";

/// What a lookup found: none, one, or for a WhatsApp instance several.
type Found = Arc<[Arc<Instance>]>;

/// The database does not answer, and nothing is known from before: to be asked again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database does not answer, and this instance was not seen before")]
pub struct Unavailable;

/// How long the directory remembers.
#[derive(Clone, Copy, Debug)]
pub struct DirectorySettings {
    /// How long an answer is given without asking the database, and how often a database that is
    /// down is asked again.
    pub fresh_for: Duration,
    /// How long an instance that was read once is answered while the database is down.
    pub known_for: Duration,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        Self { fresh_for: Duration::from_secs(1), known_for: Duration::from_secs(24 * 60 * 60) }
    }
}

impl DirectorySettings {
    /// `OMNIHUB_INSTANCE_CACHE_HOURS` (24).
    ///
    /// # Errors
    /// When it is not a number of hours from 1 to 8760.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let Some(text) = settings.get(KNOWN_HOURS) else { return Ok(Self::default()) };
        let hours = text.trim().parse().ok().filter(|hours| (1..=8760).contains(hours)).ok_or_else(|| {
            ConfigError::Bad { name: KNOWN_HOURS, problem: "expected hours, from 1 to 8760".to_owned() }
        })?;
        Ok(Self { known_for: Duration::from_hours(hours), ..Self::default() })
    }
}

/// The instances, as those who handle messages see them. Cheap to ask, shared by all tasks.
#[derive(Debug)]
pub struct Directory {
    instances: Arc<Instances>,
    fresh: Cache<Lookup, Found>,
    known: Cache<Lookup, Found>,
    fresh_for: Duration,
    /// When a database that failed may be asked again.
    ask_again: Mutex<Option<Instant>>,
    forced: Semaphore,
    answered_stale: Counter<u64>,
}

impl Directory {
    /// Over the table.
    #[must_use]
    pub fn new(instances: Arc<Instances>, settings: DirectorySettings) -> Self {
        let memory = |keep: Duration| Cache::builder().max_capacity(CAPACITY).time_to_live(keep).build();
        let meter = opentelemetry::global::meter("omnihub");
        Self {
            instances,
            fresh: memory(settings.fresh_for),
            known: memory(settings.known_for),
            fresh_for: settings.fresh_for,
            ask_again: Mutex::new(None),
            forced: Semaphore::new(FORCED_READS),
            answered_stale: meter
                .u64_counter("omnihub_instance_stale_answers_total")
                .with_description("Reads of instances that failed and were answered from what was known before.")
                .build(),
        }
    }

    /// The instance of this name, at most a second old while the database is up.
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
        let _seat = seat.map_err(|_| Unavailable)?.map_err(|_| Unavailable)?;
        let found = self.read(&lookup).await?;
        self.fresh.insert(lookup, Arc::clone(&found)).await;
        Ok(found)
    }

    async fn first(&self, lookup: Lookup) -> Result<Option<Arc<Instance>>, Unavailable> {
        Ok(self.look_up(lookup).await?.first().cloned())
    }

    /// From the fresh memory, else one read for all who ask at once.
    async fn look_up(&self, lookup: Lookup) -> Result<Found, Unavailable> {
        let load = self.load(lookup.clone());
        self.fresh.try_get_with(lookup, load).await.map_err(|error| *error)
    }

    /// From the database, else as it was last known. That too is then fresh for a second, so
    /// nobody waits for a database that is down more than once a second.
    async fn load(&self, lookup: Lookup) -> Result<Found, Unavailable> {
        match self.read(&lookup).await {
            Ok(found) => Ok(found),
            Err(Unavailable) => {
                let known = self.known.get(&lookup).await.ok_or(Unavailable)?;
                self.answered_stale.add(1, &[]);
                Ok(known)
            }
        }
    }

    /// From the database, unless it failed a moment ago; and remembered.
    async fn read(&self, lookup: &Lookup) -> Result<Found, Unavailable> {
        if !self.may_ask() {
            return Err(Unavailable);
        }
        let found = match tokio::time::timeout(PATIENCE, self.instances.find(lookup)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(self.failed(lookup, Some(&error))),
            Err(_) => return Err(self.failed(lookup, None)),
        };
        self.set_ask_again(None);
        let found: Found = found.into_iter().map(Arc::new).collect();
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
            let alone: Found = Arc::new([Arc::clone(instance)]);
            self.known.insert(Lookup::Name(instance.name.to_string()), Arc::clone(&alone)).await;
            self.known.insert(Lookup::Id(instance.id), alone).await;
        }
    }

    /// Logs the failure, and lets the database rest if it is down. A row that cannot be read says
    /// nothing about the database.
    fn failed(&self, lookup: &Lookup, error: Option<&StoreError>) -> Unavailable {
        let message = match error {
            Some(error) => error.with_causes(),
            None => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        tracing::warn!(lookup.kind = lookup.kind(), error.message = message, "an instance could not be read");
        if !matches!(error, Some(StoreError::Unreadable { .. })) {
            self.set_ask_again(Some(Instant::now() + self.fresh_for));
        }
        Unavailable
    }

    /// Whether the database may be asked. After a failure one asker a second gets a yes.
    fn may_ask(&self) -> bool {
        let mut ask_again = self.ask_again.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *ask_again {
            Some(at) if now < at => false,
            Some(_) => {
                *ask_again = Some(now + self.fresh_for);
                true
            }
            None => true,
        }
    }

    fn set_ask_again(&self, at: Option<Instant>) {
        *self.ask_again.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::instance::{
        AgentPatch, Patch,
        testing::{TestTable, new_instance},
    };

    /// Everything takes a twentieth of its time.
    const QUICK: DirectorySettings =
        DirectorySettings { fresh_for: Duration::from_millis(50), known_for: Duration::from_secs(3600) };
    const DEADLINE: Duration = Duration::from_secs(5);

    fn directory(table: &TestTable, settings: DirectorySettings) -> Directory {
        Directory::new(Arc::new(table.instances.clone()), settings)
    }

    async fn execute(table: &TestTable, sql: &str) {
        table.database.execute_unprepared(sql).await.unwrap();
    }

    const BREAK: &str = "ALTER TABLE instance_configs RENAME TO away";
    const MEND: &str = "ALTER TABLE away RENAME TO instance_configs";

    fn agent_url(url: &str) -> Patch {
        let agent = AgentPatch { api_url: Some(url.to_owned()), ..AgentPatch::default() };
        Patch { agent, ..Patch::default() }
    }

    /// Asks until the answer is as expected.
    async fn until(directory: &Directory, expected: impl Fn(Result<Option<Arc<Instance>>, Unavailable>) -> bool) {
        let wait = async {
            while !expected(directory.by_name("a").await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the directory sees it in time");
    }

    #[tokio::test]
    async fn found_by_every_lookup() {
        let table = TestTable::new().await;
        let a = table.instances.create(new_instance("a")).await.unwrap();
        table.instances.create(new_instance("b")).await.unwrap();
        table.instances.set_default("b").await.unwrap();
        let directory = directory(&table, DirectorySettings::default());
        assert_eq!(directory.by_name("a").await.unwrap().unwrap().id, a.id);
        assert_eq!(directory.by_id(a.id).await.unwrap().unwrap().name.as_str(), "a");
        assert_eq!(directory.default_instance().await.unwrap().unwrap().name.as_str(), "b");
        assert_eq!(directory.by_whatsapp_instance("wa-a").await.unwrap()[0].id, a.id);
        assert!(directory.by_whatsapp_instance("a").await.unwrap().is_empty());
        assert!(directory.by_name("A").await.unwrap().is_none());
        assert!(directory.by_id(99).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn changes_are_seen_soon_and_at_once_when_forced() {
        let table = TestTable::new().await;
        let slow = directory(&table, DirectorySettings { fresh_for: DEADLINE, ..QUICK });
        let quick = directory(&table, QUICK);
        assert!(slow.by_name("a").await.unwrap().is_none());
        assert!(quick.by_name("a").await.unwrap().is_none());

        table.instances.create(new_instance("a")).await.unwrap();
        assert!(slow.by_name("a").await.unwrap().is_none(), "the absence is remembered");
        assert!(slow.fresh_by_name("a").await.unwrap().is_some());
        assert!(slow.by_name("a").await.unwrap().is_some(), "a forced read is remembered too");
        until(&quick, |found| found.unwrap().is_some()).await;

        table.instances.update("a", agent_url("http://new.test")).await.unwrap();
        until(&quick, |found| found.unwrap().unwrap().agent.api_url == "http://new.test").await;
        table.instances.delete("a").await.unwrap();
        until(&quick, |found| found.unwrap().is_none()).await;
    }

    #[tokio::test]
    async fn an_outage_is_answered_from_what_was_known() {
        let table = TestTable::new().await;
        let a = table.instances.create(new_instance("a")).await.unwrap();
        table.instances.create(new_instance("b")).await.unwrap();
        let directory = directory(&table, QUICK);
        directory.by_name("a").await.unwrap();
        execute(&table, BREAK).await;

        assert_eq!(directory.by_name("b").await.unwrap_err(), Unavailable, "never seen");
        assert_eq!(directory.by_id(a.id).await.unwrap().unwrap().name.as_str(), "a", "seen by its name");
        assert_eq!(directory.fresh_by_name("a").await.unwrap_err(), Unavailable, "a forced read never guesses");
        let end = Instant::now() + QUICK.fresh_for * 4;
        while Instant::now() < end {
            assert!(directory.by_name("a").await.unwrap().is_some());
            tokio::task::yield_now().await;
        }

        execute(&table, MEND).await;
        table.instances.update("a", agent_url("http://new.test")).await.unwrap();
        until(&directory, |found| found.unwrap().unwrap().agent.api_url == "http://new.test").await;
        assert!(directory.fresh_by_name("b").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_was_deleted_does_not_come_back_in_an_outage() {
        let table = TestTable::new().await;
        let a = table.instances.create(new_instance("a")).await.unwrap();
        let directory = directory(&table, QUICK);
        directory.by_name("a").await.unwrap();
        table.instances.delete("a").await.unwrap();
        assert!(directory.fresh_by_name("a").await.unwrap().is_none());
        execute(&table, BREAK).await;
        assert_eq!(directory.by_id(a.id).await.unwrap_err(), Unavailable);
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_stops_no_other() {
        let table = TestTable::new().await;
        for name in ["a", "b"] {
            table.instances.create(new_instance(name)).await.unwrap();
        }
        execute(&table, "UPDATE instance_configs SET agent_api_key = 'v1.gone.AAAA' WHERE name = 'b'").await;
        let directory = directory(&table, DirectorySettings::default());
        assert_eq!(directory.by_name("b").await.unwrap_err(), Unavailable);
        assert!(directory.by_name("a").await.unwrap().is_some());
    }

    #[test]
    fn the_setting_is_checked() {
        let load = |text: &str| DirectorySettings::load(&HashMap::from([(KNOWN_HOURS.to_owned(), text.to_owned())]));
        assert_eq!(load("2").unwrap().known_for, Duration::from_secs(7200));
        for bad in ["0", "-1", "day", "9000"] {
            assert!(load(bad).is_err(), "{bad}");
        }
    }
}
