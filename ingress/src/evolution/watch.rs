//! Looks again and again whether Evolution still posts to us, and repairs it where it does not.
//!
//! Somebody at the Evolution server may wipe or change a webhook, and then nothing arrives and
//! nothing fails. Only webhooks that the hub has registered are looked at, of instances that are
//! active. Each ingress looks for itself: two that find the same do the same.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use omnihub_common::{
    audit::{self, Change},
    instance::{Announcer, ChannelSettings, Instance, Instances, Patch, WhatsappPatch, WhatsappSettings},
    key::Actor,
};
use opentelemetry::metrics::Counter;
use sea_orm::DatabaseConnection;
use serde_json::json;
use uuid::Uuid;

use super::{EvolutionDesk, Progress, Trouble};

/// Webhooks that are looked at at once.
const AT_ONCE: usize = 8;
/// Instances that are read at once.
const PAGE: usize = 200;

/// Who looks.
#[derive(Clone)]
pub struct Watch {
    /// Reads and sets webhooks.
    pub desk: EvolutionDesk,
    /// The instances.
    pub instances: Arc<Instances>,
    /// Tells the other processes of a new address.
    pub announcer: Announcer,
    /// For the audit log.
    pub database: DatabaseConnection,
    /// Counts repairs.
    pub repaired: Counter<u64>,
}

/// What came of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Webhooks that were looked at.
    pub looked: usize,
    /// Those that were repaired.
    pub repaired: usize,
    /// Those that could not be looked at or repaired.
    pub failed: usize,
}

/// What came of one webhook.
enum Found {
    Right,
    Repaired,
    Failed,
    /// Its server did not answer for another one.
    Skipped,
}

/// Why a webhook is not known to be right.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Evolution(#[from] Trouble),
    #[error("the table of instances did not do it")]
    Instances(#[from] omnihub_common::instance::StoreError),
    #[error("the audit log was not written")]
    Audit(#[from] sea_orm::DbErr),
}

impl Watch {
    /// With a counter of repairs.
    #[must_use]
    pub fn new(
        desk: EvolutionDesk,
        instances: Arc<Instances>,
        announcer: Announcer,
        database: DatabaseConnection,
    ) -> Self {
        let repaired = opentelemetry::global::meter("omnihub")
            .u64_counter("omnihub_evolution_webhooks_repaired")
            .with_description("Webhooks at Evolution that were wiped or changed, and put right again")
            .build();
        Self { desk, instances, announcer, database, repaired }
    }

    /// Looks for ever, once in each `every`. Ingresses that started together do not look together.
    pub async fn run(self, every: Duration) {
        let share = Uuid::new_v4().as_u128() % every.as_millis().max(1);
        let mut pause = Duration::from_millis(u64::try_from(share).unwrap_or_default());
        loop {
            tokio::time::sleep(pause).await;
            pause = every;
            match self.round().await {
                Ok(Round { looked, repaired, failed }) if failed > 0 => {
                    tracing::warn!(looked, repaired, failed, "some webhooks at Evolution could not be looked at");
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(error.message = %error, "webhooks at Evolution were not looked at"),
            }
        }
    }

    /// Looks at every webhook once.
    ///
    /// # Errors
    /// When the table of instances cannot be read.
    pub async fn round(&self) -> Result<Round, omnihub_common::instance::StoreError> {
        let ids: Vec<i64> = self.instances.versions().await?.into_keys().collect();
        let silent = Mutex::new(HashSet::new());
        let mut round = Round::default();
        for ids in ids.chunks(PAGE) {
            let instances = self.instances.by_ids(ids).await?;
            let ours = instances.into_iter().filter(|instance| watched(instance).is_some());
            let mut found =
                stream::iter(ours.map(|instance| self.look_at(instance, &silent))).buffer_unordered(AT_ONCE);
            while let Some(found) = found.next().await {
                round.looked += 1;
                match found {
                    Found::Right => {}
                    Found::Repaired => round.repaired += 1,
                    Found::Failed | Found::Skipped => round.failed += 1,
                }
            }
        }
        Ok(round)
    }

    /// Looks at one, unless its server was silent already in this round.
    async fn look_at(&self, instance: Instance, silent: &Mutex<HashSet<String>>) -> Found {
        let Some(server) = watched(&instance).map(|settings| settings.evolution_url.clone()) else {
            return Found::Right;
        };
        if silent.lock().unwrap_or_else(PoisonError::into_inner).contains(&server) {
            return Found::Skipped;
        }
        let name = instance.name.clone();
        match self.repair(instance).await {
            Ok(false) => Found::Right,
            Ok(true) => Found::Repaired,
            Err(error) => {
                if matches!(&error, WatchError::Evolution(Trouble::Step { error, .. }) if error.is_away()) {
                    silent.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
                }
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::debug!(instance.name = %name, error.message = %error, error.cause = cause, "a webhook at Evolution could not be looked at");
                Found::Failed
            }
        }
    }

    /// Puts a webhook right if it is wrong.
    async fn repair(&self, instance: Instance) -> Result<bool, WatchError> {
        let actor = Actor::hub("webhooks");
        let instance = self.at_its_address(instance, &actor).await?;
        let Some(settings) = watched(&instance) else { return Ok(false) };
        if self.desk.wrong_with(settings).await?.is_empty() {
            return Ok(false);
        }
        // Since it was read somebody may have parted it, or given it another account.
        let Some(instance) = self.instances.by_ids(&[instance.id]).await?.pop() else { return Ok(false) };
        let Some(settings) = watched(&instance) else { return Ok(false) };
        let registered = self.desk.register(settings, &mut Progress::default()).await?;
        if registered.wrong.is_empty() {
            return Ok(false);
        }
        let name = instance.name.as_str();
        let change = Change {
            action: "instance.webhook_repaired",
            target: name,
            instance: Some((instance.id, name)),
            before: Some(json!({"wrong": registered.wrong})),
            after: Some(json!({"webhook_url": settings.webhook_url, "warnings": registered.warnings})),
        };
        audit::record(&self.database, &actor, change).await?;
        self.repaired.add(1, &[]);
        let wrong = registered.wrong.join(", ");
        tracing::warn!(
            instance.name = name,
            webhook.wrong = wrong,
            "a webhook at Evolution was wrong and has been repaired"
        );
        Ok(true)
    }

    /// The instance with the address that `OMNIHUB_PUBLIC_URL` gives it now.
    async fn at_its_address(&self, instance: Instance, actor: &Actor) -> Result<Instance, WatchError> {
        let public = self.desk.door.public_webhook_url(&instance.name);
        let Some(url) =
            public.filter(|url| watched(&instance).is_some_and(|settings| settings.webhook_url.as_ref() != Some(url)))
        else {
            return Ok(instance);
        };
        let patch = WhatsappPatch { webhook_url: Some(Some(url)), ..WhatsappPatch::default() };
        let patch = Patch { whatsapp: patch, ..Patch::default() };
        let changed = self.instances.by(actor).update(instance.name.as_str(), patch).await?;
        self.announcer.changed(instance.id).await;
        Ok(changed.unwrap_or(instance))
    }
}

/// The settings of an instance whose webhook is looked after.
fn watched(instance: &Instance) -> Option<&WhatsappSettings> {
    match &instance.channel {
        ChannelSettings::Whatsapp(settings) if instance.is_active && settings.webhook_url.is_some() => Some(settings),
        _ => None,
    }
}
