//! Voice messages, written down before the agent is asked.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use omnihub_fakes::{Behaviour, FakeTranscriber, Hears};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, on_both_databases, until, webhook};

on_both_databases!(
    what_is_said_reaches_agents_of_every_protocol,
    what_comes_meanwhile_is_asked_with_it_and_nothing_is_paid_twice,
    a_server_that_fails_loses_no_message,
    a_transcript_outlives_its_worker
);

const SOUND: &[u8] = b"OggS, seven seconds of talk";
const SAID: &str = "bom dia, quero saber do meu pedido";

/// A hub whose tenant has voice messages written down.
async fn listening(database: Database, behaviour: Behaviour, more: &[(&str, &str)]) -> (Site, FakeTranscriber) {
    let site = Site::up_with(database, behaviour, more).await;
    let server = FakeTranscriber::start(Hears::Words(SAID.to_owned())).await.expect("a fake server");
    site.change_instance(INSTANCE, settings(&server)).await;
    (site, server)
}

fn settings(server: &FakeTranscriber) -> Value {
    json!({"transcript_api_url": server.url(), "transcript_api_key": FakeTranscriber::KEY, "takeover_minutes": 0})
}

/// A webhook with a voice message, its file in it.
fn voice(phone: &str) -> Value {
    let mut webhook = webhook(phone, "");
    webhook["data"]["messageType"] = "audioMessage".into();
    let audio = json!({"ptt": true, "seconds": 7, "mimetype": "audio/ogg; codecs=opus"});
    webhook["data"]["message"] = json!({"audioMessage": audio, "base64": STANDARD.encode(SOUND)});
    webhook
}

/// Posts it; its trace.
async fn post(site: &Site, instance: &str, mut webhook: Value) -> String {
    webhook["instance"] = instance.into();
    site.accepted(&format!("/webhook/evolution/{instance}"), &webhook).await.remove(0)
}

fn questions(site: &Site) -> Vec<String> {
    site.agent.calls().iter().map(|call| call.message().to_owned()).collect()
}

/// The trace when it has ended, with what is kept of the recording.
async fn heard(site: &Site, trace: &str) -> Value {
    let is_whole = |trace: &Value| !trace["outcome"].is_null() && !trace["transcription_payload"].is_null();
    site.trace_when(trace, "has ended and holds what is said", is_whole).await
}

async fn what_is_said_reaches_agents_of_every_protocol(database: Database) {
    let (site, server) = listening(database, Behaviour::Echo, &[]).await;
    site.change_instance(INSTANCE, json!({"transcript_model": "large", "transcript_language": "pt"})).await;
    let shown = site.get(&format!("/api/v1/instances/{INSTANCE}")).await;
    assert_eq!((&shown["transcript_api_key"], &shown["transcript_language"]), (&json!("****2e94"), &json!("pt")));
    let trace = heard(&site, &post(&site, INSTANCE, voice("14155551100")).await).await;
    assert_eq!((&trace["outcome"], &trace["warnings"]), (&json!("answered"), &json!([])), "{trace}");
    assert_eq!(trace["message_content"], SAID);
    let payload = &trace["transcription_payload"];
    assert_eq!((&payload["text"], &payload["model"]), (&json!(SAID), &json!("large")));
    assert!(payload["took_ms"].is_u64(), "{payload}");
    let calls = server.calls();
    assert_eq!((calls[0].model.as_str(), calls[0].language.as_deref()), ("large", Some("pt")));
    assert_eq!((calls[0].name.as_str(), calls[0].bytes.as_slice()), ("audio.ogg", SOUND));
    let about = &site.agent.calls()[0].body["media_contents"][0];
    assert_eq!((&about["transcript"], &about["caption"]), (&json!(SAID), &Value::Null));
    assert!(about["data"].is_string(), "the agent has the file too");

    for (nth, kind) in ["automagik-v1", "hive", "openai", "webhook"].into_iter().enumerate() {
        let hook = if kind == "webhook" { "/hook" } else { "" };
        let url = format!("{}{hook}", site.agent.url());
        site.add_instance(kind, json!({"agent_instance_type": kind, "agent_api_url": url})).await;
        site.change_instance(kind, settings(&server)).await;
        let phone = format!("1415555111{nth}");
        heard(&site, &post(&site, kind, voice(&phone)).await).await;
        assert_eq!(questions(&site).last().unwrap(), SAID, "{kind}");
        assert_eq!(site.replies_to(&phone), [format!("echo: {SAID}")], "{kind}");
    }
    // What Evolution has written down already, and what is no sound, is not listened to.
    let before = server.calls().len();
    let mut known = voice("14155551120");
    known["data"]["message"]["speechToText"] = "[audio] boa noite".into();
    site.ended(&post(&site, INSTANCE, known).await).await;
    assert_eq!(questions(&site).last().unwrap(), "boa noite");
    site.ended(&site.say("14155551121", "hello").await).await;
    assert_eq!(server.calls().len(), before);
    assert_eq!(server.violations(), Vec::<String>::new());
    site.assert_no_violations();
}

