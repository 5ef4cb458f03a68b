//! The recorder between a real broker and real databases.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use futures_util::{FutureExt as _, StreamExt as _};
use omnihub_common::{
    key::{Everyone, Reach},
    queue::streams,
    trace::{
        Outcome, Stage, StagePayload, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceFilter, TraceRecord,
        TraceStatus, Traces, revision,
    },
};
use omnihub_migrations::Migrator;
use omnihub_worker::recorder::Recorder;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{Database as Kind, Nats, Store};

/// A broker, a database without tables, and what the tests do with them.
struct Scene {
    jetstream: jetstream::Context,
    database: DatabaseConnection,
    traces: Traces,
    nats: Nats,
    _store: Store,
}

/// One of SQLite, one of PostgreSQL.
async fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for (kind, options) in [(Kind::Sqlite, "?mode=rwc"), (Kind::Postgres, "")] {
        let store = Store::new(kind).await;
        let url = format!("{}{options}", store.url());
        let nats = Nats::start().await;
        let jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        let database = Database::connect(url).await.unwrap();
        let traces = Traces::new(database.clone());
        scenes.push(Scene { jetstream, database, traces, nats, _store: store });
    }
    scenes
}

impl Scene {
    async fn make_streams(&self) {
        let config = |name: &str, subject: &str, retention| stream::Config {
            name: name.into(),
            subjects: vec![subject.into()],
            retention,
            ..stream::Config::default()
        };
        let outcomes = config(streams::TRACES, "trace.>", stream::RetentionPolicy::WorkQueue);
        let steps = config(streams::TRACE_STEPS, "step.>", stream::RetentionPolicy::Limits);
        self.jetstream.create_stream(outcomes).await.unwrap();
        self.jetstream.create_stream(steps).await.unwrap();
    }

    async fn make_tables(&self) {
        Migrator::up(&self.database, None).await.unwrap();
        let moment = "2026-01-01T00:00:00+00:00";
        let insert = format!(
            "INSERT INTO instance_configs \
             (id, name, channel_type, agent_api_url, agent_api_key, channel_settings, created_at, updated_at) \
             VALUES (1, 'acme', 'whatsapp', '', '', '{{}}', '{moment}', '{moment}')"
        );
        self.run(&insert).await;
    }

    async fn run(&self, sql: &str) {
        self.database.execute_unprepared(sql).await.unwrap();
    }

    /// Makes the database refuse rows of this user.
    async fn refuse_user(&self, user: &str) {
        match self.database.get_database_backend() {
            sea_orm::DbBackend::Postgres => {
                self.run(&format!("ALTER TABLE message_traces ADD CHECK (user_id <> '{user}')")).await;
            }
            _ => {
                self.run(&format!(
                    "CREATE TRIGGER refuse BEFORE INSERT ON message_traces WHEN NEW.user_id = '{user}' \
                     BEGIN SELECT RAISE(ABORT, 'refused'); END"
                ))
                .await;
            }
        }
    }

