//! Agents and Evolution servers that are away, slow, hang, or talk rubbish.

use std::time::Duration;

use omnihub_fakes::Behaviour;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{DEADLINE, Database, Forwarder, Site, until};

/// The port at the end of a URL.
fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_away_is_waited_for_and_nothing_is_sent_twice() {
    let site = Site::up(Database::Sqlite, Behaviour::Echo).await;
    let agent = Forwarder::to(port(site.agent.url())).await;
    let evolution = Forwarder::to(port(site.evolution.url())).await;
    let address = |cable: &Forwarder| format!("http://127.0.0.1:{}", cable.port());
    let fields = json!({"agent_api_url": address(&agent), "evolution_url": address(&evolution)});
    site.change_instance("acme", fields).await;

    // The agent is away.
    agent.cut();
    let first = site.say("14155559000", "one").await;
    let failed = |stage: &'static str| move |trace: &serde_json::Value| trace["error_stage"] == stage;
    site.trace_when(&first, "has failed at the agent", failed("agent_called")).await;
    agent.mend();
    assert_eq!(site.ended(&first).await["outcome"], "answered");

    // Evolution is away: the answer is kept, and the agent is not asked again for it.
    evolution.cut();
    let second = site.say("14155559000", "two").await;
    site.trace_when(&second, "has failed at Evolution", failed("channel_send")).await;
    evolution.mend();
    assert_eq!(site.ended(&second).await["outcome"], "answered");
    assert_eq!(site.replies_to("14155559000"), ["echo: one", "echo: two"]);
    assert_eq!(site.agent.calls().iter().filter(|call| call.message() == "two").count(), 1);

    // Another server in its place is used at once, long before the next attempt of the schedule.
    agent.cut();
    let third = site.say("14155559000", "three").await;
    site.trace_when(&third, "was tried twice", |trace| trace["attempts"].as_i64() >= Some(2)).await;
    site.change_instance("acme", json!({"agent_api_url": site.agent.url()})).await;
    assert_eq!(site.ended(&third).await["outcome"], "answered");
    site.assert_no_violations();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_hanging_and_babbling_agents_hold_nobody_else() {
    let site = Site::up(Database::Sqlite, Behaviour::Echo).await;
    site.add_instance("other", json!({})).await;
    let garbage = Behaviour::Raw(StatusCode::OK, "application/json".into(), vec![0xff, 0xfe, 0x00, 0x7b]);
    let slow = Behaviour::slow(Duration::from_millis(900), Behaviour::Fixed("at last".into()));
    // Within its timeout a slow agent is heard; a hanging one is asked again, by the same key.
    site.change_instance("acme", json!({"agent_timeout": 2})).await;
    site.agent.set_behaviour(Behaviour::Sequence(vec![slow, Behaviour::Hang, garbage, Behaviour::Echo]));
    let trace = site.say("14155559100", "slow").await;
    assert_eq!(site.ended(&trace).await["attempts"], 1);
    assert_eq!(site.replies_to("14155559100"), ["at last"]);
    let hanging = site.say("14155559100", "hang").await;
    until("the agent is asked again", DEADLINE, async || {
        site.agent.calls().iter().filter(|call| call.message() == "hang").count() == 2
    })
    .await;
    // That attempt got rubbish, which no further attempt would better.
    let trace = site.ended(&hanging).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("agent_answer_unreadable")));
    let calls: Vec<_> = site.agent.calls().into_iter().filter(|call| call.message() == "hang").collect();
    assert_eq!(calls[0].idempotency_key(), calls[1].idempotency_key());

    // While one instance's agent hangs, another instance's messages are answered.
    site.agent.set_behaviour(Behaviour::Sequence(vec![Behaviour::Hang, Behaviour::Echo]));
    site.say("14155559100", "wait").await;
    until("its agent hangs", DEADLINE, async || site.agent.calls().iter().any(|call| call.message() == "wait")).await;
    let other = site.say_to("other", "14155559101", "hello").await;
    assert_eq!(site.ended(&other).await["outcome"], "answered");
    site.assert_no_violations();
}