async fn what_comes_meanwhile_is_asked_with_it_and_nothing_is_paid_twice(database: Database) {
    const PHONE: &str = "14155551200";
    let (site, server) = listening(database, Behaviour::Echo, &[]).await;
    let settings = json!({"debounce_ms": 300, "turns_per_minute": 1, "budget_turns_per_minute": 1});
    site.change_instance(INSTANCE, settings).await;
    server.hold(true);
    let first = post(&site, INSTANCE, voice(PHONE)).await;
    server.wait_for_calls(1, DEADLINE).await.expect("it is listened to");
    let mut traces = vec![first];
    for text in ["are you there?", "hello?"] {
        let trace = site.say(PHONE, text).await;
        // The turn that listens is the one of this message now.
        site.trace_when(&trace, "is in a turn", |trace| trace["status"] == "processing").await;
        traces.push(trace);
    }
    assert_eq!(site.agent.calls().len(), 0);
    server.hold(false);
    let last = site.ended(&traces[2]).await;
    assert_eq!(last["outcome"], "answered", "counted once: {last}");
    for trace in &traces[..2] {
        let ended = site.ended(trace).await;
        assert_eq!((&ended["answered_in"], &ended["turn_id"]), (&last["trace_id"], &last["turn_id"]), "{ended}");
    }
    assert_eq!(heard(&site, &traces[0]).await["message_content"], SAID);
    assert_eq!(questions(&site), [format!("{SAID}\nare you there?\nhello?")]);
    assert_eq!(server.calls().len(), 1, "it is paid for once");

    // And once where the agent fails and is asked again; where nothing is gathered, nothing joins.
    site.change_instance(INSTANCE, json!({"debounce_ms": 0, "turns_per_minute": 0, "budget_turns_per_minute": null}))
        .await;
    let busy = Behaviour::Status(StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "busy"}));
    site.agent.set_behaviour(Behaviour::Sequence(vec![busy, Behaviour::Echo]));
    server.hold(true);
    let trace = post(&site, INSTANCE, voice("14155551201")).await;
    server.wait_for_calls(2, DEADLINE).await.expect("it is listened to");
    let text = site.say("14155551201", "and this").await;
    server.hold(false);
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(site.ended(&text).await["outcome"], "answered");
    assert_eq!(questions(&site)[1..], [SAID, SAID, "and this"]);
    assert_eq!(server.calls().len(), 2);
    site.assert_no_violations();
}

async fn a_server_that_fails_loses_no_message(database: Database) {
    let (site, server) = listening(database, Behaviour::Echo, &[("OMNIHUB_TRANSCRIPT_TIMEOUT", "10")]).await;
    let json = "application/json".to_owned();
    let html = |status: StatusCode| {
        let page = format!("<html>{}</html>", FakeTranscriber::KEY);
        Hears::Raw(status, "text/html".to_owned(), page.into_bytes())
    };
    let huge = format!("{{\"text\": \"{}\"}}", "a".repeat(300 * 1024));
    for (nth, (hears, why)) in [
        (html(StatusCode::OK), "its answer is not JSON with a text"),
        (html(StatusCode::BAD_GATEWAY), "it answered with status 502"),
        (Hears::Words(" \n".to_owned()), "it heard nothing"),
        (Hears::Raw(StatusCode::OK, json.clone(), Vec::new()), "its answer is not JSON with a text"),
        (Hears::Raw(StatusCode::OK, json, huge.into_bytes()), "its answer is too large"),
        (Hears::Nothing, "it took too long"),
    ]
    .into_iter()
    .enumerate()
    {
        server.set(hears);
        let phone = format!("1415555130{nth}");
        let trace = site.ended(&post(&site, INSTANCE, voice(&phone)).await).await;
        assert_eq!(site.replies_to(&phone), ["echo: [voice message, 7 s]"], "{why}: {trace}");
        let warnings = trace["warnings"].to_string();
        assert!(warnings.contains(why) && warnings.contains("the agent was not told what is said"), "{why}: {trace}");
        assert!(!trace.to_string().contains(FakeTranscriber::KEY), "{trace}");
    }
    // A key that is refused, and nobody there.
    site.change_instance(INSTANCE, json!({"transcript_api_key": "another"})).await;
    let trace = site.ended(&post(&site, INSTANCE, voice("14155551310")).await).await;
    assert!(trace["warnings"].to_string().contains("it answered with status 401"), "{trace}");
    site.change_instance(INSTANCE, json!({"transcript_api_url": "http://127.0.0.1:9"})).await;
    let trace = site.ended(&post(&site, INSTANCE, voice("14155551311")).await).await;
    assert!(trace["warnings"].to_string().contains("it cannot be reached"), "{trace}");
    assert_eq!(trace["outcome"], "answered");
    assert_eq!(server.violations(), Vec::<String>::new());
    site.assert_no_violations();
}

async fn a_transcript_outlives_its_worker(database: Database) {
    let mut site = Site::parts(database, Behaviour::Hang).await;
    let server = FakeTranscriber::start(Hears::Words(SAID.to_owned())).await.expect("a fake server");
    site.change_instance(INSTANCE, settings(&server)).await;
    let trace = post(&site, INSTANCE, voice("14155551400")).await;
    site.agent.wait_for_calls(1, DEADLINE).await.expect("the agent is asked");
    let worker = site.worker.as_mut().expect("a worker");
    worker.kill9();
    site.agent.set_behaviour(Behaviour::Echo);
    let worker = site.worker.as_mut().expect("a worker");
    worker.start_again();
    worker.wait_ready().await;
    until("it is answered", DEADLINE, async || site.replies_to("14155551400") == [format!("echo: {SAID}")]).await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    assert_eq!(server.calls().len(), 1, "the next worker found it");
    site.assert_no_violations();
}
