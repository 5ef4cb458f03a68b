//! The hub itself: its workers, its broker, its tables, its keys, and whether it is there at all.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use serde_json::Value;

use super::{Line, Symptom, named};
use crate::harness::{
    ADMIN_KEY, DEADLINE, Database, ENCRYPTION_KEYS, Forwarder, Site, Store, omnihub, on_both_databases, until,
};

on_both_databases!(a_hub_whose_parts_go_one_by_one, a_hub_that_does_not_start);

pub(super) const NO_WORKER: Symptom = Symptom {
    title: "Messages are accepted and nothing happens",
    lines: &[Line::Doctor("problem", "workers", "No worker is there: messages are accepted and wait.")],
    mends: &["omnihub worker"],
};

pub(super) const NO_BROKER: Symptom = Symptom {
    title: "Webhooks get 503",
    lines: &[Line::Doctor("problem", "broker", "NATS does not answer.")],
    mends: &[],
};

pub(super) const NO_DATABASE: Symptom = Symptom {
    title: "Messages are answered and there are no traces",
    lines: &[Line::Doctor("problem", "database", "The database does not answer.")],
    mends: &[],
};

pub(super) const OLD_TABLES: Symptom = Symptom {
    title: "Errors of the database after an upgrade",
    lines: &[Line::Doctor(
        "problem",
        "migrations",
        "The tables are not those of this version: migrations are missing.",
    )],
    mends: &["omnihub migrate up"],
};

pub(super) const NOT_THERE: Symptom = Symptom {
    title: "The commands say that no hub answers",
    lines: &[Line::Doctor("problem", "hub", "No hub answers at …")],
    mends: &["omnihub up"],
};

pub(super) const NO_KEYS: Symptom = Symptom {
    title: "The hub does not start, or cannot read an instance",
    lines: &[Line::Doctor("problem", "encryption keys", "The ring lacks keys that encrypted rows need: …")],
    mends: &[],
};

/// The settings of a hub in parts, for commands that look themselves.
fn settings(site: &Site, keys: &str) -> HashMap<String, String> {
    let nats = site.nats.as_ref().unwrap().url();
    [
        ("DATABASE_URL", site.database_url()),
        ("NATS_URL", nats),
        ("OMNIHUB_ENCRYPTION_KEYS", keys.to_owned()),
        ("OMNIHUB_URL", site.hub.url()),
        ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

async fn migrate(site: &Site, line: &str) {
    let ended = omnihub(&line.split_whitespace().collect::<Vec<_>>(), &settings(site, ENCRYPTION_KEYS)).await;
    assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
}

async fn a_hub_whose_parts_go_one_by_one(database: Database) {
    let mut site = Site::parts(database, Behaviour::Echo).await;
    let worker = site.worker.as_mut().unwrap();
    worker.kill9();
    NO_WORKER.shows(&site, None).await;
    let trace = site.say("14155556000", "anybody?").await;
    assert_eq!(NO_WORKER.command(0, &[]), site.worker.as_ref().unwrap().command());
    let worker = site.worker.as_mut().unwrap();
    worker.start_again();
    worker.wait_ready().await;
    NO_WORKER.is_gone(&site).await;
    assert_eq!(site.ended(&trace).await["outcome"], "answered");

    migrate(&site, "migrate down --steps 1").await;
    OLD_TABLES.shows(&site, None).await;
    migrate(&site, &OLD_TABLES.command(0, &[])).await;
    OLD_TABLES.is_gone(&site).await;

    site.nats.as_mut().unwrap().stop();
    NO_BROKER.shows(&site, None).await;
    site.nats.as_mut().unwrap().start_again().await;
    NO_BROKER.is_gone(&site).await;
}

/// What the doctor finds with these settings.
async fn looked(env: &HashMap<String, String>) -> Value {
    let ended = omnihub(&["doctor", "--json"], env).await;
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert!(!printed.contains(ADMIN_KEY) && !printed.contains(ENCRYPTION_KEYS), "a secret: {printed}");
    assert_eq!(ended.status.code(), Some(1), "{printed}");
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"))
}

async fn a_hub_that_does_not_start(database: Database) {
    let mut site = Site::parts(database, Behaviour::Echo).await;
    site.hub.kill9();
    let here = settings(&site, ENCRYPTION_KEYS);
    let report = looked(&here).await;
    let Line::Doctor(verdict, check, says) = NOT_THERE.lines[0] else { unreachable!("a finding") };
    let finding = named(&report, verdict, check, says).unwrap_or_else(|| panic!("{report:#}"));
    NOT_THERE.assert_remedy(finding);
    // What it would stand on is well, and looked at from here.
    for (check, says) in [
        ("database", "The database answers."),
        ("migrations", "The tables are up to date."),
        ("encryption keys", "Every key that rows need is there."),
        ("workers", "1 worker has all 32 partitions (…"),
    ] {
        assert!(named(&report, "ok", check, says).is_some(), "{check}: {report:#}");
    }
    let other = settings(&site, "other:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let report = looked(&other).await;
    let Line::Doctor(verdict, check, says) = NO_KEYS.lines[0] else { unreachable!("a finding") };
    let finding = named(&report, verdict, check, says).unwrap_or_else(|| panic!("{report:#}"));
    assert!(finding["remedy"].as_str().unwrap().contains("OMNIHUB_ENCRYPTION_KEYS"), "{finding:#}");

    // One that waits for what it stands on says so, and the rest is looked at from here.
    site.nats.as_mut().unwrap().stop();
    site.hub.start_again();
    until("it waits", DEADLINE, async || {
        let report = looked(&here).await;
        let waits = report["findings"][0]["says"].as_str().is_some_and(|says| !says.starts_with("No hub answers"));
        waits && named(&report, "problem", "broker", "NATS does not answer at NATS_URL.").is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away() {
    let store = Store::new(Database::Postgres).await;
    let url = store.url();
    let (server, name) = url.rsplit_once('/').unwrap();
    let (login, port) = server.rsplit_once(':').unwrap();
    let cable = Forwarder::to(port.parse().unwrap()).await;
    let through_cable = format!("{login}:{}/{name}", cable.port());
    let site = Site::up_with(Database::Sqlite, Behaviour::Echo, &[("DATABASE_URL", &through_cable)]).await;
    cable.cut();
    NO_DATABASE.shows(&site, None).await;
    cable.mend();
    NO_DATABASE.is_gone(&site).await;
}
