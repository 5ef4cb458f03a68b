//! The routes over a real SQLite file.

use axum::{
    body::Body,
    http::{Request, header},
};
use omnihub_common::{instance::EvolutionFallback, secret::Secret};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::admin::testing::{self, Answer, KEY};

/// A hub of nothing but the admin API.
struct Hub(testing::Hub);

impl Hub {
    async fn new() -> Self {
        Self(testing::Hub::new().await)
    }

    async fn with(fallback: EvolutionFallback) -> Self {
        Self(testing::Hub::with(fallback).await)
    }

    /// Below `/api/v1/instances`.
    async fn call(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        self.0.call(method, &format!("/instances{path}"), body).await
    }

    async fn make(&self, name: &str) -> Answer {
        let answer = self.call("POST", "", whatsapp(name)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer
    }
}

fn whatsapp(name: &str) -> Value {
    json!({
        "name": name,
        "channel_type": "whatsapp",
        "evolution_url": "http://evolution.test:8080",
        "evolution_key": "planted-evolution-1234",
        "whatsapp_instance": "wa",
        "session_id_prefix": "dev-",
        "webhook_secret": "planted-webhook-1234",
        "agent_api_url": "http://agent.test",
        "agent_api_key": "planted-agent-1234",
        "default_agent": "bot",
        "agent_timeout": 600.0,
        // No Evolution server stands there.
        "provision": false,
        "unknown_field": {"is": "ignored"},
    })
}

#[tokio::test]
async fn made_shown_listed_and_deleted() {
    let hub = Hub::new().await;
    let made = hub.make("customer_A-1").await.json;
    assert_eq!(made["agent_api_key"], "****1234");
    assert_eq!(made["evolution_key"], "****1234");
    assert_eq!(made["webhook_secret"], "****1234");
    assert_eq!((&made["agent_timeout"], &made["split_over"]), (&json!(600), &json!(1000)));
    assert_eq!((&made["is_active"], &made["is_default"]), (&json!(true), &json!(false)));
    assert_eq!((&made["agent_id"], &made["warnings"]), (&Value::Null, &json!([])));
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'));

    assert_eq!(hub.call("GET", "/customer_A-1", "").await.json, made);
    assert_eq!(hub.call("GET", "", "").await.json, json!([made]));
    assert_eq!(hub.call("GET", "/customer_a-1", "").await.status, 404);
    let deleted = hub.call("DELETE", "/customer_A-1", "").await;
    assert_eq!(deleted.json, json!({"message": "Instance 'customer_A-1' deleted successfully"}));
    let gone = hub.call("DELETE", "/customer_A-1", "").await;
    assert_eq!((gone.status, &gone.json["code"]), (404, &json!("instance_not_found")));
    assert_eq!(gone.headers[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn nobody_comes_in_without_the_key() {
    let hub = Hub::new().await;
    let paths = [("GET", ""), ("POST", ""), ("GET", "/a"), ("PUT", "/a"), ("DELETE", "/a"), ("POST", "/a/set-default")];
    for (method, path) in paths {
        for (name, value, code) in [("x-api-key", "guess", "invalid_api_key"), ("x-other", "k", "missing_api_key")] {
            let uri = format!("/api/v1/instances{path}");
            let request = Request::builder().method(method).uri(uri).header(name, value).body(Body::empty()).unwrap();
            let answer = hub.0.send(request).await;
            assert_eq!((answer.status, &answer.json["code"]), (401, &json!(code)), "{method} {path}");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "ApiKey");
        }
    }
    let request = Request::builder()
        .uri("/api/v1/instances/supported-channels")
        .header("authorization", format!("Bearer {KEY}"))
        .body(Body::empty())
        .unwrap();
    let answer = hub.0.send(request).await;
    assert_eq!(answer.json, json!({"supported_channels": ["whatsapp", "discord", "slack"], "total_channels": 3}));
}

#[tokio::test]
async fn everything_wrong_is_named_at_once() {
    let hub = Hub::new().await;
    assert_eq!(hub.call("POST", "", "{").await.status, 400);
    assert_eq!(hub.call("POST", "", "").await.status, 400);
    assert_eq!(hub.call("POST", "", "[]").await.wrong_fields(), ["body"]);
    let missing = hub.call("POST", "", "{}").await;
    assert_eq!(missing.wrong_fields(), ["name", "agent_api_url", "agent_api_key", "evolution_url", "evolution_key"]);
    let bad = json!({
        "name": "a b", "channel_type": "telegram", "agent_api_url": "agent.test", "agent_api_key": 5,
        "evolution_url": "http://u:planted@evolution.test", "evolution_key": "line\nbreak", "agent_timeout": 601,
        "agent_instance_type": "smoke", "agent_type": "crowd", "split_over": -1, "is_default": "yes",
        "webhook_secret": "****1234", "agent_webhook_secret": "planted", "agent_history_turns": 201,
        "agent_stream_mode": "yes", "agent_system_prompt": 1,
    });
    let mut named: Vec<String> = hub.call("POST", "", &bad).await.wrong_fields();
    let mut expected: Vec<String> = bad.as_object().unwrap().keys().cloned().collect();
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    for name in ["messages-upsert", "supported-channels", " a", "ü"] {
        assert_eq!(hub.call("POST", "", whatsapp("x").tap("name", json!(name))).await.wrong_fields(), ["name"]);
    }
    assert_eq!(hub.call("GET", "", "").await.json, json!([]), "nothing was made");
}

/// A body with one field changed.
trait Tap {
    fn tap(self, field: &str, value: Value) -> Value;
}

impl Tap for Value {
    fn tap(mut self, field: &str, value: Value) -> Value {
        self[field] = value;
        self
    }
}

#[tokio::test]
async fn a_name_is_given_once() {
    let hub = Hub::new().await;
    hub.make("a").await;
    let again = hub.call("POST", "", whatsapp("a")).await;
    assert_eq!((again.status, &again.json["code"]), (409, &json!("instance_exists")));
    hub.make("A").await;
}

#[tokio::test]
async fn put_changes_what_it_names() {
    let hub = Hub::new().await;
    let before = hub.make("a").await.json;
    let echoed = hub.call("PUT", "/a", &before).await;
    assert_eq!(echoed.status, 200, "an answer can be sent back: {}", echoed.text);
    let stored = hub.0.state.instances.get("a").await.unwrap().unwrap();
    assert_eq!(stored.agent.api_key.expose(), "planted-agent-1234");

    let change = json!({"agent_timeout": 5, "default_agent": null, "agent_id": "x", "whatsapp_instance": ""});
    let after = hub.call("PUT", "/a", change).await.json;
    assert_eq!((&after["agent_timeout"], &after["default_agent"]), (&json!(5), &Value::Null));
    assert_eq!((&after["agent_id"], &after["whatsapp_instance"]), (&json!("x"), &json!("a")));
    assert_eq!(after["session_id_prefix"], before["session_id_prefix"]);
    let reset = hub.call("PUT", "/a", json!({"agent_timeout": null, "is_active": false})).await.json;
    assert_eq!((&reset["agent_timeout"], &reset["is_active"]), (&json!(60), &json!(false)));

    let bad = json!({"name": "b", "channel_type": "discord", "agent_api_key": null, "evolution_url": " ",
                     "is_active": null, "evolution_key": "****9999"});
    let mut fields: Vec<String> = hub.call("PUT", "/a", bad).await.wrong_fields();
    fields.sort();
    assert_eq!(fields, ["agent_api_key", "channel_type", "evolution_key", "evolution_url", "is_active", "name"]);
    assert_eq!(hub.call("PUT", "/nobody", "{}").await.status, 404);
}

#[tokio::test]
async fn the_default_moves() {
    let hub = Hub::new().await;
    hub.call("POST", "", whatsapp("a").tap("is_default", json!(true))).await;
    hub.make("b").await;
    let moved = hub.call("POST", "/b/set-default", "").await;
    assert_eq!((moved.status, &moved.json["is_default"]), (200, &json!(true)));
    assert_eq!(hub.call("GET", "/a", "").await.json["is_default"], json!(false));
    assert_eq!(hub.call("POST", "/nobody/set-default", "").await.status, 404);
}

#[tokio::test]
async fn pages_are_bounded() {
    let hub = Hub::new().await;
    for name in ["a", "b", "c"] {
        hub.make(name).await;
    }
    let page = hub.call("GET", "?skip=1&limit=1&include_status=false", "").await.json;
    assert_eq!((page.as_array().unwrap().len(), &page[0]["name"]), (1, &json!("b")));
    assert_eq!(hub.call("GET", "?skip=-1&limit=501", "").await.wrong_fields(), ["skip", "limit"]);
}

#[tokio::test]
async fn discord_is_kept_with_a_warning() {
    let hub = Hub::new().await;
    let body = json!({"name": "d", "channel_type": "discord", "discord_bot_token": "planted-bot-token",
                      "discord_client_id": "1", "agent_api_url": "http://a", "agent_api_key": "planted-k",
                      "agent_stream_mode": true});
    let made = hub.call("POST", "", body).await;
    assert_eq!((made.status, &made.json["has_discord_bot_token"]), (201, &json!(true)), "{}", made.text);
    assert_eq!((&made.json["evolution_url"], &made.json["discord_client_id"]), (&Value::Null, &json!("1")));
    assert_eq!(made.json["warnings"].as_array().unwrap().len(), 2);
    let cleared = hub.call("PUT", "/d", json!({"discord_bot_token": null})).await;
    assert_eq!(cleared.json["has_discord_bot_token"], json!(false));
}

#[tokio::test]
async fn how_an_agent_is_spoken_to_is_kept_and_goes_back_to_what_it_was() {
    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let hub = Hub::new().await;
    let body = whatsapp("a")
        .tap("agent_instance_type", json!("openai"))
        .tap("agent_system_prompt", json!("Be kind."))
        .tap("agent_history_turns", json!(3))
        .tap("agent_stream_mode", json!(true));
    let made = hub.call("POST", "", body).await;
    assert_eq!((&made.json["agent_system_prompt"], &made.json["agent_history_turns"]), (&json!("Be kind."), &json!(3)));
    assert!(!made.text.contains("means nothing"), "{}", made.text);
    let change = json!({"agent_instance_type": "webhook", "agent_webhook_secret": ONE, "agent_stream_mode": true});
    let changed = hub.call("PUT", "/a", change).await;
    assert!(changed.text.contains("agent_stream_mode means nothing as long as agent_instance_type is webhook"));
    hub.call("PUT", "/a", json!({"agent_webhook_secret": OTHER})).await;
    let again = hub.call("PUT", "/a", json!({"agent_webhook_secret": "****FRYX"})).await;
    let secrets =
        |answer: &Value| [answer["agent_webhook_secret"].clone(), answer["agent_webhook_secret_previous"].clone()];
    assert_eq!(secrets(&again.json), ["****FRYX", "****LaSw"], "its mask changes nothing");
    let forgotten = hub.call("PUT", "/a", json!({"agent_webhook_secret_previous": null})).await;
    assert_eq!(secrets(&forgotten.json), [json!("****FRYX"), Value::Null]);
    let cleared = json!({"agent_webhook_secret": null, "agent_history_turns": null, "agent_stream_mode": null,
        "agent_system_prompt": null, "agent_type": null, "agent_instance_type": null});
    let cleared = hub.call("PUT", "/a", cleared).await;
    assert_eq!(secrets(&cleared.json), [Value::Null, Value::Null]);
    assert_eq!((&cleared.json["agent_history_turns"], &cleared.json["agent_type"]), (&json!(20), &json!("agent")));
    assert_eq!(cleared.json["agent_instance_type"], "automagik");
}

#[tokio::test]
async fn slack_is_kept_with_a_warning() {
    let hub = Hub::new().await;
    let body = json!({"name": "s", "channel_type": "slack", "slack_bot_token": "planted-bot-token",
                      "slack_signing_secret": "planted-signing", "slack_workspace_id": "T1", "agent_api_url": "http://a",
                      "agent_api_key": "planted-k"});
    let made = hub.call("POST", "", body).await;
    let has = |answer: &Value| ["has_slack_bot_token", "has_slack_signing_secret"].map(|field| answer[field] == true);
    assert_eq!((made.status, has(&made.json)), (201, [true, true]), "{}", made.text);
    assert_eq!((&made.json["evolution_url"], &made.json["slack_workspace_id"]), (&Value::Null, &json!("T1")));
    assert!(made.json["warnings"][0].as_str().unwrap().starts_with("slack: "), "{}", made.text);
    assert!(!made.text.contains("planted"), "{}", made.text);
    let changed = hub.call("PUT", "/s", json!({"slack_bot_token": null, "slack_workspace_id": "T2"})).await;
    assert_eq!((has(&changed.json), &changed.json["slack_workspace_id"]), ([false, true], &json!("T2")));
    let moved = hub.call("PUT", "/s", json!({"channel_type": "discord"})).await;
    assert_eq!(moved.wrong_fields(), ["channel_type"]);
}

#[tokio::test]
async fn evolution_may_come_from_the_settings() {
    let fallback =
        EvolutionFallback { url: Some("http://shared.test".to_owned()), key: Some(Secret::new("planted-shared-key")) };
    let broken = EvolutionFallback { url: Some("shared.test".to_owned()), ..fallback.clone() };
    let hub = Hub::with(fallback).await;
    let body = json!({"name": "a", "agent_api_url": "http://a", "agent_api_key": "planted-k", "evolution_url": null,
                      "provision": false});
    assert_eq!(Hub::with(broken).await.call("POST", "", &body).await.wrong_fields(), ["evolution_url"]);
    let made = hub.call("POST", "", body).await.json;
    assert_eq!((&made["evolution_url"], &made["evolution_key"]), (&json!("http://shared.test"), &json!("****-key")));
    assert_eq!(made["whatsapp_instance"], "a");
}

#[tokio::test]
async fn trouble_is_a_problem_and_says_no_secret() {
    let hub = Hub::new().await;
    hub.make("a").await;
    hub.0.state.database.execute_unprepared("UPDATE instance_configs SET agent_api_key = 'v1.old.AAAA'").await.unwrap();
    let unreadable = hub.call("GET", "/a", "").await;
    assert_eq!((unreadable.status, &unreadable.json["code"]), (500, &json!("instance_unreadable")));
    assert!(unreadable.json["detail"].as_str().unwrap().contains("`old`"), "{}", unreadable.text);
    assert_eq!(hub.call("DELETE", "/a", "").await.status, 200, "the way out of a lost key");

    hub.0.state.database.clone().close().await.unwrap();
    let down = hub.call("GET", "/a", "").await;
    assert_eq!((down.status, &down.json["code"]), (503, &json!("database_unavailable")));
    assert_eq!(down.headers[header::RETRY_AFTER], "5");
}

#[tokio::test]
async fn a_reference_is_kept_and_shown_as_it_is() {
    let hub = Hub::new().await;
    let body = whatsapp("a").tap("evolution_key", json!("vault://secret/acme#key"));
    let made = hub.call("POST", "", body.tap("agent_api_key", json!("env:AGENT_KEY"))).await;
    assert_eq!((made.status, &made.json["evolution_key"]), (201, &json!("vault://secret/acme#key")), "{}", made.text);
    assert_eq!(made.json["agent_api_key"], "env:AGENT_KEY");
    let warnings = made.json["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains("`env:AGENT_KEY` is not to be had"));
    let changed = hub.call("PUT", "/a", json!({"webhook_secret": "file:/run/secrets/webhook"})).await.json;
    assert_eq!(changed["webhook_secret"], "file:/run/secrets/webhook");
    assert_eq!(hub.call("PUT", "/a", &changed).await.status, 200, "an answer can be sent back");
    let stored = hub.0.state.instances.get("a").await.unwrap().unwrap();
    assert_eq!(stored.agent.api_key.stored().as_str(), "env:AGENT_KEY");
    assert_ne!(stored.agent.api_key.expose(), "env:AGENT_KEY");
    let wrong = json!({"evolution_key": "vault://secret/acme", "agent_api_key": "env:", "webhook_secret": "file:a"});
    let mut fields = hub.call("PUT", "/a", wrong).await.wrong_fields();
    fields.sort();
    assert_eq!(fields, ["agent_api_key", "evolution_key", "webhook_secret"]);
}

#[tokio::test]
async fn a_key_of_some_instances_gives_no_reference_and_keeps_what_is_there() {
    let hub = Hub::new().await;
    hub.call("POST", "", whatsapp("a").tap("agent_api_key", json!("env:AGENT_KEY"))).await;
    let key = json!({"name": "some", "instances": ["a"], "scopes": ["write"]});
    let key = hub.0.call("POST", "/keys", key).await.json["key"].as_str().unwrap().to_owned();
    let put = async |body: Value| hub.0.call_as(&key, "PUT", "/instances/a", body).await;
    for reference in ["env:OMNIHUB_API_KEY", "file:/etc/passwd", "vault://secret/acme#key"] {
        assert_eq!(put(json!({"evolution_key": reference})).await.wrong_fields(), ["evolution_key"], "{reference}");
    }
    let kept = put(json!({"agent_api_key": "env:AGENT_KEY", "agent_timeout": 7})).await;
    assert_eq!((kept.status, &kept.json["agent_timeout"]), (200, &json!(7)), "{}", kept.text);
    assert_eq!(put(json!({"agent_api_key": "planted-own-key-1234"})).await.status, 200);
}

#[tokio::test]
async fn a_tenant_leads_no_key_to_a_server_of_its_choice() {
    let hub = Hub::new().await;
    hub.make("a").await;
    let key = json!({"name": "some", "instances": ["a"], "scopes": ["admin"]});
    let key = hub.0.call("POST", "/keys", key).await.json["key"].as_str().unwrap().to_owned();
    let put = async |body: Value| hub.0.call_as(&key, "PUT", "/instances/a", body).await;
    let elsewhere = json!({"agent_api_url": "http://evil.test", "evolution_url": "http://evolution.test:8081"});
    let refused = put(elsewhere.clone()).await;
    assert_eq!(refused.wrong_fields(), ["agent_api_url", "evolution_url"]);
    assert!(refused.text.contains("give evolution_key too"), "{}", refused.text);
    let masked =
        elsewhere.clone().tap("agent_api_key", json!("****1234")).tap("evolution_key", json!("planted-own-key"));
    assert_eq!(put(masked).await.wrong_fields(), ["agent_api_url"]);
    assert_eq!(hub.call("GET", "/a", "").await.json["agent_api_url"], "http://agent.test");

    // The same server, the keys given again, and whoever reaches everyone.
    let same = json!({"agent_api_url": "http://agent.test:80/v2", "evolution_url": "http://evolution.test:8080/"});
    assert_eq!(put(same).await.status, 200);
    let own =
        elsewhere.clone().tap("agent_api_key", json!("planted-own-a")).tap("evolution_key", json!("planted-own-e"));
    assert_eq!(put(own).await.status, 200);
    assert_eq!(hub.call("PUT", "/a", json!({"agent_api_url": "http://192.168.1.100:8886"})).await.status, 200);

    let stt = json!({"transcript_api_url": "http://stt.test", "transcript_api_key": "planted-stt-1234"});
    assert_eq!(hub.call("PUT", "/a", stt).await.json["transcript_api_key"], "****1234");
    let evil = json!({"transcript_api_url": "http://evil.test"});
    assert_eq!(put(evil.clone()).await.wrong_fields(), ["transcript_api_url"]);
    assert_eq!(put(json!({"transcript_api_url": null})).await.status, 200);
    assert_eq!(put(evil.clone()).await.wrong_fields(), ["transcript_api_url"], "the key is kept all the same");
    assert_eq!(put(evil.tap("transcript_api_key", json!(null))).await.status, 200);
}

#[tokio::test]
async fn a_tenant_names_no_account_that_the_kept_key_may_open() {
    let hub = Hub::new().await;
    hub.make("a").await;
    let key = json!({"name": "some", "instances": ["a"], "scopes": ["admin"]});
    let key = hub.0.call("POST", "/keys", key).await.json["key"].as_str().unwrap().to_owned();
    let put = async |body: Value| hub.0.call_as(&key, "PUT", "/instances/a", body).await;
    for theirs in ["theirs", "WA", ""] {
        let refused = put(json!({"whatsapp_instance": theirs, "evolution_key": "****1234"})).await;
        assert_eq!(refused.wrong_fields(), ["whatsapp_instance"], "{theirs}");
    }
    assert_eq!(hub.call("GET", "/a", "").await.json["whatsapp_instance"], "wa");

    assert_eq!(put(json!({"whatsapp_instance": "wa", "agent_timeout": 5})).await.status, 200);
    assert_eq!(put(json!({"whatsapp_instance": "mine", "evolution_key": "planted-own-e"})).await.status, 200);
    assert_eq!(hub.call("PUT", "/a", json!({"whatsapp_instance": "anybody"})).await.status, 200);
}
