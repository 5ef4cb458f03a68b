//! Events and databases for the tests of this room.

use omnihub_migrations::Migrator;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait as _;
use uuid::Uuid;

use super::{TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus};

/// An event of message `n`, of instance 1, which is named `acme`.
pub(super) fn event(n: u128, revision: i64, status: TraceStatus) -> TraceEvent {
    let record = TraceRecord {
        trace_id: Uuid::from_u128(n),
        instance_id: 1,
        instance_name: "acme".into(),
        channel_type: "whatsapp".into(),
        status,
        received_at: 1_760_000_000_000,
        details: TraceDetails::default(),
    };
    TraceEvent { v: TRACE_EVENT_VERSION, revision, record, payload: None }
}

/// Databases with the tables, and instances `acme` (1) and `globex` (2); SQLite's goes with the
/// folder, PostgreSQL's with the test server.
pub(super) struct TestDatabases {
    pub(super) connections: Vec<DatabaseConnection>,
    _folder: tempfile::TempDir,
}

/// An empty SQLite database, and one on the PostgreSQL server of `OMNIHUB_TEST_POSTGRES` (the URL
/// of a database whose user may create others) where that is set.
pub(super) async fn databases() -> TestDatabases {
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite://{}?mode=rwc", folder.path().join("traces.db").display())];
    if let Ok(server) = std::env::var("OMNIHUB_TEST_POSTGRES") {
        urls.push(postgres_database(&server).await);
    }
    let mut connections = Vec::new();
    for url in urls {
        let connection = Database::connect(&url).await.unwrap();
        Migrator::up(&connection, None).await.unwrap();
        for (id, name) in [(1, "acme"), (2, "globex")] {
            add_instance(&connection, id, name).await;
        }
        connections.push(connection);
    }
    TestDatabases { connections, _folder: folder }
}

async fn postgres_database(server: &str) -> String {
    let name = format!("omnihub_{}", Uuid::new_v4().simple());
    let connection = Database::connect(server).await.unwrap();
    connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let mut url = url::Url::parse(server).unwrap();
    url.set_path(&name);
    url.into()
}

/// A row of `instance_configs`, as far as a trace needs one.
pub(super) async fn add_instance(connection: &DatabaseConnection, id: i64, name: &str) {
    let insert = format!(
        "INSERT INTO instance_configs \
         (id, name, channel_type, agent_api_url, agent_api_key, channel_settings, created_at, updated_at) \
         VALUES ({id}, '{name}', 'whatsapp', '', '', '{{}}', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00')"
    );
    connection.execute_unprepared(&insert).await.unwrap();
}
