//! What the tests of commands share: the admin API over a real SQLite file, on a port of its own.

use std::{num::NonZeroU32, sync::Arc};

use axum::Router;
use omnihub_common::{
    instance::{Announcer, Directory, DirectorySettings, EvolutionFallback, Instances},
    key::{AdminKey, Keys},
    sealed::SealedValues,
    secret::{Keyring, Secret},
    trace::{Outcome, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus, Traces},
};
use omnihub_ingress::{
    admin::{self, limits::RateLimits},
    evolution::{Door, EvolutionDesk},
    state::AppState,
};
use omnihub_migrations::Migrator;
use sea_orm::{Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait;
use uuid::Uuid;

use crate::api::Api;

/// The root key of the hub.
const KEY: &str = "key";

/// A hub of nothing but the admin API.
pub(crate) struct Hub {
    url: String,
    instances: Arc<Instances>,
    database: DatabaseConnection,
    _folder: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("t.db").display());
        let database = Database::connect(url).await.unwrap();
        Migrator::up(&database, None).await.unwrap();
        let keyring = Arc::new(Keyring::generate());
        let instances = Arc::new(Instances::new(database.clone(), Arc::clone(&keyring)));
        let directory = Arc::new(Directory::new(Arc::clone(&instances), DirectorySettings::default()));
        let state = AppState {
            keys: Keys::new(database.clone(), Arc::clone(&keyring)),
            limits: Arc::new(RateLimits::new(NonZeroU32::MAX, 0)),
            sealed: SealedValues::new(database.clone(), keyring),
            database: database.clone(),
            announcer: Announcer::local(Arc::clone(&directory)),
            directory,
            instances: Arc::clone(&instances),
            admin_key: Arc::new(AdminKey::new(&Secret::new(KEY))),
            evolution: EvolutionDesk::new(Door { public: None, listener: None }, Arc::default()).unwrap(),
            evolution_fallback: Arc::new(EvolutionFallback::default()),
            purger: omnihub_ingress::purge::Purger::idle(),
            dead: None,
            sends: None,
            doctor: None,
            accounts: None,
            sessions: None,
            live: omnihub_ingress::live::Live::idle(),
        };
        let routes: Router = admin::routes().with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, instances, database, _folder: folder, server }
    }

    /// Somebody wrote to an instance and was answered, as the recorder writes it down.
    pub(crate) async fn answered(&self, instance: &str, phone: &str) {
        let id = self.instances.get(instance).await.unwrap().unwrap().id;
        let details = TraceDetails {
            outcome: Some(Outcome::Answered),
            sender_phone: Some(phone.to_owned()),
            sender_id: Some(format!("{phone}@s.whatsapp.net")),
            session_name: Some(format!("{instance}_{phone}")),
            ..TraceDetails::default()
        };
        let record = TraceRecord {
            trace_id: Uuid::new_v4(),
            instance_id: id,
            instance_name: instance.to_owned(),
            channel_type: "whatsapp".to_owned(),
            status: TraceStatus::Completed,
            received_at: 1_760_000_000_000,
            details,
        };
        let event = TraceEvent { v: TRACE_EVENT_VERSION, revision: 1, record, payload: None };
        Traces::new(self.database.clone()).write(&[event]).await.unwrap();
    }

    /// With its root key.
    pub(crate) fn api(&self) -> Api {
        self.api_with(KEY)
    }

    pub(crate) fn api_with(&self, key: &str) -> Api {
        Api::new(self.url.parse().unwrap(), Secret::new(key)).unwrap()
    }
}
