//! Sends that fail, wait, or are one too many.

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::json;

use super::{message_id, send, send_with, sent_to, text, trace_id};
use crate::harness::{ADMIN_KEY, DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(a_send_that_fails_says_why_and_can_be_redriven, what_waits_is_told_to_wait);

const PHONE: &str = "14155557301";

async fn a_send_that_fails_says_why_and_can_be_redriven(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let gone = json!({"status": 400, "error": "Bad Request",
        "response": {"message": [{"jid": "14155557301@s.whatsapp.net", "exists": false, "number": PHONE}]}});
    site.evolution.fail_next(1, StatusCode::BAD_REQUEST, &gone);
    let failed = send_with(&site, "text", &text(PHONE, "hi"), Some("k")).await;
    failed.assert_problem(422, "not_on_whatsapp");
    assert_eq!((&failed.body["provider_status"], &failed.body["reason"]), (&json!(400), &json!("not_on_whatsapp")));
    assert!(!failed.text.contains(PHONE), "{}", failed.text);
    // The same again, without another try.
    send_with(&site, "text", &text(PHONE, "hi"), Some("k")).await.assert_problem(422, "not_on_whatsapp");
    assert_eq!(site.evolution.rejected().len(), 1);

    let trace = trace_id(&failed);
    assert_eq!(site.ended(&trace).await["outcome"], "dead");
    let letter = site.get(&format!("/api/v1/dead-letters/{trace}")).await;
    assert_eq!((&letter["phone"], &letter["payload"]["content"]["text"]), (&json!(PHONE), &json!("hi")), "{letter}");
    let path = format!("/api/v1/dead-letters/{trace}/redrive");
    let redriven = site.api(Method::POST, &path, None).await;
    assert_eq!(redriven.status, 200, "{}", redriven.text);
    site.trace_when(&trace, "is answered", |trace| trace["outcome"] == "answered").await;
    assert_eq!(sent_to(&site, PHONE).len(), 1);
    message_id(&send_with(&site, "text", &text(PHONE, "hi"), Some("k")).await);

    // What passes is tried again while the caller waits.
    site.evolution.fail_next(1, StatusCode::SERVICE_UNAVAILABLE, &json!({}));
    message_id(&send(&site, "text", &text(PHONE, "again")).await);
    assert_eq!(site.replies_to(PHONE), ["hi", "again"]);
    site.assert_no_violations();
}

async fn what_waits_is_told_to_wait(database: Database) {
    let mut site = Site::up_with(database, Behaviour::Hang, &[("OMNIHUB_STOP_GRACE", "2")]).await;
    site.change_instance(INSTANCE, json!({"max_backlog": 2})).await;
    site.say(PHONE, "are you there?").await;
    site.agent.wait_for_calls(1, DEADLINE).await.unwrap();
    let queued = send(&site, "text?wait=1", &text(PHONE, "I am")).await;
    assert_eq!((queued.status, &queued.body["message_id"]), (202, &json!(null)), "{}", queued.text);
    // Whoever is over the quota waits elsewhere.
    until("the quota refuses", DEADLINE, async || {
        send(&site, "text?wait=0", &text(PHONE, "one more")).await.status == 503
    })
    .await;
    send(&site, "text", &text(PHONE, "one more")).await.assert_problem(503, "backlog_full");

    // A hub that stops lets nobody wait for it.
    site.change_instance(INSTANCE, json!({"max_backlog": 5000})).await;
    let path = format!("{}/api/v1/instance/{INSTANCE}/send-text?wait=60", site.hub.url());
    let call = reqwest::Client::new().post(path).header("x-api-key", ADMIN_KEY);
    let call = tokio::spawn(call.json(&text(PHONE, "the last one")).send());
    until("the last one is taken in", DEADLINE, async || {
        let traces = site.get(&format!("/api/v1/traces?phone={PHONE}&message_type=send_text")).await;
        traces.to_string().contains("the last one")
    })
    .await;
    site.hub.terminate().await;
    assert_eq!(call.await.unwrap().unwrap().status(), 202);
}
