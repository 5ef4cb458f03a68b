//! Circuit breakers: a server that fails is left alone, and its turns burn no attempts meanwhile.

use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use serde_json::json;

use crate::harness::{DEADLINE, Database, INSTANCE, Site, until};

/// An open circuit lets a probe through after 30 s.
const PROBED: Duration = Duration::from_secs(75);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_fails_is_left_alone_until_a_probe_succeeds() {
    let down = Behaviour::Status(StatusCode::INTERNAL_SERVER_ERROR, json!({"detail": "down"}));
    let site = Site::up(Database::Sqlite, down).await;
    // However often a message looks whether it may be asked: it is one turn.
    site.change_instance(INSTANCE, json!({"turns_per_minute": 1})).await;
    let mut traces = Vec::new();
    for nth in 0..12 {
        traces.push(site.say(&format!("1415555321{nth:02}"), "hello").await);
    }
    let open = async || site.metric("omnihub_agent_breakers_open", &[]).await > 0.0;
    until("the breaker is open", DEADLINE, open).await;

    // A healthy agent beside it is none of its business.
    let other = omnihub_fakes::FakeAgent::start(Behaviour::Echo).await.unwrap();
    let fields = json!({"agent_api_url": other.url(), "agent_api_key": other.key()});
    site.add_instance("healthy", fields).await;
    let id = site.say_to("healthy", "14155553399", "hello").await;
    assert_eq!(site.ended(&id).await["outcome"], "answered");

    let asked = site.agent.calls().len();
    site.agent.set_behaviour(Behaviour::Echo);
    let closed = async || site.metric("omnihub_agent_breakers_open", &[]).await == 0.0;
    until("the breaker is closed", PROBED, closed).await;
    for trace in &traces {
        let trace = site.ended(trace).await;
        assert_eq!(trace["outcome"], "answered");
        assert!(trace["attempts"].as_i64() <= Some(5), "parked, not burnt: {}", trace["attempts"]);
    }
    assert!(asked < 40, "{asked} calls before the circuit opened");
    site.assert_no_violations();
}
