//! The repository against real databases: SQLite always, PostgreSQL where there is one.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::json;
use uuid::Uuid;

use super::{
    Outcome, Stage, StagePayload, TraceEvent, TraceFilter, TraceStatus, Traces, Written, decompress,
    fixture::{add_instance, databases, event},
    is_refusal,
};
use crate::key::{Everyone, Reach};

fn all() -> Reach {
    Reach::Everyone(Everyone::for_admin())
}

fn only(name: &str) -> Reach {
    Reach::one(name)
}

async fn status(traces: &Traces, n: u128) -> Option<String> {
    traces.get(&all(), Uuid::from_u128(n)).await.unwrap().map(|row| row.status)
}

fn with_payload(mut event: TraceEvent, stage: Stage, body: serde_json::Value) -> TraceEvent {
    event.payload = Some(StagePayload { stage, at: 1_760_000_000_500, status_code: Some(200), body });
    event
}

/// Every column that an event can fill.
fn full(n: u128) -> TraceEvent {
    let mut event = event(n, 99, TraceStatus::Completed);
    event.record.details = serde_json::from_value(json!({
        "outcome": "answered", "outcome_reason": "r", "turn_id": "t", "provider_message_id": "3EB0", "sender_phone": "5511",
        "sender_name": "Ana", "sender_id": "5511@s.whatsapp.net", "message_type": "text", "message_content": "Olá\0!",
        "has_media": false, "has_quoted_message": true, "message_length": 4, "session_name": "s", "session_id": "i",
        "user_id": "u", "attempts": 2, "processing_started_at": 1, "agent_request_at": 2, "agent_response_at": 3,
        "channel_send_at": 4, "completed_at": 5, "agent_processing_time_ms": 6, "total_processing_time_ms": 7,
        "agent_response": "Hi", "agent_response_length": 2, "agent_response_success": true, "agent_request_tokens": 8,
        "agent_response_tokens": 9, "agent_tools_used": 1, "evolution_response_code": 201, "evolution_success": true,
        "channel_success": true, "reply_message_ids": ["A", "B"], "error_stage": "e", "error_message": "m", "warnings": ["w"],
    }))
    .unwrap();
    event
}

#[tokio::test]
async fn every_column_survives_the_way() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        assert_eq!(traces.write(&[full(7)]).await.unwrap(), Written { kept: 1, dropped: 0 });
        let row = traces.get(&all(), Uuid::from_u128(7)).await.unwrap().unwrap();
        let shown = serde_json::to_value(&row).unwrap();
        let given = serde_json::to_value(full(7).record).unwrap();
        for (column, value) in given.as_object().unwrap() {
            let expected = match column.as_str() {
                "message_content" => json!("Olá!"),
                column if column.ends_with("_at") => {
                    json!(DateTime::<Utc>::from_timestamp_millis(value.as_i64().unwrap()).unwrap())
                }
                _ => value.clone(),
            };
            assert_eq!(shown[column], expected, "{column}");
        }
    }
}

#[tokio::test]
async fn an_older_event_never_overwrites_a_newer_one() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let steps = [
            with_payload(event(1, 20, TraceStatus::AgentCalled), Stage::AgentRequest, json!("newer")),
            with_payload(event(1, 10, TraceStatus::Processing), Stage::AgentRequest, json!("older")),
            with_payload(event(1, 5, TraceStatus::WebhookReceived), Stage::WebhookReceived, json!("webhook")),
        ];
        for step in &steps {
            traces.write(std::slice::from_ref(step)).await.unwrap();
        }
        // Again and all at once, as after a redelivery.
        assert_eq!(traces.write(&steps).await.unwrap(), Written { kept: 3, dropped: 0 });
        assert_eq!(status(&traces, 1).await.as_deref(), Some("agent_called"));
        let mut payloads: Vec<_> = payloads(&traces, &all(), 1).await;
        payloads.sort();
        assert_eq!(payloads, ["\"newer\"", "\"webhook\""]);

        traces.write(&[event(1, 20, TraceStatus::AgentSuccess)]).await.unwrap();
        assert_eq!(status(&traces, 1).await.as_deref(), Some("agent_success"), "the same revision again may mend");
    }
}

async fn payloads(traces: &Traces, reach: &Reach, n: u128) -> Vec<String> {
    let rows = traces.payloads(reach, Uuid::from_u128(n)).await.unwrap();
    rows.iter().map(|row| decompress(&row.payload).unwrap().to_string()).collect()
}

