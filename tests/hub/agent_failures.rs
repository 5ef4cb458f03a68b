//! Agents and Evolution servers that fail, and answers of every shape.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::jetstream;
use axum::http::StatusCode;
use omnihub_fakes::{AgentCall, Answer, Behaviour};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, Site, on_both_databases};

on_both_databases!(
    what_passes_is_tried_again,
    what_stays_goes_to_the_dead_letters,
    answers_become_bubbles,
    a_wrong_key_holds_until_it_is_mended
);

/// An agent that answers as the question says; `once <question>` only on the first attempt.
fn obedient() -> Behaviour {
    let attempts = Mutex::new(HashMap::<String, u32>::new());
    Behaviour::custom(move |call: &AgentCall| {
        let mut attempts = attempts.lock().unwrap();
        let attempt = attempts.entry(call.idempotency_key().to_owned()).or_default();
        *attempt += 1;
        let asked = match call.message().strip_prefix("once ") {
            Some(_) if *attempt > 1 => "recovered",
            Some(asked) => asked,
            None => call.message(),
        };
        answer(call, asked)
    })
}

fn answer(call: &AgentCall, asked: &str) -> Answer {
    let raw = |content_type: &str, body: &str| Answer {
        status: StatusCode::OK,
        content_type: content_type.to_owned(),
        body: body.as_bytes().to_vec(),
    };
    if let Ok(status) = asked.parse::<u16>() {
        return Answer::json(StatusCode::from_u16(status).unwrap(), &json!({"detail": format!("status {status}")}));
    }
    match asked {
        "unsuccessful" => Answer::json(StatusCode::OK, &json!({"success": false, "message": "a traceback"})),
        "html" => raw("text/html", "<html><body>Bad gateway</body></html>"),
        "no text" => Answer::json(StatusCode::OK, &json!({"success": true})),
        "empty" => Answer::text(call, " \n "),
        "plain" => raw("text/plain", "just words"),
        "bubbles" => Answer::text(call, "one\n\ntwo, still two\n\n\n\nthree"),
        other => Answer::text(call, &format!("echo: {other}")),
    }
}

async fn what_passes_is_tried_again(database: Database) {
    let site = Site::up(database, obedient()).await;
    let failures = ["500", "503", "429", "408", "unsuccessful"];
    let mut traces = Vec::new();
    for (nth, failure) in failures.iter().enumerate() {
        traces.push(site.say(&format!("1415555100{nth}"), &format!("once {failure}")).await);
    }
    for (nth, trace) in traces.iter().enumerate() {
        let failure = failures[nth];
        let trace = site.ended(trace).await;
        assert_eq!((&trace["status"], &trace["outcome"]), (&json!("completed"), &json!("answered")), "{failure}");
        assert_eq!((&trace["attempts"], &trace["agent_response_success"]), (&json!(2), &json!(true)), "{failure}");
        assert_eq!(site.replies_to(&format!("1415555100{nth}")), ["echo: recovered"], "{failure}: one reply");
        let question = format!("once {failure}");
        let calls: Vec<AgentCall> = site.agent.calls().into_iter().filter(|call| call.message() == question).collect();
        assert_eq!(calls.len(), 2, "{failure}");
        assert_eq!(calls[0].idempotency_key(), calls[1].idempotency_key());
        let waited = calls[1].started - calls[0].ended.unwrap();
        assert!(waited >= Duration::from_millis(700), "{failure}: tried again after {waited:?}");
    }

    // Evolution, too; the agent is not asked again for an answer that is there.
    site.evolution.fail_next(1, StatusCode::BAD_GATEWAY, &json!({"down": true}));
    let id = site.say("14155551010", "hello").await;
    let trace = site.ended(&id).await;
    assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(2)));
    assert_eq!(site.replies_to("14155551010"), ["echo: hello"]);
    assert_eq!(site.agent.calls().iter().filter(|call| call.message() == "hello").count(), 1);
    site.assert_no_violations();
}

/// The dead letters of a site in parts, by the provider's message id.
async fn dead_letters(site: &Site) -> Vec<Value> {
    let client = async_nats::connect(site.nats.as_ref().unwrap().url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("DEAD").await.unwrap();
    let mut letters = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let mut letter: Value = serde_json::from_slice(&message.payload).unwrap();
        letter["subject"] = message.subject.as_str().into();
        letters.push(letter);
    }
    letters
}

