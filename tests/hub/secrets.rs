//! Secrets are planted everywhere, good and failing traffic runs, and then every log, answer, call
//! and table is searched for them. Payloads are stored packed: they are searched as REST shows them.

use std::path::Path;

use axum::http::StatusCode;
use omnihub_fakes::{Answer, Behaviour, FakeAgent, FakeTranscriber, Hears, customers};
use reqwest::Method;
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use serde_json::{Value, json};

use crate::harness::{
    ADMIN_KEY, Database, EVOLUTION_KEY, INSTANCE, Site, Store, message_id, now, on_both_databases, webhook,
};

on_both_databases!(no_secret_is_seen_anywhere);

const WEBHOOK_SECRET: &str = "planted-webhook-secret-77d0";
const OLD_WEBHOOK_SECRET: &str = "planted-older-webhook-secret-5c3e";
const SIGNING_SECRET: &str = "whsec_cGxhbnRlZC1zaWduaW5nLXNlY3JldC1uZXdlcg==";
const OLD_SIGNING_SECRET: &str = "whsec_cGxhbnRlZC1zaWduaW5nLXNlY3JldC1vbGRlcg==";
const DATABASE_PASSWORD: &str = "planted-database-password-e0b1";
const ENCRYPTION_KEY: &str = "cGxhbnRlZC1lbmNyeXB0aW9uLWtleS0zMi1ieXRlcyE=";

/// Everything that must not be seen.
fn planted() -> [&'static str; 11] {
    [
        FakeAgent::KEY,
        FakeTranscriber::KEY,
        EVOLUTION_KEY,
        WEBHOOK_SECRET,
        OLD_WEBHOOK_SECRET,
        SIGNING_SECRET,
        OLD_SIGNING_SECRET,
        ADMIN_KEY,
        customers::ENVELOPE_APIKEY,
        DATABASE_PASSWORD,
        ENCRYPTION_KEY,
    ]
}

/// The secrets that an instance has, in one text: what an agent that repeats all it knows says.
fn everything() -> String {
    let signing = format!("{SIGNING_SECRET} {OLD_SIGNING_SECRET}");
    let keys = [FakeAgent::KEY, FakeTranscriber::KEY].join(" ");
    format!("keys: {keys} {EVOLUTION_KEY} {WEBHOOK_SECRET} {OLD_WEBHOOK_SECRET} {signing}")
}

fn assert_clean(place: &str, text: &str) {
    for secret in planted() {
        if let Some(at) = text.find(secret) {
            let (from, to) = (text.floor_char_boundary(at.saturating_sub(300)), text.ceil_char_boundary(at + 200));
            panic!("{secret} is in {place}: ... {} ...", &text[from..to]);
        }
    }
}

fn agent() -> Behaviour {
    Behaviour::custom(|call| {
        let all = everything();
        let echo = json!({
            "message": all, "success": true, "session_id": all, "user_id": all,
            "Authorization": call.header("authorization"), "seen": call.headers, "deep": [[{"text": all}]], &*all: 1,
        });
        match call.message() {
            "echo" => Answer::json(StatusCode::OK, &echo),
            "refuse" => Answer::json(StatusCode::NOT_FOUND, &echo),
            "html" => Answer { status: StatusCode::OK, content_type: "text/html".to_owned(), body: all.into_bytes() },
            "fail" => Answer::json(StatusCode::INTERNAL_SERVER_ERROR, &echo),
            text => Answer::text(call, &format!("echo: {text}")),
        }
    })
}

async fn no_secret_is_seen_anywhere(database: Database) {
    let store = Store::new(database).await;
    let url = store.url().replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
    let settings = [
        ("DATABASE_URL", url.as_str()),
        // All there is to say, of every library; only async-nats would write out each byte of the
        // queue at its last level, and with them what people say.
        ("LOG_LEVEL", "trace,async_nats=debug"),
        ("LOG_FORMAT", "json"),
        ("LOG_FOLDER", "logs"),
        ("OMNIHUB_ENCRYPTION_KEYS", &format!("planted:{ENCRYPTION_KEY}")),
    ];
    let mut site = Site::up_with(Database::Sqlite, agent(), &settings).await;
    site.change_instance(INSTANCE, json!({"webhook_secret": OLD_WEBHOOK_SECRET})).await;
    site.change_instance(INSTANCE, json!({"webhook_secret": WEBHOOK_SECRET})).await;
    for secret in [OLD_SIGNING_SECRET, SIGNING_SECRET] {
        site.change_instance(INSTANCE, json!({"agent_webhook_secret": secret})).await;
    }
    let traces = [spoken(&site).await, traffic(&site).await].concat();

    for (path, answer) in answers(&site, &traces).await {
        assert_clean(&path, &answer);
    }
    check_outgoing(&site);
    // What is at rest, with nothing running that still holds it back.
    site.hub.terminate().await;
    assert_clean("the log", &site.hub.log());
    let logged = search_folder(&site.hub.folder().join("logs"));
    assert!(logged > 0, "there is a log file");
    match &store {
        Store::Sqlite(folder) => assert!(search_folder(folder.path()) > 0, "there is a database file"),
        Store::Postgres(postgres) => search_tables(&postgres.url()).await,
    }
}

