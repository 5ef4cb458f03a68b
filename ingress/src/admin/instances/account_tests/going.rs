//! An instance goes, with its account or without.

use axum::http::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::Site;

#[tokio::test]
async fn the_account_stays_and_no_longer_posts() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.pair("acme");
    let gone = site.well("DELETE", "/acme", "").await;
    assert_eq!(gone, json!({"message": "Instance 'acme' deleted successfully"}));
    assert_eq!((site.evolution.webhook("acme")["enabled"].clone(), site.evolution.has("acme")), (json!(false), true));
    assert_eq!(site.evolution.connection("acme").as_deref(), Some("open"));

    // Also where Evolution does not answer, and that is said.
    site.make("acme", json!({})).await;
    site.evolution.fail_admin("webhook/find", 1, StatusCode::BAD_GATEWAY, &json!({}));
    let gone = site.well("DELETE", "/acme?evolution=keep", "").await;
    assert!(super::warnings(&gone).contains("may still post"), "{gone}");
    assert!(site.row("acme").await.is_none());
}

#[tokio::test]
async fn the_account_goes_first_and_the_row_after_it() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.fail_admin("delete", 1, StatusCode::BAD_GATEWAY, &json!({}));
    site.badly("DELETE", "/acme?evolution=remove", "", 502, "evolution_failing").await;
    assert!(site.row("acme").await.is_some() && site.evolution.has("acme"));
    // Done there, and the answer got lost: the same call finds no account and goes on.
    site.evolution.fail_admin_after_doing("delete", 1, StatusCode::BAD_GATEWAY, &json!({}));
    site.badly("DELETE", "/acme?evolution=remove", "", 502, "evolution_failing").await;
    assert!(site.row("acme").await.is_some() && !site.evolution.has("acme"));
    site.well("DELETE", "/acme?evolution=remove", "").await;
    assert!(site.row("acme").await.is_none());
    assert!(site.audited().await.contains(&"instance.evolution_removed".to_owned()));
}

#[tokio::test]
async fn older_servers_want_the_phone_parted_first() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.pair("acme");
    let refusal = json!({"status": 400, "response": {"message": ["The \"acme\" instance needs to be disconnected"]}});
    site.evolution.fail_admin("delete", 1, StatusCode::BAD_REQUEST, &refusal);
    site.well("DELETE", "/acme?evolution=remove", "").await;
    assert!(!site.evolution.has("acme"));
}

#[tokio::test]
async fn a_word_that_is_none_and_a_row_that_cannot_be_read() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    assert_eq!(site.call("DELETE", "/acme?evolution=maybe", "").await.wrong_fields(), ["evolution"]);
    site.hub
        .state
        .database
        .execute_unprepared("UPDATE instance_configs SET agent_api_key = 'v1.old.AAAA'")
        .await
        .unwrap();
    site.badly("DELETE", "/acme?evolution=remove", "", 500, "instance_unreadable").await;
    let gone = site.well("DELETE", "/acme", "").await;
    assert!(super::warnings(&gone).contains("could not be read"), "{gone}");
    assert!(site.evolution.has("acme"));
}
