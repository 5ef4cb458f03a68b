//! The answers, from a real SQLite database.

use axum::body::to_bytes;
use omnihub_common::key::Everyone;
use omnihub_common::trace::{
    Outcome, Stage, StagePayload, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus, revision,
};
use omnihub_migrations::Migrator;
use sea_orm::{ConnectionTrait, Database};
use sea_orm_migration::MigratorTrait as _;
use serde_json::{Value, json};

use super::*;

struct Fixture {
    traces: Traces,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("traces.db").display());
        let database = Database::connect(url).await.unwrap();
        Migrator::up(&database, None).await.unwrap();
        let instance = "INSERT INTO instance_configs \
             (id, name, channel_type, agent_api_url, agent_api_key, channel_settings, created_at, updated_at) \
             VALUES (1, 'acme', 'whatsapp', '', '', '{}', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00')";
        database.execute_unprepared(instance).await.unwrap();
        Self { traces: Traces::new(database), _folder: folder }
    }

    async fn list(&self, pairs: &[(&str, &str)]) -> (Value, String) {
        let given = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let response = list_traces(&self.traces, &everyone(), &given).await.unwrap();
        let total = response.headers()["x-total-count"].to_str().unwrap().to_owned();
        (body(response).await, total)
    }
}

fn everyone() -> Reach {
    Reach::Everyone(Everyone::for_admin())
}

async fn body(response: Response) -> Value {
    serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
}

fn event(n: u128, stage: Stage, payload: Value) -> TraceEvent {
    let outcome = Some(Outcome::Answered);
    let details = TraceDetails {
        outcome,
        provider_message_id: Some("3EB0".into()),
        sender_id: Some("5511@s.whatsapp.net".into()),
        sender_phone: Some("5511".into()),
        session_id: Some("session-1".into()),
        channel_send_at: Some(1_760_000_001_500),
        reply_message_ids: vec!["A".into(), "B".into()],
        ..TraceDetails::default()
    };
    let record = TraceRecord {
        trace_id: Uuid::from_u128(n),
        instance_id: 1,
        instance_name: "acme".into(),
        channel_type: "whatsapp".into(),
        status: TraceStatus::Completed,
        received_at: 1_760_000_000_000 + i64::try_from(n).unwrap(),
        details,
    };
    let payload = StagePayload { stage, at: 1_760_000_000_700, status_code: Some(200), body: payload };
    let revision = revision(1, TraceStatus::Completed, outcome);
    TraceEvent { v: TRACE_EVENT_VERSION, revision, record, payload: Some(payload) }
}

#[tokio::test]
async fn a_list_is_a_plain_array_with_its_total_beside_it() {
    let fixture = Fixture::new().await;
    let events: Vec<_> = (1..=3).map(|n| event(n, Stage::AgentRequest, json!(n.to_string()))).collect();
    fixture.traces.write(&events).await.unwrap();

    let (rows, total) = fixture.list(&[("limit", "2"), ("phone", "+5511")]).await;
    assert_eq!(total, "3");
    let ids: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["trace_id"].clone()).collect();
    assert_eq!(ids, [json!(Uuid::from_u128(3)), json!(Uuid::from_u128(2))]);
    assert_eq!(fixture.list(&[("phone", "49")]).await, (json!([]), "0".to_owned()));
}

#[tokio::test]
async fn a_trace_shows_every_column_both_names_and_its_payloads() {
    let fixture = Fixture::new().await;
    let stages = [
        event(1, Stage::WebhookReceived, json!({"event": "messages.upsert"})),
        event(1, Stage::AgentRequest, json!({"message": "hi"})),
        event(1, Stage::ChannelSend, json!({"text": "hello"})),
    ];
    fixture.traces.write(&stages).await.unwrap();

    let id = Uuid::from_u128(1).to_string();
    let shown = body(show_trace(&fixture.traces, &everyone(), &id).await.unwrap()).await;
    let expected = json!({
        "trace_id": id, "status": "completed", "outcome": "answered", "received_at": "2025-10-09T08:53:20.001Z",
        "reply_message_ids": ["A", "B"], "warnings": [], "error_message": null, "agent_response": null,
        "provider_message_id": "3EB0", "whatsapp_message_id": "3EB0", "sender_jid": "5511@s.whatsapp.net",
        "session_id": "session-1", "agent_session_id": "session-1",
        "channel_send_at": "2025-10-09T08:53:21.500Z", "evolution_send_at": "2025-10-09T08:53:21.500Z",
        "incoming_payload": {"event": "messages.upsert"}, "agent_request_payload": {"message": "hi"},
        "agent_response_payload": null, "outgoing_payload": {"text": "hello"},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(shown.get(name), Some(value), "{name}");
    }

    let payloads = body(show_payloads(&fixture.traces, &everyone(), &id).await.unwrap()).await;
    let types: Vec<_> = payloads.as_array().unwrap().iter().map(|row| row["payload_type"].clone()).collect();
    assert_eq!(types, ["webhook", "request", "request"]);
    assert_eq!(payloads[0]["payload"], json!({"event": "messages.upsert"}));
    assert_eq!(payloads[0]["timestamp"], "2025-10-09T08:53:20.700Z");
    assert_eq!(payloads[0]["payload_size_original"], 27);
}

#[tokio::test]
async fn a_trace_that_appears_a_moment_later_is_waited_for() {
    let fixture = Fixture::new().await;
    let id = Uuid::from_u128(9).to_string();
    let (everyone, event) = (everyone(), [event(9, Stage::AgentRequest, json!(1))]);
    let asked = show_trace(&fixture.traces, &everyone, &id);
    let written = async {
        tokio::task::yield_now().await;
        fixture.traces.write(&event).await.unwrap();
    };
    let (shown, ()) = tokio::join!(asked, written);
    assert_eq!(body(shown.unwrap()).await["trace_id"], json!(id));
}

#[tokio::test]
async fn what_cannot_be_shown_is_a_problem_that_says_why() {
    let fixture = Fixture::new().await;
    let problem = show_trace(&fixture.traces, &everyone(), &Uuid::from_u128(5).to_string()).await.unwrap_err();
    assert_eq!((problem.status, problem.code), (404, "trace_not_found"));
    assert!(problem.detail.ends_with("000000000005' not found"));

    let problem = show_payloads(&fixture.traces, &everyone(), "not-a-uuid").await.unwrap_err();
    assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "trace_id"));

    let given = HashMap::from([("limit".to_owned(), "many".to_owned())]);
    let problem = list_traces(&fixture.traces, &everyone(), &given).await.unwrap_err();
    assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "limit"));
}
