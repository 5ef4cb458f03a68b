//! What many messages come to, and how the old ones go: by themselves, and when somebody says so.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use reqwest::Method;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, DEADLINE, Database, INSTANCE, Site, omnihub, on_both_databases, until};

on_both_databases!(
    old_traces_go_by_themselves,
    a_cleanup_takes_what_is_old_and_tells_whose,
    figures_of_a_running_hub,
    a_list_is_read_on_by_its_cursor
);

/// Keeps its traces longer than the hub does.
const PATIENT: &str = "patient";
const PHONE: &str = "14155557000";

/// Two tenants with an answered message each.
async fn told(database: Database) -> (Site, DatabaseConnection) {
    let site = Site::parts(database, Behaviour::Echo).await;
    site.add_instance(PATIENT, json!({"whatsapp_instance": PATIENT, "trace_retention_days": 100})).await;
    for instance in [INSTANCE, PATIENT] {
        let trace = site.say_to(instance, PHONE, "hi").await;
        site.ended(&trace).await;
        // Steps come by another stream than outcomes.
        let path = format!("/api/v1/traces/{trace}/payloads?include_payload=false");
        until("all payloads are there", DEADLINE, async || site.get(&path).await.as_array().unwrap().len() == 4).await;
    }
    let tables = sea_orm::Database::connect(site.database_url()).await.unwrap();
    (site, tables)
}

/// As if every message had come sixty days ago.
async fn age(tables: &DatabaseConnection) -> Result<(), DbErr> {
    let then = (chrono::Utc::now() - chrono::TimeDelta::days(60)).format("%Y-%m-%dT%H:%M:%S+00:00");
    let update = format!("UPDATE message_traces SET received_at = '{then}', updated_at = '{then}'");
    tables.execute_unprepared(&update).await.map(drop)
}

async fn total(site: &Site, instance: &str) -> String {
    let listed = site.api(Method::GET, &format!("/api/v1/traces?instance_name={instance}"), None).await;
    listed.header("x-total-count").to_owned()
}

async fn payloads(tables: &DatabaseConnection) -> i64 {
    let backend = tables.get_database_backend();
    let count = sea_orm::Statement::from_string(backend, "SELECT COUNT(*) AS n FROM trace_payloads");
    tables.query_one_raw(count).await.unwrap().unwrap().try_get("", "n").unwrap()
}

async fn old_traces_go_by_themselves(database: Database) {
    let (mut site, tables) = told(database).await;
    age(&tables).await.unwrap();
    // Who gets partition 0 looks at once.
    let worker = site.worker.as_mut().unwrap();
    worker.terminate().await;
    worker.start_again();
    worker.wait_ready().await;
    until("what is older than 30 days is gone", DEADLINE, async || total(&site, INSTANCE).await == "0").await;
    assert_eq!((total(&site, PATIENT).await.as_str(), payloads(&tables).await), ("1", 4));
    site.assert_no_violations();
}

/// Runs `omnihub trace <line>` and gives what it printed.
async fn trace(site: &Site, line: &str) -> String {
    trace_and_notes(site, line).await.0
}

/// And what it told the person beside it.
async fn trace_and_notes(site: &Site, line: &str) -> (String, String) {
    let env = [("OMNIHUB_URL", site.hub.url()), ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned())];
    let env: HashMap<String, String> = env.map(|(name, value)| (name.to_owned(), value)).into();
    let args: Vec<&str> = std::iter::once("trace").chain(line.split_whitespace()).collect();
    let ended = omnihub(&args, &env).await;
    let [printed, notes] = [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(ended.status.success(), "{line}: {notes}");
    (printed, notes)
}

async fn a_cleanup_takes_what_is_old_and_tells_whose(database: Database) {
    let (site, tables) = told(database).await;
    let clean = async |method, query: &str, body: Option<&Value>| {
        site.api(method, &format!("/api/v1/traces/cleanup{query}"), body).await
    };
    assert_eq!(clean(Method::DELETE, "?days_old=1&dry_run=false", None).await.body["traces_deleted"], 0);
    age(&tables).await.unwrap();

    // The older system's form; without a word it deletes nothing.
    let counted = clean(Method::DELETE, "", None).await.body;
    assert_eq!((&counted["status"], &counted["traces_to_delete"]), (&json!("dry_run"), &json!(2)));
    assert_eq!(counted["message"], "Would delete 2 traces older than 30 days");
    let deleted = clean(Method::DELETE, &format!("?dry_run=false&instance_name={PATIENT}"), None).await.body;
    assert_eq!((&deleted["status"], &deleted["traces_deleted"]), (&json!("completed"), &json!(1)));
    assert_eq!(payloads(&tables).await, 4);
    for body in [json!({"days_old": 0}), json!({"dryrun": false}), json!({"days_old": [1]})] {
        assert_eq!(clean(Method::POST, "", Some(&body)).await.status, 422, "{body}");
    }

    // The command does the rest.
    assert_eq!(trace(&site, "cleanup --dry-run").await, "Would delete 1 traces older than 30 days.\n");
    assert_eq!(trace(&site, "cleanup --yes").await, "Deleted 1 trace older than 30 days.\n");
    assert_eq!(payloads(&tables).await, 0);
    let lines = site.get("/api/v1/audit?action=trace.cleanup").await;
    let told: Vec<_> =
        lines["items"].as_array().unwrap().iter().map(|line| (&line["target"], &line["before"]["traces"])).collect();
    assert_eq!(told, [(&json!(INSTANCE), &json!(1)), (&json!(PATIENT), &json!(1))]);
}

async fn figures_of_a_running_hub(database: Database) {
    let (site, _tables) = told(database).await;
    let found = site.get("/api/v1/traces/analytics/summary").await;
    assert_eq!((&found["total_messages"], &found["success_rate"]), (&json!(2), &json!(100.0)));
    assert_eq!(found["instances"], json!({INSTANCE: 1, PATIENT: 1}));
    assert_eq!((&found["message_types"], &found["outcomes"]), (&json!({"text": 2}), &json!({"answered": 2})));
    for times in ["total_time_ms", "agent_time_ms"] {
        assert!(found[times]["p50"].is_i64() && found[times]["avg"].is_number(), "{times}: {}", found[times]);
    }
    let one = site.get(&format!("/api/v1/traces/analytics/summary?instance_name={PATIENT}")).await;
    assert_eq!((&one["total_messages"], &one["instances"]), (&json!(1), &json!({PATIENT: 1})));
    assert_eq!(site.get(&format!("/api/v1/traces/phone/{PHONE}")).await.as_array().unwrap().len(), 2);
    let wrong = site.api(Method::GET, "/api/v1/traces/analytics/summary?start_date=soon", None).await;
    wrong.assert_problem(422, "invalid_parameter");
    let printed = trace(&site, "analytics --all-time").await;
    assert!(printed.starts_with("2 messages of all time: 2 ended well (100.0 %)"), "{printed}");
    assert!(printed.contains(PATIENT), "{printed}");
}

async fn a_list_is_read_on_by_its_cursor(database: Database) {
    let (site, _tables) = told(database).await;
    let (first, note) = trace_and_notes(&site, "list --limit 1 --json").await;
    let cursor = note.trim().strip_prefix("There are older ones: --cursor ").unwrap();
    let (second, note) = trace_and_notes(&site, &format!("list --limit 1 --json --cursor {cursor}")).await;
    assert_eq!(note, "");
    let instance = |page: &str| serde_json::from_str::<Value>(page).unwrap()[0]["instance_name"].clone();
    assert_eq!([instance(&first), instance(&second)], [json!(PATIENT), json!(INSTANCE)]);
}