    fn record(&self) -> Running {
        let stop = CancellationToken::new();
        let recorder = Recorder::new(self.jetstream.clone(), self.traces.clone());
        let health = recorder.health();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { recorder.run(stop).await }
        });
        Running { stop, task, health }
    }

    async fn publish(&self, event: &TraceEvent) {
        let kind = if event.record.details.outcome.is_some() { "trace" } else { "step" };
        let subject = format!("{kind}.{}", event.record.instance_name);
        self.publish_bytes(subject, serde_json::to_vec(event).unwrap()).await;
    }

    /// What the recorders acknowledge from now on.
    async fn acknowledgements(&self) -> async_nats::Subscriber {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let subscriber = client.subscribe(format!("$JS.ACK.{}.>", streams::TRACES)).await.unwrap();
        client.flush().await.unwrap();
        subscriber
    }

    /// Publishes until a broker that was away confirms it.
    async fn publish_when_there(&self, event: &TraceEvent) {
        let bytes = serde_json::to_vec(event).unwrap();
        until("the broker takes it", || async {
            match self.jetstream.publish("trace.acme", bytes.clone().into()).await {
                Ok(sent) => sent.await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    async fn publish_bytes(&self, subject: String, bytes: Vec<u8>) {
        self.jetstream.publish(subject, bytes.into()).await.unwrap().await.unwrap();
    }

    async fn statuses(&self) -> Vec<(u128, String)> {
        let filter = TraceFilter { limit: 500, ..TraceFilter::default() };
        let Ok(page) = self.traces.list(&all(), &filter).await else { return Vec::new() };
        let mut seen: Vec<_> = page.rows.into_iter().map(|row| (row.trace_id.as_u128(), row.status)).collect();
        seen.sort();
        seen
    }

    /// How many messages the recorders have still to settle, over both streams.
    async fn unsettled(&self) -> u64 {
        let mut unsettled = 0;
        for name in [streams::TRACES, streams::TRACE_STEPS] {
            let stream = self.jetstream.get_stream(name).await.unwrap();
            unsettled += match stream.consumer_info(streams::RECORDER).await {
                Ok(info) => info.num_pending + info.num_ack_pending as u64,
                // No recorder has come to this stream yet.
                Err(_) => stream.cached_info().state.messages,
            };
        }
        unsettled
    }

    /// Everything is acknowledged, and what is recorded has left the work-queue (which the broker
    /// does a moment after it counted the acknowledgement).
    async fn settled(&self) {
        until("everything is settled", || async { self.unsettled().await == 0 }).await;
        until("the work-queue is empty", || async {
            let outcomes = self.jetstream.get_stream(streams::TRACES).await.unwrap();
            outcomes.cached_info().state.messages == 0
        })
        .await;
    }
}

/// When the message of an acknowledgement was stored, in nanoseconds since 1970.
/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer's sequence>.<stored>.<pending>`
fn stored_at(subject: &str) -> i64 {
    subject.split('.').nth(7).unwrap().parse().unwrap()
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    health: omnihub_worker::recorder::RecorderHealth,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("the recorder stops").unwrap();
    }
}

fn all() -> Reach {
    Reach::Everyone(Everyone::for_admin())
}

fn event(n: u128, status: TraceStatus, outcome: Option<Outcome>) -> TraceEvent {
    let details = TraceDetails { outcome, ..TraceDetails::default() };
    let record = TraceRecord {
        trace_id: Uuid::from_u128(n),
        instance_id: 1,
        instance_name: "acme".into(),
        channel_type: "whatsapp".into(),
        status,
        received_at: 1_760_000_000_000,
        details,
    };
    TraceEvent { v: TRACE_EVENT_VERSION, revision: revision(1, status, outcome), record, payload: None }
}

/// Waits for a condition, at most twenty seconds.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition().await {
            tick.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

#[tokio::test]
async fn steps_and_outcomes_become_traces() {
    for scene in scenes().await {
        scene.make_streams().await;
        scene.make_tables().await;
        let recorder = scene.record();
        for n in 1..=600u128 {
            let mut asked = event(n, TraceStatus::AgentCalled, None);
            let body = serde_json::json!({"n": n.to_string()});
            asked.payload = Some(StagePayload { stage: Stage::AgentRequest, at: 7, status_code: None, body });
            scene.publish(&event(n, TraceStatus::Completed, Some(Outcome::Answered))).await;
            scene.publish(&asked).await;
        }
        until("all are completed", || async {
            let filter = TraceFilter { outcome: Some(Outcome::Answered), ..TraceFilter::default() };
            scene.traces.list(&all(), &filter).await.is_ok_and(|page| page.total == Some(600))
        })
        .await;
        scene.settled().await;
        assert!(scene.statuses().await.iter().all(|(_, status)| status == "completed"));
        assert_eq!(scene.traces.payloads(&all(), Uuid::from_u128(600)).await.unwrap().len(), 1);
        recorder.stop().await;
    }
}

#[tokio::test]
async fn events_wait_for_streams_and_database() {
    for scene in scenes().await {
        let recorder = scene.record();
        scene.make_tables().await;
        scene.run("ALTER TABLE message_traces RENAME TO traces_away").await;
        scene.make_streams().await;
        scene.publish(&event(1, TraceStatus::Completed, Some(Outcome::Ignored))).await;
        until("the recorder has met the missing table", || async { !recorder.health.is_writing() }).await;
        assert_eq!(scene.unsettled().await, 1, "nothing is given up");

        // The next recorder gets what the first one held, without waiting for its deadline.
        recorder.stop().await;
        let recorder = scene.record();
        until("the next one has met it too", || async { !recorder.health.is_writing() }).await;
        scene.run("ALTER TABLE traces_away RENAME TO message_traces").await;
        until("the trace is there", || async { scene.statuses().await == [(1, "completed".to_owned())] }).await;
        scene.settled().await;
        assert!(recorder.health.is_writing());
        recorder.stop().await;
    }
}

#[tokio::test]
async fn one_bad_event_holds_nobody_else() {
    for scene in scenes().await {
        scene.make_streams().await;
        scene.make_tables().await;
        scene.refuse_user("refused").await;
        let completed = |n| event(n, TraceStatus::Completed, Some(Outcome::Answered));
        for n in 1..=20 {
            let mut event = completed(n);
            if n == 7 {
                event.record.details.user_id = Some("refused".into());
            }
            if n == 8 {
                event.record.instance_id = 99;
            }
            scene.publish(&event).await;
        }
        scene.publish_bytes("trace.acme".into(), b"{\"v\":1}".to_vec()).await;
        let recorder = scene.record();
        let expected: Vec<_> = (1..=20).filter(|n| ![7, 8].contains(n)).map(|n| (n, "completed".to_owned())).collect();
        until("the others are there", || async { scene.statuses().await == expected }).await;
        scene.settled().await;
        recorder.stop().await;
    }
}

/// The broker comes back with an older store while a recorder holds a batch: the places of that
/// batch are given to other events, which its acknowledgements must not touch.
#[tokio::test]
async fn an_event_in_the_place_of_another_is_recorded_when_a_store_was_put_back() {
    let mut scene = scenes().await.remove(0);
    scene.make_streams().await;
    scene.make_tables().await;
    let completed = |n| event(n, TraceStatus::Completed, Some(Outcome::Answered));
    let recorder = scene.record();
    scene.publish(&completed(1)).await;
    scene.settled().await;
    let copy = tempfile::tempdir().unwrap();
    let copy = copy.path().join("store");
    scene.nats.snapshot(&copy);
    scene.nats.start_again().await;

    scene.run("ALTER TABLE message_traces RENAME TO traces_away").await;
    let now = || chrono::Utc::now().timestamp_nanos_opt().unwrap();
    let held_from = now();
    for n in 2..=5 {
        scene.publish_when_there(&completed(n)).await;
    }
    until("the recorder holds them", || async { !recorder.health.is_writing() }).await;
    scene.nats.put_back(&copy);
    scene.nats.start_again().await;
    let held_until = now();
    let mut acknowledged = scene.acknowledgements().await;
    for n in 12..=15 {
        scene.publish_when_there(&completed(n)).await;
    }
    scene.run("ALTER TABLE traces_away RENAME TO message_traces").await;
    let new = || async { scene.statuses().await.iter().filter(|(n, _)| *n >= 12).count() == 4 };
    until("the new ones are there", new).await;
    scene.settled().await;
    recorder.stop().await;
    while let Some(Some(message)) = acknowledged.next().now_or_never() {
        let held = (held_from..held_until).contains(&stored_at(&message.subject));
        assert!(!held, "of an event that is no more: {}", message.subject);
    }
}

#[tokio::test]
async fn two_recorders_share_the_work() {
    for scene in scenes().await {
        scene.make_streams().await;
        scene.make_tables().await;
        let recorders = [scene.record(), scene.record()];
        for n in 0..300u128 {
            scene.publish(&event(n % 100, TraceStatus::Completed, Some(Outcome::Answered))).await;
            scene.publish(&event(n % 100, TraceStatus::Processing, None)).await;
        }
        scene.settled().await;
        let seen = scene.statuses().await;
        assert_eq!(seen.len(), 100);
        assert!(seen.iter().all(|(_, status)| status == "completed"));
        for recorder in recorders {
            recorder.stop().await;
        }
    }
}
