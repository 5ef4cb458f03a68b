//! Every key on every route, made from the hub's own OpenAPI document.
//!
//! A route that is new is tried here as soon as it is built: `document` reads the operations, and
//! `tenant` has a value of its own for each parameter.

mod document;
mod tenant;

use std::collections::BTreeSet;

use axum::http::StatusCode;
use futures_util::{StreamExt, stream};
use omnihub_fakes::{Answer as AgentAnswer, Behaviour};
use reqwest::Method;
use serde_json::json;

use self::{
    document::{Asked, Operation, operations},
    tenant::Tenant,
};
use crate::harness::{Answer, Database, INSTANCE, Site, on_both_databases};

on_both_databases!(a_key_of_one_tenant_finds_nothing_of_the_other, a_key_does_what_its_scopes_say_and_no_more);

const OTHER: &str = "globex";
/// Requests at once: those about a trace that is not there are waited for.
const AT_ONCE: usize = 8;

/// A hub whose agent refuses whoever asks it to.
async fn site(database: Database) -> Site {
    let refuse = AgentAnswer::json(StatusCode::NOT_FOUND, &json!({"detail": "no such agent"}));
    let agent = Behaviour::custom(move |call| match call.message().contains("refuse") {
        true => refuse.clone(),
        false => AgentAnswer::text(call, "an answer"),
    });
    let site = Site::up(database, agent).await;
    site.add_instance(OTHER, json!({"whatsapp_instance": OTHER})).await;
    site
}

async fn ask(site: &Site, key: &str, asked: &Asked) -> Answer {
    site.api_as(key, asked.method.clone(), &asked.path, asked.body.as_ref()).await
}

/// What each request is answered, in their order.
async fn ask_all(site: &Site, key: &str, asked: Vec<Asked>) -> Vec<(Asked, Answer)> {
    let answers = stream::iter(asked).map(async |asked| (ask(site, key, &asked).await, asked));
    answers.buffered(AT_ONCE).map(|(answer, asked)| (asked, answer)).collect().await
}

async fn a_key_of_one_tenant_finds_nothing_of_the_other(database: Database) {
    let site = site(database).await;
    let tenants =
        [Tenant::settle(&site, INSTANCE, "14155556000").await, Tenant::settle(&site, OTHER, "14155556001").await];
    let operations: Vec<_> = operations(&site).await.into_iter().filter(|one| one.scope.is_some()).collect();
    let [one, other] = &tenants;
    for (owner, stranger) in [(one, other), (other, one)] {
        finds_what_is_its_own(&site, &operations, owner).await;
        reads_nothing_of(&site, &operations, owner, stranger).await;
    }
    for (owner, stranger) in [(one, other), (other, one)] {
        let before = owner.seen_by_root(&site).await;
        for operation in operations.iter().filter(|one| !one.reads()) {
            for asked in operation.about(owner) {
                let answer = ask(&site, &stranger.key, &asked).await;
                shows_nothing_of(owner, operation, &asked, &answer);
            }
        }
        assert_eq!(owner.seen_by_root(&site).await, before, "a key of {} changed {}", stranger.name, owner.name);
    }
    // What is done to all is done to what is one's own.
    let before = other.seen_by_root(&site).await;
    let mut to_all: Vec<_> = operations.iter().filter_map(Operation::to_all).collect();
    // What takes things away comes last, or the rest would find nothing.
    to_all.sort_by_key(|asked| asked.method == Method::DELETE);
    let mut redriven = 0;
    for asked in to_all {
        let answer = ask(&site, &one.key, &asked).await;
        assert!(answer.status < 500 && !answer.text.contains(OTHER), "{asked}: {}", answer.text);
        redriven += answer.body["redriven"].as_u64().unwrap_or_default();
    }
    assert_eq!(redriven, 1, "the dead letter of {}", one.name);
    assert_eq!(other.seen_by_root(&site).await, before, "a key of {} changed {}", one.name, other.name);
}

/// The owner finds it, so that a stranger who does not is kept from something.
async fn finds_what_is_its_own(site: &Site, operations: &[Operation], owner: &Tenant) {
    for operation in operations.iter().filter(|one| one.reads() && !one.streams) {
        let answers = ask_all(site, &owner.key, operation.about(owner)).await;
        let found = answers.iter().any(|(_, answer)| answer.status == 200);
        let kept_from = answers.iter().all(|(_, answer)| answer.body["code"] == "whole_hub_only");
        let told: Vec<_> = answers.iter().map(|(asked, answer)| format!("{asked}: {}", answer.text)).collect();
        assert!(found || kept_from, "{operation}: {told:#?}");
        if operation.path.contains('{') && found {
            assert!(answers.iter().any(|(_, answer)| owner.is_in(&answer.text, "")), "{operation}: {told:#?}");
        }
    }
}

/// What a key reads holds nothing of another tenant, and counts nothing of it.
async fn reads_nothing_of(site: &Site, operations: &[Operation], owner: &Tenant, stranger: &Tenant) {
    for operation in operations.iter().filter(|one| one.reads()) {
        for (asked, answer) in ask_all(site, &stranger.key, operation.about(owner)).await {
            shows_nothing_of(owner, operation, &asked, &answer);
            let total = answer.header("x-total-count");
            if let (Some(list), false) = (answer.body.as_array(), total.is_empty()) {
                assert_eq!(total, list.len().to_string(), "{asked}");
            }
        }
    }
}

fn shows_nothing_of(owner: &Tenant, operation: &Operation, asked: &Asked, answer: &Answer) {
    let told = format!("{asked}: {} {}", answer.status, answer.text);
    assert!(answer.status < 500, "{told}");
    assert!(!owner.is_in(&answer.text, &asked.to_string()), "something of {}: {told}", owner.name);
    // What is named in a path is not there; a filter in one matches nothing.
    if operation.path.contains('{') {
        let empty = operation.reads() && answer.body == json!([]);
        assert!(matches!(answer.status, 403 | 404) || empty, "{told}");
    }
}

async fn a_key_does_what_its_scopes_say_and_no_more(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let all = operations(&site).await;
    let scopes: BTreeSet<&str> = all.iter().filter_map(|one| one.scope.as_deref()).collect();
    for scope in scopes {
        let others: Vec<_> = ["read", "write", "send"].into_iter().filter(|other| *other != scope).collect();
        let without = tenant::key(&site, "without", INSTANCE, &others).await;
        let with = tenant::key(&site, "with", INSTANCE, &[scope]).await;
        let needing: Vec<_> = all.iter().filter(|one| one.scope.as_deref() == Some(scope)).collect();
        for (asked, answer) in ask_all(&site, &without, needing.iter().map(|one| one.about_nobody()).collect()).await {
            assert_eq!((answer.status, &answer.body["code"]), (403, &json!("scope_missing")), "{asked}");
        }
        for (asked, answer) in ask_all(&site, &with, needing.iter().map(|one| one.about_nobody()).collect()).await {
            let refused = answer.status == 401 || answer.body["code"] == "scope_missing";
            assert!(answer.status < 500 && !refused, "{asked}: {}", answer.text);
        }
    }
    for operation in &all {
        let answer = ask(&site, "no key of this hub", &operation.about_nobody()).await;
        match operation.scope {
            Some(_) => answer.assert_problem(401, "invalid_api_key"),
            None => {
                let has_its_own =
                    ["/webhook", "/api/v1/replies", "/media"].iter().any(|door| operation.path.starts_with(door));
                assert!(has_its_own || answer.status < 400, "{operation}: {}", answer.text)
            }
        }
    }
}
