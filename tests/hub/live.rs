//! `stream_replies`: an answer goes out bubble by bubble while the agent is still giving it.

use axum::http::StatusCode;
use omnihub_fakes::{Behaviour, Voice};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(
    each_paragraph_goes_out_when_the_agent_has_ended_it,
    a_stream_that_breaks_is_taken_up_where_it_was,
    agent_and_worker_killed_in_the_middle,
    a_takeover_ends_the_answer_where_it_is,
    more_messages_end_the_answer_where_it_is,
    an_agent_that_fails_for_good_in_the_middle,
    a_channel_that_fails_in_the_middle
);

const PHONE: &str = "14155552801";
const FIVE: [&str; 5] = ["One.", "Two, and\nits second line.", "Three.", "Four.", "Five."];

/// The instance streams, in one of the two protocols that do.
async fn streaming(site: &Site, protocol: &str) {
    let fields = json!({"agent_instance_type": protocol, "agent_stream_mode": true, "stream_replies": true});
    site.change_instance(INSTANCE, fields).await;
}

fn said(paragraphs: &[&str]) -> Voice {
    let voice = Voice::default();
    // Never with the end of a piece where a paragraph ends.
    for piece in paragraphs.iter().flat_map(|paragraph| [paragraph.to_owned(), "\n", "\n"]) {
        voice.say(piece);
    }
    voice
}

async fn replies_are(site: &Site, wanted: &[&str]) {
    until(&format!("{wanted:?} went out"), DEADLINE, async || site.replies_to(PHONE).len() >= wanted.len()).await;
    assert_eq!(site.replies_to(PHONE), wanted);
}

async fn each_paragraph_goes_out_when_the_agent_has_ended_it(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    for protocol in ["hive", "openai"] {
        streaming(&site, protocol).await;
        let (voice, before) = (Voice::default(), site.replies_to(PHONE).len());
        site.agent.set_behaviour(Behaviour::Voice(voice.clone()));
        let trace = site.say(PHONE, "tell me").await;
        for (nth, paragraph) in FIVE[..4].iter().enumerate() {
            voice.say(paragraph);
            voice.say("\n\n");
            until("it went out", DEADLINE, async || site.replies_to(PHONE).len() == before + nth + 1).await;
        }
        voice.say(FIVE[4]);
        voice.end();
        let trace = site.ended(&trace).await;
        assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("answered"), &Value::Null), "{trace}");
        assert_eq!(site.replies_to(PHONE)[before..], FIVE, "{protocol}");
        assert_eq!(trace["agent_response"], FIVE.join("\n\n"));
        assert_eq!(trace["reply_message_ids"].as_array().unwrap().len(), 5);
        assert_eq!(trace["agent_response_tokens"], 9, "{protocol}: its usage comes last");
    }
    // In one piece, and from one that says nothing before its end.
    site.agent.set_behaviour(Behaviour::Fixed("Uno.\n\nDos.".to_owned()));
    assert_eq!(site.ended(&site.say(PHONE, "again").await).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE)[10..], ["Uno.", "Dos."]);
    site.assert_no_violations();
}

async fn a_stream_that_breaks_is_taken_up_where_it_was(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    streaming(&site, "hive").await;
    let broken = said(&FIVE[..2]);
    broken.say("Thr");
    let whole = said(&FIVE);
    whole.end();
    let steps = [broken.clone(), whole].map(Behaviour::Voice);
    site.agent.set_behaviour(Behaviour::Sequence(steps.into()));
    let trace = site.say(PHONE, "tell me").await;
    replies_are(&site, &FIVE[..2]).await;
    broken.break_off();
    let trace = site.ended(&trace).await;
    assert_eq!((&trace["outcome"], &trace["attempts"]), (&json!("answered"), &json!(2)), "{trace}");
    assert_eq!(site.replies_to(PHONE), FIVE);
    let calls = site.agent.calls();
    assert!(calls.len() == 2 && calls[0].idempotency_key() == calls[1].idempotency_key());

    // One that says something else the second time has its say; nothing is said twice.
    let (broken, other) = (said(&["Seis."]), said(&["Seven!", "Seis.", "Eight!"]));
    other.end();
    let steps = [broken.clone(), other].map(Behaviour::Voice);
    site.agent.set_behaviour(Behaviour::Sequence(steps.into()));
    let trace = site.say(PHONE, "more").await;
    until("the first went out", DEADLINE, async || site.replies_to(PHONE).len() == 6).await;
    broken.break_off();
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE)[5..], ["Seis.", "Seven!", "Eight!"]);
    site.assert_no_violations();
}

