//! What is asked for, read and refused; what a queue does with it is in the hub's tests.

use axum::{body::Body, http::Request};
use omnihub_common::queue::SendOutcome;
use serde_json::{Value, json};

use super::{
    body::{Asked, read},
    *,
};
use crate::admin::testing::{Answer, Hub, KEY};

fn asked(body: Value) -> Result<Asked, Problem> {
    asked_for(body, contents::text)
}

fn asked_for(body: Value, content: Reader) -> Result<Asked, Problem> {
    let manner = Manner { wait: None, key: None };
    let Value::Object(body) = body else { panic!("no object: {body}") };
    read(Fields::of(body), manner, None, content)
}

/// The fields that are wrong.
fn wrong(body: Value) -> Vec<String> {
    wrong_for(body, contents::text)
}

fn wrong_for(body: Value, content: Reader) -> Vec<String> {
    asked_for(body, content).unwrap_err().errors.into_iter().map(|error| error.field).collect()
}

#[test]
fn a_text_is_read_by_either_names() {
    let old = json!({"phone_number": "+55 11 98765-4321", "text": " hi ", "quoted_message_id": "3EB0",
        "user_id": null, "split_message": false});
    let Asked { outgoing, wait, key } = asked(old).unwrap();
    assert_eq!((outgoing.chat.as_str(), outgoing.quoted.as_deref()), ("5511987654321@s.whatsapp.net", Some("3EB0")));
    let text = OutgoingContent::Text { text: " hi ".into(), split: Some(false), link_preview: None };
    assert_eq!((outgoing.content, wait, key), (text, Duration::from_secs(10), None));

    let both = json!({"to": "99@lid", "phone_number": "x", "text": "x", "quoted": {"key": {"id": "3EB1"}}, "wait": 0});
    let Asked { outgoing, wait, .. } = asked(both).unwrap();
    assert_eq!((outgoing.chat.as_str(), outgoing.quoted.as_deref()), ("99@lid", Some("3EB1")));
    assert_eq!(wait, Duration::ZERO);
    let group = json!({"to": "120363041234567890@g.us", "text": "hi @5511987654321", "wait": 60, "delay": 1500});
    let Asked { outgoing, wait, .. } = asked(group.clone()).unwrap();
    assert_eq!((outgoing.mentions, outgoing.mention_all), (vec!["5511987654321".to_owned()], false));
    assert_eq!((wait, outgoing.delay_ms), (Duration::from_secs(60), Some(1500)));
    let mut listed = group.clone();
    listed["mentioned"] = json!(["+1 415 555 0100", "14155550100", "77@lid"]);
    listed["mentions_everyone"] = json!(true);
    let outgoing = asked(listed).unwrap().outgoing;
    assert_eq!((outgoing.mentions, outgoing.mention_all), (vec!["14155550100".into(), "77@lid".into()], true));
    let mut unparsed = group;
    unparsed["auto_parse_mentions"] = json!(false);
    assert_eq!(asked(unparsed).unwrap().outgoing.mentions, Vec::<String>::new());
    let direct = json!({"to": "5511987654321", "text": "hi @5511987654322", "mention_all": true});
    let outgoing = asked(direct).unwrap().outgoing;
    assert_eq!((outgoing.mentions.len(), outgoing.mention_all), (0, false), "there is nobody else in the chat");
}

#[test]
fn each_wrong_field_is_named_by_its_path() {
    assert_eq!(wrong(json!({})), ["phone_number", "text"]);
    assert_eq!(wrong(json!({"user_id": "u", "text": "x"})), ["user_id"]);
    let all = json!({"to": "ana", "text": " ", "quoted": {"key": {}}, "mentions": ["5511987654321", "x"], "delay": 20001,
        "wait": 61, "split_message": "yes", "auto_parse_mentions": 1});
    let expected =
        ["to", "text", "split_message", "quoted.key.id", "mentions[1]", "auto_parse_mentions", "delay", "wait"];
    assert_eq!(wrong(all), expected);
    assert_eq!(wrong(json!({"to": "5511987654321", "text": "x".repeat(64 * 1024 + 1)})), ["text"]);
    assert_eq!(wrong(json!({"to": "5511987654321", "text": "a\0"})), ["text"]);
}

