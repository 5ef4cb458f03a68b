//! What there is, over REST.

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::json;

use super::{LETTERS, dies, ids, list, redrive, redrive_many, refusing, total};
use crate::harness::{ADMIN_KEY, Database, EVOLUTION_KEY, Site, on_both_databases};

on_both_databases!(letters_are_listed_shown_and_dropped, a_deleted_tenant_leaves_none);

async fn letters_are_listed_shown_and_dropped(database: Database) {
    let site = Site::up(database, refusing()).await;
    site.add_instance("other", json!({})).await;
    assert_eq!(list(&site, "").await, json!({"dead_letters": [], "total": 0, "next_cursor": null}));
    let mut letters = Vec::new();
    for (nth, phone) in ["14155558001", "14155558002", "14155558001"].into_iter().enumerate() {
        letters.push(dies(&site, phone, &format!("question {nth} {EVOLUTION_KEY}")).await);
    }
    let of_other = site.say_to("other", "14155558001", "question 3").await;
    site.ended(&of_other).await;
    letters.push(of_other);

    // The newest first, in pages that hold together.
    let first = site.api(Method::GET, &format!("{LETTERS}?limit=3"), None).await;
    assert_eq!((first.status, first.header("x-total-count")), (200, "4"), "{}", first.text);
    assert_eq!(ids(&first.body), [&letters[3], &letters[2], &letters[1]]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = list(&site, &format!("?limit=3&cursor={cursor}")).await;
    assert_eq!(
        (ids(&second), &second["total"], &second["next_cursor"]),
        (vec![letters[0].as_str()], &json!(4), &json!(null))
    );

    // Every filter.
    for (query, expected) in [
        ("?phone=14155558001", vec![3, 2, 0]),
        ("?phone=%2B14155558001&instance_name=acme", vec![2, 0]),
        ("?instance_name=other", vec![3]),
        ("?instance_name=nobody", vec![]),
        ("?reason=agent_rejected&limit=500", vec![3, 2, 1, 0]),
        ("?reason=too_old", vec![]),
        ("?session_name=acme_14155558002", vec![1]),
        ("?since=24h", vec![3, 2, 1, 0]),
        ("?until=24h", vec![]),
    ] {
        let page = list(&site, query).await;
        let expected: Vec<&str> = expected.into_iter().map(|nth: usize| letters[nth].as_str()).collect();
        assert_eq!((ids(&page), &page["total"]), (expected.clone(), &json!(expected.len())), "{query}");
    }
    for query in ["?limit=0", "?limit=501", "?since=soon", "?cursor=x", "?instance=acme"] {
        let answer = site.api(Method::GET, &format!("{LETTERS}{query}"), None).await;
        answer.assert_problem(422, "invalid_parameter");
    }

    // One, with its payload; the tenant's secret is masked wherever it stands.
    let shown = site.get(&format!("{LETTERS}/{}", letters[1])).await;
    assert_eq!((&shown["reason"], &shown["phone"]), (&json!("agent_rejected"), &json!("14155558002")));
    assert_eq!((&shown["trace_id"], &shown["redrivable"]), (&json!(letters[1]), &json!(true)));
    let said = shown["payload"]["message"]["conversation"].as_str().unwrap();
    assert!(said.starts_with("question 1 ****"), "{said}");
    assert!(!shown.to_string().contains(EVOLUTION_KEY));
    for id in ["nothing", "*", "01a2b3c4-0000-8000-8000-000000000000"] {
        site.api(Method::GET, &format!("{LETTERS}/{id}"), None).await.assert_problem(404, "dead_letter_not_found");
    }
    let stranger = reqwest::get(format!("{}{LETTERS}", site.hub.url())).await.unwrap();
    assert_eq!(stranger.status(), 401);

    dropped(&site, &letters).await;
}

/// One, those of a filter, all; never more than was meant.
async fn dropped(site: &Site, letters: &[String]) {
    let path = format!("{LETTERS}/{}", letters[1]);
    assert_eq!(site.api(Method::DELETE, &path, None).await.status, 200);
    site.api(Method::DELETE, &path, None).await.assert_problem(404, "dead_letter_not_found");
    redrive(site, &letters[1]).await.assert_problem(404, "dead_letter_not_found");
    for query in ["", "?dry_run=true", "?instance_name=", "?instance=acme", "?all=maybe"] {
        site.api(Method::DELETE, &format!("{LETTERS}{query}"), None).await.assert_problem(422, "invalid_parameter");
    }
    let counted = site.api(Method::DELETE, &format!("{LETTERS}?instance_name=acme&dry_run=true"), None).await.body;
    assert_eq!((&counted["matched"], &counted["dropped"], total(site).await), (&json!(2), &json!(0), 3));
    let dropped = site.api(Method::DELETE, &format!("{LETTERS}?instance_name=acme"), None).await.body;
    assert_eq!((&dropped["matched"], &dropped["dropped"]), (&json!(2), &json!(2)));
    assert_eq!(ids(&list(site, "").await), [&letters[3]]);
    let dropped = site.api(Method::DELETE, &format!("{LETTERS}?all=true"), None).await.body;
    assert_eq!((&dropped["dropped"], total(site).await), (&json!(1), 0));
    let page = reqwest::Client::new().get(format!("{}{LETTERS}/", site.hub.url())).header("x-api-key", ADMIN_KEY);
    assert_eq!(page.send().await.unwrap().status(), 200, "with a trailing slash");
}

async fn a_deleted_tenant_leaves_none(database: Database) {
    let site = Site::up(database, refusing()).await;
    site.add_instance("leaving", json!({})).await;
    let kept = dies(&site, "14155558100", "mine").await;
    let gone = site.say_to("leaving", "14155558100", "theirs").await;
    assert_eq!(site.ended(&gone).await["outcome"], "dead");
    assert_eq!(total(&site).await, 2);

    assert_eq!(site.api(Method::DELETE, "/api/v1/instances/leaving", None).await.status, 200);
    assert_eq!(ids(&list(&site, "").await), [&kept]);
    redrive(&site, &gone).await.assert_problem(404, "dead_letter_not_found");
    site.agent.set_behaviour(Behaviour::Echo);
    let done = redrive_many(&site, json!({"all": true})).await;
    assert_eq!((&done["matched"], &done["redriven"]), (&json!(1), &json!(1)));
    assert_eq!(
        site.trace_when(&kept, "is answered", |trace| trace["outcome"] == "answered").await["status"],
        "completed"
    );
    assert_eq!(site.replies_to("14155558100"), ["echo: mine"]);
    site.assert_no_violations();
}
