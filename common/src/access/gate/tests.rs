//! The gate on a real SQLite file.

use sea_orm::ConnectionTrait;

use super::*;
use crate::{
    access::{Action, NewRule, Pattern},
    instance::{
        DirectorySettings,
        testing::{TestTable, new_instance},
    },
    key::{Actor, Caller},
};

struct Site {
    table: TestTable,
    directory: Arc<Directory>,
    gate: Arc<Gate>,
    instance: Instance,
}

impl Site {
    /// One that is told of changes, as processes are.
    async fn new() -> Self {
        let table = TestTable::new().await;
        let instance = table.instances.create(new_instance("a")).await.unwrap();
        let database = table.database.clone();
        let instances = Arc::new(table.instances.clone());
        let settings = DirectorySettings { watched_for: Duration::from_hours(1), ..DirectorySettings::default() };
        let directory = Arc::new(Directory::new(instances, settings));
        directory.watching();
        let gate = Arc::new(Gate::new(database, Arc::clone(&directory)));
        Self { table, directory, gate, instance }
    }

    async fn block(&self, instance_name: Option<&str>, phone: &str) -> i64 {
        let new = NewRule {
            instance_name: instance_name.map(str::to_owned),
            phone_number: phone.to_owned(),
            pattern: Pattern::parse(phone).unwrap(),
            action: Action::Block,
            reason: None,
        };
        AccessRules::new(self.table.database.clone()).create(&me(), new).await.unwrap().1
    }

    async fn passage(&self, phone: &str) -> Result<Passage, Unavailable> {
        let person = Person { id: format!("{phone}@s.whatsapp.net"), phone: Some(phone.into()), ..Person::default() };
        self.gate.passage(&self.instance, &format!("a_{phone}"), &person).await
    }

    async fn lose_the_database(&self) {
        for table in ["access_control_rules", "conversations"] {
            self.table.database.execute_unprepared(&format!("DROP TABLE {table}")).await.unwrap();
        }
    }
}

fn me() -> Actor {
    Caller::root().actor().clone()
}

#[tokio::test]
async fn a_change_that_is_told_is_seen_by_the_next_message() {
    let site = Site::new().await;
    assert_eq!(site.passage("5511").await, Ok(Passage::Open));
    let changed = site.block(Some("a"), "55*").await;
    assert_eq!(site.passage("5511").await, Ok(Passage::Open), "nobody has told");
    site.directory.changed(changed);
    assert_eq!(site.passage("5511").await, Ok(Passage::Blocked));
    assert_eq!(site.passage("4411").await, Ok(Passage::Open));
    let changed = site.block(None, "4411").await;
    site.directory.changed(changed);
    assert_eq!(site.passage("4411").await, Ok(Passage::Blocked), "a rule for all");
}

#[tokio::test]
async fn a_paused_conversation_is_silent_and_no_other() {
    let site = Site::new().await;
    let pauses = Pauses::new(site.table.database.clone());
    let (_, changed) = pauses.pause(&me(), "a", "a_1", None, None).await.unwrap().unwrap();
    assert_eq!((site.passage("1").await, site.passage("2").await), (Ok(Passage::Paused), Ok(Passage::Open)));
    pauses.resume(&me(), "a", "a_1").await.unwrap();
    site.directory.changed(changed);
    assert_eq!(site.passage("1").await, Ok(Passage::Open));
}

#[tokio::test]
async fn what_was_read_holds_while_the_database_is_away() {
    let site = Site::new().await;
    let changed = site.block(Some("a"), "5511").await;
    // Nothing was read yet, and then nothing is known.
    let blind = Gate::new(site.table.database.clone(), Arc::clone(&site.directory));
    site.gate.read_all().await.unwrap();
    site.lose_the_database().await;
    site.directory.changed(changed);
    assert_eq!(site.passage("5511").await, Ok(Passage::Blocked));
    assert_eq!(site.passage("4411").await, Ok(Passage::Open));
    assert_eq!(blind.held(changed).await.err(), Some(Unavailable::Away));
}
