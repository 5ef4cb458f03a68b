//! This hub, as an import writes to it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context as _;
use omnihub_common::{
    access::AccessRules,
    audit::AuditLog,
    config::{DataFolder, DatabaseSettings, NatsSettings, ProcessSettings, Settings},
    database,
    instance::Instances,
    key::{Actor, Everyone, Reach},
    person::People,
    queue,
    sealed::SealedValues,
    secret::{CreateMissing, Keyring},
    trace::Traces,
};

use crate::up;

/// How long the broker may take to be told everything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tables that an import writes to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) instances: Instances,
    pub(super) rules: AccessRules,
    pub(super) people: People,
    pub(super) traces: Traces,
    pub(super) log: AuditLog,
    /// Who does it, for the audit log.
    pub(super) by: Actor,
    pub(super) everyone: Reach,
}

impl Target {
    /// Opens the hub's database, with the keys that its secrets are encrypted with.
    ///
    /// # Errors
    /// When it cannot be used, or another ring of keys belongs to it: the hub could not read what
    /// was written with this one.
    pub(super) async fn open(settings: &dyn Settings, data: &DataFolder) -> anyhow::Result<Self> {
        let keyring = Arc::new(Keyring::load(settings, data, CreateMissing::No)?);
        let database = database::connect(&DatabaseSettings::load(settings, data)?).await?;
        let sealed = SealedValues::new(database.clone(), Arc::clone(&keyring));
        let missing = sealed.missing_keys(settings).await;
        if let Some(missing) = missing.context("the hub's tables cannot be read: run `omnihub migrate up` first")? {
            return Err(missing.into());
        }
        let by = Actor::hub("import");
        Ok(Self {
            instances: Instances::new(database.clone(), keyring).by(&by),
            rules: AccessRules::new(database.clone()),
            people: People::new(database.clone()),
            traces: Traces::new(database.clone()),
            log: AuditLog::new(database),
            by,
            everyone: Reach::Everyone(Everyone::for_admin()),
        })
    }
}

/// Tells every process what was changed: over the configured broker, else over the one of an
/// `omnihub up` that runs on this data folder.
///
/// # Errors
/// What to know when nobody could be told.
pub(super) async fn announce(
    settings: &ProcessSettings,
    data: &DataFolder,
    changed: &BTreeSet<i64>,
) -> Result<(), String> {
    let configured = settings.get("NATS_URL").is_some().then(|| NatsSettings::load(settings).ok()).flatten();
    let Some(nats) = configured.or_else(|| up::running_broker(data)).filter(|_| !changed.is_empty()) else {
        return Ok(());
    };
    let tell = async {
        let nats = queue::connect(&nats, "omnihub-import").await.map_err(|error| super::causes(&error))?;
        for instance in changed {
            queue::announce_change(&nats.js, *instance).await.map_err(|error| super::causes(&error))?;
        }
        Ok(())
    };
    let told: Result<(), String> =
        tokio::time::timeout(PATIENCE, tell).await.unwrap_or_else(|_| Err("it takes too long".to_owned()));
    told.map_err(|why| {
        format!(
            "The processes that run could not be told what was changed ({why}). They see new instances within \
             OMNIHUB_INSTANCE_POLL; restart them for new rules and people to hold."
        )
    })
}
