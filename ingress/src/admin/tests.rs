//! What is the same for every route.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, Request, header},
};
use serde_json::json;

use super::{
    body::LIMIT,
    every_route,
    limits::RateLimits,
    testing::{Answer, Hub, KEY},
};

/// Every route that takes a body.
const WITH_BODY: [(&str, &str); 13] = [
    ("POST", "/instances"),
    ("PUT", "/instances/a"),
    ("POST", "/keys"),
    ("POST", "/keys/rotate"),
    ("POST", "/access/rules"),
    ("POST", "/access/rules/import"),
    ("PUT", "/access/rules/1"),
    ("PATCH", "/access/rules/1"),
    ("PATCH", "/users/1"),
    ("POST", "/users/1/external-ids"),
    ("POST", "/instances/a/conversations/a_1/pause"),
    ("POST", "/traces/cleanup"),
    ("POST", "/dead-letters/redrive"),
];

async fn send(hub: &Hub, (method, path): (&str, &str), content_type: &str, body: Vec<u8>) -> Answer {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}")).header("x-api-key", KEY);
    hub.send(request.header(header::CONTENT_TYPE, content_type).body(Body::from(body)).unwrap()).await
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json["code"].as_str()), (status, Some(code)), "{}", answer.text);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn every_body_has_a_kind_and_an_end() {
    let hub = Hub::new().await;
    hub.add_instance("a").await;
    for route in WITH_BODY {
        assert_problem(&send(&hub, route, "text/plain", b"{}".to_vec()).await, 415, "unsupported_media_type");
        assert_problem(&send(&hub, route, "application/json", vec![b' '; LIMIT + 1]).await, 413, "body_too_large");
        assert_problem(&send(&hub, route, "application/x+json", b"{".to_vec()).await, 400, "invalid_json");
        assert_problem(&send(&hub, route, "application/json", vec![b'['; 10_000]).await, 400, "invalid_json");
    }
    let table = b"phone_number,action,instance_name,colour\n+1415*,block,a,red\n".to_vec();
    let imported = send(&hub, ("POST", "/access/rules/import"), "text/csv", table).await;
    assert_eq!((imported.status, warning(&imported.headers)), (200, "unknown fields were ignored: colour".to_owned()));
    assert_problem(&send(&hub, ("POST", "/keys"), "text/csv", b"name\n".to_vec()).await, 415, "unsupported_media_type");
}

#[tokio::test]
async fn a_name_that_cannot_be_is_the_name_of_nothing() {
    let hub = Hub::new().await;
    let mut asked = 0;
    for route in every_route().recorded().iter().filter(|route| route.path.contains('{')) {
        for impossible in ["%FF", "a%00b"] {
            let (mut uri, mut rest) = (String::new(), route.path.as_str());
            while let Some((before, (_, after))) = rest.split_once('{').map(|(a, b)| (a, b.split_once('}').unwrap())) {
                uri = uri + before + impossible;
                rest = after;
            }
            let request = Request::builder().method(&route.method).uri(uri + rest).header("x-api-key", KEY);
            let answer = hub.send(request.body(Body::empty()).unwrap()).await;
            assert_problem(&answer, 404, "not_found");
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
}

/// What is said of unknown fields.
fn warning(headers: &HeaderMap) -> String {
    let said = headers.get(header::WARNING).map(|said| said.to_str().unwrap()).unwrap_or_default();
    said.strip_prefix("299 omnihub \"").and_then(|said| said.strip_suffix('"')).unwrap_or(said).to_owned()
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_named() {
    let hub = Hub::new().await;
    hub.add_instance("a").await;
    let warned = async |method: &str, path: &str, body: serde_json::Value| {
        let answer = hub.call(method, path, body).await;
        assert!(answer.status < 300, "{}", answer.text);
        warning(&answer.headers)
    };
    let changed = json!({"agent_timeout": 7, "agent_timeuot": 8, "\u{e9}\r\n\"": 1});
    assert_eq!(warned("PUT", "/instances/a", changed).await, "unknown fields were ignored: agent_timeuot, ????");
    let key = json!({"name": "k", "instances": "*", "scopes": ["read"], "expires": "soon"});
    assert_eq!(warned("POST", "/keys", key).await, "unknown fields were ignored: expires");
    let rule = json!({"phone_number": "1", "rule_type": "block", "instance_name": "a"});
    assert_eq!(warned("POST", "/access/rules", rule).await, "");
    assert_eq!(
        warned("POST", "/keys/rotate", json!({"dry_run": true, "x": 1})).await,
        "unknown fields were ignored: x"
    );
    assert_eq!(warned("POST", "/instances/a/conversations/s/pause", json!({"hours": 1})).await.len(), 34);
    let many: serde_json::Map<_, _> = (10..30).map(|n| (format!("f{n}"), json!(n))).collect();
    let many = warned("PATCH", "/access/rules/1", many.into()).await;
    assert!(
        many.starts_with("unknown fields were ignored: f10, f11, ") && many.ends_with("f19, and 10 more"),
        "{many}"
    );

    // Also beside what is wrong: it may have been meant.
    let wrong = hub.call("POST", "/access/rules", json!({"phone": "1", "action": "block"})).await;
    assert_eq!(
        (wrong.wrong_fields(), warning(&wrong.headers)),
        (vec!["phone_number".to_owned()], "unknown fields were ignored: phone".to_owned())
    );
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_go_on() {
    let mut hub = Hub::new().await;
    hub.add_instance("a").await;
    let body = json!({"name": "k", "instances": ["a"], "scopes": ["read"]});
    let key = hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
    hub.state.limits = Arc::new(RateLimits::new(NonZeroU32::new(2).unwrap(), 0));
    for left in ["1", "0"] {
        let answer = hub.call_as(&key, "GET", "/instances/a", "").await;
        assert_eq!((answer.status, answer.headers["ratelimit-policy"].to_str().unwrap()), (200, "\"key\";q=2;w=60"));
        assert_eq!(answer.headers["ratelimit"], format!("\"key\";r={left}"));
    }
    let refused = hub.call_as(&key, "GET", "/instances/a", "").await;
    assert_problem(&refused, 429, "too_many_requests");
    let wait = refused.headers[header::RETRY_AFTER].to_str().unwrap();
    assert!((1..=30).contains(&wait.parse::<u64>().unwrap()));
    assert_eq!(refused.headers["ratelimit"], format!("\"key\";r=0;t={wait}"));
    // Nobody else waits for that.
    assert_eq!(hub.call("GET", "/instances/a", "").await.status, 200);
}

#[tokio::test]
async fn wrong_keys_are_not_looked_up_for_ever() {
    let hub = Hub::new().await;
    let mut refused = 0;
    let stopped = loop {
        let answer = hub.call_as(&format!("wrong-{refused}"), "GET", "/instances", "").await;
        if answer.status != 401 {
            break answer;
        }
        refused += 1;
    };
    assert_problem(&stopped, 429, "too_many_keys");
    assert!(refused >= 300, "{refused}");
    assert_eq!(hub.call("GET", "/instances", "").await.status, 200);
}
