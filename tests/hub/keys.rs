//! Keys of some instances, as time goes on. What each may see and do is tried in `matrix`.

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::json;

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(a_key_ends_at_once_in_every_process);

const OTHER: &str = "globex";

async fn key(site: &Site, instance: &str) -> (i64, String) {
    let body = json!({"name": instance, "instances": [instance], "scopes": ["admin"]});
    let made = site.api(Method::POST, "/api/v1/keys", Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (made.body["id"].as_i64().unwrap(), made.body["key"].as_str().unwrap().to_owned())
}

async fn a_key_ends_at_once_in_every_process(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (id, key) = key(&site, INSTANCE).await;
    assert_eq!(site.api_as(&key, Method::GET, "/api/v1/traces", None).await.status, 200);
    site.api(Method::DELETE, &format!("/api/v1/keys/{id}"), None).await;
    site.api_as(&key, Method::GET, "/api/v1/traces", None).await.assert_problem(401, "invalid_api_key");

    // One that loses its instance sees nothing of the next one of that name.
    site.add_instance(OTHER, json!({"whatsapp_instance": OTHER})).await;
    let (_, key) = self::key(&site, OTHER).await;
    site.api(Method::DELETE, &format!("/api/v1/instances/{OTHER}"), None).await;
    site.add_instance(OTHER, json!({"whatsapp_instance": OTHER})).await;
    let trace = site.say_to(OTHER, "14155556002", "hi").await;
    until("the new instance answers", DEADLINE, async || {
        site.get(&format!("/api/v1/traces/{trace}")).await["outcome"] == "answered"
    })
    .await;
    site.api_as(&key, Method::GET, &format!("/api/v1/traces/{trace}"), None)
        .await
        .assert_problem(404, "trace_not_found");
}
