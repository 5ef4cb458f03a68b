//! What ingress and worker both stand on.

use std::sync::Arc;

use sea_orm::DatabaseConnection;

use super::Program;
use crate::{
    config::{ConfigError, DataFolder, DatabaseSettings, NatsSettings, Settings},
    database::{self, DatabaseError},
    telemetry::MetricsPage,
};

/// Settings read, database open: what a role needs before it can begin.
///
/// NATS is only named: each role dials it by itself, with the options that it needs.
#[derive(Clone)]
pub struct Ground {
    /// For what a role reads by itself.
    pub settings: Arc<dyn Settings>,
    /// Where keys lie that no setting names.
    pub data: DataFolder,
    /// The database.
    pub database: DatabaseConnection,
    /// The servers of the queue.
    pub nats: NatsSettings,
    /// What `/metrics` answers.
    pub metrics: MetricsPage,
}

/// There is nothing to stand on.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Ground {
    /// Reads the settings and opens the database, for a role that runs alone.
    ///
    /// # Errors
    /// When a setting cannot be used or the database cannot be opened.
    pub async fn open(program: &Program) -> Result<Self, GroundError> {
        let settings = Arc::clone(&program.settings);
        let data = DataFolder::open_if_present(&*settings)?;
        let nats = NatsSettings::load(&*settings)?;
        let database = database::connect(&DatabaseSettings::load(&*settings, &data)?).await?;
        Ok(Self { settings, data, database, nats, metrics: program.metrics.clone() })
    }
}
