use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::channel::whatsapp::inbound::read_message;

fn message(id: &str) -> Value {
    json!({
        "key": {"remoteJid": "5511987654321@s.whatsapp.net", "id": id},
        "pushName": "Zoë ÿ?>~",
        "message": {"conversation": "Olá 👋 ÿÿ~~"},
        "messageTimestamp": 1_795_310_417
    })
}

fn read(body: &Value) -> Result<Webhook, WebhookError> {
    read_webhook(body.to_string().as_bytes(), None)
}

fn ids(webhook: &Webhook) -> Vec<&str> {
    webhook.parts.iter().map(|part| part.provider_id.as_str()).collect()
}

#[test]
fn every_body_form_holds_the_same_messages() {
    let split = json!({"messages": [message("A"), message("B")]});
    for (body, expected) in [
        (json!({"event": "messages.upsert", "data": message("A")}), vec!["A"]),
        (json!({"event": "messages.upsert", "data": split}), vec!["A", "B"]),
        (json!({"data": [message("A"), message("B")]}), vec!["A", "B"]),
        (message("A"), vec!["A"]),
        (split.clone(), vec!["A", "B"]),
        (json!({"event": "messages.upsert", "messages": [message("A")]}), vec!["A"]),
        (json!({"data": {"data": message("A")}}), vec!["A"]),
        (json!({"data": {"messages": []}}), vec![]),
    ] {
        let webhook = read(&body).expect("a webhook");
        assert_eq!(webhook.event, Event::MessagesUpsert);
        assert_eq!(ids(&webhook), expected, "{body}");
    }
}

#[test]
fn base64_in_every_alphabet_holds_every_inner_form() {
    let envelope = json!({"event": "messages.upsert", "instance": "acme", "sender": "1@s.whatsapp.net",
        "apikey": "planted-key", "data": message("A")});
    for inner in [message("A"), json!({"messages": [message("A")]}), envelope] {
        let bytes = inner.to_string();
        let mut wrapped = STANDARD.encode(&bytes);
        wrapped.insert_str(8, "\r\n ");
        wrapped.push('\n');
        let encoded = [
            STANDARD.encode(&bytes),
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
            wrapped,
        ];
        for data in encoded {
            let webhook = read(&json!({ "data": data })).expect("a webhook");
            assert_eq!(ids(&webhook), ["A"]);
            assert_eq!(webhook.parts[0].data, message("A"));
        }
    }
}

#[test]
fn an_inner_envelope_counts_only_where_the_outer_is_silent() {
    let inner = json!({"event": "call", "instance": "inner", "sender": "1@s.whatsapp.net", "data": {}});
    let data = STANDARD.encode(inner.to_string());
    let webhook = read(&json!({ "data": data })).expect("a webhook");
    assert_eq!(webhook.event, Event::Other("call".into()));
    assert_eq!((webhook.instance.as_deref(), webhook.own_id.as_deref()), (Some("inner"), Some("1@s.whatsapp.net")));

    let inner = json!({"event": "call", "instance": "inner", "data": message("A")});
    let body = json!({"event": "MESSAGES_UPSERT", "instance": "outer", "data": STANDARD.encode(inner.to_string())});
    let webhook = read(&body).expect("a webhook");
    assert_eq!((webhook.instance.as_deref(), webhook.parts.len()), (Some("outer"), 1));
}

#[test]
fn the_body_names_the_event_before_the_path_does() {
    let body = json!({"event": "messages.upsert", "data": message("A")}).to_string();
    assert_eq!(read_webhook(body.as_bytes(), Some("send-message")).expect("a webhook").parts.len(), 1);
    let body = json!({ "data": message("A") }).to_string();
    let webhook = read_webhook(body.as_bytes(), Some("send-message")).expect("a webhook");
    assert_eq!((webhook.event.as_str(), webhook.parts.len()), ("send.message", 0));
    let webhook = read_webhook(body.as_bytes(), Some("messages-upsert")).expect("a webhook");
    assert_eq!(webhook.parts.len(), 1);
}

#[test]
fn other_events_never_fail_on_their_data() {
    for data in [json!(null), json!([1, "x"]), json!("%%%"), json!(7), json!({"messages": 3})] {
        let webhook = read(&json!({"event": "connection.update", "data": data})).expect("a webhook");
        assert!(webhook.parts.is_empty());
        let body = json!({ "data": data }).to_string();
        assert!(read_webhook(body.as_bytes(), Some("contacts-update")).is_ok(), "{body}");
    }
    assert!(read(&json!({"event": "logout.instance"})).is_ok());
}

