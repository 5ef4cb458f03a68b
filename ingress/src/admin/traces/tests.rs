//! The answers, from a real SQLite database.

use axum::body::to_bytes;
use omnihub_common::key::Everyone;
use omnihub_common::trace::{
    Outcome, Stage, StagePayload, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus, revision,
};
use omnihub_migrations::Migrator;
use proptest::prelude::*;
use sea_orm::{ConnectionTrait, Database};
use sea_orm_migration::MigratorTrait as _;
use serde_json::{Value, json};

use super::*;

struct Fixture {
    traces: Traces,
    database: DatabaseConnection,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("traces.db").display());
        Self::at(&url, folder).await
    }

    /// On a database of its own in the cluster of the tests, where there is one.
    async fn on_postgres() -> Option<Self> {
        let server = std::env::var("OMNIHUB_TEST_POSTGRES").ok()?;
        let name = format!("omnihub_{}", Uuid::new_v4().simple());
        let admin = Database::connect(&server).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Some(Self::at(url.as_str(), tempfile::tempdir().unwrap()).await)
    }

    async fn at(url: &str, folder: tempfile::TempDir) -> Self {
        let database = Database::connect(url).await.unwrap();
        Migrator::up(&database, None).await.unwrap();
        let instance = "INSERT INTO instance_configs \
             (id, name, channel_type, agent_api_url, agent_api_key, channel_settings, created_at, updated_at) \
             VALUES (1, 'acme', 'whatsapp', '', '', '{}', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00')";
        database.execute_unprepared(instance).await.unwrap();
        Self { traces: Traces::new(database.clone()), database, _folder: folder }
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

    let payloads = body(show_payloads(&fixture.traces, &everyone(), &id, &HashMap::new()).await.unwrap()).await;
    let types: Vec<_> = payloads.as_array().unwrap().iter().map(|row| row["payload_type"].clone()).collect();
    assert_eq!(types, ["webhook", "request", "request"]);
    assert_eq!(payloads[0]["payload"], json!({"event": "messages.upsert"}));
    assert_eq!(payloads[0]["timestamp"], "2025-10-09T08:53:20.700Z");
    assert_eq!(payloads[0]["payload_size_original"], 27);
    assert_eq!((&payloads[0]["compression_ratio"], &payloads[0]["contains_base64"]), (&json!(1.3), &json!(false)));

    let without = HashMap::from([("include_payload".to_owned(), "false".to_owned())]);
    let payloads = body(show_payloads(&fixture.traces, &everyone(), &id, &without).await.unwrap()).await;
    assert_eq!((&payloads[0]["payload"], &payloads[0]["payload_size_original"]), (&json!(null), &json!(27)));
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

    let problem = show_payloads(&fixture.traces, &everyone(), "not-a-uuid", &HashMap::new()).await.unwrap_err();
    assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "trace_id"));

    let given = HashMap::from([("limit".to_owned(), "many".to_owned())]);
    let problem = list_traces(&fixture.traces, &everyone(), &given).await.unwrap_err();
    assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "limit"));
}

#[tokio::test]
async fn pages_are_walked_by_cursor_and_a_phone_has_a_list_of_its_own() {
    let fixture = Fixture::new().await;
    let events: Vec<_> = (1..=5).map(|n| event(n, Stage::AgentRequest, json!(n.to_string()))).collect();
    fixture.traces.write(&events).await.unwrap();
    let mut given = HashMap::from([("limit".to_owned(), "2".to_owned())]);
    let (mut seen, mut totals) = (Vec::new(), Vec::new());
    loop {
        let response = list_traces(&fixture.traces, &everyone(), &given).await.unwrap();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (total, next) = (header("x-total-count"), header("x-next-cursor"));
        totals.push(total);
        seen.extend(body(response).await.as_array().unwrap().iter().map(|row| row["trace_id"].clone()));
        let Some(next) = next else { break };
        given.insert("cursor".to_owned(), next);
    }
    assert_eq!(seen, (1..=5).rev().map(|n| json!(Uuid::from_u128(n))).collect::<Vec<_>>());
    assert_eq!(totals, [Some("5".to_owned()), None, None]);

    let of = async |phone: &str, limit: &str| {
        let given = HashMap::from([("limit".to_owned(), limit.to_owned()), ("end_date".to_owned(), "1".to_owned())]);
        list_of_a_phone(&fixture.traces, &everyone(), phone.to_owned(), given).await
    };
    assert_eq!(body(of("+5511", "3").await.unwrap()).await.as_array().unwrap().len(), 3);
    assert_eq!(body(of("49", "500").await.unwrap()).await, json!([]));
    for (phone, limit) in [("5511", "501"), ("5511", "0"), ("5511", "x"), (" +", "1"), ("55\u{0}11", "1")] {
        assert_eq!(of(phone, limit).await.unwrap_err().status, 422, "{phone:?} {limit}");
    }
}

