use omnihub_fakes::FakeEvolution;
use serde_json::json;

use super::*;
use crate::admin::testing::Hub;

const KEY: &str = "planted-evolution-key";

async fn hub() -> (Hub, FakeEvolution) {
    let (hub, fake) = (Hub::new().await, FakeEvolution::start().await.unwrap());
    fake.add_instance("acme", KEY);
    fake.add_profile(
        "acme",
        "14155550100@s.whatsapp.net",
        json!({"wuid": "14155550100@s.whatsapp.net", "name": "Ana"}),
    );
    let body = json!({"name": "acme", "evolution_url": fake.url(), "evolution_key": KEY, "provision": false,
        "agent_api_url": "http://agent.test", "agent_api_key": "planted-agent-1234", "default_agent": "bot"});
    assert_eq!(hub.call("POST", "/instances", body).await.status, 201);
    hub.add_instance("on-discord").await;
    (hub, fake)
}

#[tokio::test]
async fn a_profile_is_that_of_whoever_is_named() {
    let (hub, fake) = hub().await;
    hub.answered("acme", "14155550100").await;
    for who in [
        json!({"phone_number": "+1 (415) 555-0100"}),
        json!({"to": "14155550100@s.whatsapp.net"}),
        json!({"user_id": 1}),
    ] {
        let fetched = hub.call("POST", "/instance/acme/fetch-profile", &who).await;
        assert_eq!((fetched.status, &fetched.json["profile"]["name"]), (200, &json!("Ana")), "{who}: {}", fetched.text);
        assert_eq!(fetched.json["success"], true);
    }
    let fetch = async |body: Value| hub.call("POST", "/instance/acme/fetch-profile", body).await;
    assert_eq!(fetch(json!({"phone_number": "14155550199"})).await.json["code"], "not_on_whatsapp");
    assert_eq!(fetch(json!({})).await.wrong_fields(), ["phone_number"]);
    assert_eq!(fetch(json!({"to": "120363041234567890@g.us"})).await.wrong_fields(), ["phone_number"]);
    assert_eq!(fetch(json!({"user_id": 7})).await.json["code"], "user_not_found");
    fake.set_connection("acme", "close");
    let closed = fetch(json!({"phone_number": "14155550100"})).await;
    assert_eq!((closed.status, &closed.json["code"]), (502, &json!("evolution_failing")));
    let discord = hub.call("POST", "/instance/on-discord/fetch-profile", json!({"to": "14155550100"})).await;
    assert_eq!(discord.json["code"], "channel_not_supported");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_picture_is_set_and_written_down_without_its_secrets() {
    let (hub, fake) = hub().await;
    let set = async |body: Value| hub.call("POST", "/instance/acme/update-profile-picture", body).await;
    let address = "https://planted:planted@files.test/a.png?sig=planted";
    let body = json!({"phone_number": "14155550100", "picture_url": address});
    let done = set(body).await;
    let expected = json!({"success": true, "message_id": null, "status": "updated",
        "evolution_response": {"update": "success"}, "error": null});
    assert_eq!((done.status, &done.json), (200, &expected), "{}", done.text);
    assert_eq!((fake.picture("acme").as_deref(), done.headers.get("warning")), (Some(address), None));
    let base64 = set(json!({"picture_base64": "data:image/png;base64,aGk="})).await;
    assert_eq!((base64.status, fake.picture("acme").as_deref()), (200, Some("aGk=")));

    let refused = set(json!({"picture_url": "http://localhost/a.png"})).await;
    assert_eq!((refused.status, &refused.json["code"]), (502, &json!("evolution_failing")));
    assert_eq!(set(json!({})).await.wrong_fields(), ["picture_url"]);
    assert_eq!(set(json!({"picture_url": "file:///etc/passwd"})).await.wrong_fields(), ["picture_url"]);
    assert_eq!(set(json!({"picture_base64": "no!"})).await.wrong_fields(), ["picture_base64"]);
    fake.add_instance("acme", "another-key");
    assert_eq!(set(json!({"picture_base64": "aGk="})).await.json["code"], "evolution_key_refused");

    // `planted` in an answer fails the test by itself.
    let log = hub.call("GET", "/audit?action=instance.set_picture", "").await;
    let after: Vec<&Value> = log.json["items"].as_array().unwrap().iter().map(|line| &line["after"]).collect();
    let expected = [
        json!({"picture_url": "http://localhost/a.png", "sure": false}),
        json!({"picture_base64_bytes": 4, "sure": true}),
        json!({"picture_url": "https://files.test/a.png", "sure": true}),
    ];
    assert_eq!(after, expected.iter().collect::<Vec<_>>(), "{}", log.text);
}

#[tokio::test]
async fn reading_needs_less_than_changing() {
    let (hub, _fake) = hub().await;
    let key = async |instance: &str, scope: &str| {
        let body = json!({"name": "k", "instances": [instance], "scopes": [scope]});
        hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned()
    };
    let (read, send, other) = (key("acme", "read").await, key("acme", "send").await, key("on-discord", "send").await);
    let (fetch, set) = ("/instance/acme/fetch-profile", "/instance/acme/update-profile-picture");
    let (who, what) = (json!({"to": "14155550100"}), json!({"picture_base64": "aGk="}));
    assert_eq!(hub.call_as(&read, "POST", fetch, &who).await.status, 200);
    assert_eq!(hub.call_as(&read, "POST", set, &what).await.status, 403);
    assert_eq!(hub.call_as(&send, "POST", set, &what).await.status, 200);
    assert_eq!(hub.call_as(&send, "POST", fetch, &who).await.status, 403);
    assert_eq!(hub.call_as(&other, "POST", set, &what).await.json["code"], "instance_not_found");
    let large = json!({"picture_base64": "aGk=".repeat(3 * 1024 * 1024)});
    assert_eq!(hub.call_as(&send, "POST", set, large).await.json["code"], "body_too_large");
}
