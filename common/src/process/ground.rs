//! What ingress and worker both stand on.

use std::{error::Error, io, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use sea_orm::DatabaseConnection;
use tokio::net::TcpListener;

use super::{Program, WaitingRoom};
use crate::{
    config::{ConfigError, DataFolder, DatabaseSettings, NatsSettings, Settings},
    conversation::Tickets,
    database::{self, DatabaseError},
    health::Health,
    instance::{Directory, DirectorySettings, Instances, StoreError, seed_default},
    key::Keys,
    queue::{self, ConnectError, Layout, MediaLinks, Nats, PrepareError},
    sealed::{MissingKeys, SealedValues},
    secret::{CreateMissing, Keyring, SecretSource},
    telemetry::MetricsPage,
};

/// Between two tries to begin.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the tenants of a database that has just gone are tried again.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// Rows are encrypted with keys that this process does not have.
    #[error(transparent)]
    Keys(#[from] MissingKeys),
    /// The database went away again while the tenants were read.
    #[error("the database does not answer; check that it is running")]
    Away(#[source] StoreError),
    /// Nobody could be told that the process waits.
    #[error("the port cannot be answered while the process starts")]
    Waiting(#[source] io::Error),
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not usable.
    #[error(transparent)]
    Streams(#[from] PrepareError),
}

impl GroundError {
    /// Whether the database or NATS is away, so that the same may succeed later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Database(error) => error.is_away(),
            Self::Connect(error) => error.is_away(),
            Self::Streams(error) => error.is_away(),
            Self::Away(_) => true,
            Self::Config(_) | Self::Tables(_) | Self::Keys(_) | Self::Waiting(_) => false,
        }
    }
}

/// The tenants, as a role sees them.
#[derive(Clone, Debug)]
pub struct Tenants {
    /// The table, for those who change it.
    pub instances: Arc<Instances>,
    /// The cached view, for those who handle messages.
    pub directory: Arc<Directory>,
    /// Who may act on which of them.
    pub keys: Keys,
    /// What lies encrypted, for whoever changes the key.
    pub sealed: SealedValues,
    /// Links to files, for agents.
    pub media_links: MediaLinks,
    /// What agents show that answer later.
    pub tickets: Tickets,
}

impl Ground {
    /// The tenants, with the default instance seeded when there is none yet.
    ///
    /// # Errors
    /// When encryption keys are missing that rows need, or the tables are not there.
    pub async fn tenants(&self) -> Result<Tenants, GroundError> {
        let keyring = Keyring::load(&*self.settings, &self.data, CreateMissing::No)?;
        let keyring = Arc::new(keyring);
        let secrets = SecretSource::load(Arc::clone(&self.settings))?;
        let instances = Instances::new(self.database.clone(), Arc::clone(&keyring)).with_secrets(secrets);
        let instances = Arc::new(instances);
        let media_links = MediaLinks::new(&keyring);
        let keys = Keys::new(self.database.clone(), Arc::clone(&keyring));
        let tickets = Tickets::new(Arc::clone(&keyring));
        let sealed = SealedValues::new(self.database.clone(), keyring);
        let missing = || async { Ok(sealed.missing_keys(&*self.settings).await?) };
        if let Some(missing) = patiently(missing).await? {
            return Err(missing.into());
        }
        patiently(|| seed_default(&instances, &*self.settings)).await?;
        let directory = Directory::new(Arc::clone(&instances), DirectorySettings::load(&*self.settings)?);
        Ok(Tenants { instances, directory: Arc::new(directory), keys, sealed, media_links, tickets })
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

    /// What a role that serves on `listener` begins with: `begin` is its whole start on this ground.
    /// Where the database or NATS is away, before or in the middle of it (`is_away` knows), it waits
    /// for them, not ready, as long as it takes, and begins again. `None` when it was told to stop
    /// meanwhile.
    ///
    /// # Errors
    /// When waiting would not help.
    pub async fn when_there<T, E: Error + From<GroundError>>(
        program: &Program,
        listener: &TcpListener,
        begin: impl AsyncFn(&Self) -> Result<T, E>,
        is_away: fn(&E) -> bool,
    ) -> Result<Option<(Self, T)>, E> {
        let data = DataFolder::open_if_present(&*program.settings).map_err(GroundError::from)?;
        Keyring::load(&*program.settings, &data, CreateMissing::No).map_err(GroundError::from)?;
        let _answering = WaitingRoom::open(program, listener).map_err(GroundError::Waiting)?;
        let begun = async {
            let ground = loop {
                match Self::open(program).await {
                    Err(error) if error.is_away() => still_away(&error).await,
                    opened => break opened?,
                }
            };
            loop {
                match begin(&ground).await {
                    Err(error) if is_away(&error) => still_away(&error).await,
                    begun => break begun.map(|begun| (ground, begun)),
                }
            }
        };
        tokio::select! {
            () = program.stop.requested() => Ok(None),
            begun = begun => begun.map(Some),
        }
    }

    /// Reads the settings and opens the database, for a command.
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

/// The database may have gone again since it was opened; its tables are not to blame then.
async fn patiently<T, R>(read: impl FnMut() -> R) -> Result<T, GroundError>
where
    R: Future<Output = Result<T, StoreError>>,
{
    let waits = ExponentialBuilder::default().without_max_times().with_total_delay(Some(PATIENCE));
    read.retry(waits).when(StoreError::is_away).await.map_err(|error| match error.is_away() {
        true => GroundError::Away(error),
        false => GroundError::Tables(error),
    })
}

/// Said of each try of a wait without end: every half minute or so, or as often as a broker that is
/// there refuses.
async fn still_away(error: &impl Error) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(
        error.message = %error,
        error.cause = cause,
        "not ready: still waiting for what this process stands on"
    );
    tokio::time::sleep(PAUSE).await;
}
