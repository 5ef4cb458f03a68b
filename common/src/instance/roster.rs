//! Every instance, read ahead.
//!
//! In an outage of the database a process answers from what it knows, and a worker may be given
//! the conversations of an instance that it never served before. So each process compares the
//! table with what it has read: at its start, now and then, and soon after it heard of a change;
//! what is new is read into the directory's memory. Where nobody told of a change (it was made in
//! the database by hand), this is also what finds it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use opentelemetry::metrics::Gauge;

use super::{ChannelSettings, Directory, Instance, StoreError};

/// So many instances are read by one query.
const AT_ONCE: usize = 200;
/// What is told in quick succession is looked at together.
const GATHER: Duration = Duration::from_millis(200);

/// What was read of the table.
#[derive(Debug)]
pub(super) struct Roster {
    /// As of the last look; `None` before the first one.
    versions: Option<HashMap<i64, DateTime<Utc>>>,
    held: HashMap<i64, Held>,
    known: Gauge<u64>,
}

#[derive(Debug)]
struct Held {
    instance: Arc<Instance>,
    at: Instant,
}

impl Default for Roster {
    fn default() -> Self {
        let known = opentelemetry::global::meter("omnihub")
            .u64_gauge("omnihub_instances_known")
            .with_description("Instances that this process can serve while the database is away")
            .build();
        Self { versions: None, held: HashMap::new(), known }
    }
}

impl Roster {
    /// Those to read: not read yet, changed since, or read longer ago than `keep`.
    fn due(&self, now: &HashMap<i64, DateTime<Utc>>, keep: Duration) -> Vec<i64> {
        let is_current = |id: &i64, version: &DateTime<Utc>| {
            self.held.get(id).is_some_and(|held| {
                // What a reference leads to changes without anybody's telling.
                let may_differ = held.instance.has_references();
                held.instance.updated_at == *version && held.at.elapsed() < keep && !may_differ
            })
        };
        now.iter().filter(|(id, version)| !is_current(id, version)).map(|(id, _)| *id).collect()
    }

    /// Whether a secret that is kept somewhere else is another one there now, or can be had at last:
    /// nobody told of it, and conversations may be held for want of it.
    fn is_other_secret(&self, read: &Instance) -> bool {
        match self.held.get(&read.id).map(|held| &held.instance) {
            Some(held) => held.updated_at == read.updated_at && held.version() != read.version(),
            // It was there at the last look, and could not be read.
            None => self.versions.as_ref().is_some_and(|versions| versions.get(&read.id) == Some(&read.updated_at)),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.held.values().map(|held| &held.instance)
    }
}

impl Directory {
    /// Keeps the roster for ever.
    pub(super) async fn keep_roster(&self) {
        let (mut roster, mut changes) = (Roster::default(), self.changes());
        loop {
            if let Err(error) = self.compare(&mut roster).await {
                tracing::debug!(error.message = %error, "the table of instances was not compared");
            }
            let told = async {
                // An error means that more was told than is kept: reason enough to look, too.
                let _ = changes.recv().await;
                tokio::time::sleep(GATHER).await;
                changes = self.changes();
            };
            let _ = tokio::time::timeout(self.settings.watched_for, told).await;
        }
    }

    async fn compare(&self, roster: &mut Roster) -> Result<(), StoreError> {
        let now = self.instances.versions().await?;
        let due = roster.due(&now, self.settings.known_for / 2);
        for ids in due.chunks(AT_ONCE) {
            let at = Instant::now();
            let read = self.instances.by_ids(ids).await?;
            for instance in read.iter().filter(|instance| roster.is_other_secret(instance)) {
                self.changed(instance.id);
            }
            roster
                .held
                .extend(read.into_iter().map(|instance| (instance.id, Held { instance: Arc::new(instance), at })));
        }
        let gone: Vec<i64> = roster.held.keys().filter(|id| !now.contains_key(id)).copied().collect();
        for instance in gone.iter().filter_map(|id| roster.held.remove(id)) {
            self.unlearn(&instance.instance).await;
        }
        if !due.is_empty() || !gone.is_empty() {
            self.learn(roster, &due).await;
        }
        roster.known.record(roster.held.len() as u64, &[]);
        let before = roster.versions.replace(now);
        let (Some(before), Some(now)) = (before, &roster.versions) else { return Ok(()) };
        // What was told is found here too, and costs one read more.
        for instance in differences(&before, now) {
            self.changed(instance);
        }
        Ok(())
    }

