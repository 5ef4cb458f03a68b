//! One key, one send.

use omnihub_fakes::Behaviour;
use serde_json::json;

use super::{message_id, send_with, sent_to, text, trace_id};
use crate::harness::{Database, Site, on_both_databases};

on_both_databases!(a_key_sends_once);

const PHONE: &str = "14155557201";

async fn a_key_sends_once(database: Database) {
    let mut site = Site::up(database, Behaviour::Echo).await;
    let body = text(PHONE, "your order is on its way");
    let key = Some("order-4711");
    let calls = (0..6).map(|_| send_with(&site, "text", &body, key));
    let answers = futures_util::future::join_all(calls).await;
    let id = message_id(&answers[0]).to_owned();
    for answer in &answers {
        assert_eq!((message_id(answer), trace_id(answer)), (id.as_str(), trace_id(&answers[0])));
    }
    send_with(&site, "text", &text(PHONE, "another text"), key).await.assert_problem(422, "idempotency_key_reused");
    // How long is waited is no part of it, and neither is the form of the number.
    let same = json!({"to": "+1 415 555 7201", "text": "your order is on its way", "wait": 40});
    assert_eq!(message_id(&send_with(&site, "text?", &same, key).await), id);

    site.hub.kill9();
    site.hub.start_again();
    site.hub.wait_ready().await;
    assert_eq!(message_id(&send_with(&site, "text", &body, key).await), id);
    send_with(&site, "text", &text(PHONE, "another text"), key).await.assert_problem(422, "idempotency_key_reused");
    assert_eq!(sent_to(&site, PHONE).len(), 1);

    // Another key is another send, and so is a call without one; an instance has its own keys.
    message_id(&send_with(&site, "text", &body, Some("order-4712")).await);
    message_id(&send_with(&site, "text", &body, None).await);
    assert_eq!(sent_to(&site, PHONE).len(), 3);
    site.assert_no_violations();
}
