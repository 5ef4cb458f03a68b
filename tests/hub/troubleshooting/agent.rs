//! An agent that is not there, not where it is said to be, or does not want the question.

use axum::http::StatusCode;
use omnihub_fakes::Behaviour;
use serde_json::json;

use super::{Line, Symptom};
use crate::harness::{Database, INSTANCE, Site, on_both_databases};

on_both_databases!(an_agent_that_cannot_be_reached, an_agent_that_refuses);

pub(super) const NOT_REACHED: Symptom = Symptom {
    title: "Messages do not reach the agent (\"Connection refused\")",
    lines: &[
        Line::Doctor("problem", "agent", "The agent cannot be reached: the connection was refused."),
        Line::Explain("The agent was asked and failed"),
    ],
    mends: &["omnihub instance update acme --agent-api-url URL"],
};

pub(super) const LOOPBACK: Symptom = Symptom {
    title: "The agent answers on your machine and not from the hub (localhost, a wrong IP)",
    lines: &[Line::Doctor(
        "hint",
        "address",
        "agent_api_url is a loopback address: each machine, and each container, means itself by it.",
    )],
    mends: &["omnihub instance update acme --agent-api-url URL"],
};

pub(super) const REFUSED: Symptom = Symptom {
    title: "The agent returns 400 Bad Request",
    lines: &[Line::Explain("the agent refused the question for good.")],
    mends: &["omnihub dead redrive ID"],
};

async fn an_agent_that_cannot_be_reached(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    LOOPBACK.shows(&site, None).await;
    // Nothing listens on the first port of this machine.
    site.change_instance(INSTANCE, json!({"agent_api_url": "http://127.0.0.1:1"})).await;
    let trace = site.say("14155551000", "is anybody there?").await;
    site.trace_when(&trace, "shows a failed call", |trace| trace["agent_response_success"] == false).await;
    NOT_REACHED.shows(&site, Some(&trace)).await;
    NOT_REACHED.mend(&site, 0, &[("URL", site.agent.url())]).await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    NOT_REACHED.is_gone(&site).await;
    LOOPBACK.mend(&site, 0, &[("URL", "http://agent.invalid:8886")]).await;
    LOOPBACK.is_gone(&site).await;
    site.assert_no_violations();
}

async fn an_agent_that_refuses(database: Database) {
    let refuses = Behaviour::Status(StatusCode::BAD_REQUEST, json!({"detail": "user_id is required"}));
    let site = Site::up(database, refuses).await;
    let trace = site.say("14155551100", "hello").await;
    assert_eq!(site.ended(&trace).await["outcome"], "dead");
    REFUSED.shows(&site, Some(&trace)).await;
    site.agent.set_behaviour(Behaviour::Echo);
    REFUSED.mend(&site, 0, &[("ID", &trace)]).await;
    site.trace_when(&trace, "is answered after all", |trace| trace["outcome"] == "answered").await;
}