/// Good and failing messages; answers their traces.
async fn traffic(site: &Site) -> Vec<String> {
    let mut traces = Vec::new();
    let say = async |phone: &str, text: &str, headers: &[(&str, &str)], query: &str| {
        let webhook = customers::webhook(INSTANCE, phone, &message_id(), text, now()).to_string().into_bytes();
        let answer = site.post_bytes(&format!("/webhook/evolution/acme{query}"), webhook, headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.traces().remove(0)
    };
    let header = [("x-webhook-secret", WEBHOOK_SECRET)];
    let bearer = format!("Bearer {OLD_WEBHOOK_SECRET}");
    for (nth, question) in ["hello", "echo", "refuse", "html"].into_iter().enumerate() {
        let trace = say(&format!("1415555500{nth}"), question, &header, "").await;
        site.ended(&trace).await;
        traces.push(trace);
    }
    let by_token = say("14155555010", "hello", &[], &format!("?token={WEBHOOK_SECRET}")).await;
    let by_bearer = say("14155555011", "hello", &[("authorization", &bearer)], "").await;
    // A person who has got hold of a key and writes it, and one whose name it is.
    let by_person = say("14155555012", &everything(), &header, "").await;
    let mut named = webhook("14155555013", "hello");
    named["data"]["pushName"] = everything().into();
    named["data"]["apikey"] = EVOLUTION_KEY.into();
    let named = site.post_bytes("/webhook/evolution/acme", named.to_string().into_bytes(), &header).await;
    for trace in [by_token, by_bearer, by_person, named.traces().remove(0)] {
        site.ended(&trace).await;
        traces.push(trace);
    }
    // Evolution repeats the key: refused for good, refused for now, and taken back.
    let words = json!({"status": 400, "error": "Bad Request", "response": {"message": [everything()]}});
    for (phone, status, ends) in [
        ("14155555020", StatusCode::BAD_REQUEST, true),
        ("14155555021", StatusCode::UNAUTHORIZED, false),
        ("14155555022", StatusCode::BAD_GATEWAY, true),
    ] {
        site.evolution.fail_next(1, status, &words);
        let trace = say(phone, "hello", &header, "").await;
        match ends {
            true => site.ended(&trace).await,
            false => {
                site.trace_when(&trace, "tells of the refusal", |trace| trace["error_stage"] == "channel_send").await
            }
        };
        traces.push(trace);
    }
    // An agent that fails for now, seen while it is tried again.
    let failing = say("14155555030", "fail", &header, "").await;
    site.trace_when(&failing, "tells of the failure", |trace| trace["error_stage"] == "agent_called").await;
    traces.push(failing);
    // And senders who do not know the secret, but others.
    for secret in [EVOLUTION_KEY, ADMIN_KEY, FakeAgent::KEY] {
        let body = webhook("14155555040", "hello").to_string().into_bytes();
        let answer = site.post_bytes(&format!("/webhook/evolution/acme?token={secret}"), body, &header[..0]).await;
        answer.assert_problem(401, "webhook_unverified");
        assert_clean("the answer to a wrong secret", &answer.text);
    }
    let broken = format!("{{\"data\": {{\"apikey\": \"{EVOLUTION_KEY}\", \"key\": [");
    let answer = site.post_bytes("/webhook/evolution/acme", broken.into_bytes(), &header).await;
    assert_clean("the answer to a broken body", &answer.text);
    traces
}

/// Voice messages whose server repeats all that it knows, and fails; answers their traces.
async fn spoken(site: &Site) -> Vec<String> {
    let server = FakeTranscriber::start(Hears::Words(everything())).await.expect("a fake server");
    let key = json!({"transcript_api_url": server.url(), "transcript_api_key": FakeTranscriber::KEY});
    site.change_instance(INSTANCE, key).await;
    let mut traces = Vec::new();
    let broken = Hears::Raw(StatusCode::BAD_REQUEST, "text/html".to_owned(), everything().into_bytes());
    for (phone, hears) in [("14155555050", Hears::Words(everything())), ("14155555051", broken)] {
        server.set(hears);
        let mut voice = webhook(phone, "");
        voice["data"]["messageType"] = "audioMessage".into();
        voice["data"]["message"] = json!({"audioMessage": {"ptt": true}, "base64": "T2dnUw=="});
        let path = format!("/webhook/evolution/{INSTANCE}?token={WEBHOOK_SECRET}");
        let trace = site.accepted(&path, &voice).await.remove(0);
        site.ended(&trace).await;
        traces.push(trace);
    }
    assert_eq!(server.calls().len(), 2);
    traces
}

/// Everything that the API has to say.
async fn answers(site: &Site, traces: &[String]) -> Vec<(String, String)> {
    let mut paths: Vec<String> =
        ["instances", "instances/acme", "traces?limit=500"].map(|p| format!("/api/v1/{p}")).into();
    paths.extend(["/health", "/readyz", "/metrics"].map(str::to_owned));
    for trace in traces {
        paths.extend([format!("/api/v1/traces/{trace}"), format!("/api/v1/traces/{trace}/payloads")]);
    }
    let mut answers = Vec::new();
    for path in paths {
        let answer = site.api(Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{path}");
        answers.push((path, answer.text));
    }
    let wrong = json!({
        "name": "not good!", "evolution_url": format!("nonsense {EVOLUTION_KEY}"), "agent_api_key": FakeAgent::KEY,
        "evolution_key": format!("{EVOLUTION_KEY}\u{e9}"), "webhook_secret": WEBHOOK_SECRET, "agent_timeout": WEBHOOK_SECRET,
    });
    let refused = site.api(Method::POST, "/api/v1/instances", Some(&wrong)).await;
    refused.assert_problem(422, "validation_failed");
    answers.push(("a refused instance".to_owned(), refused.text));
    answers
}

/// Each key goes to its owner, in the header made for it, and nowhere else.
fn check_outgoing(site: &Site) {
    for call in site.agent.calls() {
        let mut headers = call.headers.clone();
        assert_eq!(headers.remove("authorization").as_deref(), Some(format!("Bearer {}", FakeAgent::KEY).as_str()));
        assert_eq!(headers.remove("x-api-key").as_deref(), Some(FakeAgent::KEY));
        let mut body = call.body.clone();
        // A person's own words reach the agent as they are, and so does the person's name.
        if body["message"] == everything() {
            body["message"] = Value::Null;
        }
        if body["media_contents"][0]["transcript"] == everything() {
            body["media_contents"][0]["transcript"] = Value::Null;
        }
        if body["user"]["user_data"]["name"] == everything() {
            body["user"]["user_data"]["name"] = Value::Null;
        }
        assert_clean("an agent's call", &format!("{headers:?} {body}"));
        for raw in ["remoteJid", "messageContextInfo", "server_url", "apikey"] {
            assert!(!body.to_string().contains(raw), "{raw} of the webhook is in {body}");
        }
    }
    for sent in site.evolution.sent() {
        let mut headers = sent.headers.clone();
        assert_eq!(headers.remove("apikey").as_deref(), Some(EVOLUTION_KEY));
        assert_clean("a call of Evolution", &format!("{headers:?}"));
    }
    site.assert_no_violations();
}

/// Searches every file of a folder; answers how many bytes there were.
fn search_folder(folder: &Path) -> usize {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        bytes += content.len();
        assert_clean(&path.display().to_string(), &String::from_utf8_lossy(&content));
    }
    bytes
}

/// Searches every row of every table.
async fn search_tables(url: &str) {
    let database = sea_orm::Database::connect(url).await.unwrap();
    let query = |sql: String| database.query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql));
    let tables = query("SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'".to_owned()).await;
    let tables: Vec<String> = tables.unwrap().iter().map(|row| row.try_get("", "name").unwrap()).collect();
    assert!(tables.iter().any(|table| table == "instance_configs"), "{tables:?}");
    for table in tables {
        for row in query(format!("SELECT t::text AS row FROM \"{table}\" t")).await.unwrap() {
            assert_clean(&table, &row.try_get::<String>("", "row").unwrap());
        }
    }
}
