//! Export and erasure over HTTP, on a real SQLite database.

use serde_json::json;

use crate::admin::testing::Hub;

async fn hub() -> Hub {
    let hub = Hub::new().await;
    for name in ["a", "b"] {
        hub.add_instance(name).await;
        for phone in ["5511", "5511", "95511"] {
            hub.answered(name, phone).await;
        }
    }
    hub
}

#[tokio::test]
async fn everything_of_a_person_is_taken_out() {
    let hub = hub().await;
    hub.call("POST", "/instances/a/conversations/a_5511/pause", r#"{"reason": "mine"}"#).await;
    let rule = json!({"phone_number": "+55 11", "action": "allow", "instance_name": "a"});
    hub.call("POST", "/access/rules", rule).await;
    let export = hub.call("GET", "/instances/a/people/+5511/export", "").await;
    assert_eq!(export.status, 200, "{}", export.text);
    let all = &export.json;
    assert_eq!((&all["phone_number"], &all["user"]["instance_name"]), (&json!("+5511"), &json!("a")));
    assert_eq!((&all["total_messages"], &all["next_skip"]), (&json!(2), &json!(null)));
    assert_eq!(all["messages"][1]["message_content"], "the words of 5511");
    assert_eq!(all["conversations"][0]["reason"], "mine");
    assert_eq!(all["access_rules"].as_array().unwrap().len(), 1);
    assert!(!export.text.contains("95511"));
    let last = hub.call("GET", "/instances/a/people/5511/export?skip=1", "").await.json;
    assert_eq!((last["messages"].as_array().unwrap().len(), &last["next_skip"]), (1, &json!(null)));
}

#[tokio::test]
async fn an_erased_person_is_nowhere_and_others_are() {
    let hub = hub().await;
    hub.call("POST", "/instances/a/conversations/a_5511/pause", "").await;
    hub.call("PATCH", "/users/1", r#"{"email": "m@x.test"}"#).await;
    let rule = json!({"phone_number": "5511", "action": "block", "instance_name": "a"});
    hub.call("POST", "/access/rules", rule).await;
    let erased = hub.call("DELETE", "/instances/a/people/+5511", "").await;
    assert_eq!((erased.status, &erased.json["messages"]), (200, &json!(2)), "{}", erased.text);
    assert_eq!((&erased.json["user"], &erased.json["dead_letters"]), (&json!(true), &json!(0)));

    let export = hub.call("GET", "/instances/a/people/5511/export", "").await.json;
    assert_eq!((&export["user"], &export["total_messages"]), (&json!(null), &json!(0)));
    assert_eq!(hub.call("GET", "/instances/a/conversations", "").await.json, json!([]));
    let audit = hub.call("GET", "/audit?instance_name=a", "").await;
    assert!(!audit.text.contains("m@x.test") && !audit.text.contains("a_5511"), "{}", audit.text);
    assert_eq!(audit.json["items"][0]["target"], "****5511");
    assert_eq!(hub.call("GET", "/access/check?phone_number=5511&instance_name=a", "").await.json["allowed"], false);

    // Another person, and the same one at another tenant.
    for (instance, phone, messages) in [("a", "95511", 1), ("b", "5511", 2)] {
        let export = hub.call("GET", &format!("/instances/{instance}/people/{phone}/export"), "").await.json;
        assert_eq!((export["user"].is_object(), &export["total_messages"]), (true, &json!(messages)));
    }
    let again = hub.call("DELETE", "/instances/a/people/5511", "").await.json;
    assert_eq!((&again["user"], &again["messages"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn only_one_number_is_meant() {
    let hub = hub().await;
    for phone in ["*", "5511*", "5511@lid", "x"] {
        let path = format!("/instances/a/people/{phone}");
        assert_eq!(hub.call("DELETE", &path, "").await.wrong_fields(), ["phone"]);
        assert_eq!(hub.call("GET", &format!("{path}/export"), "").await.wrong_fields(), ["phone"]);
    }
    for path in ["/instances/nobody/people/1", "/instances/nobody/people/1/export"] {
        let method = if path.ends_with("export") { "GET" } else { "DELETE" };
        assert_eq!(hub.call(method, path, "").await.status, 404);
    }
}
