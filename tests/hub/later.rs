//! Agents that answer later: 202 first, and the answer when they have it.

use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::{Behaviour, FakeAgent};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(
    a_later_answer_outlives_the_worker_and_is_sent_once_in_its_place,
    an_answer_may_come_before_the_promise_of_it,
    an_answer_that_comes_first_outlives_the_worker,
    a_person_is_quicker_than_a_later_answer,
    who_is_blocked_meanwhile_gets_no_later_answer,
    an_answer_that_never_comes_is_a_failure
);

const PHONE: &str = "14155552801";

/// The hub says this address to agents; what counts is the path below it.
const PUBLIC: (&str, &str) = ("OMNIHUB_PUBLIC_URL", "https://hub.test");

fn promise() -> Behaviour {
    Behaviour::Status(StatusCode::ACCEPTED, json!({"status": "working on it"}))
}

/// The tenant's agent is a webhook.
async fn hooked(site: &Site, more: Value) {
    let mut fields = json!({"agent_instance_type": "webhook", "agent_api_url": format!("{}/hook", site.agent.url())});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.change_instance(INSTANCE, fields).await;
}

/// Where the answer to the `nth` question is to be posted.
async fn door(agent: &FakeAgent, nth: usize) -> String {
    let calls = agent.wait_for_calls(nth, DEADLINE).await.unwrap();
    let url = calls[nth - 1].body["reply_url"].as_str().expect("an address").to_owned();
    url.strip_prefix(PUBLIC.1).expect("below the hub's own").to_owned()
}

async fn is_awaited(site: &Site, trace: &str) {
    let waits =
        async || site.get(&format!("/api/v1/where?trace_id={trace}")).await.to_string().contains("answers later");
    until("the answer is awaited", DEADLINE, waits).await;
}

async fn a_later_answer_outlives_the_worker_and_is_sent_once_in_its_place(database: Database) {
    let settings = [("OMNIHUB_WORKER_ID", "w1"), PUBLIC];
    let mut site = Site::parts_with(database, promise(), &settings).await;
    hooked(&site, json!({})).await;
    let first = site.say(PHONE, "one").await;
    let door = door(&site.agent, 1).await;
    is_awaited(&site, &first).await;
    site.agent.set_behaviour(Behaviour::Echo);
    let second = site.say(PHONE, "two").await;

    let answer = json!({"reply": "later: one"});
    for wrong in ["/api/v1/replies/x", &door[..door.len() - 3]] {
        site.post(wrong, &answer).await.assert_problem(404, "reply_unknown");
    }
    site.post(&door, &json!({"message": "hi"})).await.assert_problem(422, "reply_unreadable");
    site.worker.as_mut().unwrap().kill9();
    let kept = site.post(&door, &answer).await;
    assert_eq!((kept.status, &kept.body["status"]), (200, &json!("accepted")), "{}", kept.text);
    site.worker.as_mut().unwrap().start_again();
    let trace = site.ended(&first).await;
    assert_eq!((&trace["outcome"], &trace["agent_response"]), (&json!("answered"), &json!("later: one")), "{trace}");
    assert_eq!(site.ended(&second).await["outcome"], "answered");

    assert_eq!(site.post(&door, &answer).await.status, 200, "posted once more, as after a timeout");
    assert_eq!(site.ended(&site.say(PHONE, "three").await).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), ["later: one", "echo: two", "echo: three"]);
    let asked: Vec<String> = site.agent.calls().iter().map(|call| call.message().to_owned()).collect();
    assert_eq!(asked, ["one", "two", "three"], "nobody is asked twice");
    let ticket = door.rsplit('/').next().unwrap();
    assert!(!trace.to_string().contains(ticket), "whoever reads a trace cannot answer for the agent");
    site.assert_no_violations();
}

async fn an_answer_may_come_before_the_promise_of_it(database: Database) {
    let site = Site::up_with(database, Behaviour::slow(Duration::from_secs(2), promise()), &[PUBLIC]).await;
    hooked(&site, json!({})).await;
    let trace = site.say(PHONE, "hello").await;
    let door = door(&site.agent, 1).await;
    let kept = site.post(&door, &json!({"parts": [{"type": "text", "text": "quick"}]})).await;
    assert_eq!(kept.status, 200, "{}", kept.text);
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), ["quick"]);
    assert_eq!(site.agent.calls().len(), 1);
    site.assert_no_violations();
}

