//! An instance is made with its account, or not at all.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{GLOBAL, OWN, PUBLIC, Site, warnings};

#[tokio::test]
async fn an_account_is_made_and_its_own_key_kept() {
    let site = Site::new().await;
    let made = site.make("acme", json!({})).await;
    let settings = site.stored("acme").await;
    assert_eq!(site.evolution.token("acme").as_deref(), Some(settings.evolution_key.expose()));
    assert_ne!(settings.evolution_key.expose(), GLOBAL);
    assert_eq!(made["evolution_key"], settings.evolution_key.mask());
    assert_eq!(made["webhook_url"], format!("{PUBLIC}/webhook/evolution/acme"));
    site.assert_registered("acme").await;
    let settings = site.evolution.settings("acme");
    assert_eq!((&settings["groupsIgnore"], &settings["readMessages"]), (&json!(false), &json!(true)));
    assert!(warnings(&made).contains("evolution_url is a loopback address"), "{made}");
    assert_eq!(site.audited().await, ["instance.create"]);
    // The same body again.
    let again = site.new_instance("acme", json!({}));
    site.badly("POST", "", again, 409, "instance_exists").await;
    assert_eq!(site.stored("acme").await.webhook_url.as_deref(), made["webhook_url"].as_str());
}

#[tokio::test]
async fn an_account_that_is_there_is_adopted() {
    for (key, slug_is_id) in [(OWN, false), (GLOBAL, false), (GLOBAL, true), (OWN, true)] {
        let site = Site::new().await;
        site.evolution.add_instance("shop", OWN);
        let slug = if slug_is_id { site.evolution.id("shop").unwrap() } else { "shop".to_owned() };
        let body = json!({"whatsapp_instance": slug, "evolution_key": key, "webhook_secret": "planted-my-own-secret"});
        let made = site.make("acme", body).await;
        assert_eq!(made["whatsapp_instance"], "shop", "an id is resolved once, and the name kept");
        let settings = site.stored("acme").await;
        assert_eq!(settings.evolution_key.expose(), OWN);
        assert_eq!(settings.webhook_secret.unwrap().expose(), "planted-my-own-secret");
        site.assert_registered("acme").await;
        assert!(site.evolution.base64_in_effect("shop"), "restarted, since Evolution reads that when it connects");
        assert_eq!(site.evolution.settings("shop")["groupsIgnore"], json!(false));
    }
}

#[tokio::test]
async fn nothing_is_asked_of_evolution_where_it_is_not_wanted() {
    let site = Site::new().await;
    let made = site.make("acme", json!({"provision": false})).await;
    assert_eq!((&made["webhook_url"], site.evolution.admin_calls().len()), (&Value::Null, 0));
    assert_eq!(site.stored("acme").await.evolution_key.expose(), GLOBAL, "as it was given");
}

#[tokio::test]
async fn without_an_address_nothing_is_registered_and_that_is_said() {
    let mut site = Site::new().await;
    site.settle(Default::default(), None);
    let made = site.make("acme", json!({})).await;
    assert!(warnings(&made).contains("no webhook was registered"), "{made}");
    assert_eq!((site.evolution.webhook("acme"), &made["webhook_secret"]), (Value::Null, &Value::Null));
    assert_eq!(site.evolution.token("acme").as_deref(), Some(site.stored("acme").await.evolution_key.expose()));
}

#[tokio::test]
async fn what_fails_leaves_nothing_and_the_same_call_again_ends_well() {
    let broken = json!({"status": 500, "error": "Internal Server Error", "response": {"message": "no"}});
    for operation in ["fetchInstances", "create", "webhook/find"] {
        let site = Site::new().await;
        site.evolution.fail_admin(operation, 1, StatusCode::INTERNAL_SERVER_ERROR, &broken);
        let body = site.new_instance("acme", json!({}));
        site.badly("POST", "", &body, 502, "evolution_failing").await;
        assert!(site.row("acme").await.is_none(), "{operation}");
        assert!(!site.evolution.has("acme"), "{operation}");
        site.well("POST", "", &body).await;
        site.assert_registered("acme").await;
    }
    for operation in ["settings/set", "webhook/find", "webhook/set"] {
        let site = Site::new().await;
        site.evolution.add_instance("acme", OWN);
        let theirs = json!({"url": "http://theirs.test", "enabled": true, "events": [], "headers": {"x": "1"}});
        site.evolution.tamper("acme", |row| *row = theirs.clone());
        site.evolution.fail_admin_after_doing(operation, 1, StatusCode::BAD_GATEWAY, &broken);
        let body = site.new_instance("acme", json!({}));
        site.badly("POST", "", &body, 502, "evolution_failing").await;
        assert!(site.row("acme").await.is_none() && site.evolution.has("acme"), "{operation}");
        let back = site.evolution.webhook("acme");
        assert_eq!((&back["url"], &back["headers"]), (&theirs["url"], &theirs["headers"]), "{operation}");
        site.well("POST", "", &body).await;
        site.assert_registered("acme").await;
    }
}

