//! Takeover: a person answers from the paired phone, and the bot is silent in that conversation.

use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(
    bubbles_that_wait_are_cancelled_and_the_bot_is_silent_until_it_is_resumed,
    a_question_is_given_up_and_the_person_s_word_ends_it,
    what_waits_for_another_attempt_is_handed_off_at_once,
    a_takeover_outlives_the_worker,
    our_own_bubbles_are_no_takeover,
    two_bots_come_to_an_end
);

const PHONE: &str = "14155552601";

/// A person writes on the paired phone; answers the trace.
async fn write_by_hand(site: &Site, phone: &str, text: &str) -> String {
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &by_hand(phone, text)).await.remove(0)
}

fn by_hand(phone: &str, text: &str) -> Value {
    let mut own = webhook(phone, text);
    own["data"]["key"]["fromMe"] = true.into();
    own["data"]["status"] = "SERVER_ACK".into();
    own
}

fn conversation(phone: &str, verb: &str) -> String {
    format!("/api/v1/instances/{INSTANCE}/conversations/{INSTANCE}_{phone}{verb}")
}

async fn assert_handed_off(site: &Site, trace: &str) -> Value {
    let ended = site.ended(trace).await;
    assert_eq!((&ended["outcome"], &ended["outcome_reason"]), (&json!("handed_off"), &json!("taken_over")), "{ended}");
    ended
}

async fn is_paused(site: &Site, phone: &str) -> bool {
    site.get(&conversation(phone, "")).await["state"] == "paused"
}

async fn bubbles_that_wait_are_cancelled_and_the_bot_is_silent_until_it_is_resumed(database: Database) {
    let site = Site::up(database, Behaviour::Fixed("one\n\ntwo\n\nthree\n\nfour".to_owned())).await;
    site.change_instance(INSTANCE, json!({"split_over": 0})).await;
    site.evolution.delay(Duration::from_secs(4));
    let asked = site.say(PHONE, "hello?").await;
    let sending = async || site.get(&format!("/api/v1/where?trace_id={asked}")).await.to_string().contains("sending");
    until("the first bubble is on its way", DEADLINE, sending).await;
    let own = write_by_hand(&site, PHONE, "it is me now").await;
    let cut = assert_handed_off(&site, &asked).await;
    let out = cut["reply_message_ids"].as_array().unwrap().len();
    assert!(out < 4 && site.replies_to(PHONE).len() == out, "{cut}");
    let own = site.ended(&own).await;
    assert_eq!((&own["outcome"], &own["outcome_reason"]), (&json!("ignored"), &json!("from_me")));
    assert!(own["warnings"].to_string().contains("the bot is silent until"), "{own}");

    let standing = site.get(&conversation(PHONE, "")).await;
    assert_eq!((&standing["state"], &standing["paused_by"]), (&json!("paused"), &json!("hub:takeover")));
    assert_handed_off(&site, &site.say(PHONE, "are you a person?").await).await;
    let explained = site.get(&format!("/api/v1/traces/{asked}/explanation")).await;
    assert_eq!(explained["verdict"], "handed_off", "{explained}");

    site.evolution.delay(Duration::ZERO);
    assert_eq!(site.ended(&site.say("14155552602", "and me?").await).await["outcome"], "answered", "only there");
    let resumed = site.api(Method::POST, &conversation(PHONE, "/resume"), None).await;
    assert_eq!(resumed.body["state"], "active", "{}", resumed.text);
    assert_eq!(site.ended(&site.say(PHONE, "bot?").await).await["outcome"], "answered");
    site.assert_no_violations();
}

async fn a_question_is_given_up_and_the_person_s_word_ends_it(database: Database) {
    let site = Site::up(database, Behaviour::Sequence(vec![Behaviour::Hang, Behaviour::Echo])).await;
    site.change_instance(INSTANCE, json!({"resume_keyword": "#bot"})).await;
    let asked = site.say(PHONE, "hello?").await;
    site.agent.wait_for_calls(1, DEADLINE).await.unwrap();
    let behind = site.say(PHONE, "still there?").await;
    write_by_hand(&site, PHONE, "yes").await;
    for trace in [&asked, &behind] {
        assert_handed_off(&site, trace).await;
    }
    assert!(site.replies_to(PHONE).is_empty());
    assert_eq!(site.agent.calls().len(), 1, "nobody is asked any more");

    let word = site.ended(&write_by_hand(&site, PHONE, "#Bot").await).await;
    assert_eq!(word["outcome_reason"], "from_me");
    assert!(!is_paused(&site, PHONE).await);
    assert_eq!(site.ended(&site.say(PHONE, "thanks").await).await["outcome"], "answered");

    site.change_instance(INSTANCE, json!({"takeover_minutes": 0})).await;
    site.ended(&write_by_hand(&site, PHONE, "bye").await).await;
    assert!(!is_paused(&site, PHONE).await, "switched off");
    site.assert_no_violations();
}

