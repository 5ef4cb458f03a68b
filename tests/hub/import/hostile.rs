//! A source that is damaged, or that somebody made to do harm: each bad row is named, and costs no
//! other.

use std::path::Path;

use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use super::{OMNI, Stage, of, run};
use crate::harness::{Database, on_both_databases};

on_both_databases!(
    bad_rows_are_named_and_cost_no_other,
    what_the_database_refuses_costs_no_other,
    values_that_are_no_text_are_named,
    no_secret_is_kept_as_it_was,
);

/// Columns of any type, and tables that are missing.
const LOOSE: &str = "
    CREATE TABLE instance_configs (id INTEGER PRIMARY KEY, name TEXT, channel_type TEXT, evolution_url TEXT,
        evolution_key TEXT, agent_api_url TEXT, agent_api_key TEXT, agent_timeout TEXT, is_active TEXT);
    CREATE TABLE users (id TEXT PRIMARY KEY, instance_name TEXT, phone_number TEXT, email TEXT, user_data TEXT,
        created_at TEXT);
    CREATE TABLE message_traces (trace_id TEXT PRIMARY KEY, instance_name TEXT, received_at TEXT, status TEXT,
        message_content TEXT, has_media TEXT, total_processing_time_ms TEXT);";

fn instance(id: u32, name: &str, timeout: &str) -> String {
    format!(
        "INSERT INTO instance_configs VALUES ({id}, {name}, 'whatsapp', 'http://localhost:8080', 'planted-evolution',
             'http://localhost:8886', 'planted-agent', {timeout}, '1');"
    )
}

fn person(id: &str, phone: &str, email: &str, data: &str) -> String {
    format!("INSERT INTO users VALUES ('{id}', 'good', '{phone}', '{email}', '{data}', '+9999999-01-01 00:00:00');")
}

fn trace(n: u32, received: &str, content: &str) -> String {
    let id = format!("{n:08x}-0000-4000-8000-000000000000");
    format!("INSERT INTO message_traces VALUES ('{id}', 'good', '{received}', 'completed', '{content}', 'x', '1e99');")
}

/// The reasons why rows of a table were left out, by their keys.
fn left_out(report: &Value, table: &str) -> Vec<(String, String)> {
    let rows = report["left_out"].as_array().expect("rows").iter().filter(|row| row["table"] == table);
    let word = |row: &Value, field: &str| row[field].as_str().expect("a word").to_owned();
    rows.map(|row| (word(row, "row"), word(row, "reason"))).collect()
}

async fn bad_rows_are_named_and_cost_no_other(database: Database) {
    let huge = "x".repeat(300_000);
    let sql = [
        LOOSE.to_owned(),
        instance(1, "'good'", "'60'"),
        instance(2, "'good'", "'60'"),
        instance(3, "NULL", "'60'"),
        instance(4, "'patient'", "'soon'"),
        instance(5, "'  spaced  '", "NULL"),
        instance(6, &format!("'{huge}'"), "'60'"),
        instance(7, "'last'", "'60'"),
        person("1", "+1", "a@b.test", "{}"),
        person("2", &"1".repeat(5_000), "a@b.test", "{}"),
        person("3", "+3", &huge, "{}"),
        person("4", "+4", "a@b.test", "{\"a\": \"\\u0000\"}"),
        person("5", "+5", "a@b.test", &format!("[{}", "[".repeat(9_000))),
        person("6", "+6", "a@b.test", &format!("{{\"a\": \"{}\"}}", "y".repeat(17_000))),
        person("7", "+7", "a@b.test", ""),
        trace(1, "2025-11-03 10:00:00", &huge),
        trace(2, "long ago", "hello"),
        trace(3, "-99999-11-03 10:00:00", "hello"),
        trace(4, "2025-11-03 10:00:00", "hello"),
    ];
    let stage = Stage::new(database, &sql.concat()).await;
    let report = stage.report(&[]).await;

    let results = report["instances"].as_array().expect("instances");
    let results: Vec<_> = results.iter().map(|line| (line["name"].clone(), line["result"].clone())).collect();
    let (created, failed) = (json!("created"), json!("failed"));
    assert_eq!(results[0], (json!("good"), created.clone()));
    assert_eq!(results[1], (json!("good"), failed.clone()));
    assert_eq!(results[2], (json!("(row 3)"), failed.clone()));
    assert_eq!(results[4], (json!("spaced"), created.clone()));
    assert_eq!((&results[3].1, &results[5].1, &results[6].1), (&failed, &failed, &created));
    assert_eq!(report["instances"][2]["reason"], "name is missing");
    assert_eq!(report["instances"][5]["reason"], "column name is longer than any field");

    let good = of(&report, "good");
    assert_eq!((&good["users"]["created"], &good["users"]["left_out"]), (&json!(2), &json!(5)));
    let reasons = left_out(&report, "users");
    for (row, word) in [("2", "number"), ("3", "longer"), ("4", "U+0000"), ("5", "JSON"), ("6", "16 KiB")] {
        assert!(reasons.iter().any(|(named, why)| named == row && why.contains(word)), "{row}: {reasons:?}");
    }
    assert_eq!((&good["traces"]["created"], &good["traces"]["left_out"]), (&json!(2), &json!(2)));
    assert_eq!((left_out(&report, "message_traces").len(), &report["incomplete"]), (2, &json!(false)));
    let long = stage.site.get("/api/v1/traces/00000001-0000-4000-8000-000000000000").await;
    let content = long["message_content"].as_str().expect("a content").len();
    assert!((1..100_000).contains(&content), "{content}");
    assert_eq!((&long["has_media"], &long["total_processing_time_ms"]), (&Value::Null, &Value::Null));
}