async fn an_answer_that_comes_first_outlives_the_worker(database: Database) {
    let settings = [("OMNIHUB_WORKER_ID", "w1"), PUBLIC];
    let mut site = Site::parts_with(database, Behaviour::Hang, &settings).await;
    hooked(&site, json!({})).await;
    let trace = site.say(PHONE, "hello").await;
    let door = door(&site.agent, 1).await;
    site.worker.as_mut().unwrap().kill9();
    site.agent.set_behaviour(promise());
    assert_eq!(site.post(&door, &json!({"reply": "early"})).await.status, 200);
    site.worker.as_mut().unwrap().start_again();
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), ["early"]);
    assert_eq!(site.agent.calls().len(), 1, "it has answered");
    site.assert_no_violations();
}

async fn who_is_blocked_meanwhile_gets_no_later_answer(database: Database) {
    let site = Site::up_with(database, promise(), &[PUBLIC]).await;
    hooked(&site, json!({})).await;
    let asked = site.say(PHONE, "hello").await;
    let door = door(&site.agent, 1).await;
    is_awaited(&site, &asked).await;
    let rule = json!({"phone_number": PHONE, "action": "block", "instance_name": INSTANCE});
    assert_eq!(site.api(Method::POST, "/api/v1/access/rules", Some(&rule)).await.status, 201);
    assert_eq!(site.post(&door, &json!({"reply": "an answer"})).await.status, 200);
    let trace = site.ended(&asked).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("ignored"), &json!("blocked")), "{trace}");
    assert!(site.replies_to(PHONE).is_empty());
    site.assert_no_violations();
}

async fn a_person_is_quicker_than_a_later_answer(database: Database) {
    let site = Site::up_with(database, promise(), &[PUBLIC]).await;
    hooked(&site, json!({})).await;
    let asked = site.say(PHONE, "hello").await;
    let door = door(&site.agent, 1).await;
    is_awaited(&site, &asked).await;
    let mut own = webhook(PHONE, "it is me");
    own["data"]["key"]["fromMe"] = true.into();
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &own).await;
    let trace = site.ended(&asked).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("handed_off"), &json!("taken_over")), "{trace}");
    assert_eq!(site.post(&door, &json!({"reply": "too late"})).await.status, 200);
    let behind = site.ended(&site.say(PHONE, "thanks").await).await;
    assert_eq!(behind["outcome"], "handed_off");
    assert!(site.replies_to(PHONE).is_empty(), "the bot is silent");
    site.assert_no_violations();
}

async fn an_answer_that_never_comes_is_a_failure(database: Database) {
    /// The shortest wait that can be set is a minute.
    const NEVER: Duration = Duration::from_secs(150);
    let site = Site::up_with(database, promise(), &[PUBLIC]).await;
    let text = "Please write again later.";
    hooked(&site, json!({"late_answer_minutes": 1, "agent_error_message": text})).await;
    let backup = FakeAgent::start(Behaviour::Fixed("from the backup".to_owned())).await.unwrap();
    let listed = json!([{"name": "backup", "agent_api_url": backup.url(), "agent_api_key": backup.key()}]);
    let hook = format!("{}/hook", site.agent.url());
    site.add_instance(
        "helped",
        json!({"agent_instance_type": "webhook", "agent_api_url": hook, "late_answer_minutes": 1,
            "fallback_agents": listed}),
    )
    .await;
    let alone = site.say(PHONE, "hello").await;
    let door = door(&site.agent, 1).await;
    let helped = site.say_to("helped", "14155552802", "hello").await;
    let ended = async |trace: &str| {
        let path = format!("/api/v1/traces/{trace}");
        until("it has ended", NEVER, async || !site.get(&path).await["outcome"].is_null()).await;
        site.get(&path).await
    };
    let trace = ended(&alone).await;
    let told = (&trace["outcome"], &trace["outcome_reason"]);
    assert_eq!(told, (&json!("dead"), &json!("agent_never_answered")), "{trace}");
    assert_eq!(site.replies_to(PHONE), [text]);
    site.post(&door, &json!({"reply": "too late"})).await.assert_problem(410, "reply_expired");
    let trace = ended(&helped).await;
    assert_eq!(trace["outcome"], "answered", "{trace}");
    assert_eq!(site.replies_to("14155552802"), ["from the backup"]);
    site.assert_no_violations();
}