async fn what_stays_goes_to_the_dead_letters(database: Database) {
    let site = Site::parts(database, obedient()).await;
    let nobody = json!({"status": 400, "error": "Bad Request", "response": {"message": [
        {"jid": "14155552005@s.whatsapp.net", "exists": false, "number": "14155552005"},
    ]}});
    let cases = [
        ("404", "agent_rejected", "agent_called", 404),
        ("422", "agent_rejected", "agent_called", 422),
        ("302", "agent_redirect", "agent_called", 302),
        ("html", "agent_answer_unreadable", "agent_called", 200),
        ("no text", "agent_answer_unreadable", "agent_called", 200),
        ("hello", "not_on_whatsapp", "channel_send", 400),
    ];
    for (nth, (question, reason, stage, code)) in cases.into_iter().enumerate() {
        let phone = format!("1415555200{nth}");
        if stage == "channel_send" {
            site.evolution.fail_next(1, StatusCode::BAD_REQUEST, &nobody);
        }
        let id = site.say(&phone, question).await;
        let trace = site.ended(&id).await;
        let told = (&trace["status"], &trace["outcome"], &trace["outcome_reason"], &trace["error_stage"]);
        assert_eq!(told, (&json!("error"), &json!("dead"), &json!(reason), &json!(stage)), "{question}");
        assert!(trace["error_message"].as_str().is_some_and(|words| !words.is_empty() && !words.contains(&phone)));
        assert_eq!(trace["attempts"], 1, "{question}");
        match stage {
            "channel_send" => assert_eq!(trace["evolution_response_code"], code),
            _ => assert_eq!(trace["agent_response_success"], false, "{question}"),
        }
        assert!(site.replies_to(&phone).is_empty(), "{question}: the customer is told nothing");
        let letters = dead_letters(&site).await;
        assert_eq!(letters.len(), nth + 1);
        let letter = &letters[nth];
        assert_eq!((&letter["reason"], &letter["envelope"]["trace_id"]), (&json!(reason), &json!(id)));
        assert_eq!(letter["envelope"]["body"]["inline"]["message"]["conversation"], question, "{letter}");
        assert!(letter["subject"].as_str().unwrap().starts_with("dead.acme-"), "{letter}");
    }
    assert_eq!(site.agent.calls().len(), cases.len(), "nobody was asked twice");

    // With a text of its own the instance says it, once, and the message is dead all the same.
    site.add_instance("sorry", json!({"agent_error_message": "We are back soon."})).await;
    let id = site.say_to("sorry", "14155552010", "404").await;
    let trace = site.ended(&id).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("agent_rejected")));
    assert_eq!(trace["agent_response_success"], false);
    assert_eq!(site.replies_to("14155552010"), ["We are back soon."]);
    assert_eq!(dead_letters(&site).await.len(), cases.len() + 1);

    // The conversation goes on.
    let id = site.say_to("sorry", "14155552010", "and now?").await;
    assert_eq!(site.ended(&id).await["outcome"], "answered");
    assert_eq!(site.replies_to("14155552010"), ["We are back soon.", "echo: and now?"]);
    site.assert_no_violations();
}

async fn answers_become_bubbles(database: Database) {
    let site = Site::up(database, obedient()).await;
    site.add_instance("splitting", json!({"split_over": 0})).await;
    site.add_instance("whole", json!({"split_over": 0, "enable_auto_split": false})).await;
    let cases = [
        ("splitting", vec!["one", "two, still two", "three"]),
        ("whole", vec!["one\n\ntwo, still two\n\n\n\nthree"]),
        // Shorter than `split_over`.
        ("acme", vec!["one\n\ntwo, still two\n\n\n\nthree"]),
    ];
    for (nth, (instance, bubbles)) in cases.into_iter().enumerate() {
        let phone = format!("1415555300{nth}");
        let id = site.say_to(instance, &phone, "bubbles").await;
        let trace = site.ended(&id).await;
        assert_eq!(site.replies_to(&phone), bubbles, "{instance}");
        let sent = site.evolution.sent().into_iter().filter(|sent| sent.number == phone);
        let ids: Vec<String> = sent.map(|sent| sent.message_id).collect();
        assert_eq!(trace["reply_message_ids"], json!(ids), "{instance}");
    }
    let id = site.say("14155553010", "plain").await;
    site.ended(&id).await;
    assert_eq!(site.replies_to("14155553010"), ["just words"]);

    let id = site.say("14155553011", "empty").await;
    let trace = site.ended(&id).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("ignored"), &json!("empty_answer")));
    assert!(site.replies_to("14155553011").is_empty());

    // Typing is shown while the agent is asked; nobody waits for it where the agent is quick.
    site.agent.set_behaviour(Behaviour::Hang);
    site.say("14155553012", "still thinking").await;
    let shown = site.evolution.wait_for_presences(1, DEADLINE).await.unwrap();
    assert_eq!(shown[0].presence, "composing");
    site.assert_no_violations();
}

async fn a_wrong_key_holds_until_it_is_mended(database: Database) {
    let site = Site::up(database, obedient()).await;
    site.add_instance("mistyped", json!({"agent_api_key": "not the agent's key"})).await;
    site.add_instance("rotated", json!({})).await;
    site.evolution.add_instance("rotated", "a new evolution key");
    let cases = [
        ("mistyped", "agent_called", json!({"agent_api_key": site.agent.key()})),
        ("rotated", "channel_send", json!({"evolution_key": "a new evolution key"})),
    ];
    for (nth, (instance, stage, mended)) in cases.into_iter().enumerate() {
        let phone = format!("1415555700{nth}");
        let held = site.say_to(instance, &phone, "hello").await;
        let behind = site.say_to(instance, &phone, "are you there?").await;
        let trace = site
            .trace_when(&held, "says that it is held", |trace| {
                trace["error_stage"] == stage && trace["warnings"].to_string().contains("held: ")
            })
            .await;
        assert_eq!((&trace["outcome"], &trace["status"] == "error"), (&Value::Null, false), "{trace}");

        // Well before its next look after a minute, and with nothing counted against the message.
        site.change_instance(instance, mended).await;
        let trace = site.ended(&held).await;
        assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(1)), "{instance}");
        assert_eq!(site.ended(&behind).await["outcome"], "answered");
        assert_eq!(site.replies_to(&phone), ["echo: hello", "echo: are you there?"]);
    }
    site.assert_no_violations();
}
