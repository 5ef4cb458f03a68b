//! The log on a real SQLite file.

use serde_json::json;

use super::*;
use crate::instance::{
    Patch,
    testing::{TestTable, everyone, new_instance},
};

async fn actions(log: &AuditLog, reach: &Reach, filter: &AuditFilter) -> Vec<String> {
    log.list(reach, filter, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|line| format!("{} {}", line.action, line.target))
        .collect()
}

#[tokio::test]
async fn every_change_of_an_instance_leaves_a_line_without_its_secrets() {
    let table = TestTable::new().await;
    let me = Actor { key_id: Some(7), name: "console".to_owned() };
    let instances = table.instances.by(&me);
    instances.create(new_instance("a")).await.unwrap();
    instances.update("a", Patch { is_active: Some(false), ..Patch::default() }).await.unwrap();
    instances.delete("a").await.unwrap();
    let log = AuditLog::new(table.database.clone());
    let lines = log.list(&everyone(), &AuditFilter::default(), 100).await.unwrap();
    assert_eq!(
        actions(&log, &everyone(), &AuditFilter::default()).await,
        ["instance.delete a", "instance.update a", "instance.create a"]
    );
    assert!(lines.iter().all(|line| line.actor == "console" && line.key_id == Some(7)));
    assert!(!format!("{lines:?}").contains("planted"));
    let (before, after) = (lines[1].before.as_ref().unwrap(), lines[1].after.as_ref().unwrap());
    assert_eq!((&before["is_active"], &after["is_active"]), (&json!(true), &json!(false)));
    assert!(after["agent_api_key"].as_str().unwrap().starts_with("****"));
    assert_eq!((lines[0].after.as_ref(), lines[2].before.as_ref()), (None, None));
}

#[tokio::test]
async fn a_change_that_fails_leaves_no_line() {
    let table = TestTable::new().await;
    table.instances.create(new_instance("a")).await.unwrap();
    assert!(table.instances.create(new_instance("a")).await.is_err());
    assert!(table.instances.delete("b").await.unwrap().is_none());
    let log = AuditLog::new(table.database.clone());
    assert_eq!(actions(&log, &everyone(), &AuditFilter::default()).await, ["instance.create a"]);
}

#[tokio::test]
async fn a_reader_sees_only_the_instance_that_is_there_now() {
    let table = TestTable::new().await;
    for name in ["a", "b"] {
        table.instances.create(new_instance(name)).await.unwrap();
    }
    table.instances.delete("a").await.unwrap();
    table.instances.create(new_instance("a")).await.unwrap();
    let log = AuditLog::new(table.database.clone());
    assert_eq!(actions(&log, &Reach::one("a"), &AuditFilter::default()).await, ["instance.create a"]);
    let named = AuditFilter { instance_name: Some("b".into()), ..AuditFilter::default() };
    assert_eq!(actions(&log, &Reach::one("a"), &named).await, [""; 0]);
    assert_eq!(actions(&log, &everyone(), &named).await, ["instance.create b"]);
    let room = AuditFilter { action: Some("instance".into()), ..AuditFilter::default() };
    assert_eq!(actions(&log, &everyone(), &room).await.len(), 4);
    let other = AuditFilter { action: Some("inst".into()), ..AuditFilter::default() };
    assert_eq!(actions(&log, &everyone(), &other).await.len(), 0);
}