#[tokio::test]
async fn the_first_arrival_stays() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let mut late = event(1, 20, TraceStatus::Completed);
        late.record.received_at += 60_000;
        for step in [late.clone(), event(1, 30, TraceStatus::Completed), {
            late.revision = 40;
            late
        }] {
            traces.write(&[step]).await.unwrap();
        }
        let row = traces.get(&all(), Uuid::from_u128(1)).await.unwrap().unwrap();
        assert_eq!(row.received_at.timestamp_millis(), 1_760_000_000_000);
        assert_eq!(row.revision, 40);
    }
}

#[tokio::test]
async fn events_of_an_instance_that_is_gone_are_dropped() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let unknown = {
            let mut e = event(1, 1, TraceStatus::Processing);
            e.record.instance_id = 77;
            e.record.instance_name = "gone".into();
            e
        };
        traces.write(&[event(2, 1, TraceStatus::Processing)]).await.unwrap();

        run(database, "DELETE FROM instance_configs WHERE name = 'acme'").await;
        assert_eq!(status(&traces, 2).await, None, "its traces went with it");
        add_instance(database, 30, "acme").await;
        let old = with_payload(event(3, 1, TraceStatus::Processing), Stage::AgentRequest, json!(1));
        let new = {
            let mut e = event(4, 1, TraceStatus::Processing);
            e.record.instance_id = 30;
            e
        };
        assert_eq!(traces.write(&[unknown, old, new]).await.unwrap(), Written { kept: 1, dropped: 2 });
        assert_eq!(status(&traces, 3).await, None, "a name that was given again shows nothing of the old one");
        assert_eq!(status(&traces, 4).await.as_deref(), Some("processing"));
    }
}

async fn run(database: &DatabaseConnection, sql: &str) {
    database.execute_unprepared(sql).await.unwrap();
}

#[tokio::test]
async fn a_large_batch_is_written_in_one_go() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let events: Vec<_> = (0..1_003u128)
            .map(|n| with_payload(full(n), Stage::WebhookReceived, json!({"n": n.to_string()})))
            .collect();
        assert_eq!(traces.write(&events).await.unwrap().kept, 1_003);
        let page = traces.list(&all(), &TraceFilter { limit: 9_999, ..TraceFilter::default() }).await.unwrap();
        assert_eq!((page.rows.len(), page.total), (1_000, Some(1_003)));
        assert_eq!(payloads(&traces, &all(), 1_002).await, ["{\"n\":\"1002\"}"]);
    }
}

#[tokio::test]
async fn recorders_that_write_the_same_messages_at_once_agree() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let writers = (0..4i64).map(|writer| {
            let traces = traces.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    let status =
                        if writer == 3 && round == 9 { TraceStatus::Completed } else { TraceStatus::Processing };
                    let revision = round * 4 + writer;
                    let mut events: Vec<_> = (0..50)
                        .map(|n| with_payload(event(n, revision, status), Stage::AgentRequest, json!(revision)))
                        .collect();
                    if writer % 2 == 0 {
                        events.reverse();
                    }
                    traces.write(&events).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        for n in 0..50 {
            assert_eq!(status(&traces, n).await.as_deref(), Some("completed"));
            assert_eq!(payloads(&traces, &all(), n).await, ["39"]);
        }
    }
}

