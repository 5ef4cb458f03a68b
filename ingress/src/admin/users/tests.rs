//! People over HTTP, on a real SQLite database.

use serde_json::{Value, json};

use crate::admin::testing::{Answer, Hub};

/// A hub with two instances that have each answered `+5511`; the first also `+4422`.
async fn hub() -> Hub {
    let hub = Hub::new().await;
    for (name, phones) in [("a", &["5511", "4422"][..]), ("b", &["5511"])] {
        hub.add_instance(name).await;
        for phone in phones {
            hub.answered(name, phone).await;
        }
    }
    hub
}

fn phones(answer: &Answer) -> Vec<&str> {
    answer.json.as_array().unwrap().iter().map(|user| user["phone_number"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn people_are_listed_and_found() {
    let hub = hub().await;
    let all = hub.call("GET", "/users", "").await;
    assert_eq!((phones(&all), all.headers["x-total-count"].as_bytes()), (vec!["+5511", "+4422", "+5511"], &b"3"[..]));
    let list = async |query: &str| hub.call("GET", &format!("/users?{query}"), "").await;
    assert_eq!(phones(&list("instance_name=a").await), ["+4422", "+5511"]);
    for phone in ["phone=5511", "phone_number=%2B5511", "phone_number=+5511"] {
        assert_eq!(phones(&list(phone).await).len(), 2, "{phone}");
    }
    assert_eq!(phones(&list("external_id=4422@s.whatsapp.net").await), ["+4422"]);
    assert_eq!(list("email=%00").await.wrong_fields(), ["email"]);
    assert_eq!(hub.call("GET", "/users/1", "").await.json["external_ids"][0]["provider"], "whatsapp");
    for id in ["99", "x"] {
        let nobody = hub.call("GET", &format!("/users/{id}"), "").await;
        assert_eq!((nobody.status, &nobody.json["code"]), (404, &json!("user_not_found")));
    }
}

#[tokio::test]
async fn what_is_known_of_a_person_is_changed_and_cleared() {
    let hub = hub().await;
    let patch = async |body: Value| hub.call("PATCH", "/users/1", body).await;
    let told = patch(json!({"email": "m@x.test", "user_data": {"plan": "gold"}})).await;
    assert_eq!((told.status, &told.json["user_data"]["plan"]), (200, &json!("gold")), "{}", told.text);
    assert_eq!(patch(json!({"email": null})).await.json["email"], json!(null));
    assert_eq!(hub.call("GET", "/users/1", "").await.json["user_data"], json!({"plan": "gold"}));
    let wrong = patch(json!({"email": "nobody", "user_data": []})).await;
    assert_eq!(wrong.wrong_fields(), ["email", "user_data"]);
    assert_eq!(patch(json!({"user_data": {"a": ["\u{0}"]}})).await.wrong_fields(), ["user_data"]);
    assert_eq!(patch(json!({"user_data": {"a": "x".repeat(17_000)}})).await.wrong_fields(), ["user_data"]);
    let lines = hub.call("GET", "/audit?action=user", "").await.json;
    assert_eq!(lines["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn names_are_linked_and_unlinked() {
    let hub = hub().await;
    let link = async |user: &str, body: Value| hub.call("POST", &format!("/users/{user}/external-ids"), body).await;
    let crm = json!({"provider": "crm", "external_id": "77"});
    assert_eq!(link("1", crm.clone()).await.json["external_ids"].as_array().unwrap().len(), 2);
    let taken = link("2", crm.clone()).await;
    assert_eq!((taken.status, &taken.json["code"]), (409, &json!("external_id_taken")));
    assert_eq!(link("3", crm).await.status, 200, "of another instance");
    assert_eq!(link("1", json!({"provider": ""})).await.wrong_fields(), ["provider", "external_id"]);
    let path = "/users/1/external-ids?provider=crm&external_id=77";
    assert_eq!(hub.call("DELETE", path, "").await.json["external_ids"].as_array().unwrap().len(), 1);
    assert_eq!(hub.call("DELETE", "/users/1/external-ids", "").await.wrong_fields(), ["provider", "external_id"]);
}

#[tokio::test]
async fn another_tenant_s_people_are_not_there() {
    let hub = hub().await;
    let body = json!({"name": "k", "instances": ["b"], "scopes": ["read", "write"]});
    let key = hub.call("POST", "/keys", body).await.json["key"].as_str().unwrap().to_owned();
    let call = async |method: &str, path: &str, body: &str| hub.call_as(&key, method, path, body).await;
    let list = call("GET", "/users", "").await;
    assert_eq!((phones(&list), list.headers["x-total-count"].as_bytes()), (vec!["+5511"], &b"1"[..]));
    assert_eq!(phones(&call("GET", "/users?instance_name=a", "").await), [""; 0]);
    let link = r#"{"provider": "crm", "external_id": "1"}"#;
    for (method, path, body) in [
        ("GET", "/users/1", ""),
        ("PATCH", "/users/1", "{}"),
        ("POST", "/users/1/external-ids", link),
        ("DELETE", "/users/1/external-ids?provider=whatsapp&external_id=5511@s.whatsapp.net", ""),
        ("GET", "/instances/a/people/5511/export", ""),
        ("DELETE", "/instances/a/people/5511", ""),
    ] {
        assert_eq!(call(method, path, body).await.status, 404, "{method} {path}");
    }
}
