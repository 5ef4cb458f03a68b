//! The life of an account, call by call.

use super::super::FakeEvolution;
use super::*;

const GLOBAL: &str = "the-global-key";

async fn fake() -> FakeEvolution {
    let fake = FakeEvolution::start().await.unwrap();
    fake.set_global_key(GLOBAL);
    fake
}

async fn call(fake: &FakeEvolution, call: &str, key: &str, body: Value) -> (u16, Value) {
    let (method, path) = call.split_once(' ').unwrap();
    let request = reqwest::Client::new().request(method.parse().unwrap(), format!("{}{path}", fake.url()));
    let request = request.header("apikey", key);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn new(name: &str) -> Value {
    json!({"instanceName": name, "integration": "WHATSAPP-BAILEYS", "token": "OWN", "qrcode": false,
           "readMessages": true, "webhook": {"url": "http://hub/w", "events": ["MESSAGES_UPSERT"], "base64": true}})
}

#[tokio::test]
async fn an_account_lives_and_ends() {
    let fake = fake().await;
    let (status, made) = call(&fake, "POST /instance/create", GLOBAL, new("acme")).await;
    assert_eq!((status, &made["hash"]), (201, &json!("OWN")));
    assert_eq!(fake.webhook("acme")["enabled"], json!(true));
    assert_eq!(
        (&fake.settings("acme")["readMessages"], &fake.settings("acme")["readStatus"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(call(&fake, "POST /instance/create", GLOBAL, new("acme")).await.0, 403);
    assert_eq!(call(&fake, "POST /instance/create", "OWN", new("other")).await.0, 401, "a token makes nothing");

    let closed = call(&fake, "POST /instance/restart/acme", "OWN", Value::Null).await;
    assert_eq!(closed, (200, json!({"error": true, "message": "[object Object]"})));
    assert_eq!(call(&fake, "DELETE /instance/logout/acme", "OWN", Value::Null).await.0, 400);
    assert!(!fake.base64_in_effect("acme"));
    assert_eq!(call(&fake, "GET /instance/connect/acme", "OWN", Value::Null).await.1["count"], 1);
    assert!(fake.base64_in_effect("acme"), "read when it connects");
    fake.pair("acme");
    assert_eq!(call(&fake, "GET /instance/connect/acme", "OWN", Value::Null).await.1["instance"]["state"], "open");
    assert_eq!(call(&fake, "DELETE /instance/logout/acme", "OWN", Value::Null).await.0, 200);
    assert_eq!(fake.connection("acme").as_deref(), Some("close"));
    let id = fake.id("acme").unwrap();
    let found = call(&fake, &format!("GET /instance/fetchInstances?instanceId={id}"), GLOBAL, Value::Null).await;
    assert_eq!((found.0, &found.1[0]["name"]), (200, &json!("acme")));
    assert_eq!(call(&fake, "DELETE /instance/delete/acme", "OWN", Value::Null).await.0, 200);
    assert_eq!(call(&fake, "GET /webhook/find/acme", GLOBAL, Value::Null).await.0, 404);
    fake.occupy("acme");
    assert_eq!(call(&fake, "POST /instance/create", GLOBAL, new("acme")).await.0, 403, "it cleans up later");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_webhook_is_as_particular_as_the_real_one() {
    let fake = fake().await;
    fake.add_instance("acme", "OWN");
    let set = async |body: Value| call(&fake, "POST /webhook/set/acme", "OWN", body).await;
    assert_eq!(call(&fake, "GET /webhook/find/acme", "OWN", Value::Null).await, (200, Value::Null));
    assert_eq!(set(json!({"enabled": true, "url": "http://hub"})).await.0, 400, "the flat form of version 1");
    assert_eq!(set(json!({"webhook": {"enabled": true, "url": "http://hub"}})).await.0, 500);
    assert_eq!(
        set(json!({"webhook": {"enabled": true, "url": "http://hub", "events": ["messages.upsert"]}})).await.0,
        400
    );
    let long = format!("http://hub/{}", "x".repeat(500));
    assert_eq!(set(json!({"webhook": {"enabled": true, "url": long, "events": []}})).await.0, 500);
    let good = json!({"webhook": {"enabled": true, "url": "http://hub", "events": [], "headers": {"jwt_key": "s"}}});
    assert_eq!(set(good).await.0, 201);
    let wrong = json!({"webhook": {"enabled": false, "url": "http://hub", "events": ["CONNECTION_UPDATE"], "webhookBase64": true}});
    let (status, row) = set(wrong).await;
    assert_eq!((status, &row["events"], &row["headers"]["jwt_key"]), (201, &json!([]), &json!("s")));
    assert_eq!(fake.violations(), ["webhook/set: unknown field webhookBase64"]);
    assert_eq!(call(&fake, "POST /settings/set/acme", "OWN", json!({"rejectCall": false})).await.0, 400);
}

#[tokio::test]
async fn calls_fail_as_scripted_and_are_remembered() {
    let fake = fake().await;
    fake.fail_admin("create", 1, StatusCode::BAD_GATEWAY, &json!({}));
    fake.fail_admin_after_doing("create", 1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
    assert_eq!(call(&fake, "POST /instance/create", GLOBAL, new("acme")).await.0, 502);
    assert!(!fake.has("acme"));
    assert_eq!(call(&fake, "POST /instance/create", GLOBAL, new("acme")).await.0, 504);
    assert!(fake.has("acme"));
    assert_eq!(fake.operations_since(0), ["create", "create"]);
    let last = fake.admin_calls().remove(1);
    assert_eq!((last.instance.as_str(), last.key.as_str(), &last.body["token"]), ("acme", GLOBAL, &json!("OWN")));
}
