//! Against agents that speak each protocol, well and badly.

use std::time::Duration;

use omnihub_fakes::{AgentCall, Answer, Behaviour, FakeAgent};
use serde_json::json;

use super::*;

/// How a server is spoken to: its protocol, as a stream or not.
const WAYS: [(AgentProtocol, bool); 7] = [
    (AgentProtocol::Automagik, false),
    (AgentProtocol::AutomagikV1, false),
    (AgentProtocol::Hive, false),
    (AgentProtocol::Hive, true),
    (AgentProtocol::Openai, false),
    (AgentProtocol::Openai, true),
    (AgentProtocol::Webhook, false),
];

fn target(agent: &FakeAgent, (protocol, stream): (AgentProtocol, bool)) -> Target {
    let place = if protocol == AgentProtocol::Webhook { "/hook" } else { "" };
    Target {
        url: format!("{}{place}", agent.url()),
        key: Secret::new(agent.key()),
        protocol,
        agent_id: Some("helper".to_owned()),
        kind: AgentKind::Agent,
        stream,
        webhook_secret: None,
        timeout: Duration::from_secs(20),
    }
}

async fn findings(behaviour: Behaviour, way: (AgentProtocol, bool)) -> Vec<Finding> {
    let agent = FakeAgent::start(behaviour).await.unwrap();
    conformance::check(&target(&agent, way)).await.unwrap()
}

fn failed(findings: &[Finding]) -> Vec<&'static str> {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed);
    failed.map(|finding| finding.check).collect()
}

#[tokio::test]
async fn a_server_that_speaks_well_passes() {
    for way in WAYS {
        let agent = FakeAgent::start(Behaviour::Echo).await.unwrap();
        let findings = conformance::check(&target(&agent, way)).await.unwrap();
        assert_eq!(failed(&findings), Vec::<&str>::new(), "{way:?}: {findings:?}");
        let stream = findings.iter().find(|finding| finding.check == "stream").unwrap();
        assert_eq!(stream.verdict, if way.1 { Verdict::Ok } else { Verdict::Skipped }, "{way:?}");
        // Nothing is missing in any question but in the one that is empty on purpose.
        let missing = |problem: &String| !(problem.starts_with("field ") && problem.ends_with(" is missing"));
        let problems: Vec<String> = agent.violations().into_iter().filter(missing).collect();
        assert_eq!(problems, Vec::<String>::new(), "{way:?}");
        let table = text(&findings, false).unwrap();
        assert!(table.contains("reachable") && !table.contains("FAILED") && !table.contains(agent.key()), "{table}");
        assert!(text(&findings, true).unwrap().contains("\"verdict\": \"ok\""));
    }
}

#[tokio::test]
async fn what_a_server_does_badly_is_named() {
    let page = |_: &AgentCall| Answer {
        status: axum::http::StatusCode::OK,
        content_type: "text/html".to_owned(),
        body: b"<html>planted</html>".to_vec(),
    };
    for way in WAYS {
        assert_eq!(failed(&findings(Behaviour::custom(page), way).await), ["answer"], "{way:?}");
        let silent = findings(Behaviour::Fixed(" ".to_owned()), way).await;
        assert_eq!(failed(&silent), ["answer"], "{way:?}: {silent:?}");
    }
    for way in WAYS.into_iter().filter(|(_, stream)| *stream) {
        let whole = json!({"content": "hi", "choices": [{"message": {"content": "hi"}}]});
        let whole = Behaviour::Status(axum::http::StatusCode::OK, whole);
        assert_eq!(failed(&findings(whole, way).await), ["stream"], "{way:?}");
    }
    let forgetful = Behaviour::custom(|call: &AgentCall| {
        let body = json!({"message": "hi", "session_id": format!("{}-again", call.field("session_id"))});
        Answer::json(axum::http::StatusCode::OK, &body)
    });
    let found = findings(forgetful, (AgentProtocol::Automagik, false)).await;
    assert_eq!(failed(&found), ["session"], "{found:?}");
}

#[tokio::test]
async fn keys_and_signatures_that_nobody_minds_are_named() {
    let agent = FakeAgent::start(Behaviour::Echo).await.unwrap();
    let way = (AgentProtocol::Webhook, false);
    let secret = Some(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    // The fake looks at the key and not at the signature.
    let findings = conformance::check(&Target { webhook_secret: secret, ..target(&agent, way) }).await.unwrap();
    assert_eq!(failed(&findings), ["wrong signature"], "{findings:?}");
    let wrong = Target { key: Secret::new("wrong"), ..target(&agent, way) };
    let findings = conformance::check(&wrong).await.unwrap();
    assert_eq!(failed(&findings), ["answer", "error form"], "{findings:?}");
    let nobody = Target { url: "http://127.0.0.1:1".to_owned(), ..target(&agent, way) };
    let findings = conformance::check(&nobody).await.unwrap();
    assert_eq!((failed(&findings), findings.len()), (vec!["reachable"], 1), "{findings:?}");
}

#[tokio::test]
async fn a_server_that_answers_later_is_told_what_becomes_of_it() {
    let promise = Behaviour::Status(axum::http::StatusCode::ACCEPTED, json!({}));
    let found = findings(promise, (AgentProtocol::Webhook, false)).await;
    let answer = found.iter().find(|finding| finding.check == "answer").unwrap();
    assert_eq!(answer.verdict, Verdict::Skipped, "{found:?}");
    assert!(answer.detail.contains("reply_url"), "{found:?}");
}
