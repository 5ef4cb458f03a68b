//! How messages become turns: gathering, overlap, breakers, and payloads beyond the budget.

mod breakers;
mod corrections;
mod gather;
mod overlap;
mod payloads;
mod types;

use serde_json::Value;

use crate::harness::Site;

/// Says texts one after the other; answers their traces.
async fn say_all(site: &Site, phone: &str, texts: &[&str]) -> Vec<String> {
    let mut traces = Vec::new();
    for text in texts {
        traces.push(site.say(phone, text).await);
    }
    traces
}

/// The ended traces: all answered in one turn, the reply on the last one and the others pointing
/// to it.
async fn assert_answered_together(site: &Site, traces: &[String]) {
    let mut ended = Vec::new();
    for trace in traces {
        ended.push(site.ended(trace).await);
    }
    let (last, others) = ended.split_last().expect("a trace");
    for trace in &ended {
        assert_eq!(trace["outcome"], "answered", "{trace}");
        assert_eq!(trace["turn_id"], last["turn_id"], "one turn");
    }
    assert!(last["agent_response"].is_string() && last["answered_in"].is_null(), "{last}");
    for trace in others {
        assert_eq!(trace["answered_in"], last["trace_id"], "{trace}");
        assert_eq!(trace["agent_response"], Value::Null);
    }
}

/// The questions that the agent was asked, in order.
fn questions(site: &Site) -> Vec<String> {
    site.agent.calls().iter().map(|call| call.message().to_owned()).collect()
}