/// The content of a body that has everything else.
fn content(mut body: Value, content: Reader) -> Value {
    body["to"] = "5511987654321".into();
    serde_json::to_value(asked_for(body, content).unwrap().outgoing.content).unwrap()
}

#[test]
fn each_kind_is_read() {
    let data = "data:image/png;base64,aGk=\n";
    let media = json!({"media_type": "image", "mime_type": "", "media_base64": data, "caption": " look "});
    let expected = json!({"type": "media", "media_type": "image", "file": {"base64": "aGk="}, "caption": " look ",
        "mime_type": "image/png"});
    assert_eq!(content(media, contents::media), expected);
    let media = json!({"media_type": "document", "mime_type": "text/plain", "media_url": "https://files.test/a"});
    let expected = json!({"type": "media", "media_type": "document", "file": {"url": "https://files.test/a"},
        "mime_type": "text/plain"});
    assert_eq!(content(media, contents::media), expected);
    let file = json!({"type": "audio", "file": {"url": "http://files.test/a"}});
    assert_eq!(content(json!({"audio_url": "http://files.test/a"}), contents::audio), file);
    let file = json!({"type": "sticker", "file": {"base64": "aGk="}});
    assert_eq!(content(json!({"sticker_base64": "aGk="}), contents::sticker), file);
    let card = json!({"full_name": "Ana", "phone_number": "+55 11 98765-4321", "email": "ana@example.org"});
    let expected = json!({"type": "contact", "contacts": [
        {"full_name": "Ana", "phone_number": "5511987654321", "email": "ana@example.org"}]});
    assert_eq!(content(json!({"contacts": [card]}), contents::contact), expected);
    let expected = json!({"type": "reaction", "message_id": "3EB0", "from_me": false, "reaction": ""});
    assert_eq!(content(json!({"message_id": "3EB0", "reaction": ""}), contents::reaction), expected);
    let place = json!({"latitude": -23.5, "longitude": 46, "name": "Office", "address": "Main Street 1"});
    assert_eq!(content(place, contents::location)["longitude"], json!(46.0));
    let poll = json!({"name": "Lunch?", "values": ["yes", "no"]});
    let expected = json!({"type": "poll", "question": "Lunch?", "answers": ["yes", "no"], "selectable": 1});
    assert_eq!(content(poll, contents::poll), expected);
}

#[test]
fn each_kind_names_what_is_wrong() {
    let to = |mut body: Value| {
        body["to"] = "5511987654321".into();
        body
    };
    let wrong = |body: Value, content: Reader| wrong_for(to(body), content);
    assert_eq!(wrong(json!({}), contents::media), ["media_type", "media_url"]);
    let body = json!({"media_type": "gif", "media_base64": "no!", "caption": "x".repeat(70_000)});
    assert_eq!(wrong(body, contents::media), ["media_type", "media_base64", "caption"]);
    let body = json!({"media_type": "document", "media_base64": "aGk="});
    assert_eq!(wrong(body, contents::media), ["filename"]);
    assert_eq!(wrong(json!({"audio_url": "file:///etc/passwd"}), contents::audio), ["audio_url"]);
    assert_eq!(wrong(json!({"sticker_base64": ""}), contents::sticker), ["sticker_base64"]);
    let body = json!({"contacts": [{"full_name": "Ana", "phone_number": "551198765"}, {"phone_number": "x"}, 7]});
    let expected = ["contacts[1].full_name", "contacts[1].phone_number", "contacts[2]"];
    assert_eq!(wrong(body, contents::contact), expected);
    assert_eq!(wrong(json!({"contacts": []}), contents::contact), ["contacts"]);
    assert_eq!(wrong(json!({"reaction": "x".repeat(17)}), contents::reaction), ["message_id", "reaction"]);
    let body = json!({"latitude": 91, "longitude": "46"});
    assert_eq!(wrong(body, contents::location), ["latitude", "longitude", "name", "address"]);
    let body = json!({"name": "q", "values": ["a", "a"], "selectable_count": 11});
    assert_eq!(wrong(body, contents::poll), ["values", "selectable_count"]);
}

