//! Keys of some instances, on a hub with two tenants: nothing of the other one is ever there.

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(a_key_of_one_tenant_finds_nothing_of_the_other, a_key_ends_at_once_in_every_process);

const OTHER: &str = "globex";

async fn key(site: &Site, instance: &str) -> (i64, String) {
    let body = json!({"name": instance, "instances": [instance], "scopes": ["admin"]});
    let made = site.api(Method::POST, "/api/v1/keys", Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (made.body["id"].as_i64().unwrap(), made.body["key"].as_str().unwrap().to_owned())
}

/// What both tenants have: a dead letter and its trace.
async fn dies(site: &Site, instance: &str, phone: &str) -> String {
    let trace = site.say_to(instance, phone, "a word of my own").await;
    assert_eq!(site.ended(&trace).await["outcome"], "dead");
    trace
}

async fn a_key_of_one_tenant_finds_nothing_of_the_other(database: Database) {
    let refuses = Behaviour::Status(StatusCode::NOT_FOUND, json!({"detail": "no such agent"}));
    let site = Site::up(database, refuses).await;
    site.add_instance(OTHER, json!({"whatsapp_instance": OTHER})).await;
    let mine = dies(&site, INSTANCE, "14155556000").await;
    let theirs = dies(&site, OTHER, "14155556001").await;
    let (_, key) = key(&site, INSTANCE).await;
    let get = async |path: &str| site.api_as(&key, Method::GET, path, None).await;

    // Lists hold what is mine and count nothing else.
    for (path, own) in [
        ("/api/v1/instances", INSTANCE),
        ("/api/v1/traces?all_time=true", &mine),
        ("/api/v1/traces/analytics/summary", INSTANCE),
        ("/api/v1/dead-letters", &mine),
    ] {
        let list = get(path).await;
        assert_eq!(list.status, 200, "{path}: {}", list.text);
        assert!(list.text.contains(own), "{path}: {}", list.text);
        assert!(
            !list.text.contains(OTHER) && !list.text.contains(&theirs) && !list.text.contains("14155556001"),
            "{path}"
        );
    }
    assert_eq!(get("/api/v1/dead-letters").await.body["total"], 1);
    let found = get("/api/v1/where?phone=14155556001").await;
    assert_eq!((found.status, &found.body["conversations"]), (200, &json!([])), "{}", found.text);

    // What is named by its id is there for nobody else.
    let named = [
        (Method::GET, format!("/api/v1/traces/{theirs}")),
        (Method::GET, format!("/api/v1/traces/{theirs}/payloads")),
        (Method::GET, format!("/api/v1/traces/{theirs}/explanation")),
        (Method::GET, format!("/api/v1/where?trace_id={theirs}")),
        (Method::GET, format!("/api/v1/where?phone=1&instance_name={OTHER}")),
        (Method::GET, format!("/api/v1/traces/tail?instance_name={OTHER}")),
        (Method::GET, format!("/api/v1/traces/analytics/summary?instance_name={OTHER}")),
        (Method::DELETE, format!("/api/v1/traces/cleanup?instance_name={OTHER}")),
        (Method::GET, format!("/api/v1/dead-letters/{theirs}")),
        (Method::POST, format!("/api/v1/dead-letters/{theirs}/redrive")),
        (Method::DELETE, format!("/api/v1/dead-letters/{theirs}")),
        (Method::GET, format!("/api/v1/instances/{OTHER}")),
        (Method::DELETE, format!("/api/v1/instances/{OTHER}")),
    ];
    for (method, path) in named {
        let answer = site.api_as(&key, method.clone(), &path, None).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }

    // What is done to all is done to what is mine.
    let all = json!({"all": true, "dry_run": true});
    let matched = site.api_as(&key, Method::POST, "/api/v1/dead-letters/redrive", Some(&all)).await;
    assert_eq!(matched.body["matched"], 1, "{}", matched.text);
    let dropped = site.api_as(&key, Method::DELETE, "/api/v1/dead-letters?all=true", None).await;
    assert_eq!(dropped.body["dropped"], 1, "{}", dropped.text);
    let left: Value = site.get("/api/v1/dead-letters").await;
    assert_eq!((&left["total"], &left["dead_letters"][0]["id"]), (&json!(1), &json!(theirs)));
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
