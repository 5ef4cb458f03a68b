//! The account at Evolution: its key, its webhook, its phone.

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::{Line, Symptom};
use crate::harness::{Database, EVOLUTION_KEY, INSTANCE, Site, on_both_databases};

on_both_databases!(
    a_key_that_evolution_does_not_take,
    a_webhook_that_is_missing_or_wrong,
    a_phone_that_is_not_connected
);

pub(super) const KEY_REFUSED: Symptom = Symptom {
    title: "Evolution returns 401 (\"apikey invalid or expired\")",
    lines: &[
        Line::Doctor("problem", "evolution", "Evolution does not take the key."),
        Line::Explain("It is held: Evolution refused the instance's key."),
    ],
    mends: &["omnihub instance update acme --evolution-key KEY"],
};

pub(super) const SERVER_AWAY: Symptom = Symptom {
    title: "Evolution cannot be reached",
    lines: &[Line::Doctor("problem", "evolution", "Evolution cannot be reached.")],
    mends: &["omnihub instance update acme --evolution-url URL"],
};

pub(super) const NO_WEBHOOK: Symptom = Symptom {
    title: "The webhook receives no messages",
    lines: &[Line::Doctor(
        "problem",
        "webhook",
        "No webhook is registered at Evolution: nothing of this instance arrives.",
    )],
    mends: &["omnihub instance connect acme"],
};

pub(super) const WRONG_WEBHOOK: Symptom = Symptom {
    title: "Messages stopped arriving after somebody changed Evolution",
    lines: &[Line::Doctor("problem", "webhook", "The webhook at Evolution is not as it was registered: url.")],
    mends: &["omnihub instance connect acme"],
};

pub(super) const NOT_CONNECTED: Symptom = Symptom {
    title: "Nothing arrives and no answer goes out",
    lines: &[Line::Doctor(
        "problem",
        "connection",
        "The phone is not connected: nothing arrives, and no answer goes out.",
    )],
    mends: &["omnihub instance qr acme"],
};

async fn a_key_that_evolution_does_not_take(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.change_instance(INSTANCE, json!({"evolution_key": "planted-expired"})).await;
    let trace = site.say("14155552000", "hello").await;
    KEY_REFUSED.shows(&site, Some(&trace)).await;
    KEY_REFUSED.mend(&site, 0, &[("KEY", EVOLUTION_KEY)]).await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");
    KEY_REFUSED.is_gone(&site).await;
    site.change_instance(INSTANCE, json!({"evolution_url": "http://127.0.0.1:1"})).await;
    SERVER_AWAY.shows(&site, None).await;
    SERVER_AWAY.mend(&site, 0, &[("URL", site.evolution.url())]).await;
    SERVER_AWAY.is_gone(&site).await;
}

async fn a_webhook_that_is_missing_or_wrong(database: Database) {
    // The hub would mend it by itself.
    let site = Site::up_with(database, Behaviour::Echo, &[("OMNIHUB_WEBHOOK_CHECK", "0")]).await;
    NO_WEBHOOK.shows(&site, None).await;
    NO_WEBHOOK.mend(&site, 0, &[]).await;
    NO_WEBHOOK.is_gone(&site).await;
    site.evolution.tamper(INSTANCE, |row| row["url"] = Value::from("http://elsewhere.invalid/hook"));
    WRONG_WEBHOOK.shows(&site, None).await;
    WRONG_WEBHOOK.mend(&site, 0, &[]).await;
    WRONG_WEBHOOK.is_gone(&site).await;
    site.assert_no_violations();
}

async fn a_phone_that_is_not_connected(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.evolution.set_connection(INSTANCE, "close");
    NOT_CONNECTED.shows(&site, None).await;
    assert!(NOT_CONNECTED.mend(&site, 0, &[]).await.contains("Scan it"));
    site.evolution.pair(INSTANCE);
    NOT_CONNECTED.is_gone(&site).await;
    site.assert_no_violations();
}
