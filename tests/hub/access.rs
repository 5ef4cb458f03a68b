//! Access rules, pauses and what is known of people, as the person on the other side and the agent
//! meet them.

use async_nats::jetstream;
use futures_util::TryStreamExt;
use omnihub_common::queue::{LaneAddress, Subjects, read_layout};
use omnihub_fakes::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(
    a_rule_holds_for_the_next_message,
    a_paused_conversation_is_silent,
    the_agent_is_told_what_an_operator_knows,
    an_erased_person_is_forgotten,
    nothing_of_an_erased_person_is_in_the_queue,
);

async fn rule(site: &Site, body: Value) -> String {
    let made = site.api(Method::POST, "/api/v1/access/rules", Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    format!("/api/v1/access/rules/{}", made.body["id"])
}

/// How a message ended: its outcome and why.
async fn says(site: &Site, instance: &str, phone: &str) -> (String, String) {
    let trace = site.ended(&site.say_to(instance, phone, "hello").await).await;
    let word = |name: &str| trace[name].as_str().unwrap_or_default().to_owned();
    (word("outcome"), word("outcome_reason"))
}

fn answered() -> (String, String) {
    ("answered".to_owned(), String::new())
}

fn ignored(why: &str) -> (String, String) {
    ("ignored".to_owned(), why.to_owned())
}

/// Told before the answer to whoever made the rule: the very next message meets it.
async fn a_rule_holds_for_the_next_message(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (blocked, other) = ("14155557100", "14155557101");
    site.add_instance("globex", json!({"whatsapp_instance": "globex"})).await;
    assert_eq!(says(&site, INSTANCE, blocked).await, answered());

    let block = json!({"phone_number": "+1 415 555 7100", "action": "block", "instance_name": INSTANCE});
    let block = rule(&site, block).await;
    assert_eq!(says(&site, INSTANCE, blocked).await, ignored("blocked"));
    assert_eq!(says(&site, INSTANCE, other).await, answered());
    assert_eq!(says(&site, "globex", blocked).await, answered(), "it is a rule of the other instance");

    // For all instances, but the instance's own word comes first.
    let everybody = rule(&site, json!({"phone_number": "1415*", "action": "block"})).await;
    rule(&site, json!({"phone_number": other, "action": "allow", "instance_name": INSTANCE})).await;
    assert_eq!(says(&site, INSTANCE, other).await, answered());
    assert_eq!(says(&site, "globex", other).await, ignored("blocked"));

    for path in [&block, &everybody] {
        assert_eq!(site.api(Method::DELETE, path, None).await.status, 204);
    }
    assert_eq!(says(&site, INSTANCE, blocked).await, answered());
    assert_eq!(says(&site, "globex", other).await, answered());
    // Whoever is blocked meets silence.
    assert_eq!(site.replies_to(blocked).len(), 3);
    site.assert_no_violations();
}

async fn a_paused_conversation_is_silent(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (phone, other) = ("14155557200", "14155557201");
    let trace = site.ended(&site.say(phone, "hello").await).await;
    let session = trace["session_name"].as_str().expect("a session name");
    let path = format!("/api/v1/instances/{INSTANCE}/conversations/{session}");
    let paused = site.api(Method::POST, &format!("{path}/pause"), None).await;
    assert_eq!((paused.status, &paused.body["state"]), (200, &json!("paused")), "{}", paused.text);
    assert_eq!(says(&site, INSTANCE, phone).await, ignored("paused"));
    assert_eq!(says(&site, INSTANCE, other).await, answered());
    assert_eq!(site.api(Method::POST, &format!("{path}/resume"), None).await.status, 200);
    assert_eq!(says(&site, INSTANCE, phone).await, answered());
    assert_eq!(site.replies_to(phone).len(), 2);
    site.assert_no_violations();
}

async fn the_agent_is_told_what_an_operator_knows(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let phone = "14155557300";
    assert_eq!(says(&site, INSTANCE, phone).await, answered());
    let found = site.get(&format!("/api/v1/users?instance_name={INSTANCE}&phone={phone}")).await;
    assert_eq!(found[0]["phone_number"], format!("+{phone}"), "{found}");
    assert_eq!(found[0]["external_ids"][0]["provider"], "whatsapp");
    let asked = |field: &str| site.agent.calls().last().map(|call| call.body["user"][field].clone());
    assert_eq!(asked("email"), Some(Value::Null));

    let path = format!("/api/v1/users/{}", found[0]["id"]);
    let known = json!({"email": "m@x.test", "user_data": {"plan": "gold"}});
    let told = site.api(Method::PATCH, &path, Some(&known)).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(says(&site, INSTANCE, phone).await, answered());
    assert_eq!(asked("email"), Some(json!("m@x.test")));
    let data = asked("user_data").unwrap_or_default();
    assert_eq!((&data["plan"], &data["source"]), (&json!("gold"), &json!("whatsapp")));
    assert_eq!(site.get("/api/v1/users").await.as_array().map(Vec::len), Some(1), "one row, however often");
    site.assert_no_violations();
}

/// Erases somebody until nothing of theirs is under way; answers what was erased in all.
async fn erase(site: &Site, phone: &str) -> (u64, u64, bool) {
    let path = format!("/api/v1/instances/{INSTANCE}/people/{phone}");
    let (mut messages, mut letters, mut user) = (0, 0, false);
    let is_done = async || {
        let erased = site.api(Method::DELETE, &path, None).await;
        assert_eq!(erased.status, 200, "{}", erased.text);
        messages += erased.body["messages"].as_u64().unwrap_or_default();
        letters += erased.body["dead_letters"].as_u64().unwrap_or_default();
        user |= erased.body["user"] == true;
        erased.body["under_way"] == false
    };
    until("nothing is under way", DEADLINE, is_done).await;
    (messages, letters, user)
}

async fn an_erased_person_is_forgotten(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (phone, other) = ("14155557400", "14155557401");
    for phone in [phone, other] {
        assert_eq!(says(&site, INSTANCE, phone).await, answered());
    }
    site.agent.set_behaviour(Behaviour::Status(StatusCode::NOT_FOUND, json!({"detail": "no such agent"})));
    for phone in [phone, other] {
        assert_eq!(says(&site, INSTANCE, phone).await.0, "dead");
    }
    let path = format!("/api/v1/instances/{INSTANCE}/people/{phone}");
    assert_eq!(site.get(&format!("{path}/export")).await["total_messages"], 2);
    let (messages, letters, user) = erase(&site, phone).await;
    assert!(messages >= 2 && letters == 1 && user, "{messages} {letters} {user}");
    for (phone, messages, letters, people) in [(phone, 0, 0, 0), (other, 2, 1, 1)] {
        let count = async |path: &str| site.get(&format!("{path}phone={phone}")).await;
        assert_eq!(count("/api/v1/traces?all_time=true&").await.as_array().map(Vec::len), Some(messages));
        assert_eq!(count("/api/v1/dead-letters?").await["total"], letters);
        assert_eq!(count("/api/v1/users?").await.as_array().map(Vec::len), Some(people));
    }
    // Whoever comes back is somebody new.
    site.agent.set_behaviour(Behaviour::Echo);
    assert_eq!(says(&site, INSTANCE, phone).await, answered());
    site.assert_no_violations();
}

/// The checkpoint of a conversation.
async fn checkpoint(js: &jetstream::Context, instance_id: i64, phone: &str) -> Value {
    let layout = read_layout(js).await.expect("a layout");
    let lane = LaneAddress::of(INSTANCE, instance_id, &format!("{INSTANCE}_{phone}"), layout.partitions);
    let turns = js.get_stream(layout.turns(lane.partition)).await.expect("the checkpoints");
    let kept = turns.get_last_raw_message_by_subject(&Subjects::turn(&lane)).await.expect("a checkpoint");
    serde_json::from_slice(&kept.payload).expect("JSON")
}

async fn nothing_of_an_erased_person_is_in_the_queue(database: Database) {
    let site = Site::parts(database, Behaviour::Echo).await;
    let nats = site.nats.as_ref().expect("a server of its own").url();
    let js = jetstream::new(async_nats::connect(nats).await.expect("a connection"));
    let id = site.get(&format!("/api/v1/instances/{INSTANCE}")).await["id"].as_i64().expect("a row id");
    let checkpoint = async |phone: &str| checkpoint(&js, id, phone).await;
    let media = js.get_object_store("media").await.expect("the media");
    let objects = async || media.list().await.unwrap().try_collect::<Vec<_>>().await.unwrap().len();
    let (phone, other) = ("14155557600", "14155557601");
    // Too large for the queue: they are kept beside it.
    let long = "word ".repeat(60 * 1024);
    for phone in [phone, other] {
        assert_eq!(site.ended(&site.say(phone, &long).await).await["outcome"], "answered");
    }
    let named = |checkpoint: &Value| checkpoint["session"]["session_id"].is_string();
    let is_done = async || checkpoint(phone).await["done"].as_array().map(Vec::len) == Some(1);
    until("its turn is closed", DEADLINE, is_done).await;
    assert!(named(&checkpoint(phone).await));
    assert_eq!(objects().await, 2);

    assert!(erase(&site, phone).await.2);
    let left = checkpoint(phone).await;
    assert_eq!((named(&left), left["done"].as_array().map(Vec::len)), (false, Some(1)), "{left}");
    assert!(named(&checkpoint(other).await));
    assert_eq!(objects().await, 1);
    let steps = js.get_stream("TRACE_STEPS").await.expect("the steps");
    let gone = async || steps.get_info().await.expect("an answer").state.messages == 0;
    until("the steps that are recorded are gone", DEADLINE, gone).await;
    // Whoever comes back is somebody new to the agent.
    assert_eq!(says(&site, INSTANCE, phone).await, answered());
    site.assert_no_violations();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_reaches_a_worker_apart() {
    let site = Site::parts(Database::Postgres, Behaviour::Echo).await;
    let phone = "14155557500";
    assert_eq!(says(&site, INSTANCE, phone).await, answered());
    for instance in [json!(INSTANCE), Value::Null].into_iter().cycle().take(6) {
        let block = rule(&site, json!({"phone_number": phone, "action": "block", "instance_name": instance})).await;
        assert_eq!(says(&site, INSTANCE, phone).await, ignored("blocked"), "{instance}");
        assert_eq!(site.api(Method::DELETE, &block, None).await.status, 204);
        assert_eq!(says(&site, INSTANCE, phone).await, answered(), "{instance}");
    }
    site.assert_no_violations();
}