#[tokio::test]
async fn a_reader_sees_only_its_reach() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let mut other = with_payload(event(2, 1, TraceStatus::Processing), Stage::AgentRequest, json!("theirs"));
        other.record.instance_id = 2;
        other.record.instance_name = "globex".into();
        traces.write(&[event(1, 1, TraceStatus::Processing), other]).await.unwrap();

        assert!(traces.get(&only("acme"), Uuid::from_u128(2)).await.unwrap().is_none());
        assert!(traces.payloads(&only("acme"), Uuid::from_u128(2)).await.unwrap().is_empty());
        assert_eq!(traces.payloads(&only("globex"), Uuid::from_u128(2)).await.unwrap().len(), 1);
        let theirs = TraceFilter { instance_name: Some("globex".into()), ..TraceFilter::default() };
        assert_eq!(traces.list(&only("acme"), &theirs).await.unwrap().total, Some(0));
        assert_eq!(traces.list(&only("acme"), &TraceFilter::default()).await.unwrap().total, Some(1));
        assert_eq!(traces.list(&all(), &TraceFilter::default()).await.unwrap().total, Some(2));
    }
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_filter_and_paged() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let mut events: Vec<_> = (0..5).map(|n| event(n, 1, TraceStatus::WebhookReceived)).collect();
        for (n, event) in events.iter_mut().enumerate() {
            // Sub-second steps, one on the full second: text in SQLite must sort like time.
            event.record.received_at += [0, 5, 500, 999, 1_000][n];
        }
        events.push(full(9));
        traces.write(&events).await.unwrap();

        let page = |limit, offset| TraceFilter { limit, offset, ..TraceFilter::default() };
        assert_eq!(ids(&traces, &page(50, 0)).await, (vec![4, 3, 2, 1, 9, 0], 6));
        assert_eq!(ids(&traces, &page(2, 3)).await, (vec![1, 9], 6));

        let d = TraceFilter::default;
        let at = |ms: i64| DateTime::from_timestamp_millis(1_760_000_000_000 + ms);
        assert_eq!(ids(&traces, &TraceFilter { from: at(5), to: at(999), ..d() }).await, (vec![3, 2, 1], 3));
        let only_nine = [
            TraceFilter { phone: Some("+5511".into()), ..d() },
            TraceFilter { phone: Some("5511".into()), ..d() },
            TraceFilter { session_name: Some("s".into()), ..d() },
            TraceFilter { session_id: Some("i".into()), ..d() },
            TraceFilter { status: Some(TraceStatus::Completed), ..d() },
            TraceFilter { outcome: Some(Outcome::Answered), ..d() },
            TraceFilter { outcome_reason: Some("r".into()), ..d() },
            TraceFilter { error_stage: Some("e".into()), ..d() },
            TraceFilter { message_type: Some("text".into()), ..d() },
            TraceFilter { has_media: Some(false), ..d() },
        ];
        for filter in only_nine {
            assert_eq!(ids(&traces, &filter).await, (vec![9], 1), "{filter:?}");
        }
    }
}

#[tokio::test]
async fn pages_behind_a_cursor_hold_each_trace_once_whatever_arrives() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        // Several in one millisecond: the id decides.
        let mut events: Vec<_> = (0..23).map(|n| event(n, 1, TraceStatus::Processing)).collect();
        for (n, event) in (0..).zip(events.iter_mut()) {
            event.record.received_at += n / 4;
        }
        traces.write(&events).await.unwrap();
        let (mut seen, mut after, mut newer) = (Vec::new(), None, 100);
        loop {
            let page = traces.list(&all(), &TraceFilter { limit: 5, after, ..TraceFilter::default() }).await.unwrap();
            assert_eq!(page.total.is_some(), after.is_none());
            seen.extend(page.rows.iter().map(|row| row.trace_id.as_u128()));
            let Some(next) = page.next else { break };
            after = Some(next);
            let mut arrived = event(newer, 1, TraceStatus::Processing);
            arrived.record.received_at += 1_000;
            traces.write(&[arrived]).await.unwrap();
            newer += 1;
        }
        assert_eq!(seen, (0..23).rev().collect::<Vec<u128>>());
        let last = TraceFilter { after, ..TraceFilter::default() };
        assert!(traces.list(&only("globex"), &last).await.unwrap().rows.is_empty());
    }
}

async fn ids(traces: &Traces, filter: &TraceFilter) -> (Vec<u128>, u64) {
    let page = traces.list(&all(), filter).await.unwrap();
    (page.rows.iter().map(|row| row.trace_id.as_u128()).collect(), page.total.unwrap())
}

#[tokio::test]
async fn refused_data_is_told_from_a_database_that_is_away() {
    let databases = databases().await;
    for database in &databases.connections {
        let traces = Traces::new(database.clone());
        let orphan = database
            .execute_unprepared(
                "INSERT INTO trace_payloads (trace_id, stage, at, payload, payload_size_original, revision) \
                 SELECT trace_id, NULL, at, payload, 0, 0 FROM trace_payloads",
            )
            .await;
        assert!(orphan.is_ok(), "nothing to insert yet");
        traces
            .write(&[with_payload(event(1, 1, TraceStatus::Processing), Stage::AgentRequest, json!(1))])
            .await
            .unwrap();
        let null = database.execute_unprepared("UPDATE trace_payloads SET stage = NULL").await.unwrap_err();
        assert!(is_refusal(&null), "{null}");

        run(database, "DROP TABLE trace_payloads").await;
        let missing = traces.payloads(&all(), Uuid::from_u128(1)).await.unwrap_err();
        assert!(!is_refusal(&missing), "{missing}");
        database.clone().close().await.unwrap();
        assert!(!is_refusal(&traces.write(&[full(1)]).await.unwrap_err()));
    }
}
