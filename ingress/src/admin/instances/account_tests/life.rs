//! Connecting and parting.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{GLOBAL, OWN, Site};

#[tokio::test]
async fn a_whole_life() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    let status = async || site.well("GET", "/acme/status", "").await;
    assert_eq!(status().await["status"], "disconnected");
    let qr = site.well("GET", "/acme/qr", "").await;
    assert_eq!((&qr["status"], &qr["channel_type"]), (&json!("success"), &json!("whatsapp")));
    assert!(qr["qr_code"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert_eq!(status().await["status"], "connecting");
    site.evolution.pair("acme");
    let told = status().await;
    let expected = json!({"instance_name": "acme", "channel_type": "whatsapp", "status": "connected", "channel_data":
        {"evolution_state": "open", "evolution_data": {"instance": {"instanceName": "acme", "state": "open"}}},
        "connection": null});
    assert_eq!(told, expected);
    assert_eq!(site.well("GET", "/acme/qr", "").await["status"], "unavailable");

    let restarted = site.well("POST", "/acme/restart", "").await;
    assert_eq!(restarted["message"], "Instance 'acme' restarted successfully");
    assert_eq!(restarted["result"]["status"], "success");
    let out = site.well("POST", "/acme/logout", "").await;
    assert_eq!(out["result"]["message"], "The phone is unpaired.");
    assert!(!site.row("acme").await.unwrap().is_active);
    assert_eq!(site.well("POST", "/acme/logout", "").await["result"]["message"], "The phone was not paired.");
    assert_eq!(site.well("POST", "/acme/restart", "").await["result"]["status"], "warning");
    let connected = site.well("POST", "/acme/connect", "").await;
    assert!(connected["result"]["qr_code"].is_string() && site.row("acme").await.unwrap().is_active, "{connected}");
    let audited = site.audited().await;
    for action in ["instance.create", "instance.restart", "instance.logout", "instance.update", "instance.connect"] {
        assert!(audited.iter().any(|line| line == action), "{action} in {audited:?}");
    }
    assert_eq!(site.evolution.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn disconnecting_keeps_the_phone_paired() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.pair("acme");
    site.evolution.fail_admin("webhook/set", 1, StatusCode::BAD_GATEWAY, &json!({}));
    site.badly("POST", "/acme/disconnect", "", 502, "evolution_failing").await;
    assert!(!site.row("acme").await.unwrap().is_active, "it answers nobody from the first moment on");
    let parted = site.well("POST", "/acme/disconnect", "").await;
    assert_eq!(parted["result"]["status"], "success");
    assert_eq!(site.evolution.connection("acme").as_deref(), Some("open"));
    assert_eq!(site.webhook("acme").await["enabled"], json!(false));
    let connected = site.well("POST", "/acme/connect", "").await;
    assert_eq!(connected["result"]["message"], "It is connected already.");
    site.assert_registered("acme").await;
}

#[tokio::test]
async fn connecting_takes_on_what_was_made_by_hand_and_makes_what_was_lost() {
    let site = Site::with_shared_key().await;
    site.make("acme", json!({"provision": false})).await;
    site.badly("POST", "/acme/restart", "", 409, "evolution_instance_missing").await;
    assert_eq!(site.well("GET", "/acme/status", "").await["status"], "not_found");
    site.well("POST", "/acme/connect", "").await;
    site.assert_registered("acme").await;
    let first = site.stored("acme").await.evolution_key;
    assert_ne!(first.expose(), GLOBAL);

    // Somebody deletes it there. Its own key opens nothing any more, the one of the settings does.
    site.evolution.lose("acme");
    site.well("POST", "/acme/connect", "").await;
    site.assert_registered("acme").await;
    assert_ne!(site.stored("acme").await.evolution_key, first);
}

#[tokio::test]
async fn the_key_of_the_settings_serves_nobody_but_the_whole_hub() {
    let site = Site::with_shared_key().await;
    site.evolution.add_instance("theirs", OWN);
    site.make("acme", json!({"provision": false, "evolution_key": "planted-of-no-use"})).await;
    let body = json!({"name": "tenant", "instances": ["acme"], "scopes": ["admin"]});
    let key = site.hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
    let change = json!({"whatsapp_instance": "theirs", "evolution_key": "planted-of-no-use-2", "provision": false});
    assert_eq!(site.hub.call_as(&key, "PUT", "/instances/acme", change).await.status, 200);
    let refused = site.hub.call_as(&key, "POST", "/instances/acme/connect", "").await;
    assert_eq!(refused.wrong_fields(), ["evolution_key"]);
    assert_eq!(site.evolution.webhook("theirs"), Value::Null);
    site.well("POST", "/acme/connect", "").await;
    site.assert_registered("acme").await;
}

#[tokio::test]
async fn a_server_that_is_away_is_a_status_and_not_an_error() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.evolution.fail_admin("connectionState", 1, StatusCode::BAD_GATEWAY, &json!({}));
    let told = site.well("GET", "/acme/status", "").await;
    assert_eq!(told["status"], "error");
    assert!(told["channel_data"]["error"].as_str().unwrap().contains("502"), "{told}");
    site.evolution.fail_admin("connect", 1, StatusCode::OK, &json!({"error": true, "message": "[object Object]"}));
    assert_eq!(site.well("GET", "/acme/qr", "").await["status"], "error");
    site.evolution.fail_admin("connect", 1, StatusCode::OK, &json!({"count": 0}));
    assert_eq!(site.well("GET", "/acme/qr", "").await["status"], "unavailable");
    site.evolution.fail_admin("restart", 1, StatusCode::BAD_GATEWAY, &json!({}));
    site.badly("POST", "/acme/restart", "", 502, "evolution_failing").await;
}

#[tokio::test]
async fn other_channels_and_lesser_keys_are_turned_away() {
    let site = Site::new().await;
    site.hub.add_instance("d").await;
    site.make("acme", json!({})).await;
    let body = json!({"name": "reader", "instances": ["acme"], "scopes": ["read"]});
    let key = site.hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
    let calls = [("GET", "qr"), ("POST", "connect"), ("POST", "disconnect"), ("POST", "restart"), ("POST", "logout")];
    for (method, call) in calls {
        site.badly(method, &format!("/d/{call}"), "", 400, "channel_not_supported").await;
        site.badly(method, &format!("/nobody/{call}"), "", 404, "instance_not_found").await;
        let answer = site.hub.call_as(&key, method, &format!("/instances/acme/{call}"), "").await;
        assert_eq!((answer.status, &answer.json["code"]), (403, &json!("scope_missing")), "{call}");
    }
    site.badly("GET", "/d/status", "", 400, "channel_not_supported").await;
    assert_eq!(site.hub.call_as(&key, "GET", "/instances/acme/status", "").await.status, 200);
    assert_eq!(site.hub.call_as(&key, "GET", "/instances/d/status", "").await.status, 404);
}

#[tokio::test]
async fn what_is_there_is_discovered() {
    let site = Site::with_shared_key().await;
    site.make("acme", json!({})).await;
    site.hub.add_instance("d").await;
    site.evolution.add_instance("stranger", OWN);
    let found = site.well("POST", "/discover", "").await;
    assert_eq!((&found["message"], &found["total_discovered"]), (&json!("Instance discovery completed"), &json!(3)));
    let line = |name: &str| -> Value {
        found["instances"].as_array().unwrap().iter().find(|line| line["name"] == name).unwrap().clone()
    };
    assert_eq!((&line("acme")["status"], &line("acme")["configured"]), (&json!("disconnected"), &json!(true)));
    assert_eq!((&line("stranger")["status"], &line("stranger")["configured"]), (&json!("connected"), &json!(false)));
    assert_eq!(line("d")["status"], "error");

    let body = json!({"name": "one", "instances": ["acme"], "scopes": ["admin"]});
    let key = site.hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
    let narrow = site.hub.call_as(&key, "POST", "/instances/discover", "").await;
    assert_eq!((narrow.status, &narrow.json["total_discovered"]), (200, &json!(1)), "{}", narrow.text);

    let named = json!({"evolution_url": site.evolution.url(), "evolution_key": "planted-guess"});
    let refused = site.well("POST", "/discover", named).await;
    assert!(super::warnings(&refused).contains("does not take the key"), "{refused}");
    let keyless = site.call("POST", "/discover", json!({"evolution_url": site.evolution.url()})).await;
    assert_eq!(keyless.wrong_fields(), ["evolution_key"]);
}

#[tokio::test]
async fn a_phone_may_be_paired_by_a_code_to_type_in() {
    let site = Site::new().await;
    site.make("acme", json!({"phone_number": "+1 (415) 555-0000", "integration": "WHATSAPP-BAILEYS"})).await;
    let made = site.evolution.admin_calls().into_iter().find(|call| call.operation == "create").unwrap();
    assert_eq!(made.body["number"], "14155550000");
    let qr = site.well("GET", "/acme/qr?phone_number=%2B14155550000", "").await;
    assert_eq!(qr["pairing_code"], "WZYE-H1YY");
    assert_eq!(site.well("GET", "/acme/qr", "").await["pairing_code"], Value::Null);
    let wrong = site.hub.call("GET", "/instances/acme/qr?phone_number=my-phone", "").await;
    assert_eq!(wrong.wrong_fields(), ["phone_number"]);
    let body = site.new_instance("other", json!({"phone_number": "12@g.us", "integration": "WHATSAPP-BUSINESS"}));
    assert_eq!(site.hub.call("POST", "/instances", body).await.wrong_fields(), ["phone_number", "integration"]);
    assert_eq!(site.evolution.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn who_asks_for_it_is_told_how_accounts_are_connected() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    site.make("globex", json!({})).await;
    site.evolution.pair("acme");
    site.evolution.lose("globex");
    let asked = site.evolution.admin_calls().len();
    assert_eq!(site.well("GET", "/acme", "").await["evolution_status"], Value::Null);
    assert_eq!(site.evolution.admin_calls().len(), asked, "nobody is asked otherwise");
    let told = site.well("GET", "?include_status=true", "").await;
    assert_eq!((&told[0]["name"], &told[0]["evolution_status"]["state"]), (&json!("acme"), &json!("open")));
    assert_eq!(told[0]["evolution_status"]["error"], Value::Null);
    assert_eq!(told[1]["evolution_status"]["state"], Value::Null);
    assert!(told[1]["evolution_status"]["error"].is_string(), "{told}");
    let one = site.well("GET", "/acme?include_status=True", "").await;
    assert_eq!(one["evolution_status"]["state"], "open");
    let wrong = site.hub.call("GET", "/instances?include_status=maybe", "").await;
    assert_eq!(wrong.wrong_fields(), ["include_status"]);
}
