//! Messages that were missed while the hub or a connection was away.
//!
//! One ingress at a time watches over all accounts ([`Accounts::take_watch`]). When it finds that
//! nobody has watched for a while, when an account comes open again, or when one is strangely
//! silent, it asks Evolution for what came meanwhile and hands on what has no trace yet, the oldest
//! first, as if a webhook had brought it. What is handed on twice is known by its id.
//!
//! What is absent: media (it is fetched when it is needed), and what is older than the instance
//! wants (`catch_up_minutes`).
//!
//! [`Accounts::take_watch`]: omnihub_common::queue::Accounts::take_watch

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};
use omnihub_common::{
    channel::whatsapp::admin::{AdminError, Stretch},
    instance::{ChannelSettings, Instance, Instances, StoreError, WhatsappSettings},
    queue::{AccountsError, IntakeError, Watched, now_ms},
    trace::Traces,
};
use opentelemetry::{KeyValue, metrics::Counter};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{EvolutionDesk, connections::Connections, silence::Silence};
use crate::webhook::{WebhookState, accept_late, trace_of};

/// Accounts that are asked at once.
const AT_ONCE: usize = 8;
/// Instances that are read at once.
const PAGE: usize = 200;
/// A message may be on its way when everything stops: looked for from so long before.
const MARGIN: TimeDelta = TimeDelta::minutes(10);
/// Evolution tries a webhook for half an hour, and forgets it when it stops: an account that comes open
/// may have lost what is younger than this.
const RETRIES: TimeDelta = TimeDelta::minutes(35);
/// An account that comes and goes is asked once in this time.
const AGAIN: Duration = Duration::from_secs(300);

/// Who looks for them.
#[derive(Clone)]
pub struct CatchUp {
    desk: EvolutionDesk,
    instances: Arc<Instances>,
    traces: Traces,
    webhook: WebhookState,
    connections: Connections,
    silence: Silence,
    found: Counter<u64>,
}

