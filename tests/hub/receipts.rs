//! Receipts: how far our bubbles have come, whatever the order in which that is told.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Database, INSTANCE, Site, omnihub, on_both_databases, webhook};

on_both_databases!(
    bubbles_move_on_and_never_back,
    a_receipt_before_its_bubble_is_kept,
    what_is_none_of_ours_is_taken,
    what_another_program_sends_is_taken_and_does_nothing,
);

const PHONE: &str = "14155557501";

fn bubbles() -> Vec<String> {
    (1..=3).map(|n| format!("{n} {}", "word ".repeat(90).trim_end())).collect()
}

fn update(id: &str, from_me: bool, status: &str) -> Value {
    json!({
        "event": "messages.update", "instance": INSTANCE, "sender": "5511999990000@s.whatsapp.net",
        "data": {"keyId": id, "remoteJid": format!("{PHONE}@s.whatsapp.net"), "fromMe": from_me,
            "participant": null, "status": status, "instanceId": "x", "messageId": "y"},
    })
}

/// Evolution tells how far a bubble is.
async fn tell(site: &Site, id: &str, status: &str) {
    let path = format!("/webhook/evolution/{INSTANCE}");
    assert_eq!(site.accepted(&path, &update(id, true, status)).await, Vec::<String>::new());
}

fn states(trace: &Value) -> Vec<&str> {
    let bubbles = trace["reply_states"].as_array().expect("reply_states");
    bubbles.iter().map(|bubble| bubble["state"].as_str().expect("a state")).collect()
}

async fn told(site: &Site, trace: &str, wanted: &[&str]) -> Value {
    site.trace_when(trace, &format!("has {wanted:?}"), |trace| states(trace) == wanted).await
}

async fn bubbles_move_on_and_never_back(database: Database) {
    let site = Site::up(database, Behaviour::Fixed(bubbles().join("\n\n"))).await;
    let trace = site.say(PHONE, "hello").await;
    site.ended(&trace).await;
    let ids: Vec<String> = site.evolution.sent().into_iter().map(|sent| sent.message_id).collect();
    let before = told(&site, &trace, &["sent", "sent", "sent"]).await;
    assert_eq!(before["reply_states"][0], json!({"message_id": ids[0], "state": "sent", "at": null}));

    // Late ones first, and one that had failed at first.
    for (bubble, status) in [(0, "READ"), (0, "DELIVERY_ACK"), (0, "SERVER_ACK"), (1, "DELIVERY_ACK"), (2, "ERROR")] {
        tell(&site, &ids[bubble], status).await;
    }
    let after = told(&site, &trace, &["read", "delivered", "failed"]).await;
    assert!(after["reply_states"][2]["at"].is_string(), "{after}");
    let explained = site.get(&format!("/api/v1/traces/{trace}/explanation")).await["sentences"].to_string();
    assert!(
        explained.contains("1 read, 1 delivered") && explained.contains("could not deliver bubble 3"),
        "{explained}"
    );
    let env = [("OMNIHUB_URL", site.hub.url()), ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned())];
    let env: HashMap<_, _> = env.map(|(name, value)| (name.to_owned(), value)).into();
    let shown = omnihub(&["trace", "show", &trace], &env).await.stdout;
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("delivered 20"), "{shown}");
    site.assert_no_violations();
}

async fn a_receipt_before_its_bubble_is_kept(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    // The next id of the fake's is known from the last one.
    let first = site.say(PHONE, "one").await;
    site.ended(&first).await;
    let last = site.evolution.sent().remove(0).message_id;
    let number = u128::from_str_radix(&last[4..], 16).unwrap() + 1;
    tell(&site, &format!("3EB0{number:018X}"), "READ").await;
    let second = site.say(PHONE, "two").await;
    site.ended(&second).await;
    told(&site, &second, &["read"]).await;
    told(&site, &first, &["sent"]).await;
}

async fn what_is_none_of_ours_is_taken(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let path = format!("/webhook/evolution/{INSTANCE}");
    let mut unread = update("A", true, "READ");
    unread["data"] = json!("nothing");
    for body in [update("A", false, "READ"), update("A", true, "DELETED"), unread] {
        let answer = site.post(&path, &body).await;
        assert_eq!((answer.status, &answer.body["ignored_event"]), (200, &json!("messages.update")), "{}", answer.text);
    }
    let trace = site.say(PHONE, "hello").await;
    let trace = site.ended(&trace).await;
    assert_eq!(states(&trace), ["sent"]);
}

async fn what_another_program_sends_is_taken_and_does_nothing(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let mut sent = webhook(PHONE, "we are closed today");
    sent["event"] = json!("send.message");
    sent["data"]["key"]["fromMe"] = true.into();
    let answer = site.post(&format!("/webhook/evolution/{INSTANCE}"), &sent).await;
    assert_eq!((answer.status, &answer.body["ignored_event"]), (200, &json!("send.message")), "{}", answer.text);
    assert_eq!(answer.traces(), Vec::<String>::new());
    let trace = site.say(PHONE, "hello").await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered", "it is no takeover");
    assert_eq!((site.agent.calls().len(), site.evolution.sent().len()), (1, 1));
}