    /// Keeps what was read for an outage, under every name that it may be asked by.
    async fn learn(&self, roster: &Roster, due: &[i64]) {
        for held in due.iter().filter_map(|id| roster.held.get(id)) {
            self.know(&held.instance).await;
        }
        let mut by_account: HashMap<&str, Vec<Arc<Instance>>> = HashMap::new();
        for instance in roster.all() {
            if let ChannelSettings::Whatsapp(whatsapp) = &instance.channel {
                by_account.entry(&whatsapp.whatsapp_instance).or_default().push(Arc::clone(instance));
            }
        }
        for (account, mut instances) in by_account {
            instances.sort_by_key(|instance| instance.id);
            self.know_account(account, instances).await;
        }
        self.know_default(roster.all().find(|instance| instance.is_default)).await;
    }
}

/// The instances that were made, changed or deleted between two looks.
fn differences(before: &HashMap<i64, DateTime<Utc>>, now: &HashMap<i64, DateTime<Utc>>) -> HashSet<i64> {
    let ids = before.keys().chain(now.keys()).copied();
    ids.filter(|id| before.get(id) != now.get(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instance::{
            AgentSettings, Change, DirectorySettings,
            testing::{TestTable, instance, new_instance},
        },
        secret::{Secret, SecretSource},
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn what_was_made_changed_or_deleted_differs() {
        let before = HashMap::from([(1, at(1)), (2, at(1)), (3, at(1))]);
        let now = HashMap::from([(1, at(1)), (2, at(2)), (4, at(1))]);
        assert_eq!(differences(&before, &now), HashSet::from([2, 3, 4]));
        assert!(differences(&now, &now).is_empty());
    }

    #[test]
    fn what_is_new_changed_or_read_long_ago_is_read() {
        let mut roster = Roster::default();
        for id in [1, 2] {
            let instance = Arc::new(Instance { id, updated_at: at(1), ..instance("a") });
            roster.held.insert(id, Held { instance, at: Instant::now() });
        }
        let now = HashMap::from([(1, at(1)), (2, at(2)), (3, at(1))]);
        let mut due = roster.due(&now, Duration::from_secs(3600));
        due.sort_unstable();
        assert_eq!(due, [2, 3]);
        assert_eq!(roster.due(&now, Duration::ZERO).len(), 3);
    }

    #[test]
    fn what_leads_elsewhere_is_read_each_time() {
        let mut roster = Roster::default();
        let mut instance = Instance { updated_at: at(1), ..instance("a") };
        instance.agent.api_key = Secret::read("env:A");
        let other = Instance {
            agent: AgentSettings { api_key: Secret::read("env:A"), ..instance.agent.clone() },
            ..instance.clone()
        };
        assert!(!roster.is_other_secret(&instance), "nothing was known of it");
        roster.versions = Some(HashMap::from([(1, at(1))]));
        assert!(roster.is_other_secret(&instance), "it was there, and could not be read");
        roster.held.insert(1, Held { instance: Arc::new(instance.clone()), at: Instant::now() });
        assert_eq!(roster.due(&HashMap::from([(1, at(1))]), Duration::from_secs(3600)), [1]);
        assert!(!roster.is_other_secret(&instance));
        // One that is not resolved has a value of its own each time.
        assert!(roster.is_other_secret(&other));
        assert!(!roster.is_other_secret(&Instance { updated_at: at(2), ..other }), "that is told anyhow");
    }

    #[tokio::test]
    async fn a_secret_that_can_be_had_at_last_is_told_of() {
        let table = TestTable::new().await;
        let file = table.folder.path().join("agent-key");
        let secrets = SecretSource::load(Arc::new(HashMap::<String, String>::new())).unwrap();
        let instances = table.instances.clone().with_secrets(secrets);
        let mut new = new_instance("a");
        new.agent.api_key = Secret::read(format!("file:{}", file.display()));
        let made = instances.create(new).await.unwrap();
        let directory = Directory::new(Arc::new(instances), DirectorySettings::default());
        let (mut roster, mut changes) = (Roster::default(), directory.changes());
        directory.compare(&mut roster).await.unwrap();
        assert!(roster.held.is_empty() && changes.try_recv().is_err());
        std::fs::write(&file, "planted-agent-key").unwrap();
        directory.compare(&mut roster).await.unwrap();
        assert_eq!(changes.try_recv(), Ok(Change::One(made.id)));
        directory.compare(&mut roster).await.unwrap();
        assert!(changes.try_recv().is_err(), "once");
    }
}
