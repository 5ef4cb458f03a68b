//! What is too large for the queue goes to the object store.

use futures_util::TryStreamExt;
use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::DEADLINE;
use crate::harness::{Deployment, Ledger, until};

const MIB: usize = 1024 * 1024;
/// A payload of a trace is kept up to 64 KiB.
const KEPT: usize = 70 * 1024;

/// An image as Evolution posts it, its bytes in base64.
fn image() -> Value {
    let mut webhook = Ledger::webhook(0, 0);
    let data = &mut webhook["data"];
    data["messageType"] = "imageMessage".into();
    data["message"] = json!({
        "imageMessage": {"mimetype": "image/jpeg", "caption": "look", "fileLength": 5 * MIB},
        "base64": "QUJD".repeat(5 * MIB / 4),
    });
    webhook
}

fn long_text() -> Value {
    let mut webhook = Ledger::webhook(1, 0);
    webhook["data"]["message"]["conversation"] = "many words ".repeat(30 * 1024).into();
    webhook
}

async fn payload_sizes(deployment: &Deployment, trace: &Value) -> Vec<usize> {
    let (payloads, _) = deployment.get(&format!("traces/{}/payloads", trace.as_str().unwrap())).await;
    payloads.as_array().unwrap().iter().map(|payload| payload["payload"].to_string().len()).collect()
}

async fn large_webhooks(deployment: Deployment) {
    let (image, long) = (image(), long_text());
    let image = deployment.post_until_accepted(&image, DEADLINE).await.body["trace_id"].clone();
    let text = deployment.post_until_accepted(&long, DEADLINE).await.body["trace_id"].clone();
    let completed = async || deployment.traces("status=completed").await == 2;
    until("both traces are completed", DEADLINE, completed).await;

    let (trace, _) = deployment.get(&format!("traces/{}", image.as_str().unwrap())).await;
    assert_eq!((&trace["outcome"], &trace["message_content"]), (&json!("answered"), &json!("look")));
    // The fake takes 2 MB at once, as many a server does.
    assert!(trace["warnings"].to_string().contains("without the files"), "{trace}");
    let (trace, _) = deployment.get(&format!("traces/{}", text.as_str().unwrap())).await;
    assert_eq!(trace["outcome"], "answered");
    let sent = deployment.evolution.sent();
    assert_eq!(sent.iter().map(|sent| sent.text.as_str()).collect::<Vec<_>>(), ["noted", "noted"]);
    let calls = deployment.agent.calls();
    let said = long["data"]["message"]["conversation"].as_str().unwrap().trim();
    let asked = |words: &str| calls.iter().filter(|call| call.message().trim() == words).count();
    assert_eq!((asked("look"), asked(said)), (1, 1));

    let store = deployment.jetstream().await.get_object_store("media").await.unwrap();
    let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    let size = |what: &str| objects.iter().find(|object| object.name.ends_with(what)).map_or(0, |object| object.size);
    assert_eq!(objects.len(), 2);
    assert_eq!(size("/media"), 5 * MIB / 4 * 3, "the image as bytes");
    assert!(size("/body") > 300 * 1024);
    for trace in [image, text] {
        let sizes = payload_sizes(&deployment, &trace).await;
        assert!(!sizes.is_empty() && sizes.iter().all(|size| *size < KEPT), "{sizes:?}");
    }
    deployment.assert_no_violations();
    deployment.settle(2).await;
}

#[tokio::test]
async fn a_large_webhook_is_kept_outside_the_queue_all_in_one() {
    large_webhooks(Deployment::up(Behaviour::Fixed("noted".into())).await).await;
}

#[tokio::test]
async fn a_large_webhook_is_kept_outside_the_queue_all_in_one_on_postgres() {
    large_webhooks(Deployment::up_on_postgres(Behaviour::Fixed("noted".into())).await).await;
}

#[tokio::test]
async fn a_large_webhook_is_kept_outside_the_queue_with_the_parts_apart() {
    large_webhooks(Deployment::apart(Behaviour::Fixed("noted".into()), &["w1"]).await).await;
}