#[tokio::test]
async fn an_answer_that_got_lost_is_made_good() {
    let site = Site::new().await;
    site.evolution.fail_admin_after_doing("create", 1, StatusCode::GATEWAY_TIMEOUT, &json!({}));
    site.make("acme", json!({})).await;
    site.assert_registered("acme").await;
    assert_eq!(site.evolution.token("acme").as_deref(), Some(site.stored("acme").await.evolution_key.expose()));
}

#[tokio::test]
async fn what_cannot_be_undone_is_said_and_adopted_later() {
    let site = Site::new().await;
    let broken = json!({"response": {"message": "no"}});
    site.evolution.fail_admin("webhook/find", 1, StatusCode::BAD_GATEWAY, &broken);
    site.evolution.fail_admin("delete", 1, StatusCode::BAD_GATEWAY, &broken);
    let body = site.new_instance("acme", json!({}));
    let refused = site.badly("POST", "", &body, 502, "evolution_failing").await;
    assert!(refused.json["detail"].as_str().unwrap().contains("another call adopts it"), "{}", refused.text);
    assert!(site.row("acme").await.is_none() && site.evolution.has("acme"));
    site.well("POST", "", &body).await;
    site.assert_registered("acme").await;
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_named() {
    let site = Site::new().await;
    site.evolution.add_instance("shop", OWN);
    let wrong = async |more: Value| site.call("POST", "", site.new_instance("acme", more)).await.wrong_fields();
    assert_eq!(wrong(json!({"evolution_key": "planted-guess"})).await, ["evolution_key"]);
    assert_eq!(wrong(json!({"evolution_key": OWN})).await, ["evolution_key"], "an account's key makes no other");
    let id = "9d3b6c1e-2cca-4941-bffd-8ae8c4db9b12";
    assert_eq!(wrong(json!({"whatsapp_instance": id})).await, ["whatsapp_instance"]);
    assert_eq!(wrong(json!({"integration": "WHATSAPP-BUSINESS", "provision": 1})).await, ["provision", "integration"]);
    assert_eq!(wrong(json!({"name": "discover"})).await, ["name"]);
    site.evolution.occupy("acme");
    let body = site.new_instance("acme", json!({}));
    site.badly("POST", "", &body, 409, "evolution_name_in_use").await;
    assert_eq!(site.well("GET", "", "").await, json!([]), "nothing was made");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let body = site.new_instance("acme", json!({"evolution_url": nobody}));
    site.badly("POST", "", body, 502, "evolution_unreachable").await;
}

#[tokio::test]
async fn an_account_has_one_instance() {
    let site = Site::new().await;
    site.make("acme", json!({})).await;
    let second = site.new_instance("other", json!({"whatsapp_instance": "acme"}));
    site.badly("POST", "", second, 409, "evolution_instance_in_use").await;
    site.make("third", json!({})).await;
    site.badly(
        "PUT",
        "/third",
        json!({"whatsapp_instance": "acme", "evolution_key": GLOBAL}),
        409,
        "evolution_instance_in_use",
    )
    .await;
    site.assert_registered("acme").await;
    site.assert_registered("third").await;
}

#[tokio::test]
async fn a_reference_to_the_own_key_stays_one_and_one_to_the_servers_does_not() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, value: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, value).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        format!("file:{}", path.display())
    };
    let (own, global, hook) = (file("own", OWN), file("global", GLOBAL), file("hook", "planted-hook-secret"));
    site.evolution.add_instance("shop", OWN);
    let made = site.make("shop", json!({"evolution_key": own, "webhook_secret": hook})).await;
    assert_eq!((&made["evolution_key"], &made["webhook_secret"]), (&json!(own), &json!(hook)));
    assert_eq!(site.evolution.webhook("shop")["headers"]["jwt_key"], "planted-hook-secret");
    let made = site.make("acme", json!({"evolution_key": global})).await;
    assert_ne!(made["evolution_key"], json!(global));
    site.assert_registered("acme").await;
    site.well("POST", "/shop/connect", "").await;

    std::fs::remove_file(folder.path().join("own")).unwrap();
    let lost = site.new_instance("lost", json!({"evolution_key": file("gone", "x").replace("gone", "none")}));
    let refused = site.call("POST", "", lost).await;
    assert!(matches!(refused.json["code"].as_str(), Some("secret_away" | "secret_refused")), "{}", refused.text);
}