async fn sent_with(hub: &Hub, instance: &str, query: &str, key: &str, body: Value) -> Answer {
    let request = Request::post(format!("/api/v1/instance/{instance}/send-text{query}"))
        .header("x-api-key", KEY)
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()));
    hub.send(request.unwrap()).await
}

async fn whatsapp(hub: &Hub, name: &str, fields: Value) {
    let mut body = json!({"name": name, "evolution_url": "http://evolution.test", "evolution_key": "planted-evo-1234",
        "whatsapp_instance": name, "agent_api_url": "http://agent.test", "agent_api_key": "planted-agent-1234",
        "default_agent": "bot", "provision": false});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = hub.call("POST", "/instances", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

#[tokio::test]
async fn who_and_where_is_asked_before_the_queue() {
    let hub = Hub::new().await;
    hub.add_instance("on-discord").await;
    whatsapp(&hub, "acme", json!({})).await;
    whatsapp(&hub, "asleep", json!({"is_active": false})).await;
    let body = json!({"to": "5511987654321", "text": "hi"});
    let send = async |instance: &str, query: &str, key: &str| {
        let answer = sent_with(&hub, instance, query, key, body.clone()).await;
        (answer.status, answer.json["code"].as_str().unwrap_or_default().to_owned())
    };
    for (instance, status, code) in [
        ("nobody", 404, "instance_not_found"),
        ("on-discord", 422, "channel_cannot_send"),
        ("asleep", 409, "inactive"),
        ("acme", 503, "queue_unavailable"),
    ] {
        assert_eq!(send(instance, "?wait=5", "k").await, (status, code.to_owned()), "{instance}");
    }
    for (query, key, field) in [("?wait=61", "k", "wait"), ("?wait=x", "k", "wait"), ("", "", "Idempotency-Key")] {
        assert_eq!(sent_with(&hub, "acme", query, key, body.clone()).await.wrong_fields(), [field], "{query}");
    }

    // Another's instance is not there, and a key without the scope sends nothing.
    let key = async |instance: &str, scope: &str| {
        let body = json!({"name": "k", "instances": [instance], "scopes": [scope]});
        hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned()
    };
    let path = "/instance/acme/send-text";
    assert_eq!(hub.call_as(&key("asleep", "send").await, "POST", path, body.clone()).await.status, 404);
    assert_eq!(hub.call_as(&key("acme", "write").await, "POST", path, body.clone()).await.status, 403);
    assert_eq!(hub.call_as(&key("acme", "send").await, "POST", path, body.clone()).await.status, 503);
}

fn ended(outcome: Value) -> Result<Response, Problem> {
    let outcome: SendOutcome = serde_json::from_value(outcome).unwrap();
    answer::of(uuid::Uuid::from_u128(7), desk::End::Ended(outcome))
}

#[test]
fn an_end_has_its_status() {
    let sent = ended(json!({"v": 1, "outcome": "answered", "message_ids": ["3EB0", ""]})).unwrap();
    assert_eq!(sent.status(), 200);
    for (reason, channel, status) in [
        ("not_on_whatsapp", Some(400), 422),
        ("evolution_rejected", Some(400), 422),
        ("evolution_rejected", Some(201), 502),
        ("evolution_instance_not_found", Some(404), 502),
        ("channel_failed", Some(503), 502),
        ("channel_failed", None, 502),
        ("too_old", None, 504),
        ("begun_too_often", None, 500),
    ] {
        let outcome = json!({"v": 1, "outcome": "dead", "reason": reason, "error": "no", "channel_status": channel});
        let problem = ended(outcome).unwrap_err();
        let more = problem.more.unwrap();
        assert_eq!((problem.status, more.get("provider_status")), (status, channel.map(Value::from).as_ref()));
        assert!(problem.detail.contains("(no)") && more["reason"] == reason, "{}", problem.detail);
    }
    let ignored = ended(json!({"v": 1, "outcome": "ignored", "reason": "inactive"})).unwrap_err();
    assert_eq!((ignored.status, ignored.code), (409, "inactive"));
}