#[test]
fn bad_bodies_say_what_is_wrong_without_quoting() {
    let nested = (0..MAX_LAYERS + 1).fold(message("A"), |inner, _| json!({ "data": inner }));
    for (body, expected) in [
        ("[]".to_owned(), WebhookError::NotAnObject),
        ("\"x\"".to_owned(), WebhookError::NotAnObject),
        ("{}".to_owned(), WebhookError::NoMessage),
        (r#"{"data":null}"#.to_owned(), WebhookError::NoMessage),
        (r#"{"data":5}"#.to_owned(), WebhookError::NoMessage),
        (r#"{"messages":{}}"#.to_owned(), WebhookError::NoMessage),
        (r#"{"data":"%%"}"#.to_owned(), WebhookError::BadBase64),
        (nested.to_string(), WebhookError::TooDeep),
        (json!({"messages": [message("A"), 5]}).to_string(), WebhookError::NotAMessage { index: 1 }),
        (
            json!({"messages": [message("A"), {"message": {"conversation": "x"}}]}).to_string(),
            WebhookError::MissingField { index: 1, field: "key.remoteJid" },
        ),
        (
            json!({"key": {"remoteJid": "1".repeat(MAX_CHAT + 1)}}).to_string(),
            WebhookError::TooLong { index: 0, field: "key.remoteJid" },
        ),
    ] {
        assert_eq!(read_webhook(body.as_bytes(), None), Err(expected), "{body}");
    }
    let secret = read_webhook(br#"{"a": "planted" oops}"#, None).expect_err("not JSON").to_string();
    assert_eq!(secret, "not JSON: syntax error at line 1 column 17");
    let deep = format!("{}{}", r#"{"data":"#.repeat(5000), "}".repeat(5000));
    assert!(matches!(read_webhook(deep.as_bytes(), None), Err(WebhookError::NotJson(_))));
}

#[test]
fn a_message_without_id_gets_the_same_one_every_time() {
    let bare = |text: &str| json!({"key": {"remoteJid": "1@lid", "id": ""}, "message": {"conversation": text}});
    let id = |body: &Value| read(body).expect("a webhook").parts[0].provider_id.clone();
    let reordered = r#"{"message": {"conversation": "a"}, "apikey": "k", "key": {"id": "", "remoteJid": "1@lid"}}"#;
    let reordered = read_webhook(reordered.as_bytes(), None).expect("a webhook").parts[0].provider_id.clone();
    assert!(id(&bare("a")).starts_with("content-") && id(&bare("a")).len() == "content-".len() + 64);
    assert_eq!(id(&bare("a")), reordered);
    assert_ne!(id(&bare("a")), id(&bare("b")));
}

#[test]
fn half_an_emoji_does_not_lose_the_message() {
    let body = br#"{"data":{"key":{"remoteJid":"1@lid","id":"A"},"message":{"conversation":"ok \ud83d"}}}"#;
    let webhook = read_webhook(body, None).expect("a webhook");
    assert_eq!(webhook.parts[0].data["message"]["conversation"], "ok \u{fffd}");
}

#[test]
fn the_servers_own_fields_are_removed() {
    let mut body = message("A");
    body["apikey"] = json!("planted-key");
    body["server_url"] = json!("http://evolution");
    body["destination"] = json!("http://hub");
    assert_eq!(read(&body).expect("a webhook").parts[0].data, message("A"));
}

#[test]
fn media_leaves_and_a_reference_takes_its_place() {
    let mut wrapped = message("A");
    wrapped["message"] = json!({"viewOnceMessageV2": {"message": {"imageMessage": {}, "base64": "aGk="}}});
    let mut direct = message("B");
    direct["message"] = json!({"imageMessage": {}, "base64": "aGk="});
    for body in [wrapped, direct] {
        let mut part = read(&body).expect("a webhook").parts.remove(0);
        assert_eq!(part.take_media().as_deref(), Some("aGk="));
        assert_eq!(part.take_media(), None);
        assert!(!part.data.to_string().contains("aGk="));
        part.put_media_ref("media/1");
        assert_eq!(part.data["message"]["mediaObject"], "media/1");
    }
}

#[test]
fn the_bodies_to_try_by_hand_can_be_read() {
    for (file, expected) in [("single.json", 1), ("messages.json", 2), ("base64.json", 1), ("bare.json", 1)] {
        let path = format!("{}/../tests/try/{file}", env!("CARGO_MANIFEST_DIR"));
        let body = std::fs::read(&path).expect("the file");
        let webhook = read_webhook(&body, None).expect(file);
        assert_eq!(webhook.parts.len(), expected, "{file}");
        assert!(webhook.parts.iter().all(|part| part.provider_id.contains("TRYRUN")), "{file}");
    }
}

/// JSON whose keys are often the ones that matter.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        4 => proptest::sample::select(vec![
            "data", "messages", "key", "message", "event", "instance", "sender", "remoteJid", "remoteJidAlt", "id",
            "fromMe", "participant", "messageTimestamp", "low", "high", "conversation", "ephemeralMessage",
            "editedMessage", "protocolMessage", "contextInfo", "mentionedJid", "stanzaId", "quotedMessage", "base64",
            "imageMessage", "caption", "contactsArrayMessage", "contacts", "templateMessage", "messageType", "pushName",
        ]).prop_map(str::to_owned),
        1 => ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        proptest::sample::select(vec![
            "1:2@s.whatsapp.net",
            "@lid",
            "@",
            ":",
            "9@g.us",
            "messages.upsert",
            "e30",
            "bnVsbA"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..256), text in "\\PC{0,64}") {
        let _ = read_webhook(&body, None);
        let _ = read_webhook(text.as_bytes(), Some(&text));
        let _ = surrogates::mend(&body);
    }

    #[test]
    fn no_json_panics(body in any_json(), path in ".{0,8}") {
        let _ = read_message(&body);
        for body in [body.clone(), json!({ "data": body })] {
            if let Ok(webhook) = read_webhook(body.to_string().as_bytes(), Some(&path)) {
                for mut part in webhook.parts {
                    let _ = read_message(&part.data);
                    prop_assert!(!part.address().is_empty());
                    part.take_media();
                    part.put_media_ref("x");
                    let _ = read_message(&part.data);
                }
            }
        }
    }
}
