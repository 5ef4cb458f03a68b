//! What a worker asks before it answers: is this person blocked, is this conversation paused?
//!
//! The [`Gate`] stands before the tables of rules and of pauses as the [`Directory`] stands before
//! that of instances, and trusts its memory exactly as long: until a change of the instance (or of
//! the whole hub) is told, else for a second. While the database is down it answers from what was
//! last read; at its start, and whenever changes were not told for a while, it reads everything.
//!
//! What this is not for: the admin API reads and writes the tables themselves.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::Utc;
use moka::{future::Cache, ops::compute::Op};
use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use super::{AccessRules, RuleSet, decide, names_of};
use crate::{
    channel::Person,
    conversation::{Pause, Paused, Pauses},
    instance::{Change, Directory, Instance, Unavailable, WHOLE_HUB},
};

/// How many instances' rules are remembered: as many as instances.
const CAPACITY: u64 = 100_000;
/// A first read of everything that failed is tried again after this time.
const PAUSE: Duration = Duration::from_secs(2);

/// What the gate says to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is answered.
    Open,
    /// Its author is blocked.
    Blocked,
    /// Its conversation is paused.
    Paused,
    /// A person answers in its conversation.
    TakenOver,
}

/// What was decided for one instance, or for all.
#[derive(Debug, Default)]
struct Held {
    rules: RuleSet,
    paused: Paused,
}

/// What was read, when, and under which number of the directory's trust.
#[derive(Clone, Debug)]
struct Remembered {
    held: Arc<Held>,
    at: Instant,
    stamp: u64,
    /// The database did not answer: it is what was known from before.
    stale: bool,
}

/// The rules and pauses, as those who handle messages see them. Cheap to ask, shared by all tasks.
#[derive(Debug)]
pub struct Gate {
    directory: Arc<Directory>,
    rules: AccessRules,
    pauses: Pauses,
    fresh: Cache<i64, Remembered>,
    /// As last read, by row id of the instance, with [`WHOLE_HUB`] for what is for all.
    known: RwLock<HashMap<i64, Arc<Held>>>,
    /// Everything was read once: who is not among the known has no rules.
    complete: AtomicBool,
}

impl Gate {
    /// Over the tables; the directory tells of changes.
    #[must_use]
    pub fn new(database: DatabaseConnection, directory: Arc<Directory>) -> Self {
        Self {
            directory,
            rules: AccessRules::new(database.clone()),
            pauses: Pauses::new(database),
            fresh: Cache::builder().max_capacity(CAPACITY).build(),
            known: RwLock::default(),
            complete: AtomicBool::new(false),
        }
    }

    /// Keeps what an outage of the database needs up to date, as long as the answer is kept.
    #[must_use = "the gate follows as long as this is kept"]
    pub fn follow(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let gate = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move { gate.keep_known().await }))
    }

    /// Whether a message of this person in this conversation is answered.
    ///
    /// # Errors
    /// [`Unavailable`] when the database does not answer and nothing is known from before.
    pub async fn passage(
        &self,
        instance: &Instance,
        session_name: &str,
        person: &Person,
    ) -> Result<Passage, Unavailable> {
        let (own, global) = (self.held(instance.id).await?, self.held(WHOLE_HUB).await?);
        if decide(&own.rules, &global.rules, &names_of(person)).is_blocked() {
            return Ok(Passage::Blocked);
        }
        let lasts = |pause: &&Pause| pause.until.is_none_or(|end| end > Utc::now());
        Ok(match own.paused.get(session_name).filter(lasts) {
            None => Passage::Open,
            Some(pause) if pause.is_takeover => Passage::TakenOver,
            Some(_) => Passage::Paused,
        })
    }

    /// From memory, else one read for all who ask at once.
    async fn held(&self, whose: i64) -> Result<Arc<Held>, Unavailable> {
        if let Some(remembered) = self.fresh.get(&whose).await
            && self.is_good(whose, &remembered)
        {
            return Ok(remembered.held);
        }
        let load = async |present: Option<moka::Entry<i64, Remembered>>| match present {
            // Whoever asked before us may have read it meanwhile.
            Some(present) if self.is_good(whose, present.value()) => Ok(Op::Nop),
            _ => self.load(whose).await.map(Op::Put),
        };
        let loaded = self.fresh.entry(whose).and_try_compute_with(load).await?;
        Ok(loaded.into_entry().ok_or(Unavailable::Away)?.into_value().held)
    }

    fn is_good(&self, whose: i64, remembered: &Remembered) -> bool {
        remembered.at.elapsed() < self.directory.good_for(whose, remembered.stamp, remembered.stale)
    }

    async fn load(&self, whose: i64) -> Result<Remembered, Unavailable> {
        let (stamp, at) = (self.directory.stamp(), Instant::now());
        match self.read(whose).await {
            Ok(held) => {
                let held = Arc::new(held);
                self.known.write().unwrap_or_else(PoisonError::into_inner).insert(whose, Arc::clone(&held));
                Ok(Remembered { held, at, stamp, stale: false })
            }
            Err(away) => {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&whose).cloned();
                let nothing = || self.complete.load(Ordering::Relaxed).then(Arc::default);
                Ok(Remembered { held: known.or_else(nothing).ok_or(away)?, at: Instant::now(), stamp, stale: true })
            }
        }
    }

    async fn read(&self, whose: i64) -> Result<Held, Unavailable> {
        if whose == WHOLE_HUB {
            let rules = self.directory.ask(self.rules.set_of(None)).await?;
            return Ok(Held { rules, paused: Paused::new() });
        }
        // Rows belong to a name; another instance may have it by now, and then this one is gone.
        let Some(instance) = self.directory.by_id(whose).await? else { return Ok(Held::default()) };
        let name = instance.name.as_str();
        let read = async { Ok::<_, DbErr>((self.rules.set_of(Some(name)).await?, self.pauses.of(name).await?)) };
        let (rules, paused) = self.directory.ask(read).await?;
        Ok(Held { rules, paused })
    }

    async fn keep_known(&self) {
        let mut changes = self.directory.changes();
        loop {
            while let Err(error) = self.read_all().await {
                tracing::debug!(error.message = %error, "access rules could not be read ahead");
                tokio::time::sleep(PAUSE).await;
            }
            // One by one as they are told, until some may have been missed.
            loop {
                match changes.recv().await {
                    Ok(Change::One(whose)) => {
                        if let Ok(remembered) = self.load(whose).await {
                            self.fresh.insert(whose, remembered).await;
                        }
                    }
                    Ok(Change::Any) | Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }

    /// Everything at once, for an outage.
    async fn read_all(&self) -> Result<(), DbErr> {
        let (mut rules, mut pauses) = (self.rules.sets().await?, self.pauses.all().await?);
        let mut known = HashMap::new();
        let global = rules.remove(&None).unwrap_or_default();
        known.insert(WHOLE_HUB, Arc::new(Held { rules: global, paused: Paused::new() }));
        for (name, id) in self.rules.instances().await? {
            let paused = pauses.remove(&name).unwrap_or_default();
            let rules = rules.remove(&Some(name)).unwrap_or_default();
            if !rules.is_empty() || !paused.is_empty() {
                known.insert(id, Arc::new(Held { rules, paused }));
            }
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        self.complete.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
