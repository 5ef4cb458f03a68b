//! A change of an instance reaches its account.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{GLOBAL, OWN, Site, warnings};

#[tokio::test]
async fn what_concerns_evolution_is_pushed_and_the_rest_is_not() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.pair("acme");
    let before = site.evolution.admin_calls().len();
    site.well("PUT", "/acme", json!({"agent_timeout": 5})).await;
    assert_eq!(site.evolution.admin_calls().len(), before);

    site.well("PUT", "/acme", json!({"webhook_base64": false})).await;
    site.assert_registered("acme").await;
    assert!(!site.evolution.base64_in_effect("acme"), "it was restarted");
    let first = site.stored("acme").await.webhook_secret.unwrap();
    site.well("PUT", "/acme", json!({"webhook_secret": "planted-the-second"})).await;
    site.assert_registered("acme").await;
    assert_eq!(site.stored("acme").await.webhook_secret_previous.unwrap(), first, "still accepted");
    site.well("PUT", "/acme", json!({"webhook_secret": null})).await;
    site.assert_registered("acme").await;
    assert_ne!(site.stored("acme").await.webhook_secret.unwrap().expose(), "planted-the-second");

    // A new key of the server is exchanged too.
    site.well("PUT", "/acme", json!({"evolution_key": GLOBAL})).await;
    assert_eq!(site.evolution.token("acme").as_deref(), Some(site.stored("acme").await.evolution_key.expose()));
}

#[tokio::test]
async fn a_change_that_evolution_does_not_take_is_pushed_by_the_same_call_again() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.fail_admin("webhook/set", 1, StatusCode::BAD_GATEWAY, &json!({}));
    let change = json!({"webhook_base64": false});
    let refused = site.badly("PUT", "/acme", &change, 502, "evolution_failing").await;
    assert!(refused.json["detail"].as_str().unwrap().contains("make the same call again"), "{}", refused.text);
    assert_eq!(site.webhook("acme").await["webhookBase64"], json!(true));
    site.well("PUT", "/acme", &change).await;
    site.assert_registered("acme").await;
}

#[tokio::test]
async fn an_answer_sent_back_needs_no_evolution() {
    let site = Site::new().await;
    let made = site.make("acme", json!({})).await;
    let calm = site.well("PUT", "/acme", &made).await;
    assert_eq!((&calm["webhook_url"], &calm["warnings"]), (&made["webhook_url"], &made["warnings"]));
    site.evolution.fail_admin("fetchInstances", 1, StatusCode::BAD_GATEWAY, &json!({}));
    let mut more = made.clone();
    more["agent_timeout"] = json!(7);
    let changed = site.well("PUT", "/acme", more).await;
    assert_eq!(changed["agent_timeout"], 7);
    assert!(warnings(&changed).contains("Looking for the instance"), "{changed}");
}

#[tokio::test]
async fn an_instance_moves_to_another_account() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.add_instance("second", OWN);
    let first = site.stored("acme").await;
    let moved = site.well("PUT", "/acme", json!({"whatsapp_instance": "second", "evolution_key": OWN})).await;
    assert_eq!(moved["whatsapp_instance"], "second");
    site.assert_registered("acme").await;
    let settings = site.stored("acme").await;
    assert_ne!(settings.webhook_secret, first.webhook_secret);
    assert_eq!(settings.webhook_secret_previous, None, "the account that is left is not heard any more");
    let left = site.evolution.webhook("acme");
    assert_eq!((&left["enabled"], &left["headers"]), (&json!(false), &json!({})));
}

#[tokio::test]
async fn an_instance_made_by_hand_is_taken_on_and_let_go() {
    let site = Site::new().await;
    site.evolution.add_instance("acme", OWN);
    site.make("acme", json!({"provision": false})).await;
    let theirs = json!({"url": "http://hub.test/by/hand", "enabled": true, "events": ["MESSAGES_UPSERT"]});
    site.evolution.tamper("acme", |row| *row = theirs.clone());

    // Nothing is changed when it does not work: its webhooks prove nothing and are still taken.
    site.evolution.fail_admin_after_doing("webhook/set", 1, StatusCode::BAD_GATEWAY, &json!({}));
    site.badly("PUT", "/acme", json!({"provision": true}), 502, "evolution_failing").await;
    let settings = site.stored("acme").await;
    assert_eq!((settings.webhook_secret, settings.evolution_key.expose()), (None, GLOBAL));
    assert_eq!(site.evolution.webhook("acme")["url"], theirs["url"]);

    site.well("PUT", "/acme", json!({"provision": true})).await;
    site.assert_registered("acme").await;
    assert_eq!(site.stored("acme").await.evolution_key.expose(), OWN);

    let before = site.evolution.admin_calls().len();
    let let_go = site.well("PUT", "/acme", json!({"provision": false, "webhook_base64": false})).await;
    assert_eq!((&let_go["webhook_url"], site.evolution.admin_calls().len()), (&Value::Null, before));
}
