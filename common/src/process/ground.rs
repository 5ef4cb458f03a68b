//! What ingress and worker both stand on.

use std::sync::Arc;

use sea_orm::DatabaseConnection;

use super::Program;
use crate::{
    config::{ConfigError, DataFolder, DatabaseSettings, NatsSettings, Settings},
    database::{self, DatabaseError},
    health::Health,
    instance::{Directory, DirectorySettings, Instances, StoreError, seed_default},
    queue::{self, ConnectError, Layout, Nats, PrepareError},
    secret::{CreateMissing, Keyring},
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
    /// What `/health` answers; each role adds its parts.
    pub health: Health,
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
    /// The tables cannot be read.
    #[error("the tables cannot be read: run `omnihub migrate up` first")]
    Tables(#[source] StoreError),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not usable.
    #[error(transparent)]
    Streams(#[from] PrepareError),
}

/// The tenants, as a role sees them.
#[derive(Clone, Debug)]
pub struct Tenants {
    /// The table, for those who change it.
    pub instances: Arc<Instances>,
    /// The cached view, for those who handle messages.
    pub directory: Arc<Directory>,
}

impl Ground {
    /// The tenants, with the default instance seeded when there is none yet.
    ///
    /// # Errors
    /// When the encryption keys are missing, or the tables are not there.
    pub async fn tenants(&self) -> Result<Tenants, GroundError> {
        let keyring = Keyring::load(&*self.settings, &self.data, CreateMissing::No)?;
        let instances = Arc::new(Instances::new(self.database.clone(), Arc::new(keyring)));
        seed_default(&instances, &*self.settings).await.map_err(GroundError::Tables)?;
        let directory = Directory::new(Arc::clone(&instances), DirectorySettings::load(&*self.settings)?);
        Ok(Tenants { instances, directory: Arc::new(directory) })
    }

    /// The queue: a connection under this name, and the layout its streams were made with.
    ///
    /// # Errors
    /// When NATS cannot be reached, or the streams were not made yet.
    pub async fn queue(&self, name: &str) -> Result<(Nats, Layout), GroundError> {
        let nats = queue::connect(&self.nats, name).await?;
        let layout = queue::read_layout(&nats.js).await?;
        Ok((nats, layout))
    }

    /// Reads the settings and opens the database, for a role that runs alone.
    ///
    /// # Errors
    /// When a setting cannot be used or the database cannot be opened.
    pub async fn open(program: &Program) -> Result<Self, GroundError> {
        let settings = Arc::clone(&program.settings);
        let data = DataFolder::open_if_present(&*settings)?;
        let nats = NatsSettings::load(&*settings)?;
        let database = database::connect(&DatabaseSettings::load(&*settings, &data)?).await?;
        Ok(Self {
            settings,
            data,
            database,
            nats,
            metrics: program.metrics.clone(),
            health: Health::new(program.stop.token()),
        })
    }
}
