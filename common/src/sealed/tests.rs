//! Rotation and survey against a real SQLite file.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::*;
use crate::{
    audit::{AuditFilter, AuditLog},
    instance::{
        AgentPatch, Instances, Patch,
        testing::{TestTable, connect, everyone, new_instance},
    },
    key::{Actor, Everyone, Keys, NewKey, Reach, Scopes},
    secret::{SealError, Secret},
};

const A: &str = "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const B: &str = "b:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const LONG: Duration = Duration::from_secs(60);

fn ring(keys: &[&str]) -> Arc<Keyring> {
    Arc::new(Keyring::parse(&keys.join(",")).unwrap())
}

fn me() -> Actor {
    Actor { key_id: None, name: "root".to_owned() }
}

/// A hub of an old key with these instances, and a key of the API.
async fn hub(instances: usize) -> (TestTable, Secret) {
    let table = TestTable::new().await;
    let old = Instances::new(table.database.clone(), ring(&[A]));
    for n in 0..instances {
        old.create(new_instance(&format!("i{n}"))).await.unwrap();
    }
    let new = NewKey {
        name: "a key".to_owned(),
        scopes: Scopes::all(),
        reach: Reach::Everyone(Everyone::for_admin()),
        expires_at: None,
    };
    let (_, shown) = Keys::new(table.database.clone(), ring(&[A])).create(&me(), new).await.unwrap();
    (table, shown)
}

async fn rotate(values: &SealedValues) -> Rotation {
    values.rotate(&me(), LONG).await.unwrap()
}

#[tokio::test]
async fn everything_opens_with_the_new_key_alone_and_nothing_is_done_twice() {
    let (table, shown) = hub(120).await;
    let values = SealedValues::new(table.database.clone(), ring(&[B, A]));
    let count = |in_ring, rows, values| KeyCount { in_ring, rows, values };
    let before = values.survey().await.unwrap();
    assert_eq!(before.keys, [("a".to_owned(), count(true, 121, 241))].into());
    assert_eq!((before.beside("b"), before.malformed), (241, 0));

    let rotation = rotate(&values).await;
    assert_eq!((rotation.rotated, rotation.stuck, rotation.finished), (241, 0, true));
    assert_eq!(values.survey().await.unwrap().keys, [("b".to_owned(), count(true, 121, 241))].into());
    assert_eq!(rotate(&values).await.rotated, 0);

    let new = Instances::new(table.database.clone(), ring(&[B]));
    let all = new.list(&everyone(), 0, 500).await.unwrap();
    assert!(all.len() == 120 && all.iter().all(|instance| instance.agent.api_key.expose() == "planted-agent-key"));
    let keys = Keys::new(table.database.clone(), ring(&[B]));
    assert!(keys.caller(shown.expose()).await.unwrap().is_some(), "keys of the API stay what they are");

    let filter = AuditFilter { action: Some("key.rotate".to_owned()), ..AuditFilter::default() };
    let lines = AuditLog::new(table.database.clone()).list(&everyone(), &filter, 100).await.unwrap();
    assert_eq!(lines.len(), 4, "one for each transaction");
    let told: u64 = lines.iter().map(|line| line.after.as_ref().unwrap()["values"].as_u64().unwrap()).sum();
    assert_eq!((told, lines[0].target.as_str(), lines[0].actor.as_str()), (241, "b", "root"));
}

#[tokio::test]
async fn it_is_cut_and_goes_on_where_it_was() {
    let (table, _) = hub(120).await;
    let values = SealedValues::new(table.database.clone(), ring(&[B, A]));
    let mut pages = Vec::new();
    loop {
        let rotation = values.rotate(&me(), Duration::ZERO).await.unwrap();
        pages.push(rotation.rotated);
        if rotation.finished {
            break;
        }
        let left = values.survey().await.unwrap().beside("b");
        assert_eq!(pages.iter().sum::<u64>() + left, 241, "whoever looks finds what was done");
    }
    assert_eq!(pages, [100, 100, 40, 1]);
    assert_eq!(values.survey().await.unwrap().beside("b"), 0);
}

#[tokio::test]
async fn beside_writers_and_another_rotation_nothing_is_lost() {
    let (table, _) = hub(60).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let values = SealedValues::new(connect(&table.folder).await, ring(&[B, A]));
        tasks.spawn(async move { rotate(&values).await.rotated });
    }
    for writer in 0..2 {
        // Another process, which has the new key in its ring and does not encrypt with it yet.
        let instances = Instances::new(connect(&table.folder).await, ring(&[A, B]));
        tasks.spawn(async move {
            for n in (writer..60).step_by(2) {
                let api_key = Some(Secret::new(format!("planted-new-key-{n}")));
                let patch = Patch { agent: AgentPatch { api_key, ..AgentPatch::default() }, ..Patch::default() };
                instances.update(&format!("i{n}"), patch).await.unwrap().unwrap();
            }
            0
        });
    }
    tasks.join_all().await;
    rotate(&SealedValues::new(table.database.clone(), ring(&[B, A]))).await;
    let new = Instances::new(table.database.clone(), ring(&[B]));
    for n in 0..60 {
        let found = new.get(&format!("i{n}")).await.unwrap().unwrap();
        assert_eq!(found.agent.api_key.expose(), format!("planted-new-key-{n}"));
    }
}

#[tokio::test]
async fn what_does_not_open_is_named_and_stops_nothing() {
    let (table, _) = hub(3).await;
    let spoil = "UPDATE instance_configs SET agent_api_key = CASE id WHEN 1 THEN 'v1.gone.AAAA' ELSE 'plain' END \
                 WHERE id < 3";
    table.database.execute_unprepared(spoil).await.unwrap();
    let values = SealedValues::new(table.database.clone(), ring(&[B, A]));
    let before = values.survey().await.unwrap();
    assert_eq!((before.keys["gone"].clone(), before.malformed), (KeyCount { in_ring: false, rows: 1, values: 1 }, 1));
    let rotation = rotate(&values).await;
    assert_eq!((rotation.rotated, rotation.stuck, rotation.finished), (5, 2, true));
    assert_eq!(rotation.named[0].why, SealError::UnknownKey { id: "gone".to_owned() });
    assert_eq!((rotation.named[1].place.row, &rotation.named[1].why), (2, &SealError::Malformed));
}

#[tokio::test]
async fn a_ring_without_a_needed_key_is_told() {
    let (table, _) = hub(2).await;
    let none = std::collections::HashMap::new();
    let missing = |keys: &[&str]| SealedValues::new(table.database.clone(), ring(keys));
    assert_eq!(missing(&[B, A]).missing_keys(&none).await.unwrap(), None);
    let told = missing(&[B]).missing_keys(&none).await.unwrap();
    assert_eq!(told, Some(MissingKeys(vec![("a".to_owned(), 3)])));
    let lost = std::collections::HashMap::from([("OMNIHUB_LOST_KEYS".to_owned(), "x, a".to_owned())]);
    assert_eq!(missing(&[B]).missing_keys(&lost).await.unwrap(), None);
}