#[tokio::test]
async fn a_summary_has_the_older_names_and_ours() {
    let fixture = Fixture::new().await;
    let events: Vec<_> = (1..=3).map(|n| event(n, Stage::AgentRequest, json!(1))).collect();
    fixture.traces.write(&events).await.unwrap();
    let sum = async |pairs: &[(&str, &str)]| {
        let given = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        serde_json::to_value(summary::sum_up(&fixture.traces, &everyone(), &given).await.unwrap()).unwrap()
    };
    let found = sum(&[("all_time", "true")]).await;
    let expected = json!({
        "start_date": null, "total_messages": 3, "successful_messages": 3, "failed_messages": 0, "success_rate": 100.0,
        "avg_processing_time_ms": null, "message_types": {"unknown": 3}, "error_stages": {}, "instances": {"acme": 3},
        "outcomes": {"answered": 3}, "total_time_ms": {"avg": null, "p50": null, "p95": null, "p99": null},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(found.get(name), Some(value), "{name}");
    }
    assert_eq!(found["per_hour"][0]["key"], "2025-10-09T08:00:00Z");
    assert_eq!((&found["by_instance"][0]["key"], &found["by_instance"][0]["successful"]), (&json!("acme"), &json!(3)));
    let nothing_lately = sum(&[]).await;
    assert_eq!((&nothing_lately["total_messages"], &nothing_lately["success_rate"]), (&json!(0), &json!(0.0)));
}

#[tokio::test]
async fn a_cleanup_counts_first_and_goes_on_where_it_ended() {
    let fixture = Fixture::new().await;
    let events: Vec<_> = (1..=1_200).map(|n| event(n, Stage::AgentRequest, json!(1))).collect();
    fixture.traces.write(&events).await.unwrap();
    fixture.database.execute_unprepared("UPDATE message_traces SET updated_at = received_at").await.unwrap();
    let somebody = omnihub_common::key::Actor::hub("test");
    let clean = async |dry_run: bool, reach: &Reach, work_for: Duration| {
        let asked = query::Cleanup { days_old: 7, than: chrono::Utc::now(), instance_name: None, dry_run };
        cleanup::clean(&fixture.traces, reach, &somebody, &asked, work_for).await.unwrap()
    };
    let counted = clean(true, &everyone(), Duration::ZERO).await;
    assert_eq!((&counted["status"], &counted["traces_to_delete"]), (&json!("dry_run"), &json!(1_200)));
    assert_eq!(counted["instances"], json!({"acme": 1_200}));
    assert_eq!(clean(false, &Reach::one("globex"), Duration::MAX).await["traces_deleted"], 0);
    let first = clean(false, &everyone(), Duration::ZERO).await;
    assert_eq!(first["status"], "unfinished");
    assert_eq!((&first["traces_deleted"], &first["traces_left"]), (&json!(500), &json!(700)));
    let rest = clean(false, &everyone(), Duration::MAX).await;
    assert_eq!(
        (&rest["status"], &rest["traces_deleted"], &rest["traces_left"]),
        (&json!("completed"), &json!(700), &json!(0))
    );
    assert_eq!(rest["message"], "Deleted 700 traces older than 7 days");
}

/// What callers may put anywhere.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        any::<i64>().prop_map(|number| number.to_string()),
        "[-+]?[0-9]{1,6}-[0-9]{1,2}-[0-9]{1,2}([T ][0-9:.]{1,12}(Z|[-+][0-9:]{1,5})?)?",
        "[0-9]{1,20}\\.[0-9a-f]{32}",
        Just("9999-12-31T23:59:59.999999999Z".to_owned()),
        Just("0001-01-01".to_owned()),
        Just("' OR 1=1; DROP TABLE message_traces; --".to_owned()),
        Just("true".to_owned()),
        Just("completed".to_owned()),
        Just("acme".to_owned()),
    ]
}

#[test]
fn no_query_is_a_failure_of_ours() {
    const NAMES: [&str; 17] = [
        "limit",
        "offset",
        "cursor",
        "instance_name",
        "phone",
        "session_name",
        "agent_session_id",
        "trace_status",
        "outcome",
        "outcome_reason",
        "error_stage",
        "message_type",
        "has_media",
        "start_date",
        "end_date",
        "all_time",
        "days_old",
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sqlite, postgres) = runtime.block_on(async { (Fixture::new().await, Fixture::on_postgres().await) });
    let fixtures: Vec<_> = [Some(sqlite), postgres].into_iter().flatten().collect();
    let queries = proptest::collection::hash_map(proptest::sample::select(&NAMES[..]), anything(), 0..5);
    let queries = queries.prop_map(|pairs| pairs.into_iter().map(|(name, text)| (name.to_owned(), text)).collect());
    proptest!(ProptestConfig::with_cases(200), |(given in queries, phone in anything())| {
        for Fixture { traces, .. } in &fixtures {
            let answers = runtime.block_on(async {
                [
                    list_traces(traces, &everyone(), &given).await.map(drop),
                    list_of_a_phone(traces, &everyone(), phone.clone(), given.clone()).await.map(drop),
                    summary::sum_up(traces, &everyone(), &given).await.map(drop),
                    query::cleanup(&given, chrono::Utc::now()).map(drop).map_err(invalid),
                ]
            });
            for problem in answers.into_iter().filter_map(Result::err) {
                prop_assert_eq!(problem.status, 422, "{:?}", &problem);
            }
        }
    });
}
