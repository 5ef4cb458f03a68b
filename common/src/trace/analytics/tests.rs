//! The figures, from both databases.

use serde_json::json;

use super::*;
use crate::{
    key::Everyone,
    trace::{
        TraceEvent, TraceStatus,
        fixture::{databases, event},
    },
};

fn all() -> Reach {
    Reach::Everyone(Everyone::for_admin())
}

/// Message `n` of 1 to 100: it takes `n` ms, the agent half of it.
fn told(n: u128) -> TraceEvent {
    let status = if n <= 10 { TraceStatus::Error } else { TraceStatus::Completed };
    let mut event = event(n, 1, status);
    let details = match n {
        ..=10 => json!({"outcome": "dead", "outcome_reason": "agent_failed", "error_stage": "agent_called"}),
        _ => json!({"outcome": "answered", "message_type": "text"}),
    };
    event.record.details = serde_json::from_value(details).unwrap();
    event.record.details.total_processing_time_ms = i32::try_from(n).ok();
    event.record.details.agent_processing_time_ms = i32::try_from(n / 2).ok();
    // The last ten an hour later.
    event.record.received_at += if n > 90 { 3_600_000 } else { 0 };
    event
}

/// One of another tenant that is not done.
fn running() -> TraceEvent {
    let mut event = event(1_000, 1, TraceStatus::AgentCalled);
    (event.record.instance_id, event.record.instance_name) = (2, "globex".into());
    event
}

fn counts(figures: &[Figures]) -> Vec<(&str, i64)> {
    figures.iter().map(|figures| (figures.key.as_str(), figures.total)).collect()
}

#[tokio::test]
async fn counts_and_percentiles_are_the_same_on_both_databases() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let mut events: Vec<_> = (1..=100).map(told).collect();
        events.push(running());
        traces.write(&events).await.unwrap();
        let found = traces.analytics(&all(), &TraceFilter::default()).await.unwrap();

        let total_time = Times { average: Some(50.5), p50: Some(50), p95: Some(95), p99: Some(99) };
        let agent_time = Times { average: Some(25.0), p50: Some(25), p95: Some(47), p99: Some(49) };
        let expected = Figures { key: "all".into(), total: 101, completed: 90, failed: 10, total_time, agent_time };
        assert_eq!(found.all, expected);
        assert_eq!(counts(&found.by_instance), [("acme", 100), ("globex", 1)]);
        assert_eq!(found.by_instance[1].total_time, Times::default(), "nothing has ended there");
        assert_eq!(counts(&found.by_type), [("text", 90), ("unknown", 11)]);
        assert_eq!(counts(&found.by_outcome), [("answered", 90), ("dead", 10)]);
        assert_eq!(counts(&found.by_outcome_reason), [("agent_failed", 10)]);
        assert_eq!(counts(&found.by_error_stage), [("agent_called", 10)]);
        assert_eq!(counts(&found.per_hour), [("2025-10-09T08:00:00Z", 91), ("2025-10-09T09:00:00Z", 10)]);
        let late = &found.per_hour[1];
        assert_eq!((late.completed, late.total_time.p50, late.total_time.p99), (10, Some(95), Some(100)));
    }
}

#[tokio::test]
async fn figures_are_narrowed_by_filter_and_reach() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        assert_eq!(traces.analytics(&all(), &TraceFilter::default()).await.unwrap(), Analytics::default());
        traces.write(&[told(1), told(50), running()]).await.unwrap();
        let theirs = traces.analytics(&Reach::one("globex"), &TraceFilter::default()).await.unwrap();
        assert_eq!((counts(&theirs.by_instance), theirs.all.total), (vec![("globex", 1)], 1));
        let dead =
            TraceFilter { outcome_reason: Some("agent_failed".into()), limit: 1, offset: 9, ..TraceFilter::default() };
        let dead = traces.analytics(&all(), &dead).await.unwrap();
        assert_eq!((dead.all.total, dead.all.failed, dead.all.total_time.p99), (1, 1, Some(1)));
    }
}