/// Why nobody knows whether messages are missing.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// The records of accounts do not answer.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The table of instances does not answer.
    #[error("the table of instances did not tell")]
    Instances(#[from] StoreError),
    /// The traces do not answer.
    #[error("the traces did not tell")]
    Traces(#[from] sea_orm::DbErr),
    /// Evolution does not answer.
    #[error("Evolution did not tell what came")]
    Evolution(#[from] AdminError),
    /// The queue does not take it.
    #[error("the queue did not take what was missed")]
    Queue(#[from] IntakeError),
}

impl CatchUp {
    /// With a counter of what is found.
    #[must_use]
    pub fn new(desk: EvolutionDesk, instances: Arc<Instances>, traces: Traces, webhook: WebhookState) -> Self {
        let found = opentelemetry::global::meter("omnihub")
            .u64_counter("omnihub_missed_messages_total")
            .with_description("Messages that no webhook brought and that were fetched from Evolution")
            .build();
        let connections = webhook.connections.clone();
        let silence = Silence::new(desk.clone(), connections.accounts().clone(), traces.clone());
        Self { desk, instances, traces, webhook, connections, silence, found }
    }

    /// Watches for ever, once in each `every`; `opened` names accounts that have come open.
    pub async fn run(self, every: Duration, mut opened: mpsc::UnboundedReceiver<i64>) {
        let mut asked: HashMap<i64, Instant> = HashMap::new();
        let mut rounds = interval(every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = rounds.tick() => self.round(every).await,
                Some(id) = opened.recv() => {
                    asked.retain(|_, at| at.elapsed() < AGAIN);
                    if asked.insert(id, Instant::now()).is_some() {
                        continue;
                    }
                    self.came_open(id).await
                }
            };
            if let Err(error) = done {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::debug!(error.message = %error, error.cause = cause, "whether messages were missed is not known yet");
            }
        }
    }

    /// Looks at every account, if it is this one's turn.
    ///
    /// # Errors
    /// When it cannot be told what is missing; another round looks again.
    pub async fn round(&self, every: Duration) -> Result<(), CatchUpError> {
        let accounts = self.connections.accounts();
        let Some((watched, mut sequence)) = accounts.take_watch(now_ms(), every).await? else { return Ok(()) };
        let owed = watched.owed_since.and_then(DateTime::from_timestamp_millis);
        let ids: Vec<i64> = self.instances.versions().await?.into_keys().collect();
        let mut all_looked_at = true;
        for ids in ids.chunks(PAGE) {
            let instances = self.instances.by_ids(ids).await?;
            let wanted = instances.into_iter().filter(|instance| settings(instance).is_some());
            let looks = wanted.map(|instance| async move { self.look_at(&instance, owed, every).await });
            let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some(looked_at) = looks.next().await {
                all_looked_at &= looked_at;
            }
            // Somebody else takes over when this one stops half way.
            match accounts.go_on(watched.still(now_ms()), sequence).await? {
                Some(next) => sequence = next,
                None => return Ok(()),
            }
        }
        if all_looked_at && owed.is_some() {
            accounts.go_on(Watched::settled(now_ms()), sequence).await?;
        }
        Ok(())
    }

    /// Looks at one account; `false` when it must be looked at again.
    async fn look_at(&self, instance: &Instance, owed: Option<DateTime<Utc>>, every: Duration) -> bool {
        let done = match owed {
            Some(owed) => self.fetch(instance, owed - MARGIN).await.map(drop),
            None => match self.silence.look_at(instance, every).await {
                Ok(Some(last)) => self.fetch(instance, last - MARGIN).await.map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
        };
        let Err(error) = done else { return true };
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::debug!(instance.name = %instance.name, error.message = %error, error.cause = cause, "what an account has missed is not known");
        // An account that is gone or closed to us has nothing for us, however often it is asked.
        matches!(&error, CatchUpError::Evolution(refused) if !refused.is_away())
    }

    async fn came_open(&self, id: i64) -> Result<(), CatchUpError> {
        let Some(instance) = self.instances.by_ids(&[id]).await?.pop() else { return Ok(()) };
        self.fetch(&instance, Utc::now() - RETRIES).await.map(drop)
    }

    /// Fetches what came since then and has no trace; how many.
    ///
    /// # Errors
    /// When it cannot be told, or was not taken.
    pub async fn fetch(&self, instance: &Instance, since: DateTime<Utc>) -> Result<usize, CatchUpError> {
        let Some(settings) = settings(instance) else { return Ok(0) };
        let until = Utc::now();
        let oldest = until - TimeDelta::minutes(i64::from(settings.watch.catch_up_minutes));
        let stretch = Stretch { since: since.max(oldest).max(instance.created_at), until };
        let account = self.desk.account(settings)?;
        let own_id = self.connections.accounts().get(instance.id).await?.and_then(|record| record.own_id);
        let mut found = 0;
        for page in (1..=account.pages_of(stretch).await?).rev() {
            let mut parts = account.received(stretch, page).await?;
            let mut ids = Vec::with_capacity(parts.len());
            for part in &mut parts {
                ids.push(trace_of(&self.webhook, instance, part).await?);
            }
            let known = self.traces.known(&ids).await?;
            let mut ids = ids.into_iter();
            parts.retain(|_| ids.next().is_none_or(|id| !known.contains(&id)));
            found += parts.len();
            if !parts.is_empty() {
                accept_late(&self.webhook, instance, parts, own_id.clone()).await?;
            }
        }
        if found > 0 {
            let name = instance.name.as_str().to_owned();
            tracing::info!(instance.name = name, messages = found, "messages that no webhook brought were fetched");
            self.found.add(found as u64, &[KeyValue::new("instance", name)]);
        }
        Ok(found)
    }
}

/// The settings of an account whose missed messages are wanted.
fn settings(instance: &Instance) -> Option<&WhatsappSettings> {
    match &instance.channel {
        ChannelSettings::Whatsapp(settings) if instance.is_active && settings.watch.catch_up_minutes > 0 => {
            Some(settings)
        }
        _ => None,
    }
}
