//! A hub that asks agents of every protocol, in one piece and as a stream, good ones and broken ones.

use std::time::Duration;

use axum::http::StatusCode;
use omnihub_fakes::{AgentCall, Behaviour, FakeAgent, Pieces};
use serde_json::{Value, json};

use crate::harness::{Database, Site, on_both_databases};

on_both_databases!(
    every_protocol_is_spoken,
    what_was_said_before_is_told_to_a_model,
    calls_are_signed_with_both_secrets_while_one_rotates,
    answers_of_every_shape_are_outcomes,
    a_call_that_breaks_or_takes_too_long_is_made_again
);

/// An instance for each way to speak: its name, its fields, and the path that is called.
const WAYS: [(&str, &str, &str); 9] = [
    ("automagik", r#"{"agent_instance_type": "automagik"}"#, "/api/agent/chat"),
    ("automagik-v1", r#"{"agent_instance_type": "automagik-v1"}"#, "/api/v1/agent/helper/run"),
    ("hive", r#"{"agent_instance_type": "hive"}"#, "/agents/helper/runs"),
    ("hive-stream", r#"{"agent_instance_type": "hive", "agent_stream_mode": true}"#, "/agents/helper/runs"),
    ("hive-team", r#"{"agent_instance_type": "hive", "agent_type": "team"}"#, "/teams/helper/runs"),
    (
        "hive-team-stream",
        r#"{"agent_instance_type": "hive", "agent_type": "team", "agent_stream_mode": true}"#,
        "/teams/helper/runs",
    ),
    ("openai", r#"{"agent_instance_type": "openai", "agent_system_prompt": "Be kind."}"#, "/v1/chat/completions"),
    ("openai-stream", r#"{"agent_instance_type": "openai", "agent_stream_mode": true}"#, "/v1/chat/completions"),
    ("webhook", r#"{"agent_instance_type": "webhook"}"#, "/hook"),
];

/// The fields of an instance that speaks so with this agent.
fn fields(name: &str, given: &str, agent: &FakeAgent) -> Value {
    let mut fields: Value = serde_json::from_str(given).unwrap();
    let place = if name == "webhook" { "/hook" } else { "" };
    fields["agent_api_url"] = format!("{}{place}", agent.url()).into();
    fields
}

fn phone(nth: usize, case: usize) -> String {
    format!("14155559{nth}{case:02}")
}

async fn every_way(site: &Site) {
    for (name, given, _) in WAYS {
        site.add_instance(name, fields(name, given, &site.agent)).await;
    }
}

async fn every_protocol_is_spoken(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    every_way(&site).await;
    for (nth, (name, _, path)) in WAYS.into_iter().enumerate() {
        let question = format!("Olá from {name}");
        let trace = site.say_to(name, &phone(nth, 0), &question).await;
        // What was asked is recorded for itself, and may come behind the outcome.
        let is_told = |trace: &Value| !trace["outcome"].is_null() && !trace["agent_request_payload"].is_null();
        let trace = site.trace_when(&trace, "has ended and holds its question", is_told).await;
        assert_eq!(trace["outcome"], "answered", "{name}: {trace}");
        assert_eq!(site.replies_to(&phone(nth, 0)), [format!("echo: {question}")], "{name}");
        let calls = site.agent.calls();
        let call = calls.last().unwrap();
        assert_eq!((call.path.as_str(), call.message()), (path, question.as_str()), "{name}");
        let tokens = (&trace["agent_request_tokens"], &trace["agent_response_tokens"]);
        match name {
            "webhook" => assert_eq!(tokens, (&Value::Null, &Value::Null), "it names none"),
            _ => assert_eq!(tokens, (&json!(3), &json!(4)), "{name}"),
        }
        assert!(!trace["session_id"].as_str().unwrap_or_default().is_empty(), "{name}");
        let payload = trace["agent_request_payload"].to_string();
        assert!(payload.contains(&question), "{name}: {payload}");
    }
    // Each was told what its protocol has room for.
    let calls = site.agent.calls();
    let streams: Vec<&Value> = calls.iter().map(|call| &call.body["stream"]).collect();
    let (no, yes) = (json!("false"), json!("true"));
    assert_eq!(streams[2..8], [&no, &yes, &no, &yes, &json!(false), &json!(true)]);
    assert_eq!(calls[6].body["messages"][0], json!({"role": "system", "content": "Be kind."}));
    assert_eq!(calls[8].body["user"]["phone_number"], format!("+{}", phone(8, 0)));
    assert_eq!(calls[8].body["conversation"], format!("webhook_{}", phone(8, 0)));
    site.assert_no_violations();
}

async fn what_was_said_before_is_told_to_a_model(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let model = json!({"agent_instance_type": "openai", "agent_history_turns": 2, "debounce_ms": 300});
    site.add_instance("model", model).await;
    let told = async |person: &str, question: &str| {
        let trace = site.say_to("model", person, question).await;
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
        let calls = site.agent.calls();
        let messages = calls.last().unwrap().body["messages"].as_array().unwrap().clone();
        messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (ana, bo) = ("14155559801", "14155559802");
    assert_eq!(told(ana, "one").await, ["one"]);
    assert_eq!(told(bo, "another's").await, ["another's"]);
    assert_eq!(told(ana, "two").await, ["one", "echo: one", "two"]);
    // Two messages within the time that is waited for more are one turn.
    let first = site.say_to("model", ana, "three").await;
    let second = site.say_to("model", ana, "four").await;
    for trace in [&first, &second] {
        assert_eq!(site.ended(trace).await["outcome"], "answered");
    }
    let last = told(ana, "five").await;
    assert_eq!(last.last().unwrap(), "five");
    let before = &last[..last.len() - 1];
    assert!(before.len() == 4 && before.join("\n").contains("three") && before.join("\n").contains("four"), "{last:?}");
    site.change_instance("model", json!({"agent_history_turns": 0})).await;
    assert_eq!(told(ana, "six").await, ["six"]);
    site.assert_no_violations();
}

async fn calls_are_signed_with_both_secrets_while_one_rotates(database: Database) {
    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("hooked", fields("webhook", WAYS[8].1, &site.agent)).await;
    let signed = async |nth: usize| -> (bool, bool, usize) {
        let trace = site.say_to("hooked", &phone(0, nth), "hello").await;
        assert_eq!(site.ended(&trace).await["outcome"], "answered");
        let calls = site.agent.calls();
        let call: &AgentCall = calls.last().unwrap();
        let signatures = call.header("webhook-signature").split_whitespace().count();
        (call.is_signed_with(ONE), call.is_signed_with(OTHER), signatures)
    };
    assert_eq!(signed(1).await, (false, false, 0));
    site.change_instance("hooked", json!({"agent_webhook_secret": ONE})).await;
    assert_eq!(signed(2).await, (true, false, 1));
    site.change_instance("hooked", json!({"agent_webhook_secret": OTHER})).await;
    assert_eq!(signed(3).await, (true, true, 2));
    site.change_instance("hooked", json!({"agent_webhook_secret_previous": null})).await;
    assert_eq!(signed(4).await, (false, true, 1));
    site.assert_no_violations();
}

/// What agents send instead of an answer, and what becomes of it; `None` = it is answered.
fn shapes() -> Vec<(&'static str, Behaviour, Option<&'static str>)> {
    let raw = |content_type: &str, body: &[u8]| Behaviour::Raw(StatusCode::OK, content_type.into(), body.to_vec());
    let huge = vec![b'x'; 10 * 1024 * 1024];
    let unreadable = Some("agent_answer_unreadable");
    let events = "text/event-stream";
    let long = format!(
        "data: {}\n\n",
        json!({"event": "RunContent", "content": "x".repeat(60_000),
        "choices": [{"delta": {"content": "x".repeat(60_000)}}]})
    );
    vec![
        ("empty", raw("application/json", b""), unreadable),
        ("HTML", raw("text/html", b"<html><body>502 Bad Gateway</body></html>"), unreadable),
        ("JSON that is cut", raw("application/json", b"{\"message\": \"raw err"), unreadable),
        ("another JSON", raw("application/json", b"{\"detail\": \"raw error\"}"), unreadable),
        ("no object", raw("application/json", b"[\"raw error\"]"), unreadable),
        ("not UTF-8", raw("application/json", b"{\"message\": \"\xff\xfe raw error\"}"), unreadable),
        ("a text that is not UTF-8", raw("text/plain", b"\xff\xfe raw error"), unreadable),
        ("huge", raw("application/json", &huge), Some("agent_answer_too_large")),
        ("huge, as a text", raw("text/plain", &huge), Some("agent_answer_too_large")),
        ("events that are none", raw(events, b"data: <html>raw error</html>\n\n"), unreadable),
        ("events that are not UTF-8", raw(events, b"data: {\"content\": \"\xff raw error\"}\n\n"), unreadable),
        ("an endless stream", raw(events, long.repeat(200).as_bytes()), Some("agent_answer_too_large")),
        (
            "a success that is none",
            Behaviour::Status(StatusCode::NOT_FOUND, json!("raw error")),
            Some("agent_rejected"),
        ),
    ]
}

async fn answers_of_every_shape_are_outcomes(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    every_way(&site).await;
    for (case, (shape, behaviour, reason)) in shapes().into_iter().enumerate() {
        site.agent.set_behaviour(behaviour);
        let mut traces = Vec::new();
        for (nth, (name, ..)) in WAYS.into_iter().enumerate() {
            traces.push((nth, name, site.say_to(name, &phone(nth, case), shape).await));
        }
        for (nth, name, trace) in traces {
            let trace = site.ended(&trace).await;
            let told = (&trace["outcome"], &trace["outcome_reason"]);
            assert_eq!(told, (&json!("dead"), &json!(reason)), "{shape} of {name}: {trace}");
            let message = trace["error_message"].as_str().unwrap_or_default();
            assert!(!message.is_empty() && !message.contains("raw err"), "{shape} of {name}: {message}");
            assert_eq!(site.replies_to(&phone(nth, case)), Vec::<String>::new(), "{shape} of {name}");
        }
    }
    site.assert_no_violations();
}

/// A good answer of a protocol, byte by byte, with nobody saying what it is to be read as.
fn pieces(way: &str, broken: bool) -> Behaviour {
    let answer = match way {
        "hive" | "hive-team" => r#"{"content": "Olá!", "status": "COMPLETED"}"#,
        "openai" => r#"{"choices": [{"message": {"content": "Olá!"}}]}"#,
        "webhook" => r#"{"reply": "Olá!"}"#,
        "hive-stream" => {
            "data: {\"event\": \"RunContent\", \"content\": \"Olá!\"}\r\n\r\ndata: {\"event\": \"RunCompleted\"}\r\n\r\n"
        }
        "hive-team-stream" => {
            "event: TeamRunContent\ndata: {\"content\": \"Olá!\"}\n\nevent: TeamRunCompleted\ndata: {}\n\n"
        }
        "openai-stream" => "data: {\"choices\": [{\"delta\": {\"content\": \"Olá!\"}}]}\n\ndata: [DONE]\n\n",
        _ => r#"{"message": "Olá!"}"#,
    };
    let content_type = if way.ends_with("stream") { "text/event-stream" } else { "application/json" };
    let whole = if broken { answer.len() / 2 } else { answer.len() };
    let pieces = answer.as_bytes()[..whole].chunks(1).map(<[u8]>::to_vec).collect();
    Behaviour::Pieces(Pieces { content_type: content_type.into(), pieces, broken })
}

async fn a_call_that_breaks_or_takes_too_long_is_made_again(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let mut agents = Vec::new();
    for (nth, (name, given, _)) in WAYS.into_iter().enumerate() {
        let slow = Behaviour::slow(Duration::from_secs(3600), Behaviour::Echo);
        let steps = vec![pieces(name, true), slow, pieces(name, false)];
        let agent = FakeAgent::start(Behaviour::Sequence(steps)).await.unwrap();
        let mut fields = fields(name, given, &agent);
        fields["agent_timeout"] = json!(1);
        site.add_instance(name, fields).await;
        agents.push((agent, site.say_to(name, &phone(nth, 99), "hello").await));
    }
    for (nth, (agent, trace)) in agents.into_iter().enumerate() {
        let name = WAYS[nth].0;
        let trace = site.ended(&trace).await;
        assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(3)), "{name}: {trace}");
        assert_eq!(site.replies_to(&phone(nth, 99)), ["Olá!"], "{name}");
        let keys: Vec<String> = agent.calls().iter().map(|call| call.idempotency_key().to_owned()).collect();
        assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0]), "{name}: {keys:?}");
        assert_eq!(agent.violations(), Vec::<String>::new(), "{name}");
    }
}
