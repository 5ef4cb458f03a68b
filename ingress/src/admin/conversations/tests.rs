//! Conversations over HTTP, on a real SQLite database.

use serde_json::json;

use crate::admin::testing::Hub;

#[tokio::test]
async fn a_conversation_is_paused_and_resumed() {
    let hub = Hub::new().await;
    hub.add_instance("a").await;
    let path = "/instances/a/conversations/a_5511";
    let show = async || hub.call("GET", path, "").await.json;
    assert_eq!((&show().await["state"], &show().await["paused_at"]), (&json!("active"), &json!(null)));
    let paused = hub.call("POST", &format!("{path}/pause"), "").await;
    assert_eq!((paused.status, &paused.json["state"]), (200, &json!("paused")), "{}", paused.text);
    assert_eq!(show().await["paused_by"], "root");
    let with_end = hub.call("POST", &format!("{path}/pause"), json!({"minutes": 5, "reason": "mine"})).await.json;
    assert!(with_end["paused_until"].is_string() && with_end["reason"] == "mine");
    let list = hub.call("GET", "/instances/a/conversations", "").await;
    assert_eq!(
        (&list.json[0]["session_name"], list.headers["x-total-count"].as_bytes()),
        (&json!("a_5511"), &b"1"[..])
    );
    let resumed = hub.call("POST", &format!("{path}/resume"), "").await.json;
    assert_eq!((&resumed["state"], &show().await["state"]), (&json!("active"), &json!("active")));
    assert_eq!(hub.call("GET", "/instances/a/conversations", "").await.json, json!([]));
    let lines = hub.call("GET", "/audit?action=conversation", "").await.json;
    assert_eq!(lines["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn another_tenant_s_conversations_are_not_there() {
    let hub = Hub::new().await;
    hub.add_instance("a").await;
    hub.add_instance("b").await;
    let body = json!({"name": "k", "instances": ["a"], "scopes": ["read", "write"]});
    let key = hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
    for name in ["b", "nobody"] {
        let path = format!("/instances/{name}/conversations");
        for (method, path) in [
            ("GET", path.clone()),
            ("GET", format!("{path}/x")),
            ("POST", format!("{path}/x/pause")),
            ("POST", format!("{path}/x/resume")),
        ] {
            assert_eq!(hub.call_as(&key, method, &path, "").await.status, 404, "{method} {path}");
        }
    }
    assert_eq!(hub.call("POST", "/instances/nobody/conversations/x/pause", "").await.status, 404);
}

#[tokio::test]
async fn a_pause_that_cannot_be_is_refused() {
    let hub = Hub::new().await;
    hub.add_instance("a").await;
    let pause = async |body: &str| hub.call("POST", "/instances/a/conversations/x/pause", body).await;
    assert_eq!(
        pause(r#"{"minutes": 0.5, "until": "soon", "reason": 1}"#).await.wrong_fields(),
        ["minutes", "until", "reason"]
    );
    let both = r#"{"minutes": 1, "until": "2999-01-01T00:00:00Z"}"#;
    assert_eq!(pause(both).await.wrong_fields(), ["until"]);
    assert_eq!(pause("{").await.status, 400);
    assert_eq!(hub.call("GET", "/instances/a/conversations/%00", "").await.json["code"], "not_found");
}
