//! Messages that are more than text: each gets its turn, and several of them one.

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::{assert_answered_together, questions};
use crate::harness::{Database, INSTANCE, Site, on_both_databases, webhook};

on_both_databases!(
    what_is_sent_within_the_window_is_one_question,
    what_is_no_text_is_answered_and_its_trace_says_what_it_was
);

const PHONE: &str = "14155553101";

/// A webhook with another message than a text.
fn of(kind: &str, content: Value, file: Option<&str>) -> Value {
    let mut webhook = webhook(PHONE, "");
    webhook["data"]["messageType"] = kind.into();
    webhook["data"]["message"] = json!({kind: content});
    if let Some(file) = file {
        webhook["data"]["message"]["base64"] = file.into();
    }
    webhook
}

fn voice() -> Value {
    of("audioMessage", json!({"seconds": 7, "ptt": true, "mimetype": "audio/ogg; codecs=opus"}), Some("T2dnUw=="))
}

fn image() -> Value {
    of("imageMessage", json!({"caption": "this one", "mimetype": "image/jpeg", "fileLength": "22"}), Some("/9j/4A=="))
}

async fn posted(site: &Site, webhook: &Value) -> String {
    site.accepted(&format!("/webhook/evolution/{INSTANCE}"), webhook).await.remove(0)
}

async fn what_is_sent_within_the_window_is_one_question(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"debounce_ms": 1500})).await;
    let mut traces = vec![posted(&site, &voice()).await, posted(&site, &image()).await];
    traces.extend([site.say(PHONE, "is it in stock?").await, site.say(PHONE, "in blue").await]);
    assert_answered_together(&site, &traces).await;
    assert_eq!(questions(&site), ["[voice message, 7 s]\nthis one\nis it in stock?\nin blue"]);
    let body = &site.agent.calls()[0].body;
    assert_eq!(body["message_type"], "audio");
    let media = body["media_contents"].as_array().expect("the files");
    let told: Vec<_> = media.iter().map(|item| (&item["type"], &item["mime_type"], &item["caption"])).collect();
    let (audio, picture) = ((json!("audio"), json!("audio/ogg; codecs=opus")), (json!("image"), json!("image/jpeg")));
    assert_eq!(told, [(&audio.0, &audio.1, &Value::Null), (&picture.0, &picture.1, &json!("this one"))]);
    let files: Vec<_> = media.iter().map(|item| item["data"].as_str().unwrap_or_default()).collect();
    assert_eq!(files, ["T2dnUw==", "/9j/4A=="]);
    site.assert_no_violations();
}

async fn what_is_no_text_is_answered_and_its_trace_says_what_it_was(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let place = of("locationMessage", json!({"degreesLatitude": 1.5, "degreesLongitude": -2.25, "name": "Home"}), None);
    let trace = site.ended(&posted(&site, &place).await).await;
    let told = (&trace["outcome"], &trace["message_type"], &trace["message_content"]);
    assert_eq!(told, (&json!("answered"), &json!("location"), &json!("[location: Home (1.5, -2.25)]")));
    let data = &site.agent.calls()[0].body["context"]["contents"][0];
    assert_eq!(data["location"], json!({"latitude": 1.5, "longitude": -2.25, "name": "Home"}));

    let key = json!({"remoteJid": format!("{PHONE}@s.whatsapp.net"), "fromMe": true, "id": "3EB0C0FFEE0000000001"});
    let reaction = of("reactionMessage", json!({"key": key, "text": "👍"}), None);
    let trace = site.ended(&posted(&site, &reaction).await).await;
    let told = (&trace["outcome"], &trace["outcome_reason"], &trace["message_content"]);
    assert_eq!(told, (&json!("ignored"), &json!("reaction"), &json!("[reaction: 👍]")));
    assert_eq!(site.agent.calls().len(), 1);
    site.assert_no_violations();
}