async fn agent_and_worker_killed_in_the_middle(database: Database) {
    let worker = [("OMNIHUB_WORKER_ID", "w1")];
    let mut site = Site::parts_with(database, Behaviour::Hang, &worker).await;
    streaming(&site, "openai").await;
    let voice = said(&FIVE[..2]);
    site.agent.set_behaviour(Behaviour::Voice(voice.clone()));
    let trace = site.say(PHONE, "tell me").await;
    replies_are(&site, &FIVE[..2]).await;
    // That both are out is kept: the agent is waited for again.
    let asking = async || site.get(&format!("/api/v1/where?trace_id={trace}")).await.to_string().contains("asking");
    until("the agent is heard out", DEADLINE, asking).await;
    site.agent.set_behaviour(Behaviour::Status(StatusCode::BAD_GATEWAY, json!({"detail": "it is gone"})));
    voice.break_off();
    site.worker.as_mut().unwrap().kill9();
    let whole = said(&FIVE);
    whole.end();
    site.agent.set_behaviour(Behaviour::Voice(whole));
    site.worker.as_mut().unwrap().start_again();
    let trace = site.ended(&trace).await;
    assert_eq!(trace["outcome"], "answered", "{trace}");
    assert_eq!(site.replies_to(PHONE), FIVE);
    assert_eq!(trace["reply_message_ids"].as_array().unwrap().len(), 5);
    assert_eq!(trace["agent_response"], FIVE.map(|paragraph| format!("{paragraph}\n\n")).concat());
    site.assert_no_violations();
}

async fn a_takeover_ends_the_answer_where_it_is(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    streaming(&site, "hive").await;
    let voice = said(&FIVE[..2]);
    site.agent.set_behaviour(Behaviour::Voice(voice.clone()));
    let trace = site.say(PHONE, "tell me").await;
    replies_are(&site, &FIVE[..2]).await;
    let mut own = webhook(PHONE, "it is me now");
    own["data"]["key"]["fromMe"] = true.into();
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &own).await;
    let trace = site.ended(&trace).await;
    voice.say("Three.\n\n");
    voice.end();
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("handed_off"), &json!("taken_over")), "{trace}");
    assert_eq!(trace["reply_message_ids"].as_array().unwrap().len(), 2);
    let path = format!("/api/v1/instances/{INSTANCE}/conversations/{INSTANCE}_{PHONE}/resume");
    site.api(Method::POST, &path, None).await;
    site.agent.set_behaviour(Behaviour::Fixed("Back.".to_owned()));
    assert_eq!(site.ended(&site.say(PHONE, "and now?").await).await["outcome"], "answered");
    assert_eq!(site.replies_to(PHONE), [FIVE[0], FIVE[1], "Back."], "nothing more of the first answer");
}

async fn more_messages_end_the_answer_where_it_is(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    streaming(&site, "hive").await;
    site.change_instance(INSTANCE, json!({"overlap": "supersede"})).await;
    let voice = said(&FIVE[..1]);
    let steps = vec![Behaviour::Voice(voice.clone()), Behaviour::Voice(Voice::default()), Behaviour::Echo];
    site.agent.set_behaviour(Behaviour::Sequence(steps));
    let first = site.say(PHONE, "tell me").await;
    replies_are(&site, &FIVE[..1]).await;
    let second = site.say(PHONE, "no, stop").await;
    let first = site.ended(&first).await;
    assert_eq!(
        (&first["outcome"], &first["outcome_reason"]),
        (&json!("answered"), &json!("answer_superseded")),
        "{first}"
    );
    assert_eq!(first["agent_response"], FIVE[0]);
    // Of what is asked next nothing is out: it is asked anew, together with what came.
    site.agent.wait_for_calls(2, DEADLINE).await.unwrap();
    let third = site.say(PHONE, "never mind").await;
    for trace in [&second, &third] {
        assert_eq!(site.ended(trace).await["outcome"], "answered");
    }
    assert_eq!(site.replies_to(PHONE), [FIVE[0], "echo: no, stop\nnever mind"]);
    assert_eq!(site.agent.calls().len(), 3);
}

async fn an_agent_that_fails_for_good_in_the_middle(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    streaming(&site, "hive").await;
    site.change_instance(INSTANCE, json!({"agent_error_message": "Sorry."})).await;
    let voice = said(&FIVE[..2]);
    let refused = Behaviour::Status(StatusCode::BAD_REQUEST, json!({"detail": "no"}));
    site.agent.set_behaviour(Behaviour::Sequence(vec![Behaviour::Voice(voice.clone()), refused]));
    let trace = site.say(PHONE, "tell me").await;
    replies_are(&site, &FIVE[..2]).await;
    voice.break_off();
    let trace = site.ended(&trace).await;
    assert_eq!((&trace["outcome"], &trace["outcome_reason"]), (&json!("dead"), &json!("agent_rejected")), "{trace}");
    assert_eq!(site.replies_to(PHONE), [FIVE[0], FIVE[1], "Sorry."]);
}

async fn a_channel_that_fails_in_the_middle(database: Database) {
    let site = Site::up(database, Behaviour::Hang).await;
    streaming(&site, "openai").await;
    let voice = said(&FIVE[..1]);
    site.agent.set_behaviour(Behaviour::Sequence(vec![Behaviour::Voice(voice.clone()), Behaviour::Hang]));
    let trace = site.say(PHONE, "tell me").await;
    replies_are(&site, &FIVE[..1]).await;
    site.evolution.fail_next(1, StatusCode::SERVICE_UNAVAILABLE, &json!({"error": "busy"}));
    for paragraph in &FIVE[1..] {
        voice.say(&format!("{paragraph}\n\n"));
    }
    until("the channel has refused one", DEADLINE, async || !site.evolution.rejected().is_empty()).await;
    voice.end();
    let trace = site.ended(&trace).await;
    assert_eq!(trace["outcome"], "answered", "{trace}");
    assert_eq!(site.replies_to(PHONE), FIVE);
    assert_eq!(site.agent.calls().len(), 1, "it was heard out, and is not asked again");
}
