//! Who redrove and who dropped what stands in the audit log.

use reqwest::Method;
use serde_json::{Value, json};

use super::{LETTERS, dies, redrive, refusing};
use crate::harness::{Database, INSTANCE, Site, on_both_databases};

on_both_databases!(whoever_redrives_or_drops_leaves_a_line);

/// The lines since the last look, the oldest first: action, actor, target and what was meant.
async fn lines(site: &Site, seen: &mut usize) -> Vec<(String, String, String, Value)> {
    let page = site.get("/api/v1/audit?action=dead").await;
    let items = page["items"].as_array().expect("lines");
    let line = |line: &Value| {
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (word("action"), word("actor"), word("target"), line["before"].clone())
    };
    let lines = items.iter().rev().skip(*seen).map(line).collect();
    *seen = items.len();
    lines
}

async fn whoever_redrives_or_drops_leaves_a_line(database: Database) {
    let site = Site::up(database, refusing()).await;
    site.add_instance("other", json!({"whatsapp_instance": "other"})).await;
    let mut letters = Vec::new();
    for phone in ["14155558901", "14155558902", "14155558903", "14155558904"] {
        letters.push(dies(&site, phone, "a question").await);
    }
    site.ended(&site.say_to("other", "14155558901", "a question").await).await;
    let key = json!({"name": "operator", "instances": [INSTANCE], "scopes": ["read", "write"]});
    let key = site.api(Method::POST, "/api/v1/keys", Some(&key)).await.body["key"].clone();
    let key = key.as_str().expect("a key");
    let mut seen = 0;

    let path = format!("{LETTERS}/{}", letters[0]);
    assert_eq!(site.api_as(key, Method::DELETE, &path, None).await.status, 200);
    assert_eq!(site.api_as(key, Method::DELETE, &path, None).await.status, 404);
    let line = |action: &str, actor: &str, target: &str, before: Value| {
        (action.to_owned(), actor.to_owned(), target.to_owned(), before)
    };
    let one = json!({"reason": "agent_rejected"});
    assert_eq!(lines(&site, &mut seen).await, [line("dead.drop", "operator", &letters[0], one.clone())]);

    // Many, whose filter names nobody; nothing is done in a dry run.
    for (query, letters) in [("dry_run=true&phone=14155558902", 0), ("phone=14155558902", 1)] {
        let dropped = site.api(Method::DELETE, &format!("{LETTERS}?{query}"), None).await;
        assert_eq!((dropped.status, &dropped.body["dropped"]), (200, &json!(letters)), "{}", dropped.text);
    }
    let meant = json!({"letters": 1, "filter": {"phone": "****8902"}});
    assert_eq!(lines(&site, &mut seen).await, [line("dead.drop", "root", INSTANCE, meant)]);

    assert_eq!(redrive(&site, &letters[2]).await.status, 200);
    assert_eq!(lines(&site, &mut seen).await, [line("dead.redrive", "root", &letters[2], one)]);
    site.change_instance("other", json!({"is_active": false})).await;
    let other = json!({"instance_name": "other"});
    let skipped = site.api(Method::POST, &format!("{LETTERS}/redrive"), Some(&other)).await;
    assert_eq!(skipped.status, 200, "{}", skipped.text);
    let meant = json!({"letters": 1, "filter": {}});
    assert_eq!(lines(&site, &mut seen).await, [line("dead.redrive", "root", "other", meant)]);

    // Each tenant's lines are its own.
    assert_eq!(site.api(Method::DELETE, &format!("{LETTERS}?all=true"), None).await.status, 200);
    let all: Vec<_> = lines(&site, &mut seen).await.into_iter().map(|line| line.2).collect();
    assert_eq!(all, [INSTANCE, "other"]);
}