async fn what_the_database_refuses_costs_no_other(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    let refusing = match database {
        Database::Sqlite => {
            "CREATE TRIGGER refuse BEFORE INSERT ON users WHEN NEW.phone_number = '+14155552671'
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        }
        Database::Postgres => "ALTER TABLE users ADD CONSTRAINT refuse CHECK (phone_number <> '+14155552671')",
    };
    let hub = sea_orm::Database::connect(stage.site.database_url()).await.expect("the hub's database");
    hub.execute_unprepared(refusing).await.expect("a rule of the database");

    let report = stage.report(&[]).await;
    let main = of(&report, "main");
    assert_eq!((&main["result"], &main["users"]["created"]), (&json!("created"), &json!(1)));
    assert_eq!(main["traces"]["created"], 3);
    let refused = ("0a0a0a0a-0000-4000-8000-000000000001".to_owned(), "the database refuses it".to_owned());
    let reasons = left_out(&report, "users");
    assert!(reasons.contains(&refused), "{reasons:?}");
}

async fn values_that_are_no_text_are_named(database: Database) {
    // PostgreSQL keeps the types of its columns.
    if database == Database::Postgres {
        return;
    }
    let sql = [
        LOOSE.to_owned(),
        instance(1, "x'ff00fe'", "60"),
        instance(2, "'good'", "60"),
        // Bytes that are text all the same; they sort behind every text.
        instance(3, "CAST('bytes' AS BLOB)", "60.0"),
        person("1", "+1", "", ""),
        "INSERT INTO users VALUES (x'ff', 'good', x'ff', NULL, NULL, NULL);".to_owned(),
        "INSERT INTO users VALUES (NULL, 'good', 4711, 12.5, NULL, NULL);".to_owned(),
        "INSERT INTO users VALUES ('n', x'ff', '+8', NULL, NULL, NULL);".to_owned(),
        trace(1, "2025-11-03 10:00:00", "hello"),
        "INSERT INTO message_traces VALUES (x'ff', 'good', '2025-11-03 10:00:00', x'ff', x'ff', 7, x'00');".to_owned(),
        trace(2, "2025-11-03 10:00:00", "hello"),
    ];
    let stage = Stage::new(database, &sql.concat()).await;
    let report = stage.report(&[]).await;
    let reason = |n: usize| report["instances"][n]["reason"].clone();
    assert_eq!((reason(0), reason(1)), (json!("column name is not text"), Value::Null), "{report}");
    assert_eq!(reason(2), "column agent_timeout is not a whole number");
    let good = of(&report, "good");
    assert_eq!((&good["users"]["created"], &good["users"]["left_out"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!((&good["traces"]["created"], &good["traces"]["left_out"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(report["orphans"], 1);

    // One of the most that can be.
    run(&stage.source, database, "UPDATE instance_configs SET agent_timeout = 60").await;
    assert_eq!(of(&stage.report(&[]).await, "bytes")["result"], "created");
}

async fn no_secret_is_kept_as_it_was(database: Database) {
    let stage = Stage::new(database, OMNI).await;
    stage.run(&[]).await;
    assert_eq!(stage.site.get("/api/v1/instances/main").await["evolution_key"], "****main");
    let kept = kept(&stage.site.database_url()).await;
    assert!(kept.contains("main-at-evolution") && !kept.contains("planted-"), "a secret is kept as it was");
}

/// Everything that is in a database, as it is kept.
async fn kept(url: &str) -> String {
    let mut all = Vec::new();
    if let Some(file) = url.strip_prefix("sqlite://") {
        let folder = Path::new(file).parent().expect("its folder");
        for file in std::fs::read_dir(folder).expect("the folder") {
            all.extend(std::fs::read(file.expect("a file").path()).expect("its bytes"));
        }
        return String::from_utf8_lossy(&all).into_owned();
    }
    let database = sea_orm::Database::connect(url).await.expect("the database");
    let query = |sql: String| Statement::from_string(database.get_database_backend(), sql);
    let tables = "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'".to_owned();
    for table in database.query_all_raw(query(tables)).await.expect("the tables") {
        let table: String = table.try_get("", "name").expect("a name");
        let rows = query(format!("SELECT t::text AS row FROM \"{table}\" t"));
        for row in database.query_all_raw(rows).await.expect("its rows") {
            all.extend(row.try_get::<String>("", "row").expect("a row").into_bytes());
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}