async fn what_waits_for_another_attempt_is_handed_off_at_once(database: Database) {
    let site = Site::up(database, Behaviour::Status(StatusCode::UNAUTHORIZED, json!({"detail": "no such key"}))).await;
    let held = site.say(PHONE, "anybody?").await;
    let is_held = async || site.get(&format!("/api/v1/where?trace_id={held}")).await.to_string().contains("\"held\"");
    until("the message is held", DEADLINE, is_held).await;
    write_by_hand(&site, PHONE, "I am here").await;
    assert_handed_off(&site, &held).await;
    assert!(site.replies_to(PHONE).is_empty());
    let late = {
        let mut own = by_hand("14155552603", "written long ago");
        own["data"]["messageTimestamp"] = 1_700_000_000.into();
        site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &own).await.remove(0)
    };
    assert_eq!(site.ended(&late).await["outcome_reason"], "from_me");
    assert!(!is_paused(&site, "14155552603").await, "what comes too late is over");
}

async fn a_takeover_outlives_the_worker(database: Database) {
    let worker = [("OMNIHUB_WORKER_ID", "w1")];
    let mut site = Site::parts_with(database, Behaviour::Fixed("one\n\ntwo\n\nthree".to_owned()), &worker).await;
    site.change_instance(INSTANCE, json!({"split_over": 0})).await;
    site.evolution.delay(Duration::from_secs(2));
    let asked = site.say(PHONE, "hello?").await;
    let sending = async || site.get(&format!("/api/v1/where?trace_id={asked}")).await.to_string().contains("sending");
    until("the first bubble is on its way", DEADLINE, sending).await;
    site.worker.as_mut().unwrap().kill9();
    let own = write_by_hand(&site, PHONE, "it is me now").await;
    site.worker.as_mut().unwrap().start_again();
    assert_handed_off(&site, &asked).await;
    site.ended(&own).await;
    site.evolution.wait_for_sent(1, DEADLINE).await.unwrap();
    assert_eq!(site.replies_to(PHONE), ["one"], "nothing goes out after the takeover");
    assert!(is_paused(&site, PHONE).await);
    site.worker.as_mut().unwrap().kill9();
    site.worker.as_mut().unwrap().start_again();
    assert_handed_off(&site, &site.say(PHONE, "and now?").await).await;
    site.assert_no_violations();
}

async fn our_own_bubbles_are_no_takeover(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let trace = site.ended(&site.say(PHONE, "hello").await).await;
    // Some servers show what was sent over them as if it came from the phone.
    let mut echo = by_hand(PHONE, "echo: hello");
    echo["data"]["key"]["id"] = trace["reply_message_ids"][0].clone();
    let shown = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &echo).await.remove(0);
    assert_eq!(site.ended(&shown).await["outcome_reason"], "from_me");
    let mut reaction = by_hand(PHONE, "");
    let key = trace["provider_message_id"].clone();
    reaction["data"]["message"] = json!({"reactionMessage": {"key": {"id": key}, "text": "ok"}});
    let reacted = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &reaction).await.remove(0);
    assert_eq!(site.ended(&reacted).await["outcome_reason"], "from_me");
    assert!(!is_paused(&site, PHONE).await);

    // An answer of which nobody knows whether it is out: its words come back, and it is not sent again.
    let nobody_knows = json!({"status": 500, "response": {"message": ["gone"]}});
    site.evolution.fail_next_after_sending(1, StatusCode::INTERNAL_SERVER_ERROR, &nobody_knows);
    let doubtful = site.say(PHONE, "again").await;
    site.evolution.wait_for_sent(2, DEADLINE).await.unwrap();
    let path = format!("/api/v1/where?trace_id={doubtful}");
    until("it waits", DEADLINE, async || site.get(&path).await.to_string().contains("retrying")).await;
    write_by_hand(&site, PHONE, "echo: again").await;
    assert_eq!(site.ended(&doubtful).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), ["echo: hello", "echo: again"]);
    assert!(!is_paused(&site, PHONE).await);
}

async fn two_bots_come_to_an_end(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"turns_per_minute": 3})).await;
    let (mut traces, mut reasons) = (Vec::new(), Vec::new());
    for n in 0..12 {
        traces.push(site.say(PHONE, &format!("message {n}")).await);
    }
    for trace in &traces {
        reasons.push(site.ended(trace).await["outcome_reason"].clone());
    }
    let ignored = reasons.iter().filter(|reason| **reason == "turn_budget").count();
    assert!((1..=9).contains(&ignored), "{reasons:?}");
    assert_eq!(reasons[..3], [Value::Null, Value::Null, Value::Null]);
    assert_eq!(site.agent.calls().len(), traces.len() - ignored);
    assert_eq!(site.ended(&site.say("14155552604", "hi").await).await["outcome"], "answered", "each has its own");
}
