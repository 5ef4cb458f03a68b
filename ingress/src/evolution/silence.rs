//! Accounts that are open and strangely silent.
//!
//! A connection can die without a word: Evolution says `open`, and nothing comes. What tells it is the
//! instance's own habit: at these hours something always came. Such an account is asked how it is, marked
//! (`silent_since`), counted, and connected anew where its instance wants that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use omnihub_common::{
    channel::whatsapp::admin::Connection,
    instance::{ChannelSettings, Instance},
    queue::{AccountRecord, Accounts, now_ms},
    trace::Traces,
};
use opentelemetry::{KeyValue, metrics::Gauge};

use super::{EvolutionDesk, missed::CatchUpError};

/// Less than this is no silence, whatever the habit.
const SHORTEST: TimeDelta = TimeDelta::minutes(15);
/// A habit goes by the hours of a day: a longer silence is looked at by its last day.
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// An account without a mark is looked at again after so many rounds: the habit of thousands is not read
/// each minute.
const ROUNDS: u32 = 10;

/// Who looks for them.
#[derive(Clone)]
pub(super) struct Silence {
    desk: EvolutionDesk,
    accounts: Accounts,
    traces: Traces,
    silent: Gauge<u64>,
    /// Accounts that had nothing strange, and when that was seen.
    unmarked: Arc<Mutex<HashMap<i64, Instant>>>,
}

impl Silence {
    pub(super) fn new(desk: EvolutionDesk, accounts: Accounts, traces: Traces) -> Self {
        let silent = opentelemetry::global::meter("omnihub")
            .u64_gauge("omnihub_account_silent")
            .with_description("Accounts that are open, and of which nothing comes though by habit something should")
            .build();
        Self { desk, accounts, traces, silent, unmarked: Arc::default() }
    }

    /// Looks at an account, of which there is a look in each `every`; since when nothing comes of it, when
    /// that is newly strange.
    pub(super) async fn look_at(
        &self,
        instance: &Instance,
        every: Duration,
    ) -> Result<Option<DateTime<Utc>>, CatchUpError> {
        let name = instance.name.as_str();
        if self.unmarked().get(&instance.id).is_some_and(|seen| seen.elapsed() < every * ROUNDS) {
            return Ok(None);
        }
        let Some(last) = self.traces.last_received(name).await? else { return Ok(None) };
        let now = Utc::now();
        if now - last < SHORTEST || !self.is_strange(instance, last, now).await? {
            self.mark(instance, None).await?;
            self.unmarked().insert(instance.id, Instant::now());
            return Ok(None);
        }
        if self.is_marked(instance).await? {
            return Ok(None);
        }
        let since = last.timestamp_millis();
        let (told, restarted) = self.ask(instance).await?;
        if !told {
            return Ok(None);
        }
        self.mark(instance, Some(since)).await?;
        tracing::warn!(instance.name = name, restarted, "an account is open and strangely silent");
        Ok(Some(last))
    }

    async fn is_strange(
        &self,
        instance: &Instance,
        last: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, CatchUpError> {
        let since = last.max(now - LONGEST);
        let habit = self.traces.habit(instance.name.as_str(), (since, now), instance.created_at).await?;
        Ok(habit.makes_silence_strange())
    }

    /// Whether the account says that it is open, and whether it was connected anew.
    async fn ask(&self, instance: &Instance) -> Result<(bool, bool), CatchUpError> {
        let ChannelSettings::Whatsapp(settings) = &instance.channel else { return Ok((false, false)) };
        let account = self.desk.account(settings)?;
        // One that is closed says so itself, and its state is known.
        if account.connection().await? != Connection::Open {
            return Ok((false, false));
        }
        let restarted = settings.watch.restart_when_silent && account.restart().await?;
        Ok((true, restarted))
    }

    async fn is_marked(&self, instance: &Instance) -> Result<bool, CatchUpError> {
        Ok(self.accounts.get(instance.id).await?.is_some_and(|record| record.silent_since.is_some()))
    }

    fn unmarked(&self) -> MutexGuard<'_, HashMap<i64, Instant>> {
        self.unmarked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks an account as silent, or takes the mark away.
    async fn mark(&self, instance: &Instance, since: Option<i64>) -> Result<(), CatchUpError> {
        let now = now_ms();
        self.unmarked().remove(&instance.id);
        let marked = |known: Option<&AccountRecord>| match (known, since) {
            (Some(known), _) if known.silent_since.is_some() == since.is_some() => None,
            (Some(known), since) => Some(known.silent_or_not(since)),
            (None, Some(since)) => Some(AccountRecord::silent(since, now)),
            (None, None) => None,
        };
        // Of an account that nothing was told of there is no record, and no mark to take away.
        if self.accounts.change(instance.id, marked).await? || since.is_some() {
            let labels = [KeyValue::new("instance", instance.name.as_str().to_owned())];
            self.silent.record(u64::from(since.is_some()), &labels);
        }
        Ok(())
    }
}
