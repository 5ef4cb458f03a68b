//! What every handler may ask for.

use std::sync::Arc;

use axum::extract::FromRef;
use omnihub_common::{
    instance::{Announcer, Directory, EvolutionFallback, Instances},
    key::{AdminKey, Keys},
    queue::Accounts,
    sealed::SealedValues,
};
use sea_orm::DatabaseConnection;

use crate::{
    admin::{dead::DeadDesk, limits::RateLimits, send::SendDesk},
    doctor::DoctorDesk,
    evolution::EvolutionDesk,
    live::Live,
    purge::Purger,
    webhook::Sessions,
};

/// The state of an ingress.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// The database, for the admin API.
    pub database: DatabaseConnection,
    /// The table of instances, for the admin API.
    pub instances: Arc<Instances>,
    /// The instances as webhooks see them: cached, and there while the database is down.
    pub directory: Arc<Directory>,
    /// Tells every process what was changed.
    pub announcer: Announcer,
    /// The root key: who shows it may do everything.
    pub admin_key: Arc<AdminKey>,
    /// The other keys.
    pub keys: Keys,
    /// How much anybody may ask of the admin API.
    pub limits: Arc<RateLimits>,
    /// What lies encrypted, for whoever changes the key.
    pub sealed: SealedValues,
    /// The Evolution server of instances that are made without one.
    pub evolution_fallback: Arc<EvolutionFallback>,
    /// The accounts of instances on their Evolution servers.
    pub evolution: EvolutionDesk,
    /// Removes what is kept of deleted instances outside SQL.
    pub purger: Purger,
    /// The dead letters; a process without a queue has none.
    pub dead: Option<DeadDesk>,
    /// Where sends are taken in; a process without a queue takes none.
    pub sends: Option<SendDesk>,
    /// How the hub is; a process without a queue cannot tell.
    pub doctor: Option<DoctorDesk>,
    /// How accounts are connected, as it was told last; a process without a queue does not know.
    pub accounts: Option<Accounts>,
    /// Which conversations are whose; a process without a queue does not know.
    pub sessions: Option<Sessions>,
    /// What happens in the hub at this moment.
    pub live: Live,
}
