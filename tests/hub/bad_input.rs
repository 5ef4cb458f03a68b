//! What the webhook door refuses, how it says so, and what it must not refuse.

use std::collections::HashMap;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use omnihub_fakes::{Behaviour, customers};
use reqwest::{Body, Method};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, message_id, now, on_both_databases, until};

on_both_databases!(
    unreadable_bodies_are_refused_for_ever,
    only_who_knows_the_secret_may_post,
    events_without_messages_are_counted,
    without_a_default_instance_the_sender_tries_again,
);

const REFUSED: &str = "omnihub_webhooks_refused_total";

fn webhook(text: &str) -> Value {
    customers::webhook(INSTANCE, "14155553000", &message_id(), text, now())
}

async fn unreadable_bodies_are_refused_for_ever(database: Database) {
    let site = Site::up_with(database, Behaviour::Echo, &[("OMNIHUB_WEBHOOK_LIMIT", "4096")]).await;
    let path = "/webhook/evolution/acme";
    let unreadable = [
        "",
        "{",
        "no JSON",
        "[]",
        "\"text\"",
        "{}",
        r#"{"data": "%%% no base64 %%%"}"#,
        r#"{"data": "bm8gSlNPTg=="}"#,
        r#"{"data": 7}"#,
        r#"{"data": {"messages": ["text"]}}"#,
        r#"{"data": {"key": {"id": "1"}, "message": {"conversation": "from nobody"}}}"#,
    ];
    for body in unreadable {
        let answer = site.post_bytes(path, body.as_bytes().to_vec(), &[]).await;
        answer.assert_problem(400, "webhook_unreadable");
    }
    // Neither is JSON that is not UTF-8, nor JSON that would exhaust the stack.
    site.post_bytes(path, b"{\"data\": \"\xff\xfe\"}".to_vec(), &[]).await.assert_problem(400, "webhook_unreadable");
    site.post_bytes(path, vec![b'['; 4096], &[]).await.assert_problem(400, "webhook_unreadable");
    let refused = site.metric(REFUSED, &[("reason", "webhook_unreadable")]).await;
    assert_eq!(refused, unreadable.len() as f64 + 2.0);

    site.post(path, &webhook(&"x".repeat(5000))).await.assert_problem(413, "webhook_too_large");
    // A body whose length nobody announced.
    let chunks = vec![Ok::<_, std::io::Error>(vec![b' '; 3000]), Ok(vec![b' '; 3000])];
    let body = Body::wrap_stream(futures_util::stream::iter(chunks));
    let answer = reqwest::Client::new().post(format!("{}{path}", site.hub.url())).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(site.metric(REFUSED, &[("reason", "webhook_too_large")]).await, 2.0);

    for path in ["/webhook/evolution/nobody", "/webhook/evolution/nobody/messages-upsert", "/webhook/evolution/a%2Fb"] {
        site.post(path, &webhook("hi")).await.assert_problem(404, "instance_not_found");
    }
    assert_eq!(site.metric(REFUSED, &[("reason", "instance_not_found")]).await, 3.0);
    site.post("/nowhere", &json!({})).await.assert_problem(404, "not_found");
    site.api(Method::GET, path, None).await.assert_problem(405, "method_not_allowed");

    // After all this a good one is taken.
    let trace = site.say("14155553001", "still there?").await;
    site.ended(&trace).await;
    assert_eq!(site.replies_to("14155553001"), ["echo: still there?"]);
    assert_eq!(site.agent.calls().len(), 1);
    site.assert_no_violations();
}

/// A token as Evolution API mints it: HS256, ten minutes, no issuer.
fn token(secret: &str, algorithm: Algorithm, minted_seconds_ago: u64) -> String {
    let minted = now() - minted_seconds_ago;
    let claims = json!({"iat": minted, "exp": minted + 600, "app": "evolution", "action": "webhook"});
    let key = EncodingKey::from_secret(secret.as_bytes());
    format!("Bearer {}", jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap())
}

