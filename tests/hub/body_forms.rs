//! Every form in which a webhook may come, through to the replies and the traces.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use omnihub_fakes::{Behaviour, customers};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Database, INSTANCE, Site, message_id, now, on_both_databases};

on_both_databases!(every_body_form_is_answered, every_path_is_answered, the_same_webhook_again_is_one_reply);

/// A webhook to be posted, and what it should bring.
struct Form {
    name: String,
    body: Value,
    phone: String,
    texts: Vec<String>,
}

/// In base64 `?` and `>` make a `/` and a `+`, wherever they stand: so the alphabets differ.
const TELLING: &str = "olá ?????? >>>>>>";

fn data(phone: &str, text: &str) -> Value {
    customers::webhook(INSTANCE, phone, &message_id(), text, now())["data"].take()
}

fn envelope(data: Value) -> Value {
    json!({
        "event": "messages.upsert",
        "instance": INSTANCE,
        "data": data,
        "server_url": customers::ENVELOPE_SERVER_URL,
        "apikey": customers::ENVELOPE_APIKEY,
    })
}

/// The forms, each from a customer of its own.
fn forms() -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut add = |name: &str, texts: &[&str], build: &dyn Fn(&str) -> Value| {
        let phone = format!("14155550{:03}", forms.len());
        let body = build(&phone);
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        forms.push(Form { name: name.to_owned(), body, phone, texts });
    };
    let three = ["first", "second", TELLING];
    let messages = |phone: &str| json!({"messages": three.map(|text| data(phone, text))});
    add("a data object", &[TELLING], &|phone| envelope(data(phone, TELLING)));
    add("an envelope without its event", &["hi"], &|phone| json!({"data": data(phone, "hi")}));
    add("data.messages[]", &three, &|phone| envelope(messages(phone)));
    add("a bare message", &[TELLING], &|phone| data(phone, TELLING));
    for alphabet in ["standard", "standard, unpadded", "URL-safe", "URL-safe, unpadded"] {
        add(&format!("base64 of a data object, {alphabet}"), &[TELLING], &|phone| {
            envelope(encoded(alphabet, data(phone, TELLING)))
        });
        add(&format!("base64 of messages[], {alphabet}"), &three, &|phone| {
            envelope(encoded(alphabet, messages(phone)))
        });
        add(
            &format!("base64 of a whole envelope, {alphabet}"),
            &[TELLING],
            &|phone| json!({"data": encoded(alphabet, envelope(data(phone, TELLING)))}),
        );
    }
    forms
}

/// Base64 of which length, letters and padding tell the four kinds apart.
fn encoded(alphabet: &str, mut inner: Value) -> Value {
    let mut filler = String::new();
    while inner.to_string().len() % 3 != 1 {
        filler.push('.');
        inner["filler"] = filler.as_str().into();
    }
    let json = inner.to_string();
    let text = match alphabet {
        "standard" => STANDARD.encode(json),
        "standard, unpadded" => STANDARD_NO_PAD.encode(json),
        "URL-safe" => URL_SAFE.encode(json),
        _ => URL_SAFE_NO_PAD.encode(json),
    };
    let (standard, padded) = (alphabet.starts_with("standard"), !alphabet.ends_with("unpadded"));
    assert_eq!(text.contains('+') && text.contains('/'), standard, "{alphabet}");
    assert_eq!(text.ends_with('='), padded, "{alphabet}");
    text.into()
}

async fn every_body_form_is_answered(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (mut replies, mut posted) = (0, Vec::new());
    for form in forms() {
        let answer = site.post("/webhook/evolution/acme", &form.body).await;
        assert_eq!(answer.status, 200, "{}: {}", form.name, answer.text);
        assert_eq!((&answer.body["status"], &answer.body["instance"]), (&json!("success"), &json!(INSTANCE)));
        let traces = answer.traces();
        assert_eq!(traces.len(), form.texts.len(), "{}", form.name);
        assert_eq!(answer.body["trace_id"], traces[0].as_str());
        replies += traces.len();
        posted.push((form, traces));
    }
    site.evolution.wait_for_sent(replies, DEADLINE).await.unwrap();
    for (form, traces) in posted {
        let expected: Vec<String> = form.texts.iter().map(|text| format!("echo: {text}")).collect();
        assert_eq!(site.replies_to(&form.phone), expected, "{}", form.name);
        for (trace, text) in traces.iter().zip(&form.texts) {
            let trace = site.ended(trace).await;
            assert_eq!((&trace["status"], &trace["outcome"]), (&json!("completed"), &json!("answered")));
            assert_eq!((&trace["message_content"], &trace["sender_phone"]), (&json!(text), &json!(form.phone)));
            let id = trace["trace_id"].as_str().unwrap();
            let trace = site.trace_when(id, "shows what came in", |trace| !trace["incoming_payload"].is_null()).await;
            let payload = trace["incoming_payload"].to_string();
            assert!(!payload.contains(customers::ENVELOPE_APIKEY) && !payload.contains("server_url"), "{payload}");
        }
    }
    assert_eq!(site.evolution.sent().len(), replies, "no reply was sent twice");
    site.assert_no_violations();
}

async fn every_path_is_answered(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let paths = [
        "/webhook/evolution",
        "/webhook/evolution/",
        "/webhook/evolution/acme",
        "/webhook/evolution/acme/",
        "/webhook/evolution/acme/messages-upsert",
        "/webhook/evolution/acme/MESSAGES_UPSERT",
        // Evolution's by-events form on the path without a name.
        "/webhook/evolution/messages-upsert",
    ];
    for (nth, path) in paths.into_iter().enumerate() {
        let phone = format!("14155551{nth:03}");
        // By events the body need not name its event: the path does.
        let body = if path.to_lowercase().ends_with("messages-upsert") {
            json!({"data": data(&phone, path)})
        } else {
            envelope(data(&phone, path))
        };
        let traces = site.accepted(path, &body).await;
        assert_eq!(site.ended(&traces[0]).await["outcome"], "answered", "{path}");
        assert_eq!(site.replies_to(&phone), [format!("echo: {path}")]);
    }
    site.assert_no_violations();
}

async fn the_same_webhook_again_is_one_reply(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let phone = "14155552000";
    let body = envelope(data(phone, "once"));
    let first = site.accepted("/webhook/evolution/acme", &body).await;
    assert_eq!(site.accepted("/webhook/evolution", &body).await, first);
    site.ended(&first[0]).await;
    assert_eq!(site.accepted("/webhook/evolution/acme", &body).await, first, "also after it was answered");
    // A later message of the conversation is answered after whatever the repetition brought.
    let last = site.say(phone, "last").await;
    site.ended(&last).await;
    assert_eq!(site.replies_to(phone), ["echo: once", "echo: last"]);
    site.assert_no_violations();
}
