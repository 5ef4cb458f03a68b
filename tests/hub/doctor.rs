//! `omnihub doctor` on a hub that is well, and what a key of one tenant is told.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Database, EVOLUTION_KEY, INSTANCE, Site, omnihub, on_both_databases};

on_both_databases!(a_hub_that_is_well_has_no_problem, a_key_is_told_of_its_own_instances);

/// Runs `omnihub <line>` against a site with a key: its exit code, what it printed, and its complaint.
pub(crate) async fn command(site: &Site, key: &str, line: &str) -> (Option<i32>, String, String) {
    let env: HashMap<String, String> = [("OMNIHUB_URL", site.hub.url()), ("OMNIHUB_API_KEY", key.to_owned())]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    let ended = omnihub(&line.split_whitespace().collect::<Vec<_>>(), &env).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

/// What the doctor finds.
pub(crate) async fn examine(site: &Site, key: &str, options: &str) -> (Option<i32>, Value) {
    let (code, printed, complaint) = command(site, key, &format!("doctor --json {options}")).await;
    let found = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}{complaint}"));
    for secret in [ADMIN_KEY, EVOLUTION_KEY, site.agent.key()] {
        assert!(!printed.contains(secret), "a secret: {printed}");
    }
    (code, found)
}

/// The findings of a check, each as its verdict and sentence.
fn of(report: &Value, check: &str) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    findings.map(|finding| (text(finding, "verdict"), text(finding, "says"))).collect()
}

async fn a_hub_that_is_well_has_no_problem(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    let (code, _, complaint) = command(&site, ADMIN_KEY, "instance connect acme").await;
    assert_eq!(code, Some(0), "{complaint}");
    let (code, report) = examine(&site, ADMIN_KEY, "").await;
    assert_eq!((code, &report["problems"]), (Some(0), &json!(0)), "{report:#}");
    for (check, says) in [
        ("hub", "answers."),
        ("ingress", "The ingress is ready."),
        ("database", "The database answers."),
        ("migrations", "The tables are up to date."),
        ("encryption keys", "Every key that rows need is there."),
        ("broker", "answers, with JetStream."),
        ("streams", "streams are there"),
        ("disk", "`sync_interval: always`"),
        ("workers", "1 worker has all 32 partitions"),
        ("clock", "The clock of the NATS server agrees with the hub's."),
        ("evolution", "Evolution answers and takes the key."),
        ("connection", "The phone is connected."),
        ("webhook", "Evolution posts here"),
        ("agent", "The agent answers and is well."),
        ("active", "switched on"),
    ] {
        let found = of(&report, check);
        let is_there = |(verdict, told): &(String, String)| verdict == "ok" && told.contains(says);
        assert!(found.iter().any(is_there), "{check}: {found:?}");
    }
    assert_eq!(of(&report, "clock").len(), if database == Database::Postgres { 2 } else { 1 });
    assert_eq!(of(&report, "public address")[0].0, "hint");
    assert_eq!(of(&report, "address").len(), 2, "both servers stand on this machine: {report:#}");

    // A page of its own that answers, and has no /health.
    site.change_instance(INSTANCE, json!({"agent_api_url": site.evolution.url(), "agent_api_key": "planted"})).await;
    let (code, report) = examine(&site, ADMIN_KEY, "--instance acme").await;
    assert_eq!(code, Some(0));
    assert_eq!(of(&report, "agent"), [("hint".to_owned(), "The agent answers, and has no /health.".to_owned())]);

    let (_, table, complaint) = command(&site, ADMIN_KEY, "doctor --quiet").await;
    assert!(table.contains("What to do") && !table.contains("The database answers."), "{table}");
    assert_eq!(complaint, "");
    let (code, report) = examine(&site, ADMIN_KEY, "--instance nobody").await;
    assert_eq!((code, &report["problems"]), (Some(1), &json!(1)), "{report:#}");
    assert!(report["findings"][0]["remedy"].as_str().unwrap().contains("omnihub instance list"), "{report:#}");
    let (code, _) = examine(&site, "planted-no-key", "").await;
    assert_eq!(code, Some(1));
    site.assert_no_violations();
}

async fn a_key_is_told_of_its_own_instances(database: Database) {
    let site = Site::up(database, Behaviour::Echo).await;
    site.add_instance("globex", json!({})).await;
    let body = json!({"name": "one", "instances": ["globex"], "scopes": ["read"]});
    let made = site.api(Method::POST, "/api/v1/keys", Some(&body)).await.body;
    let key = made["key"].as_str().unwrap();
    let (code, report) = examine(&site, key, "").await;
    assert_eq!(code, Some(1), "its webhook is missing: {report:#}");
    let findings = report["findings"].as_array().unwrap();
    let others = findings.iter().filter(|finding| finding["instance"] != "globex");
    assert_eq!(others.map(|finding| &finding["check"]).collect::<Vec<_>>(), ["hub"], "{report:#}");
    assert!(!report.to_string().contains(INSTANCE), "{report:#}");
    let other = site.api_as(key, Method::GET, "/api/v1/doctor?instance_name=acme", None).await;
    other.assert_problem(404, "instance_not_found");
    for wrong in ["limit=33", "limit=0", "skip=x"] {
        let answer = site.api(Method::GET, &format!("/api/v1/doctor?{wrong}"), None).await;
        answer.assert_problem(422, "validation_failed");
    }
    let first = site.get("/api/v1/doctor?limit=1").await;
    assert_eq!((&first["instances"], &first["next_skip"]), (&json!(1), &json!(1)));
    let second = site.get("/api/v1/doctor?limit=1&skip=1").await;
    assert_eq!((&second["instances"], &second["next_skip"]), (&json!(1), &Value::Null));
    assert!(second["findings"].as_array().unwrap().iter().all(|finding| finding["instance"] == "globex"));
}
