//! What the tests of the admin API share.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, header},
};
use omnihub_common::{
    instance::{Announcer, Directory, DirectorySettings, EvolutionFallback, Instances},
    key::{AdminKey, Keys},
    sealed::SealedValues,
    secret::{Keyring, Secret},
    trace::{Outcome, TRACE_EVENT_VERSION, TraceDetails, TraceEvent, TraceRecord, TraceStatus, Traces},
};
use omnihub_migrations::Migrator;
use sea_orm::{ConnectOptions, Database};
use sea_orm_migration::MigratorTrait;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{limits::RateLimits, openapi, routes};
use crate::{
    evolution::{Door, EvolutionDesk},
    state::AppState,
};

/// The root key of the hub.
pub(super) const KEY: &str = "planted-admin-key";

/// A hub of nothing but the admin API, on a SQLite file.
pub(super) struct Hub {
    pub(super) state: AppState,
    _folder: tempfile::TempDir,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) json: Value,
}

impl Answer {
    /// The fields that a 422 names.
    pub(super) fn wrong_fields(&self) -> Vec<String> {
        assert_eq!(self.status, 422, "{}", self.text);
        let name = |error: &Value| error["field"].as_str().unwrap().to_owned();
        self.json["errors"].as_array().unwrap().iter().map(name).collect()
    }
}

impl Hub {
    pub(super) async fn new() -> Self {
        Self::with(EvolutionFallback::default()).await
    }

    pub(super) async fn with(fallback: EvolutionFallback) -> Self {
        Self::make(fallback, Arc::new(Keyring::generate())).await
    }

    pub(super) async fn new_with_ring(keyring: Arc<Keyring>) -> Self {
        Self::make(EvolutionFallback::default(), keyring).await
    }

    async fn make(fallback: EvolutionFallback, keyring: Arc<Keyring>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("t.db").display());
        let database = Database::connect(ConnectOptions::new(url)).await.unwrap();
        Migrator::up(&database, None).await.unwrap();
        let instances = Arc::new(Instances::new(database.clone(), Arc::clone(&keyring)));
        let directory = Arc::new(Directory::new(Arc::clone(&instances), DirectorySettings::default()));
        let fallback = Arc::new(fallback);
        let state = AppState {
            keys: Keys::new(database.clone(), Arc::clone(&keyring)),
            limits: Arc::new(RateLimits::new(NonZeroU32::MAX, 0)),
            sealed: SealedValues::new(database.clone(), keyring),
            database,
            announcer: Announcer::local(Arc::clone(&directory)),
            directory,
            instances,
            admin_key: Arc::new(AdminKey::new(&Secret::new(KEY))),
            evolution: EvolutionDesk::new(Door { public: None, listener: None }, Arc::clone(&fallback)).unwrap(),
            evolution_fallback: fallback,
            purger: crate::purge::Purger::idle(),
            dead: None,
            sends: None,
            doctor: None,
            accounts: None,
            sessions: None,
            live: crate::live::Live::idle(),
        };
        Self { state, _folder: folder }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let asked = (request.method().to_string(), request.uri().path().to_owned());
        let response = routes().with_state(self.state.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let documented = openapi::statuses(&asked.0, &asked.1);
        assert!(documented.is_none_or(|known| known.contains(&parts.status.as_u16())), "{asked:?}: {}", parts.status);
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        assert!(!text.contains("planted"), "a secret in the answer: {text}");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text, json }
    }

    /// With the root key, below `/api/v1`, as curl sends a body without being told its type.
    pub(super) async fn call(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        self.call_as(KEY, method, path, body).await
    }

    /// The same with another key.
    pub(super) async fn call_as(&self, key: &str, method: &str, path: &str, body: impl ToString) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("x-api-key", key)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    /// Makes an instance on Discord, which needs no other server.
    pub(super) async fn add_instance(&self, name: &str) {
        let body = json!({
            "name": name,
            "channel_type": "discord",
            "agent_api_url": "http://agent.test",
            "agent_api_key": "planted-agent-1234",
            "default_agent": "bot",
        });
        let made = self.call("POST", "/instances", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }

    /// Somebody wrote to an instance and was answered, as the recorder writes it down.
    pub(super) async fn answered(&self, instance: &str, phone: &str) {
        let id = self.state.instances.get(instance).await.unwrap().unwrap().id;
        let details = TraceDetails {
            outcome: Some(Outcome::Answered),
            sender_phone: Some(phone.to_owned()),
            sender_id: Some(format!("{phone}@s.whatsapp.net")),
            message_content: Some(format!("the words of {phone}")),
            session_name: Some(format!("{instance}_{phone}")),
            ..TraceDetails::default()
        };
        let record = TraceRecord {
            trace_id: Uuid::new_v4(),
            instance_id: id,
            instance_name: instance.to_owned(),
            channel_type: "whatsapp".to_owned(),
            status: TraceStatus::Completed,
            received_at: 1_760_000_000_000,
            details,
        };
        let event = TraceEvent { v: TRACE_EVENT_VERSION, revision: 1, record, payload: None };
        Traces::new(self.state.database.clone()).write(&[event]).await.unwrap();
    }
}
