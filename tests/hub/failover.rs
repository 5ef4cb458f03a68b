//! Failover: another agent answers where the first does not, and people where none does.

use std::{collections::BTreeSet, time::Duration};

use axum::http::StatusCode;
use omnihub_fakes::{AgentCall, Answer, Behaviour, FakeAgent, Voice};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until};

on_both_databases!(
    the_next_agent_answers_whatever_the_first_one_does,
    each_agent_has_its_own_session,
    an_agent_that_is_left_alone_is_passed_over,
    agents_of_one_rank_share_the_conversations,
    where_nobody_answers_people_do,
    a_worker_that_dies_between_two_agents_answers_once,
    a_stream_that_breaks_is_gone_on_with_by_the_next_agent
);

const PHONE: &str = "14155552701";

fn status(status: StatusCode) -> Behaviour {
    Behaviour::Status(status, json!({"detail": "not today"}))
}

/// An agent that answers `backup: <message>`.
async fn backup() -> FakeAgent {
    let says = Behaviour::custom(|call| Answer::text(call, &format!("backup: {}", call.message())));
    FakeAgent::start(says).await.unwrap()
}

fn listed(name: &str, agent: &FakeAgent) -> Value {
    json!({"name": name, "agent_api_url": agent.url(), "agent_api_key": agent.key(), "agent_id": "helper",
        "agent_timeout": 30})
}

async fn the_next_agent_answers_whatever_the_first_one_does(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let backup = backup().await;
    let gone = json!({"name": "gone", "agent_api_url": "http://127.0.0.1:9", "agent_api_key": "k"});
    site.change_instance(INSTANCE, json!({"agent_timeout": 1, "fallback_agents": [gone, listed("backup", &backup)]}))
        .await;
    let html = Behaviour::Raw(StatusCode::OK, "text/html".to_owned(), b"<html>".to_vec());
    let failures = [
        status(StatusCode::INTERNAL_SERVER_ERROR),
        status(StatusCode::NOT_FOUND),
        status(StatusCode::UNAUTHORIZED),
        Behaviour::SuccessFalse,
        Behaviour::Hang,
        html,
    ];
    for (nth, failure) in failures.into_iter().enumerate() {
        let (phone, what) = (format!("141555527{nth:02}"), format!("{failure:?} {nth}"));
        site.agent.set_behaviour(failure);
        let trace = site.say(&phone, &what).await;
        let is_told = |trace: &Value| !trace["outcome"].is_null() && !trace["agent_request_payload"].is_null();
        let trace = site.trace_when(&trace, "has ended and holds its question", is_told).await;
        assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(1)), "{what}: {trace}");
        assert_eq!(site.replies_to(&phone), [format!("backup: {what}")]);
        let warnings = trace["warnings"].to_string();
        for told in ["`own` failed", "`gone` failed", "`backup` answered"] {
            assert!(warnings.contains(told), "{what}: {warnings}");
        }
        let of_turn = |calls: Vec<AgentCall>| calls.into_iter().find(|call| call.message() == what).unwrap();
        let (first, second) = (of_turn(site.agent.calls()), of_turn(backup.calls()));
        assert_eq!(first.idempotency_key(), second.idempotency_key());
        assert!(trace["agent_request_payload"].to_string().contains(&what));
    }
    // The first one is asked again as soon as it may be.
    site.agent.set_behaviour(Behaviour::Echo);
    let trace = site.ended(&site.say(PHONE, "hello").await).await;
    assert_eq!(site.replies_to(PHONE).last().map(String::as_str), Some("echo: hello"), "{trace}");
    site.assert_no_violations();
    assert_eq!(backup.violations(), Vec::<String>::new());
}

/// Answers with a session id of its own.
fn with_session(id: &'static str) -> Behaviour {
    Behaviour::custom(move |_| Answer::json(StatusCode::OK, &json!({"message": "hi", "session_id": id})))
}

async fn each_agent_has_its_own_session(database: Database) {
    let site = Site::up(database, with_session("of-own")).await;
    let backup = FakeAgent::start(with_session("of-backup")).await.unwrap();
    site.change_instance(INSTANCE, json!({"fallback_agents": [listed("backup", &backup)]})).await;
    let ask = async |agent: &FakeAgent| -> String {
        assert_eq!(site.ended(&site.say(PHONE, "hello").await).await["outcome"], "answered");
        agent.calls().last().unwrap().field("session_id").to_owned()
    };
    let hub_s = ask(&site.agent).await;
    assert_eq!(ask(&site.agent).await, "of-own");
    site.agent.set_behaviour(status(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(ask(&backup).await, hub_s, "another agent's id says nothing to it");
    assert_eq!(ask(&backup).await, "of-backup");
    site.agent.set_behaviour(with_session("of-own"));
    assert_eq!(ask(&site.agent).await, "of-own");
    site.assert_no_violations();
}

async fn an_agent_that_is_left_alone_is_passed_over(database: Database) {
    let site = Site::up(database, status(StatusCode::BAD_GATEWAY)).await;
    let backup = backup().await;
    site.change_instance(INSTANCE, json!({"fallback_agents": [listed("backup", &backup)]})).await;
    for nth in 0..10 {
        let trace = site.say(&format!("141555528{nth:02}"), "hello").await;
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
    }
    let open = async || site.metric("omnihub_agent_breakers_open", &[]).await > 0.0;
    until("the breaker is open", DEADLINE, open).await;
    let trace = site.ended(&site.say(PHONE, "hello").await).await;
    assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(1)));
    let warnings = trace["warnings"].to_string();
    assert!(warnings.contains("`own` was not asked") && warnings.contains("`backup` answered"), "{warnings}");
    assert_eq!(site.replies_to(PHONE), ["backup: hello"]);
    site.assert_no_violations();
}

