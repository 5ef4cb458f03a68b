//! A webhook that somebody wiped or changed is found and repaired.

use serde_json::{Value, json};

use super::{OWN, PUBLIC, Site};
use crate::evolution::watch::{Round, Watch};

fn watch(site: &Site) -> Watch {
    let state = &site.hub.state;
    Watch::new(state.evolution.clone(), state.instances.clone(), state.announcer.clone(), state.database.clone())
}

fn round(looked: usize, repaired: usize, failed: usize) -> Round {
    Round { looked, repaired, failed }
}

#[tokio::test]
async fn what_was_wiped_or_changed_is_put_right_with_a_line_in_the_log() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.pair("acme");
    let watch = watch(&site);
    assert_eq!(watch.round().await.unwrap(), round(1, 0, 0));
    let changes: [fn(&mut Value); 6] = [
        |row| *row = Value::Null,
        |row| row["url"] = "http://elsewhere.test".into(),
        |row| row["enabled"] = false.into(),
        |row| row["headers"] = json!({}),
        |row| row["webhookBase64"] = false.into(),
        |row| row["events"] = json!(["SEND_MESSAGE"]),
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        site.evolution.tamper("acme", change);
        assert_eq!(watch.round().await.unwrap(), round(1, 1, 0), "{nth}");
        site.assert_registered("acme").await;
        assert!(site.evolution.base64_in_effect("acme"));
        assert_eq!(watch.round().await.unwrap(), round(1, 0, 0));
    }
    let log = site.hub.call("GET", "/audit?action=instance.webhook_repaired", "").await.json;
    let lines = log["items"].as_array().unwrap();
    assert_eq!(
        (lines.len(), &lines[0]["actor"], &lines[5]["before"]),
        (6, &json!("hub:webhooks"), &json!({"wrong": ["missing"]}))
    );
}

#[tokio::test]
async fn only_what_is_ours_and_active_is_looked_at() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.add_instance("by-hand", OWN);
    site.make("by-hand", json!({"provision": false})).await;
    site.hub.add_instance("d").await;
    site.make("parted", json!({})).await;
    site.well("POST", "/parted/disconnect", "").await;
    let watch = watch(&site);
    assert_eq!(watch.round().await.unwrap(), round(1, 0, 0));
    assert_eq!(site.webhook("parted").await["enabled"], json!(false));
    site.evolution.lose("acme");
    assert_eq!(watch.round().await.unwrap(), round(1, 0, 1), "it cannot be made without the server's key");
}

#[tokio::test]
async fn a_new_address_of_the_hub_reaches_evolution() {
    let mut site = Site::new().await;
    site.make("acme", json!({})).await;
    site.settle(Default::default(), Some("https://moved.test"));
    assert_eq!(watch(&site).round().await.unwrap(), round(1, 1, 0));
    let moved = json!("https://moved.test/webhook/evolution/acme");
    assert_eq!(
        (&site.webhook("acme").await["url"], &site.well("GET", "/acme", "").await["webhook_url"]),
        (&moved, &moved)
    );
    // Without one the address that was registered stays right.
    site.settle(Default::default(), None);
    assert_eq!(watch(&site).round().await.unwrap(), round(1, 0, 0));
    site.settle(Default::default(), Some(PUBLIC));
    assert_eq!(watch(&site).round().await.unwrap(), round(1, 1, 0));
    site.assert_registered("acme").await;
}
