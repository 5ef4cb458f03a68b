//! A thought in all the ways that a person has to say it: voice, picture, words, and words corrected.

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::assert_answered_together;
use crate::harness::{Database, INSTANCE, Site, message_id, on_both_databases, webhook};

on_both_databases!(voice_picture_texts_and_an_edit_are_one_question);

const PHONE: &str = "14155553301";
const VOICE: &str = include_str!("../../../common/src/channel/whatsapp/fixtures/17-audio-ptt.json");
const PICTURE: &str = include_str!("../../../common/src/channel/whatsapp/fixtures/11-image-base64.json");

/// A recorded message, as this customer's of now.
fn recorded(body: &str) -> Value {
    let (mut recorded, now) = (serde_json::from_str::<Value>(body).unwrap(), webhook(PHONE, ""));
    recorded["data"]["key"] = now["data"]["key"].clone();
    recorded["data"]["key"]["id"] = message_id().into();
    recorded["data"]["messageTimestamp"] = now["data"]["messageTimestamp"].clone();
    recorded
}

/// Posts it, and waits until it is recorded: an edit finds its conversation there.
async fn post(site: &Site, webhook: &Value) -> String {
    let trace = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), webhook).await.remove(0);
    site.trace_when(&trace, "is recorded", |trace| trace["trace_id"].is_string()).await;
    trace
}

async fn voice_picture_texts_and_an_edit_are_one_question(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    // Long enough for whatever this machine does between two of the posts.
    site.change_instance(INSTANCE, json!({"debounce_ms": 5_000, "debounce_max_ms": 60_000})).await;
    let said = [recorded(VOICE), recorded(PICTURE), webhook(PHONE, "is this the right bil?"), webhook(PHONE, "thanks")];
    let mut traces = Vec::new();
    for webhook in &said {
        traces.push(post(&site, webhook).await);
    }
    let key = json!({"remoteJid": "5511999990000@s.whatsapp.net", "fromMe": true, "id": said[2]["data"]["key"]["id"]});
    let text = json!({"conversation": "is this the right bill?"});
    let edit = json!({"key": key, "type": "MESSAGE_EDIT", "editedMessage": text, "timestampMs": 1_761_000_000_000_i64});
    let edit = json!({"event": "messages.edited", "instance": INSTANCE, "data": edit});
    let edit = site.accepted(&format!("/webhook/evolution/{INSTANCE}"), &edit).await.remove(0);

    assert_answered_together(&site, &traces).await;
    assert_eq!(site.ended(&edit).await["outcome_reason"], "edit_applied");
    let calls = site.agent.calls();
    assert_eq!(calls.len(), 1, "one question");
    let body = &calls[0].body;
    let lines: Vec<&str> = body["message"].as_str().unwrap().lines().collect();
    assert_eq!(lines, ["[voice message, 7 s]", "Comprovante", "is this the right bill?", "thanks"], "{body}");
    let media = body["media_contents"].as_array().unwrap();
    assert_eq!(media.iter().map(|file| &file["type"]).collect::<Vec<_>>(), [&json!("audio"), &json!("image")]);
    assert_eq!((&media[0]["voice"], &media[1]["caption"]), (&json!(true), &json!("Comprovante")));
    assert_eq!(site.replies_to(PHONE).len(), 1);
    site.assert_no_violations();
}