async fn agents_of_one_rank_share_the_conversations(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let twin = backup().await;
    let mut listed = listed("twin", &twin);
    listed["rank"] = 0.into();
    site.change_instance(INSTANCE, json!({"fallback_agents": [listed]})).await;
    let mut who = BTreeSet::new();
    for nth in 0..20 {
        let phone = format!("141555529{nth:02}");
        for _ in 0..2 {
            assert_eq!(site.ended(&site.say(&phone, "hello").await).await["outcome"], "answered");
        }
        let replies = site.replies_to(&phone);
        assert!(replies.len() == 2 && replies[0] == replies[1], "a conversation stays with its agent: {replies:?}");
        who.extend(replies);
    }
    assert_eq!(who.len(), 2, "both have some");
    site.assert_no_violations();
}

async fn where_nobody_answers_people_do(database: Database) {
    let site = Site::up(database, status(StatusCode::NOT_FOUND)).await;
    let other = FakeAgent::start(status(StatusCode::NOT_FOUND)).await.unwrap();
    let text = "Somebody will write to you.";
    site.change_instance(INSTANCE, json!({"fallback_agents": [listed("other", &other)], "agent_error_message": text}))
        .await;
    let trace = site.ended(&site.say("14155552711", "hello").await).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("agent_rejected")), "{trace}");
    assert_eq!(site.replies_to("14155552711"), [text]);

    site.change_instance(INSTANCE, json!({"on_agent_failure": "handoff"})).await;
    let handed_off = async |phone: &str, reason: &str| {
        let trace = site.ended(&site.say(phone, "hello").await).await;
        assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("handed_off"), &json!(reason)), "{trace}");
    };
    handed_off("14155552712", "handed_over").await;
    assert_eq!(site.replies_to("14155552712"), [text]);
    let conversation = format!("/api/v1/instances/{INSTANCE}/conversations/{INSTANCE}_14155552712");
    assert_eq!(site.get(&conversation).await["state"], "paused");
    handed_off("14155552712", "taken_over").await;
    assert_eq!(site.replies_to("14155552712"), [text], "the bot is silent");
    site.change_instance(INSTANCE, json!({"agent_error_message": null, "takeover_minutes": 0})).await;
    handed_off("14155552713", "handed_over").await;
    assert!(site.replies_to("14155552713").is_empty());

    site.agent.set_behaviour(Behaviour::Echo);
    let resumed = site.api(Method::POST, &format!("{conversation}/resume"), None).await;
    assert_eq!(resumed.body["state"], "active", "{}", resumed.text);
    assert_eq!(site.ended(&site.say("14155552712", "bot?").await).await["outcome"], "answered");
    site.assert_no_violations();
}

async fn a_worker_that_dies_between_two_agents_answers_once(database: Database) {
    let worker = [("OMNIHUB_WORKER_ID", "w1")];
    let mut site = Site::parts_with(database, status(StatusCode::INTERNAL_SERVER_ERROR), &worker).await;
    let backup = FakeAgent::start(Behaviour::Sequence(vec![
        Behaviour::Hang,
        Behaviour::slow(Duration::from_millis(200), Behaviour::Fixed("from the backup".to_owned())),
    ]))
    .await
    .unwrap();
    site.change_instance(INSTANCE, json!({"fallback_agents": [listed("backup", &backup)]})).await;
    let trace = site.say(PHONE, "hello").await;
    backup.wait_for_calls(1, DEADLINE).await.unwrap();
    site.worker.as_mut().unwrap().kill9();
    site.worker.as_mut().unwrap().start_again();
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), ["from the backup"]);
    let keys: BTreeSet<String> = backup.calls().iter().map(|call| call.idempotency_key().to_owned()).collect();
    assert_eq!((backup.calls().len(), keys.len()), (2, 1), "the same turn");
    site.assert_no_violations();
}

async fn a_stream_that_breaks_is_gone_on_with_by_the_next_agent(database: Database) {
    let voice = Voice::default();
    voice.say("One.\n\n");
    let site = Site::up(database, Behaviour::Voice(voice.clone())).await;
    let backup = FakeAgent::start(Behaviour::Fixed("One.\n\nTwo.".to_owned())).await.unwrap();
    site.change_instance(
        INSTANCE,
        json!({"agent_instance_type": "hive", "agent_stream_mode": true, "stream_replies": true,
            "fallback_agents": [listed("backup", &backup)]}),
    )
    .await;
    let trace = site.say(PHONE, "tell me").await;
    until("the first paragraph is out", DEADLINE, async || site.replies_to(PHONE) == ["One."]).await;
    voice.break_off();
    let trace = site.ended(&trace).await;
    assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(1)), "{trace}");
    assert_eq!(site.replies_to(PHONE), ["One.", "Two."], "what is out is not said again");
    assert!(trace["warnings"].to_string().contains("`backup` answered"), "{trace}");
    site.assert_no_violations();
}
