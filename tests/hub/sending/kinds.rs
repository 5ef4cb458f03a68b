//! Every kind of message, from the call to what Evolution takes.

use base64::{Engine, engine::general_purpose::STANDARD};
use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use super::{message_id, send, trace_id};
use crate::harness::{DEADLINE, Database, Site, on_both_databases, until};

on_both_databases!(every_kind_goes_out, a_large_file_goes_out_and_stands_in_no_trace);

const PHONE: &str = "14155557501";

async fn every_kind_goes_out(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let n = PHONE;
    let key = json!({"id": "3EB0AA", "remoteJid": format!("{n}@s.whatsapp.net"), "fromMe": false});
    let cases: [(&str, Value, &str, Value); 7] = [
        (
            "media",
            json!({"media_type": "image", "mime_type": "image/png", "media_url": "https://files.test/a.png",
                "caption": "look", "quoted": "3EB0AA"}),
            "sendMedia",
            json!({"number": n, "mediatype": "image", "mimetype": "image/png", "media": "https://files.test/a.png",
                "caption": "look", "quoted": {"key": {"id": "3EB0AA"}}}),
        ),
        ("audio", json!({"audio_base64": "aGk="}), "sendWhatsAppAudio", json!({"number": n, "audio": "aGk="})),
        (
            "sticker",
            json!({"sticker_url": "https://files.test/s.webp"}),
            "sendSticker",
            json!({"number": n, "sticker": "https://files.test/s.webp"}),
        ),
        (
            "contact",
            json!({"contacts": [{"full_name": "Ana", "phone_number": "+55 11 98765-4321"}]}),
            "sendContact",
            json!({"number": n, "contact": [{"fullName": "Ana", "phoneNumber": "5511987654321"}]}),
        ),
        (
            "reaction",
            json!({"message_id": "3EB0AA", "reaction": "👍"}),
            "sendReaction",
            json!({"key": key, "reaction": "👍"}),
        ),
        (
            "location",
            json!({"latitude": -23.5, "longitude": 46.25, "name": "Office", "address": "Main Street 1"}),
            "sendLocation",
            json!({"number": n, "latitude": -23.5, "longitude": 46.25, "name": "Office", "address": "Main Street 1"}),
        ),
        (
            "poll",
            json!({"name": "Lunch?", "values": ["yes", "no"], "selectable_count": 1}),
            "sendPoll",
            json!({"number": n, "name": "Lunch?", "values": ["yes", "no"], "selectableCount": 1}),
        ),
    ];
    for (nth, (kind, mut body, operation, expected)) in cases.into_iter().enumerate() {
        body["phone_number"] = n.into();
        let answer = send(&site, kind, &body).await;
        let sent = site.evolution.sent().pop().unwrap();
        assert_eq!((message_id(&answer), site.evolution.sent().len()), (sent.message_id.as_str(), nth + 1));
        assert_eq!((sent.operation, sent.body), (operation, expected));
        let trace = site.ended(&trace_id(&answer)).await;
        assert_eq!((&trace["message_type"], &trace["outcome"]), (&json!(format!("send_{kind}")), &json!("answered")));
    }
    let wrong = json!({"to": n, "contacts": [{"full_name": "Ana"}]});
    let wrong = send(&site, "contact", &wrong).await;
    wrong.assert_problem(422, "validation_failed");
    assert_eq!(wrong.body["errors"][0]["field"], "contacts[0].phone_number");
    site.assert_no_violations();
}

async fn a_large_file_goes_out_and_stands_in_no_trace(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let file = STANDARD.encode(vec![7_u8; 3 * 1024 * 1024]);
    let body = json!({"to": PHONE, "media_type": "document", "filename": "a.bin", "media_base64": file});
    let answer = send(&site, "media", &body).await;
    message_id(&answer);
    assert_eq!(site.evolution.sent()[0].body["media"], file);
    site.ended(&trace_id(&answer)).await;
    // Steps come by another stream than outcomes.
    let path = format!("/api/v1/traces/{}/payloads", trace_id(&answer));
    let mut payloads = String::new();
    until("what was asked for is recorded", DEADLINE, async || {
        payloads = site.api(Method::GET, &path, None).await.text;
        payloads.contains("a.bin")
    })
    .await;
    assert!(payloads.len() < 10_000, "{payloads}");
    let large = json!({"to": PHONE, "text": "x".repeat(25 * 1024 * 1024)});
    send(&site, "text", &large).await.assert_problem(413, "body_too_large");
}
