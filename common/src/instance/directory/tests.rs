//! The directory over a real table.

use std::collections::HashMap;

use omnihub_fakes::FakeVault;
use sea_orm::ConnectionTrait;

use super::*;
use crate::instance::{
    AgentPatch, Patch,
    testing::{TestTable, new_instance},
};
use crate::secret::{Secret, SecretSource};

/// Everything takes a twentieth of its time.
const QUICK: DirectorySettings = DirectorySettings {
    fresh_for: Duration::from_millis(50),
    watched_for: Duration::from_secs(60),
    known_for: Duration::from_secs(3600),
};
const DEADLINE: Duration = Duration::from_secs(5);

fn directory(table: &TestTable, settings: DirectorySettings) -> Directory {
    Directory::new(Arc::new(table.instances.clone()), settings)
}

async fn execute(table: &TestTable, sql: &str) {
    table.database.execute_unprepared(sql).await.unwrap();
}

const BREAK: &str = "ALTER TABLE instance_configs RENAME TO away";
const MEND: &str = "ALTER TABLE away RENAME TO instance_configs";

fn agent_url(url: &str) -> Patch {
    let agent = AgentPatch { api_url: Some(url.to_owned()), ..AgentPatch::default() };
    Patch { agent, ..Patch::default() }
}

/// Asks until the answer is as expected.
async fn until(directory: &Directory, expected: impl Fn(Result<Option<Arc<Instance>>, Unavailable>) -> bool) {
    let wait = async {
        while !expected(directory.by_name("a").await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the directory sees it in time");
}

#[tokio::test]
async fn found_by_every_lookup() {
    let table = TestTable::new().await;
    let a = table.instances.create(new_instance("a")).await.unwrap();
    table.instances.create(new_instance("b")).await.unwrap();
    table.instances.set_default("b").await.unwrap();
    let directory = directory(&table, DirectorySettings::default());
    assert_eq!(directory.by_name("a").await.unwrap().unwrap().id, a.id);
    assert_eq!(directory.by_id(a.id).await.unwrap().unwrap().name.as_str(), "a");
    assert_eq!(directory.default_instance().await.unwrap().unwrap().name.as_str(), "b");
    assert_eq!(directory.by_whatsapp_instance("wa-a").await.unwrap()[0].id, a.id);
    assert!(directory.by_whatsapp_instance("a").await.unwrap().is_empty());
    assert!(directory.by_name("A").await.unwrap().is_none());
    assert!(directory.by_id(99).await.unwrap().is_none());
}

#[tokio::test]
async fn changes_are_seen_soon_and_at_once_when_forced() {
    let table = TestTable::new().await;
    let slow = directory(&table, DirectorySettings { fresh_for: DEADLINE, ..QUICK });
    let quick = directory(&table, QUICK);
    assert!(slow.by_name("a").await.unwrap().is_none());
    assert!(quick.by_name("a").await.unwrap().is_none());

    table.instances.create(new_instance("a")).await.unwrap();
    assert!(slow.by_name("a").await.unwrap().is_none(), "the absence is remembered");
    assert!(slow.fresh_by_name("a").await.unwrap().is_some());
    assert!(slow.by_name("a").await.unwrap().is_some(), "a forced read is remembered too");
    until(&quick, |found| found.unwrap().is_some()).await;

    table.instances.update("a", agent_url("http://new.test")).await.unwrap();
    until(&quick, |found| found.unwrap().unwrap().agent.api_url == "http://new.test").await;
    table.instances.delete("a").await.unwrap();
    until(&quick, |found| found.unwrap().is_none()).await;
}

#[tokio::test]
async fn an_outage_is_answered_from_what_was_known() {
    let table = TestTable::new().await;
    let a = table.instances.create(new_instance("a")).await.unwrap();
    table.instances.create(new_instance("b")).await.unwrap();
    let directory = directory(&table, QUICK);
    directory.by_name("a").await.unwrap();
    execute(&table, BREAK).await;

    assert_eq!(directory.by_name("b").await.unwrap_err(), Unavailable::Away, "never seen");
    assert_eq!(directory.by_id(a.id).await.unwrap().unwrap().name.as_str(), "a", "seen by its name");
    assert_eq!(directory.fresh_by_name("a").await.unwrap_err(), Unavailable::Away, "a forced read never guesses");
    let end = Instant::now() + QUICK.fresh_for * 4;
    while Instant::now() < end {
        assert!(directory.by_name("a").await.unwrap().is_some());
        tokio::task::yield_now().await;
    }

    execute(&table, MEND).await;
    table.instances.update("a", agent_url("http://new.test")).await.unwrap();
    until(&directory, |found| found.unwrap().unwrap().agent.api_url == "http://new.test").await;
    assert!(directory.fresh_by_name("b").await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_deleted_does_not_come_back_in_an_outage() {
    let table = TestTable::new().await;
    let a = table.instances.create(new_instance("a")).await.unwrap();
    let directory = directory(&table, QUICK);
    directory.by_name("a").await.unwrap();
    table.instances.delete("a").await.unwrap();
    assert!(directory.fresh_by_name("a").await.unwrap().is_none());
    execute(&table, BREAK).await;
    assert_eq!(directory.by_id(a.id).await.unwrap_err(), Unavailable::Away);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_no_other() {
    let table = TestTable::new().await;
    for name in ["a", "b"] {
        table.instances.create(new_instance(name)).await.unwrap();
    }
    execute(&table, "UPDATE instance_configs SET agent_api_key = 'v1.gone.AAAA' WHERE name = 'b'").await;
    let directory = directory(&table, DirectorySettings::default());
    assert_eq!(directory.by_name("b").await.unwrap_err(), Unavailable::Unreadable);
    assert!(directory.by_name("a").await.unwrap().is_some());
}

#[test]
fn the_setting_is_checked() {
    let load = |text: &str| DirectorySettings::load(&HashMap::from([(KNOWN_HOURS.to_owned(), text.to_owned())]));
    assert_eq!(load("2").unwrap().known_for, Duration::from_secs(7200));
    for bad in ["0", "-1", "day", "9000"] {
        assert!(load(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn while_changes_are_told_the_database_is_asked_only_after_one() {
    let table = TestTable::new().await;
    let a = table.instances.create(new_instance("a")).await.unwrap();
    let directory = directory(&table, DirectorySettings { fresh_for: Duration::ZERO, ..QUICK });
    let url = async || directory.by_name("a").await.unwrap().unwrap().agent.api_url.clone();
    let change = async |url: &str| table.instances.update("a", agent_url(url)).await.unwrap();

    change("http://one.test").await;
    assert_eq!(url().await, "http://one.test");
    change("http://two.test").await;
    assert_eq!(url().await, "http://two.test", "nobody tells: every answer is read");

    let mut changes = directory.changes();
    directory.watching();
    assert_eq!(changes.recv().await, Ok(Change::Any));
    assert_eq!(url().await, "http://two.test");
    change("http://three.test").await;
    assert_eq!(url().await, "http://two.test", "not told yet: remembered");
    directory.changed(a.id);
    assert_eq!(changes.recv().await, Ok(Change::One(a.id)));
    assert_eq!(url().await, "http://three.test", "told: read again");
    assert!(directory.by_name("b").await.unwrap().is_none());
    table.instances.create(new_instance("b")).await.unwrap();
    assert!(directory.by_name("b").await.unwrap().is_some(), "what is not there is never trusted for long");

    change("http://four.test").await;
    directory.blind();
    assert_eq!(url().await, "http://four.test", "the watch is broken");
    change("http://five.test").await;
    directory.watching();
    assert_eq!(url().await, "http://five.test", "what changed in the gap is found");
}

#[tokio::test]
async fn an_outage_is_answered_from_what_was_known_while_changes_are_told_too() {
    let table = TestTable::new().await;
    let a = table.instances.create(new_instance("a")).await.unwrap();
    let directory = directory(&table, DirectorySettings { fresh_for: Duration::ZERO, ..QUICK });
    directory.watching();
    directory.by_name("a").await.unwrap();
    execute(&table, BREAK).await;
    directory.changed(a.id);
    assert!(directory.by_name("a").await.unwrap().is_some(), "stale, since the database is away");
    execute(&table, MEND).await;
    table.instances.update("a", agent_url("http://new.test")).await.unwrap();
    // What was answered in the outage is not trusted for long, although no further change is told.
    until(&directory, |found| found.unwrap().unwrap().agent.api_url == "http://new.test").await;
}

/// An instance whose agent key lies in a file of the table's folder; answers the file.
async fn with_a_key_in_a_file(table: &mut TestTable) -> std::path::PathBuf {
    let file = table.folder.path().join("agent-key");
    std::fs::write(&file, "planted-first").unwrap();
    let secrets = SecretSource::load(Arc::new(HashMap::<String, String>::new())).unwrap();
    table.instances = table.instances.clone().with_secrets(secrets);
    let mut new = new_instance("a");
    new.agent.api_key = Secret::read(format!("file:{}", file.display()));
    table.instances.create(new).await.unwrap();
    file
}

#[tokio::test]
async fn a_secret_that_is_kept_elsewhere_is_there() {
    let mut table = TestTable::new().await;
    let file = with_a_key_in_a_file(&mut table).await;
    // It is good for a minute unless somebody must be sure.
    let directory = directory(&table, DirectorySettings { fresh_for: Duration::from_millis(1), ..QUICK });
    let first = directory.by_name("a").await.unwrap().unwrap();
    assert_eq!(first.agent.api_key.expose(), "planted-first");
    std::fs::write(&file, "planted-second").unwrap();
    until(&directory, |found| found.is_ok()).await;
    let sure = async || directory.fresh_by_name("a").await.unwrap().unwrap();
    let wait = async {
        while sure().await.agent.api_key.expose() != "planted-second" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("a forced read asks again");
    let second = sure().await;
    assert!(second.version() != first.version() && second.updated_at == first.updated_at);

    std::fs::remove_file(&file).unwrap();
    let wait = async {
        while directory.fresh_by_name("a").await.err() != Some(Unavailable::Unreadable) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("who must be sure is told that it is gone");
    let known = directory.by_name("a").await.unwrap().unwrap();
    assert_eq!(known.agent.api_key.expose(), "planted-second", "others go on with what is known");
}

#[tokio::test]
async fn an_instance_whose_secret_is_nowhere_is_not_answered() {
    let mut table = TestTable::new().await;
    let file = with_a_key_in_a_file(&mut table).await;
    std::fs::remove_file(&file).unwrap();
    let directory = directory(&table, QUICK);
    assert_eq!(directory.by_name("a").await.err(), Some(Unavailable::Unreadable));
    assert!(table.instances.get("a").await.unwrap().is_some(), "whoever mends it sees it");
    std::fs::write(&file, "planted-first").unwrap();
    until(&directory, |found| found.is_ok()).await;
}

#[tokio::test]
async fn who_keeps_a_secret_may_be_away_for_a_while() {
    let (vault, mut table) = (FakeVault::start().await.unwrap(), TestTable::new().await);
    vault.put("secret/a", &[("key", "planted-first")]);
    let settings = [("VAULT_ADDR", vault.url()), ("VAULT_TOKEN", FakeVault::TOKEN), ("OMNIHUB_SECRET_TTL", "1")];
    let settings: HashMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let secrets = SecretSource::load(Arc::new(settings)).unwrap();
    table.instances = table.instances.clone().with_secrets(secrets);
    let mut new = new_instance("a");
    new.agent.api_key = Secret::read("vault://secret/a#key");
    table.instances.create(new).await.unwrap();

    vault.seal(true);
    let directory = directory(&table, QUICK);
    assert_eq!(directory.by_name("a").await.err(), Some(Unavailable::SecretAway));
    vault.seal(false);
    until(&directory, |found| found.is_ok()).await;
    vault.seal(true);
    // An hour long, whatever becomes of what the source itself remembers.
    for _ in 0..3 {
        directory.changed(1);
        let known = directory.by_name("a").await.unwrap().unwrap();
        assert_eq!(known.agent.api_key.expose(), "planted-first");
    }
}
