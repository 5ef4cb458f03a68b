//! What is old goes, with its payloads and from both databases; what is not stays.

use sea_orm::PaginatorTrait as _;
use serde_json::json;

use super::*;
use crate::{
    audit::{AuditFilter, AuditLog},
    key::Everyone,
    trace::{
        Stage, StagePayload, TraceEvent, TraceFilter, TraceStatus,
        entity::trace_payload,
        fixture::{databases, event},
    },
};

const DAY: i64 = 86_400_000;

fn all() -> Reach {
    Reach::Everyone(Everyone::for_admin())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_760_000_000_000).unwrap()
}

/// A message of so many days ago, with a payload.
fn aged(n: u128, days: i64) -> TraceEvent {
    let mut event = event(n, 1, TraceStatus::Completed);
    event.record.received_at -= days * DAY;
    event.payload = Some(StagePayload { stage: Stage::AgentRequest, at: 1, status_code: None, body: json!("body") });
    event
}

/// As if the rows had been written when their messages came.
async fn written_then(traces: &Traces) {
    traces.database.execute_unprepared("UPDATE message_traces SET updated_at = received_at").await.unwrap();
}

async fn left(traces: &Traces) -> (Vec<u128>, u64) {
    let page = traces.list(&all(), &TraceFilter::default()).await.unwrap();
    let payloads = trace_payload::Entity::find().count(&traces.database).await.unwrap();
    (page.rows.iter().map(|row| row.trace_id.as_u128()).collect(), payloads)
}

#[tokio::test]
async fn the_oldest_go_batch_by_batch_with_their_payloads() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let mut events: Vec<_> = (0..1_100).map(|n| aged(n, 31)).collect();
        events.push(aged(5_000, 29));
        let mut other = aged(6_000, 40);
        (other.record.instance_id, other.record.instance_name) = (2, "globex".into());
        events.push(other);
        traces.write(&events).await.unwrap();
        let than = kept_since(now(), 30);
        assert_eq!(traces.older(&all(), None, than).await.unwrap(), [], "they were told of a moment ago");

        written_then(&traces).await;
        let older = |instance_id, name: &str, traces| Older { instance_id, instance_name: name.to_owned(), traces };
        let (acme, globex) = (older(1, "acme", 1_100), older(2, "globex", 1));
        assert_eq!(traces.older(&all(), None, than).await.unwrap(), [acme.clone(), globex.clone()]);
        assert_eq!(traces.older(&Reach::one("globex"), None, than).await.unwrap(), std::slice::from_ref(&globex));
        assert_eq!(traces.older(&Reach::one("globex"), Some("acme"), than).await.unwrap(), []);

        let somebody = Actor::hub("test");
        assert_eq!(traces.remove_older("acme", than, Some((&somebody, &acme))).await.unwrap(), BATCH);
        assert_eq!(traces.remove_older("acme", than, None).await.unwrap(), BATCH);
        assert_eq!(traces.remove_older("acme", than, None).await.unwrap(), 100);
        assert_eq!(traces.remove_older("acme", than, None).await.unwrap(), 0);
        assert_eq!(left(&traces).await, (vec![5_000, 6_000], 2));

        let lines = AuditLog::new(database.clone()).list(&all(), &AuditFilter::default(), 10).await.unwrap();
        let told: Vec<_> =
            lines.iter().map(|line| (line.action.as_str(), line.target.as_str(), &line.before)).collect();
        assert_eq!(told, [("trace.cleanup", "acme", &Some(json!({"traces": 1_100})))]);
    }
}

#[tokio::test]
async fn instances_say_how_long_their_traces_are_kept() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let set = "UPDATE instance_configs SET trace_retention_days = 7 WHERE name = 'globex'";
        database.execute_unprepared(set).await.unwrap();
        let mut found = traces.retentions().await.unwrap();
        found.sort();
        assert_eq!(found, [("acme".to_owned(), None), ("globex".to_owned(), Some(7))]);
    }
}

#[test]
fn days_are_counted_back_from_now() {
    assert_eq!((now() - kept_since(now(), 30)).num_days(), 30);
    assert_eq!(kept_since(now(), u32::MAX), DateTime::UNIX_EPOCH);
}