async fn only_who_knows_the_secret_may_post(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("guarded", json!({"webhook_secret": "first-secret"})).await;
    let post = async |query: &str, headers: &[(&str, &str)]| {
        let body = customers::webhook("guarded", "14155553002", &message_id(), "hi", now()).to_string();
        site.post_bytes(&format!("/webhook/evolution/guarded{query}"), body.into_bytes(), headers).await
    };
    let forged = token("another-secret", Algorithm::HS256, 0);
    let ancient = token("first-secret", Algorithm::HS256, 3 * 3600);
    let other_algorithm = token("first-secret", Algorithm::HS512, 0);
    let unsigned = format!("Bearer {}", "eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTl9.");
    let wrong: [(&str, Vec<(&str, &str)>); 8] = [
        ("", vec![]),
        ("?token=wrong", vec![]),
        ("?token=", vec![]),
        ("", vec![("x-webhook-secret", "wrong")]),
        ("", vec![("authorization", &forged)]),
        ("", vec![("authorization", &ancient)]),
        ("", vec![("authorization", &other_algorithm)]),
        ("", vec![("authorization", &unsigned)]),
    ];
    for (query, headers) in &wrong {
        post(query, headers).await.assert_problem(401, "webhook_unverified");
    }
    assert_eq!(site.metric(REFUSED, &[("reason", "webhook_unverified")]).await, wrong.len() as f64);
    assert_eq!(site.agent.calls().len(), 0);

    let fresh = token("first-secret", Algorithm::HS256, 0);
    // Evolution retries for half an hour with the token of its first attempt.
    let expired_long_ago = token("first-secret", Algorithm::HS256, 1800);
    let right: [(&str, Vec<(&str, &str)>); 5] = [
        ("", vec![("authorization", &fresh)]),
        ("", vec![("authorization", &expired_long_ago)]),
        ("", vec![("authorization", "Bearer first-secret")]),
        ("", vec![("x-webhook-secret", "first-secret")]),
        ("?token=first-secret", vec![]),
    ];
    for (query, headers) in &right {
        let answer = post(query, headers).await;
        assert_eq!((answer.status, answer.traces().len()), (200, 1), "{}", answer.text);
    }

    // The legacy path leads to an instance that the body names when that one's own secret verifies.
    let body = customers::webhook("guarded", "14155553002", &message_id(), "hi", now()).to_string().into_bytes();
    let answer = site.post_bytes("/webhook/evolution?token=first-secret", body.clone(), &[]).await;
    assert_eq!(answer.body["instance"], "guarded");
    let answer = site.post_bytes("/webhook/evolution", body, &[]).await;
    assert_eq!(answer.body["instance"], INSTANCE);
    assert_eq!(site.metric("omnihub_webhooks_unverified_total", &[("instance", INSTANCE)]).await, 1.0);

    // A secret that was changed a moment ago works at once, and the old one until it is forgotten.
    site.change_instance("guarded", json!({"webhook_secret": "second-secret"})).await;
    assert_eq!(post("?token=second-secret", &[]).await.status, 200);
    assert_eq!(post("?token=first-secret", &[]).await.status, 200);
    site.change_instance("guarded", json!({"webhook_secret_previous": null})).await;
    until("the old secret is forgotten", DEADLINE, async || post("?token=first-secret", &[]).await.status == 401).await;
    site.assert_no_violations();
}

async fn events_without_messages_are_counted(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let events = [
        ("presence.update", "presence.update"),
        ("MESSAGES_UPDATE", "messages.update"),
        ("connection.update", "connection.update"),
        ("something.new", "unknown"),
    ];
    for (event, label) in events {
        let body = json!({"event": event, "instance": INSTANCE, "data": {"anything": [1, "two"]}});
        let answer = site.post("/webhook/evolution/acme", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!((answer.traces().len(), &answer.body["trace_id"]), (0, &Value::Null));
        assert!(answer.body["ignored_event"].is_string(), "{}", answer.text);
        assert_eq!(site.metric("omnihub_webhooks_total", &[("event", label)]).await, 1.0, "{event}");
    }
    let answer = site.post("/webhook/evolution/acme/qrcode-updated", &json!({"data": {}})).await;
    assert_eq!((answer.status, &answer.body["ignored_event"]), (200, &json!("qrcode.updated")));
    assert_eq!(site.get("/api/v1/traces").await, json!([]));
    assert_eq!(site.metric("omnihub_messages_accepted_total", &[]).await, 0.0);
}

async fn without_a_default_instance_the_sender_tries_again(database: Database) {
    let site = Site::up_with(database, Behaviour::Echo, &[("AGENT_API_URL", "")]).await;
    assert_eq!(site.get("/api/v1/instances").await, json!([]));
    for path in ["/webhook/evolution", "/webhook/evolution/messages-upsert"] {
        site.post(path, &webhook("hi")).await.assert_problem(503, "no_default_instance");
    }
    assert_eq!(site.metric(REFUSED, &[("reason", "no_default_instance")]).await, 2.0);
    site.add_instance(INSTANCE, json!({"is_default": true})).await;
    until("the default instance takes webhooks", DEADLINE, async || {
        site.post("/webhook/evolution", &webhook("hi")).await.status == 200
    })
    .await;
    site.evolution.wait_for_sent(1, DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_hub_without_its_settings_names_the_one_to_mend() {
    let cases = [
        (vec!["ingress"], ("OMNIHUB_WEBHOOK_LIMIT", "many")),
        (vec!["ingress"], ("OMNIHUB_ENCRYPTION_KEYS", "none")),
        (vec!["worker"], ("OMNIHUB_WORKER_TURNS", "many")),
        (vec!["up"], ("API_PORT", "70000")),
        (vec!["up"], ("DATABASE_URL", "mysql://planted-password@db/x")),
        (vec!["worker"], ("LOG_LEVEL", "loud")),
    ];
    for (args, (name, value)) in cases {
        let env = HashMap::from([
            ("API_HOST".to_owned(), "127.0.0.1".to_owned()),
            ("API_PORT".to_owned(), "0".to_owned()),
            ("OMNIHUB_WORKER_PORT".to_owned(), "0".to_owned()),
            ("NATS_URL".to_owned(), "nats://127.0.0.1:9".to_owned()),
            (name.to_owned(), value.to_owned()),
        ]);
        let ended = crate::harness::omnihub(&args, &env).await;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success(), "{args:?} {name}");
        assert!(!said.contains("planted-password") && !said.contains("panicked"), "{said}");
        assert!(said.contains(name), "{said}");
    }
}
