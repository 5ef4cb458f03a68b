//! Edits and messages that were taken back.

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::questions;
use crate::harness::{DEADLINE, Database, INSTANCE, Site, message_id, on_both_databases, until, webhook};

on_both_databases!(what_waits_is_corrected, what_comes_too_late_is_a_matter_of_the_instance);

const PHONE: &str = "14155553201";

/// A customer's message and its id at the channel.
async fn say(site: &Site, text: &str) -> (String, String) {
    let mut said = webhook(PHONE, text);
    let id = message_id();
    said["data"]["key"]["id"] = id.as_str().into();
    let trace = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &said).await.remove(0);
    site.trace_when(&trace, "is recorded", |trace| trace["trace_id"].is_string()).await;
    (trace, id)
}

/// Evolution posts what became of a message.
async fn tell(site: &Site, event: &str, data: Value) -> Value {
    let body = json!({"event": event, "instance": INSTANCE, "data": data, "sender": "5511999990000@s.whatsapp.net"});
    let answer = site.post(&format!("/webhook/evolution/{INSTANCE}"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn edit(site: &Site, id: &str, text: &str, at: i64) -> Value {
    let key = json!({"remoteJid": "5511999990000@s.whatsapp.net", "fromMe": true, "id": id});
    let data = json!({"key": key, "type": "MESSAGE_EDIT", "editedMessage": {"conversation": text}, "timestampMs": at});
    tell(site, "messages.edited", data).await
}

async fn revoke(site: &Site, id: &str) -> Value {
    let gone =
        json!({"key": {"remoteJid": "5511999990000@s.whatsapp.net", "fromMe": true, "id": id}, "type": "REVOKE"});
    let first = tell(site, "messages.edited", gone).await;
    assert_eq!((&first["ignored_event"], &first["trace_ids"]), (&json!("messages.edited"), &json!([])));
    let key = json!({"remoteJid": format!("{PHONE}@s.whatsapp.net"), "fromMe": false, "id": id, "participant": ""});
    tell(site, "messages.delete", key).await
}

fn trace_of(answer: &Value) -> String {
    answer["trace_id"].as_str().unwrap_or_else(|| panic!("a trace: {answer}")).to_owned()
}

async fn assert_ignored(site: &Site, trace: &str, reason: &str) {
    let ended = site.ended(trace).await;
    assert_eq!((&ended["outcome"], &ended["outcome_reason"]), (&json!("ignored"), &json!(reason)), "{ended}");
}

async fn what_waits_is_corrected(database: Database) {
    let site = Site::up(database, Behaviour::Status(StatusCode::UNAUTHORIZED, json!({"detail": "no such key"}))).await;
    site.change_instance(INSTANCE, json!({"overlap": "merge"})).await;
    let (held, _) = say(&site, "hello").await;
    let is_held = async || site.get(&format!("/api/v1/where?trace_id={held}")).await.to_string().contains("\"held\"");
    until("the message is held", DEADLINE, is_held).await;
    let (order, order_id) = say(&site, "two pizas").await;
    let (oops, oops_id) = say(&site, "never mind").await;
    let first = trace_of(&edit(&site, &order_id, "two pizzas", 1_761_000_000_000).await);
    let again = trace_of(&edit(&site, &order_id, "three pizzas", 1_761_000_001_000).await);
    let revocation = trace_of(&revoke(&site, &oops_id).await);
    assert_ignored(&site, &revocation, "revocation").await;

    site.agent.set_behaviour(Behaviour::Echo);
    site.change_instance(INSTANCE, json!({"agent_timeout": 59})).await;
    assert_eq!(site.ended(&held).await["outcome"], "answered");
    let answered = site.ended(&order).await;
    assert_eq!((&answered["outcome"], &answered["message_content"]), (&json!("answered"), &json!("three pizzas")));
    assert_ignored(&site, &oops, "revoked").await;
    assert_ignored(&site, &first, "edit_applied").await;
    assert_ignored(&site, &again, "edit_applied").await;
    assert_eq!(site.replies_to(PHONE), ["echo: hello", "echo: three pizzas"]);
    site.assert_no_violations();
}

async fn what_comes_too_late_is_a_matter_of_the_instance(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (order, id) = say(&site, "two pizzas").await;
    assert_eq!(site.ended(&order).await["outcome"], "answered");
    let late = trace_of(&edit(&site, &id, "three pizzas", 1_761_000_000_000).await);
    assert_ignored(&site, &late, "edit_late").await;
    let again = edit(&site, &id, "three pizzas", 1_761_000_000_000).await;
    assert_eq!(trace_of(&again), late, "the same webhook again");
    let (thanks, thanks_id) = say(&site, "thanks").await;
    assert_eq!(site.ended(&thanks).await["outcome"], "answered");
    assert_ignored(&site, &trace_of(&revoke(&site, &thanks_id).await), "revocation").await;
    assert_eq!(site.ended(&thanks).await["outcome"], "answered", "it is out");

    site.change_instance(INSTANCE, json!({"on_edit": "new_turn"})).await;
    let turn = trace_of(&edit(&site, &id, "four pizzas", 1_761_000_002_000).await);
    assert_eq!(site.ended(&turn).await["outcome"], "answered");
    assert_eq!(questions(&site), ["two pizzas", "thanks", "four pizzas"]);
    assert_eq!(site.replies_to(PHONE), ["echo: two pizzas", "echo: thanks", "echo: four pizzas"]);

    let unknown = edit(&site, "ACFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "five", 1_761_000_003_000).await;
    assert_eq!((&unknown["ignored_event"], &unknown["trace_id"]), (&json!("messages.edited"), &Value::Null));
    site.assert_no_violations();
}
