//! The table of keys against a real SQLite file.

use super::*;
use crate::{
    instance::testing::{TestTable, new_instance},
    key::Scope,
};

fn new_key(scopes: &[Scope], instances: Option<&[&str]>) -> NewKey {
    let reach = instances.map_or(Reach::Everyone(Everyone::for_admin()), |names| {
        Reach::Only(names.iter().map(|&name| name.into()).collect())
    });
    NewKey { name: "a key".to_owned(), scopes: scopes.iter().copied().collect(), reach, expires_at: None }
}

fn keys(table: &TestTable) -> Keys {
    Keys::new(table.database.clone(), Arc::new(Keyring::parse(RING).unwrap()))
}

fn me() -> Actor {
    Actor { key_id: None, name: "root".to_owned() }
}

const RING: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_RING: &str = "k2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test]
async fn a_key_stands_for_what_it_was_made_for() {
    let table = TestTable::new().await;
    table.instances.create(new_instance("a")).await.unwrap();
    let keys = keys(&table);
    let (made, shown) = keys.create(&me(), new_key(&[Scope::Read], Some(&["a"]))).await.unwrap();
    assert!(shown.expose().starts_with("omni_") && shown.expose().ends_with(&made.hint));
    let caller = keys.caller(shown.expose()).await.unwrap().unwrap();
    assert!(caller.may(Scope::Read) && !caller.may(Scope::Write));
    assert!(caller.reach().includes("a") && !caller.reach().includes("b") && caller.everyone().is_none());
    assert_eq!(caller.actor(), &Actor { key_id: Some(made.id), name: "a key".to_owned() });
    assert!(keys.caller("omni_other").await.unwrap().is_none());
    assert!(keys.caller("").await.unwrap().is_none());

    let (listed, total) = keys.list(0, 10).await.unwrap();
    assert_eq!((listed.len(), total), (1, 1));
    assert!(listed[0].last_used_at.is_some());
    assert_eq!(ApiKey { last_used_at: None, ..listed[0].clone() }, made);
}

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_or_expires() {
    let table = TestTable::new().await;
    let keys = keys(&table);
    let (made, shown) = keys.create(&me(), new_key(&[Scope::Admin], None)).await.unwrap();
    assert!(keys.caller(shown.expose()).await.unwrap().unwrap().everyone().is_some());
    let revoked = keys.revoke(&me(), made.id).await.unwrap().unwrap();
    assert!(revoked.revoked_at.is_some() && keys.caller(shown.expose()).await.unwrap().is_none());
    assert_eq!(keys.revoke(&me(), made.id).await.unwrap().unwrap().revoked_at, revoked.revoked_at, "it stays so");
    assert_eq!(keys.revoke(&me(), 99).await.unwrap(), None);

    let past = NewKey { expires_at: Some(now()), ..new_key(&[Scope::Read], None) };
    let (_, shown) = keys.create(&me(), past).await.unwrap();
    assert!(keys.caller(shown.expose()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_instance_of_the_same_name_is_not_the_one_a_key_was_made_for() {
    let table = TestTable::new().await;
    table.instances.create(new_instance("a")).await.unwrap();
    let keys = keys(&table);
    let (_, shown) = keys.create(&me(), new_key(&[Scope::Read], Some(&["a"]))).await.unwrap();
    table.instances.delete("a").await.unwrap();
    table.instances.create(new_instance("a")).await.unwrap();
    assert!(!keys.caller(shown.expose()).await.unwrap().unwrap().reach().includes("a"));
    let nowhere = keys.create(&me(), new_key(&[Scope::Read], Some(&["b"]))).await;
    assert!(matches!(nowhere, Err(KeyError::NoInstance)), "{nowhere:?}");
}

#[tokio::test]
async fn the_table_alone_tells_no_key() {
    let table = TestTable::new().await;
    let (_, shown) = keys(&table).create(&me(), new_key(&[Scope::Read], None)).await.unwrap();
    let row = key::Entity::find().one(&table.database).await.unwrap().unwrap();
    assert!(!format!("{row:?}").contains(shown.expose()));
    assert_ne!(row.hash, blake3::hash(shown.expose().as_bytes()).to_hex().to_string(), "it is keyed");
    // Another process of the same hub knows it, one with another ring is told what is wrong.
    assert!(keys(&table).caller(shown.expose()).await.unwrap().is_some());
    let stranger = Keys::new(table.database.clone(), Arc::new(Keyring::parse(OTHER_RING).unwrap()));
    assert!(matches!(stranger.caller(shown.expose()).await, Err(KeyError::Sealed(SealError::UnknownKey { .. }))));
}
