//! Rules over HTTP, on a real SQLite database.

use serde_json::{Value, json};

use crate::admin::testing::{Answer, Hub};

async fn hub() -> Hub {
    let hub = Hub::new().await;
    hub.add_instance("a").await;
    hub.add_instance("b").await;
    hub
}

async fn make(hub: &Hub, body: Value) -> i64 {
    let made = hub.call("POST", "/access/rules", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json["id"].as_i64().unwrap()
}

async fn key(hub: &Hub, instance: &str, scopes: &[&str]) -> String {
    let made = hub.call("POST", "/keys", json!({"name": "k", "instances": [instance], "scopes": scopes})).await;
    made.json["key"].as_str().unwrap().to_owned()
}

fn ids(answer: &Answer) -> Vec<i64> {
    answer.json.as_array().unwrap().iter().map(|rule| rule["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_rule_lives_its_life() {
    let hub = hub().await;
    // In the older system's words.
    let body = json!({"phone_number": "+5511*", "rule_type": "block", "instance_name": "a"});
    let made = hub.call("POST", "/access/rules", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!((&made.json["phone_number"], &made.json["rule_type"]), (&json!("+5511*"), &json!("block")));
    assert_eq!((&made.json["action"], &made.json["reason"]), (&json!("block"), &json!(null)));
    let again = hub.call("POST", "/access/rules", body).await;
    assert_eq!((again.status, &again.json["code"]), (409, &json!("rule_exists")));
    let path = format!("/access/rules/{}", made.json["id"]);
    let changed = hub.call("PUT", &path, json!({"action": "allow", "reason": "a friend"})).await;
    assert_eq!((changed.status, &changed.json["reason"]), (200, &json!("a friend")), "{}", changed.text);
    // Of both names the first counts, but neither may be nonsense.
    let both = json!({"reason": null, "action": "allow", "rule_type": "block"});
    let changed = hub.call("PATCH", &path, both).await.json;
    assert_eq!((&changed["reason"], &changed["action"]), (&json!(null), &json!("allow")));
    let wrong = hub.call("PATCH", &path, json!({"action": "allow", "rule_type": {}})).await;
    assert_eq!(wrong.wrong_fields(), ["rule_type"]);
    assert_eq!(hub.call("GET", &path, "").await.json["action"], "allow");
    let lines = hub.call("GET", "/audit?action=access", "").await.json["items"].as_array().unwrap().len();
    assert_eq!(lines, 3);
    assert_eq!(hub.call("DELETE", &path, "").await.status, 204);
    for method in ["GET", "PUT", "DELETE"] {
        let gone = hub.call(method, &path, "{}").await;
        assert_eq!((gone.status, &gone.json["code"]), (404, &json!("rule_not_found")), "{method}");
        assert_eq!(hub.call(method, "/access/rules/x", "{}").await.status, 404);
    }
}

#[tokio::test]
async fn the_list_is_narrowed_counted_and_paged() {
    let hub = hub().await;
    let global = make(&hub, json!({"phone_number": "*", "action": "block"})).await;
    let one = make(&hub, json!({"phone_number": "1", "action": "allow", "instance_name": "a"})).await;
    let two = make(&hub, json!({"phone_number": "2", "action": "block", "instance_name": "b"})).await;
    let list = async |query: &str| ids(&hub.call("GET", &format!("/access/rules{query}"), "").await);
    assert_eq!(list("").await, [two, one, global]);
    assert_eq!(list("?instance_name=a").await, [one]);
    assert_eq!(list("?rule_type=block").await, [two, global]);
    assert_eq!(list("?phone_number=%2B1").await, [one]);
    assert_eq!(list("?skip=1&limit=1").await, [one]);
    assert_eq!(hub.call("GET", "/access/rules?limit=1", "").await.headers["x-total-count"], "3");
    let wrong = hub.call("GET", "/access/rules?rule_type=maybe&phone_number=x", "").await;
    assert_eq!(wrong.wrong_fields(), ["rule_type", "phone_number"]);
}

#[tokio::test]
async fn a_key_of_one_instance_rules_over_it_alone() {
    let hub = hub().await;
    let global = make(&hub, json!({"phone_number": "7*", "action": "block", "reason": "planned"})).await;
    let other = make(&hub, json!({"phone_number": "2", "action": "block", "instance_name": "b"})).await;
    let key = key(&hub, "a", &["read", "write"]).await;
    let call = async |method: &str, path: &str, body: Value| hub.call_as(&key, method, path, body).await;
    let own = json!({"phone_number": "1", "action": "block", "instance_name": "a"});
    let own = call("POST", "/access/rules", own).await.json["id"].as_i64().unwrap();
    assert_eq!(ids(&call("GET", "/access/rules", json!(null)).await), [own]);
    for id in [global, other] {
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(call(method, &format!("/access/rules/{id}"), json!({})).await.status, 404, "{method}");
        }
    }
    let for_all = json!({"phone_number": "1", "action": "block"});
    assert_eq!(call("POST", "/access/rules", for_all.clone()).await.status, 403);
    assert_eq!(call("POST", "/access/rules/import", json!([for_all])).await.status, 403);
    for name in ["b", "nobody"] {
        let rule = json!({"phone_number": "1", "action": "block", "instance_name": name});
        assert_eq!(call("POST", "/access/rules", rule.clone()).await.status, 404);
        assert_eq!(call("POST", "/access/rules/import", json!([rule])).await.status, 404);
        assert_eq!(
            call("GET", &format!("/access/check?phone_number=1&instance_name={name}"), json!(null)).await.status,
            404
        );
    }
    // That the hub blocks somebody is said, by which rule is not.
    let check = call("GET", "/access/check?phone_number=71&instance_name=a", json!(null)).await.json;
    assert_eq!((&check["allowed"], &check["scope"], &check["rule"]), (&json!(false), &json!("global"), &json!(null)));
    let reader = self::key(&hub, "a", &["read"]).await;
    let body = json!({"phone_number": "1", "action": "block", "instance_name": "a"});
    assert_eq!(hub.call_as(&reader, "POST", "/access/rules", body).await.status, 403);
}

#[tokio::test]
async fn a_check_says_who_would_be_answered_and_why() {
    let hub = hub().await;
    make(&hub, json!({"phone_number": "55*", "action": "block", "reason": "spam"})).await;
    let allow = make(&hub, json!({"phone_number": "+5511", "action": "allow", "instance_name": "a"})).await;
    let check = async |query: &str| hub.call("GET", &format!("/access/check?{query}"), "").await;
    let own = check("phone_number=%2B5511&instance_name=a").await.json;
    assert_eq!((&own["allowed"], &own["scope"], &own["rule"]["id"]), (&json!(true), &json!("instance"), &json!(allow)));
    let global = check("phone_number=5511&instance_name=b").await.json;
    assert_eq!((&global["allowed"], &global["rule"]["reason"]), (&json!(false), &json!("spam")));
    let free = check("phone_number=4411").await.json;
    assert_eq!((&free["allowed"], &free["scope"]), (&json!(true), &json!(null)));
    for query in ["", "phone_number=55*", "phone_number=x"] {
        assert_eq!(check(query).await.wrong_fields(), ["phone_number"]);
    }
    assert_eq!(check("phone_number=1&instance_name=nobody").await.status, 404);
}

#[tokio::test]
async fn rules_go_out_and_come_in_as_json_and_as_csv() {
    let hub = hub().await;
    make(&hub, json!({"phone_number": "55*", "action": "block", "reason": "spam, \"bots\""})).await;
    make(&hub, json!({"phone_number": "+5511", "action": "allow", "instance_name": "a"})).await;
    let csv = hub.call("GET", "/access/rules/export?format=csv", "").await;
    assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(
        lines,
        ["phone_number,action,reason,instance_name", "+5511,allow,,a", "55*,block,\"spam, \"\"bots\"\"\","]
    );
    let json = hub.call("GET", "/access/rules/export", "").await.text;
    for exported in [csv.text, json] {
        let other = self::hub().await;
        let would = other.call("POST", "/access/rules/import?dry_run=true", &exported).await.json;
        assert_eq!((&would["created"], &would["dry_run"]), (&json!(2), &json!(true)));
        let did = other.call("POST", "/access/rules/import", &exported).await;
        assert_eq!((did.status, &did.json["created"]), (200, &json!(2)), "{}", did.text);
        assert_eq!(other.call("POST", "/access/rules/import", &exported).await.json["unchanged"], 2);
        let check = other.call("GET", "/access/check?phone_number=5599", "").await.json;
        assert_eq!(check["rule"]["reason"], "spam, \"bots\"");
    }
    let into = hub.call("POST", "/access/rules/import?instance_name=b", "phone_number;rule_type\n9;block\n").await;
    assert_eq!(into.json["created"], 1, "{}", into.text);
    assert_eq!(ids(&hub.call("GET", "/access/rules?instance_name=b", "").await).len(), 1);
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let hub = hub().await;
    let wrong = async |body: Value| hub.call("POST", "/access/rules", body).await.wrong_fields();
    assert_eq!(wrong(json!({})).await, ["phone_number", "action"]);
    assert_eq!(wrong(json!({"phone_number": "x", "rule_type": "maybe"})).await, ["phone_number", "rule_type"]);
    let import = async |body: &str| hub.call("POST", "/access/rules/import", body).await;
    let rows = r#"[{"phone_number": "1", "action": "block"}, {"phone_number": "1"}]"#;
    assert_eq!(import(rows).await.wrong_fields(), ["rules[1].action"]);
    assert_eq!(
        import("phone_number,action\n1,block\n*1,maybe\n").await.wrong_fields(),
        ["rules[1].phone_number", "rules[1].action"]
    );
    for body in ["", "{}", "[1]", "phone_number\n1,2", "number,action\n1,block", r#"{"rules": 1}"#] {
        assert_eq!(import(body).await.wrong_fields(), ["body"], "{body}");
    }
    assert_eq!(import("[1").await.status, 400);
    assert_eq!(hub.call("GET", "/access/rules", "").await.json, json!([]));
    assert_eq!(hub.call("POST", "/access/rules/import?dry_run=maybe", "[]").await.wrong_fields(), ["dry_run"]);
    assert_eq!(hub.call("GET", "/access/rules/export?format=xml", "").await.wrong_fields(), ["format"]);
}
