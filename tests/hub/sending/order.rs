//! What is sent, when, and what is to be seen of it.

use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::json;

use super::{message_id, send, sent_to, text, trace_id};
use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(
    a_send_keeps_its_place_among_the_replies,
    a_send_overtakes_what_waits_to_be_tried_again,
    a_send_is_answered_and_traced
);

const PHONE: &str = "14155557101";
const GROUP: &str = "120363041234567890@g.us";

async fn a_send_keeps_its_place_among_the_replies(database: Database) {
    let slow = Behaviour::slow(Duration::from_millis(700), Behaviour::Echo);
    let site = Site::up(database, slow).await;
    let mut traces = vec![site.say(PHONE, "one").await];
    site.agent.wait_for_calls(1, DEADLINE).await.unwrap();
    let queued = send(&site, "text?wait=0", &text(PHONE, "from the desk")).await;
    assert_eq!((queued.status, &queued.body["status"]), (202, &json!("queued")), "{}", queued.text);
    assert_eq!(queued.header("location"), format!("/api/v1/traces/{}", trace_id(&queued)));
    traces.push(site.say(PHONE, "two").await);
    traces.push(site.say(PHONE, "three").await);
    let last = send(&site, "text", &text(PHONE, "from the desk again")).await;
    let id = message_id(&last).to_owned();
    let expected = ["echo: one", "from the desk", "echo: two", "echo: three", "from the desk again"];
    assert_eq!(site.replies_to(PHONE), expected);
    assert_eq!(sent_to(&site, PHONE)[4].message_id, id);
    for trace in traces {
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
    }
    assert_eq!(site.agent.calls().len(), 3, "nobody is asked about a send");
    site.assert_no_violations();
}

async fn a_send_overtakes_what_waits_to_be_tried_again(database: Database) {
    let refuses = Behaviour::Status(StatusCode::UNAUTHORIZED, json!({"detail": "no such key"}));
    let site = Site::up(database, refuses).await;
    let phone = "14155557103";
    let held = site.say(phone, "anybody?").await;
    let behind = site.say(phone, "hello?").await;
    let whereabouts = format!("/api/v1/where?trace_id={held}");
    let is_held = async || site.get(&whereabouts).await["conversations"].to_string().contains("\"held\"");
    until("the message is held", DEADLINE, is_held).await;
    message_id(&send(&site, "text", &text(phone, "we have a problem here")).await);
    message_id(&send(&site, "text", &text(phone, "but we are on it")).await);

    site.agent.set_behaviour(Behaviour::Echo);
    site.change_instance(INSTANCE, json!({"agent_timeout": 59})).await;
    for trace in [held, behind] {
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
    }
    let expected = ["we have a problem here", "but we are on it", "echo: anybody?", "echo: hello?"];
    assert_eq!(site.replies_to(phone), expected);
    site.assert_no_violations();
}

async fn a_send_is_answered_and_traced(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let answer = send(&site, "text", &text("+1 (415) 555-7102", "hello")).await;
    let sent = sent_to(&site, "14155557102");
    assert_eq!(message_id(&answer), sent[0].message_id);
    assert_eq!(sent[0].body, json!({"number": "14155557102", "text": "hello"}));
    let trace = site.ended(&trace_id(&answer)).await;
    for (field, value) in [
        ("message_type", json!("send_text")),
        ("message_content", json!("hello")),
        ("sender_phone", json!("14155557102")),
        ("session_name", json!("acme_14155557102")),
        ("status", json!("completed")),
        ("outcome", json!("answered")),
        ("channel_success", json!(true)),
        ("reply_message_ids", json!([sent[0].message_id])),
        ("agent_response", json!(null)),
        ("agent_request_at", json!(null)),
    ] {
        assert_eq!(trace[field], value, "{field}: {trace}");
    }
    let explained = site.get(&format!("/api/v1/traces/{}/explanation", trace_id(&answer))).await;
    let story = explained["sentences"].to_string();
    assert!(story.contains("asked over the API to be sent") && story.contains("It was sent"), "{story}");

    // The whole of what was asked for, and a long text in parts.
    let body = json!({"to": GROUP, "text": format!("@+55 11 987654321 {}\n\nsecond", "word ".repeat(250).trim_end()),
        "quoted_message_id": "3EB0AA", "mention_all": true, "delay": 10});
    let answer = send(&site, "text", &body).await;
    assert_eq!(answer.body["message_ids"].as_array().map(Vec::len), Some(2), "{}", answer.text);
    let sent = sent_to(&site, GROUP);
    let beside = |field: &str| sent[0].body[field].clone();
    assert_eq!((beside("quoted"), beside("delay")), (json!({"key": {"id": "3EB0AA"}}), json!(10)));
    assert_eq!((beside("mentioned"), beside("mentionsEveryOne")), (json!(["5511987654321"]), json!(true)));
    assert_eq!(sent[1].body, json!({"number": GROUP, "text": "second"}));

    // Whoever has written before is known by an id too.
    site.ended(&site.say("14155557102", "thanks").await).await;
    let person = site.get("/api/v1/users?phone=14155557102").await[0]["id"].clone();
    message_id(&send(&site, "text", &json!({"user_id": person, "text": "by id"})).await);
    assert_eq!(site.replies_to("14155557102"), ["hello", "echo: thanks", "by id"]);
    let nobody = send(&site, "text", &json!({"user_id": 4_711_000, "text": "by id"})).await;
    nobody.assert_problem(404, "user_not_found");

    // A key for sending may do nothing else, and nothing elsewhere.
    site.add_instance("other", json!({})).await;
    let key = json!({"name": "sender", "instances": ["other"], "scopes": ["send"]});
    let key = site.api(Method::POST, "/api/v1/keys", Some(&key)).await.body["key"].as_str().unwrap().to_owned();
    let hi = json!({"to": PHONE, "text": "hi", "wait": DEADLINE.as_secs()});
    let as_key = async |path: &str| site.api_as(&key, Method::POST, path, Some(&hi)).await;
    assert_eq!(as_key("/api/v1/instance/other/send-text/").await.status, 200);
    as_key("/api/v1/instance/acme/send-text").await.assert_problem(404, "instance_not_found");
    let list = site.api_as(&key, Method::GET, "/api/v1/instances", None).await;
    list.assert_problem(403, "scope_missing");
    site.api(Method::GET, "/api/v1/instance/acme/send-text", None).await.assert_problem(405, "method_not_allowed");
    site.assert_no_violations();
}
