//! The steps against a real SQLite file.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, Database, DatabaseConnection, TransactionTrait},
};

use crate::Migrator;

async fn database(folder: &tempfile::TempDir) -> DatabaseConnection {
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("t.db").display());
    Database::connect(url).await.unwrap()
}

async fn row(name: &str, default: bool, database: &DatabaseConnection) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO instance_configs (name, channel_type, is_default, agent_api_url, agent_api_key, channel_settings, \
         created_at, updated_at) VALUES ('{name}', 'whatsapp', {default}, 'http://a', 'v1', '{{}}', '2026', '2026')"
    );
    database.execute_unprepared(&sql).await.map(|_| ())
}

async fn count(table: &str, database: &DatabaseConnection) -> i64 {
    let statement = Query::select().expr_as(Expr::cust("COUNT(*)"), "n").from(table.to_owned()).to_owned();
    database.query_one(&statement).await.unwrap().unwrap().try_get("", "n").unwrap()
}

async fn schema(database: &DatabaseConnection) -> String {
    let statement = Query::select().column("sql").from("sqlite_master").and_where(Expr::cust("sql IS NOT NULL")).take();
    let rows = database.query_all(&statement).await.unwrap();
    let mut statements: Vec<String> = rows.iter().map(|row| row.try_get("", "sql").unwrap()).collect();
    statements.sort();
    statements.join("\n")
}

#[tokio::test]
async fn what_is_pending_is_named_and_what_is_unknown_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    assert_eq!(crate::pending(&database).await.unwrap().len(), Migrator::migrations().len());
    Migrator::up(&database, None).await.unwrap();
    assert_eq!(crate::pending(&database).await.unwrap(), Vec::<String>::new());
    Migrator::down(&database, Some(1)).await.unwrap();
    let last = Migrator::migrations().last().unwrap().name().to_owned();
    assert_eq!(crate::pending(&database).await.unwrap(), [last]);
    let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_later', 0)";
    database.execute_unprepared(later).await.unwrap();
    assert!(matches!(crate::pending(&database).await, Err(DbErr::Custom(_))));
}

#[tokio::test]
async fn up_down_and_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    Migrator::up(&database, None).await.unwrap();
    Migrator::up(&database, None).await.unwrap();
    let first = schema(&database).await;
    Migrator::down(&database, None).await.unwrap();
    assert!(!schema(&database).await.contains("instance_configs"));
    Migrator::up(&database, None).await.unwrap();
    assert_eq!(schema(&database).await, first);
}

#[tokio::test]
async fn ids_are_never_used_again_and_one_row_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    Migrator::up(&database, None).await.unwrap();
    assert!(schema(&database).await.contains("\"id\" integer NOT NULL PRIMARY KEY AUTOINCREMENT"));

    row("a", true, &database).await.unwrap();
    assert!(row("b", true, &database).await.is_err());
    row("c", false, &database).await.unwrap();
    row("d", false, &database).await.unwrap();
    database.execute_unprepared("DELETE FROM instance_configs WHERE name = 'd'").await.unwrap();
    row("d", false, &database).await.unwrap();
    let statement = Query::select().column("id").from("instance_configs").and_where(Expr::col("name").eq("d")).take();
    let id: i64 = database.query_one(&statement).await.unwrap().unwrap().try_get("", "id").unwrap();
    assert_eq!(id, 4, "id 3 was the first d's");
}

#[tokio::test]
async fn what_belongs_to_an_instance_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    Migrator::up(&database, None).await.unwrap();
    row("a", false, &database).await.unwrap();
    let inserts = [
        "INSERT INTO users (instance_name, phone_number, created_at, updated_at) VALUES ('a', '+1', '2026', '2026')",
        "INSERT INTO message_traces (trace_id, instance_id, instance_name, channel_type, status, received_at, revision, \
         created_at, updated_at) VALUES (x'00', 1, 'a', 'whatsapp', 'completed', '2026', 1, '2026', '2026')",
        "INSERT INTO trace_payloads (trace_id, stage, at, payload, payload_size_original, revision) \
         VALUES (x'00', 'agent_request', '2026', x'00', 1, 1)",
        "INSERT INTO user_external_ids (instance_name, user_id, provider, external_id, created_at) \
         VALUES ('a', 1, 'crm', '7', '2026')",
        "INSERT INTO access_control_rules (instance_name, phone_number, pattern, action, created_at, updated_at) \
         VALUES ('a', '+1', '1', 'block', '2026', '2026')",
        "INSERT INTO conversations (instance_name, session_name, created_at, updated_at) \
         VALUES ('a', 'a_1', '2026', '2026')",
    ];
    let transaction = database.begin().await.unwrap();
    for insert in inserts {
        transaction.execute_unprepared(insert).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert!(database.execute_unprepared(&inserts[0].replace("'a'", "'nobody'")).await.is_err());
    assert!(database.execute_unprepared(inserts[2]).await.is_err(), "one payload per stage");

    database.execute_unprepared("DELETE FROM instance_configs").await.unwrap();
    let belonging = ["users", "message_traces", "trace_payloads"];
    let decided = ["user_external_ids", "access_control_rules", "conversations"];
    for table in belonging.into_iter().chain(decided) {
        assert_eq!(count(table, &database).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_rule_is_there_once_for_an_instance_and_once_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder).await;
    Migrator::up(&database, None).await.unwrap();
    row("a", false, &database).await.unwrap();
    for instance in ["'a'", "NULL"] {
        let rule = |action: &str| {
            format!(
                "INSERT INTO access_control_rules (instance_name, phone_number, pattern, action, created_at, \
                 updated_at) VALUES ({instance}, '+1', '1', '{action}', '2026', '2026')"
            )
        };
        for action in ["block", "allow"] {
            database.execute_unprepared(&rule(action)).await.unwrap();
            assert!(database.execute_unprepared(&rule(action)).await.is_err(), "{instance} {action}");
        }
    }
}
