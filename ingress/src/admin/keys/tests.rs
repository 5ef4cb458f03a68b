//! Keys over HTTP, on a real SQLite database.

use serde_json::{Value, json};

use crate::admin::testing::{Answer, Hub};

async fn make(hub: &Hub, body: Value) -> (i64, String) {
    let made = hub.call("POST", "/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (made.json["id"].as_i64().unwrap(), made.json["key"].as_str().unwrap().to_owned())
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.json.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_key_is_shown_once_and_listed_without_itself() {
    let hub = Hub::new().await;
    hub.add_instance("acme").await;
    let body = json!({"name": "console", "instances": ["acme"], "scopes": ["read", "send"], "expires_at": null});
    let (id, key) = make(&hub, body).await;
    let list = hub.call("GET", "/keys", "").await;
    assert!(!list.text.contains(&key) && list.json[0].get("key").is_none());
    assert_eq!((list.json[0]["id"].as_i64(), &list.json[0]["instances"]), (Some(id), &json!(["acme"])));
    assert_eq!((&list.json[0]["scopes"], &list.json[0]["is_active"]), (&json!(["read", "send"]), &json!(true)));
    assert!(key.ends_with(&list.json[0]["hint"].as_str().unwrap()[4..]));
    assert_eq!(list.headers["x-total-count"], "1");
}

#[tokio::test]
async fn a_key_of_one_instance_sees_no_other() {
    let hub = Hub::new().await;
    hub.add_instance("acme").await;
    hub.add_instance("globex").await;
    let (_, key) = make(&hub, json!({"name": "k", "instances": ["acme"], "scopes": ["admin"]})).await;
    let list = hub.call_as(&key, "GET", "/instances", "").await;
    assert_eq!(names(&list), ["acme"]);
    assert_eq!(hub.call_as(&key, "GET", "/instances/acme", "").await.status, 200);
    // Another's and nobody's are told in the same words.
    let words = |answer: Answer| (answer.status, answer.text.replace("globex", "?").replace("nobody", "?"));
    for (method, body) in [("GET", ""), ("PUT", r#"{"agent_timeout": 5}"#), ("DELETE", "")] {
        let other = hub.call_as(&key, method, "/instances/globex", body).await;
        let nobody = hub.call_as(&key, method, "/instances/nobody", body).await;
        assert_eq!(other.status, 404, "{method}");
        assert_eq!(words(other), words(nobody), "{method}");
    }
    // What concerns the whole hub is not for it.
    let whole = [
        ("GET", "/keys", ""),
        ("POST", "/keys", r#"{"name": "k", "instances": "*", "scopes": ["admin"]}"#),
        ("DELETE", "/keys/1", ""),
        ("POST", "/instances", r#"{"name": "mine"}"#),
        ("POST", "/instances/acme/set-default", ""),
        ("PUT", "/instances/acme", r#"{"is_default": true}"#),
    ];
    for (method, path, body) in whole {
        assert_eq!(hub.call_as(&key, method, path, body).await.status, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn a_scope_that_is_missing_is_named() {
    let hub = Hub::new().await;
    hub.add_instance("acme").await;
    let (_, key) = make(&hub, json!({"name": "k", "instances": "*", "scopes": ["read"]})).await;
    assert_eq!(hub.call_as(&key, "GET", "/instances/acme", "").await.status, 200);
    let refused = hub.call_as(&key, "PUT", "/instances/acme", r#"{"agent_timeout": 5}"#).await;
    assert_eq!((refused.status, &refused.json["code"]), (403, &json!("scope_missing")));
    assert!(refused.json["detail"].as_str().unwrap().contains("`write`"));
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let hub = Hub::new().await;
    let (id, key) = make(&hub, json!({"name": "k", "instances": "*", "scopes": ["admin"]})).await;
    assert_eq!(hub.call_as(&key, "GET", "/keys", "").await.status, 200);
    let revoked = hub.call("DELETE", &format!("/keys/{id}"), "").await;
    assert_eq!((revoked.status, &revoked.json["is_active"]), (200, &json!(false)));
    let refused = hub.call_as(&key, "GET", "/keys", "").await;
    assert_eq!((refused.status, &refused.json["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(hub.call("DELETE", "/keys/99", "").await.status, 404);
    assert_eq!(hub.call("DELETE", "/keys/x", "").await.status, 404);
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let hub = Hub::new().await;
    let wrong = async |body: Value| hub.call("POST", "/keys", body).await.wrong_fields();
    assert_eq!(wrong(json!({})).await, ["name", "scopes", "instances"]);
    assert_eq!(
        wrong(json!({"name": 1, "scopes": ["root"], "instances": "acme", "expires_at": "soon"})).await,
        ["name", "scopes", "instances", "expires_at"]
    );
    assert_eq!(
        wrong(json!({"name": "k", "scopes": [], "instances": [], "expires_at": "2020-01-01T00:00:00Z"})).await,
        ["scopes", "instances", "expires_at"]
    );
    assert_eq!(wrong(json!({"name": "k", "scopes": ["read"], "instances": ["nobody"]})).await, ["instances"]);
}
