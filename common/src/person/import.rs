//! Many people at once, from another system: what is known of them there, and their other names.
//!
//! Who is there stays as they are, unless the caller says that the other system knows better.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::Expr,
};
use serde_json::{Map, Value, json};

use super::{
    ExternalId, People,
    entity::{external_id, user},
    people::now,
    with_plus,
};
use crate::{
    audit::{self, Change},
    database,
    instance::row_id,
    key::Actor,
};

/// Somebody whom another system knows.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPerson {
    /// The phone number, with or without its plus.
    pub phone_number: String,
    /// The address.
    pub email: Option<String>,
    /// What else the agent is to know.
    pub user_data: Option<Map<String, Value>>,
    /// What the agent calls them.
    pub last_agent_user_id: Option<String>,
    /// When they were first met.
    pub created_at: Option<DateTime<Utc>>,
}

/// How an import is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportMode {
    /// Nothing is written; what would be is counted.
    pub dry_run: bool,
    /// What is there and differs is changed.
    pub overwrite: bool,
}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Was not there.
    pub created: u64,
    /// Was there, and is changed.
    pub updated: u64,
    /// Was there, differs, and stays as it is.
    pub kept: u64,
    /// Was there already, or is named again.
    pub unchanged: u64,
    /// Other names of somebody who is not there.
    pub nobody: u64,
}

impl ImportCounts {
    fn changes(&self) -> u64 {
        self.created + self.updated
    }
}

impl People {
    /// Takes in people of an instance: some hundreds at once. An instance that is not there yet has
    /// nobody, and only a dry run may name one.
    ///
    /// # Errors
    /// A failure of the database, or an instance that is not there.
    pub async fn import(
        &self,
        by: &Actor,
        instance: &str,
        people: Vec<NewPerson>,
        mode: ImportMode,
    ) -> Result<ImportCounts, DbErr> {
        let transaction = database::begin_write(self.database()).await?;
        let mut there =
            by_phone(&transaction, instance, people.iter().map(|person| person.phone_number.as_str())).await?;
        let mut counts = ImportCounts::default();
        let mut new: BTreeMap<String, user::ActiveModel> = BTreeMap::new();
        for person in people {
            let phone = with_plus(&person.phone_number);
            if new.contains_key(&phone) {
                counts.unchanged += 1;
                continue;
            }
            match there.get_mut(&phone) {
                None => {
                    counts.created += 1;
                    new.insert(phone.clone(), new_row(instance, phone, person));
                }
                Some(row) => match merged(row, &person) {
                    None => counts.unchanged += 1,
                    Some(_) if !mode.overwrite => counts.kept += 1,
                    Some(changed) => {
                        counts.updated += 1;
                        *row = changed.clone();
                        if !mode.dry_run {
                            changed.into_active_model().reset_all().update(&transaction).await?;
                        }
                    }
                },
            }
        }
        if !new.is_empty() && !mode.dry_run {
            user::Entity::insert_many(new.into_values()).exec_without_returning(&transaction).await?;
        }
        finish(transaction, by, instance, "people", counts, mode).await
    }

    /// Takes in other names of people, each with the phone number of whom it is; otherwise as
    /// [`People::import`]. In a dry run people who are not there yet are taken to come.
    ///
    /// # Errors
    /// A failure of the database, or an instance that is not there.
    pub async fn import_names(
        &self,
        by: &Actor,
        instance: &str,
        names: Vec<(String, ExternalId)>,
        mode: ImportMode,
    ) -> Result<ImportCounts, DbErr> {
        let transaction = database::begin_write(self.database()).await?;
        let people = by_phone(&transaction, instance, names.iter().map(|(phone, _)| phone.as_str())).await?;
        let mut taken = taken(&transaction, instance, &names).await?;
        let (mut counts, mut new) = (ImportCounts::default(), Vec::new());
        for (phone, name) in names {
            let person = people.get(&with_plus(&phone)).map(|row| row.id);
            match (taken.get(&name), person) {
                (None, Some(person)) => {
                    counts.created += 1;
                    taken.insert(name.clone(), (0, person));
                    new.push(new_name(instance, person, name));
                }
                (None, None) if mode.dry_run => counts.created += 1,
                (_, None) => counts.nobody += 1,
                (Some((_, owner)), Some(person)) if *owner == person => counts.unchanged += 1,
                // Two of theirs share it: the first has it.
                (Some((0, _)), Some(_)) => counts.kept += 1,
                (Some(_), Some(_)) if !mode.overwrite => counts.kept += 1,
                (Some((row, _)), Some(person)) => {
                    counts.updated += 1;
                    if !mode.dry_run {
                        give(&transaction, *row, person).await?;
                    }
                }
            }
        }
        if !new.is_empty() && !mode.dry_run {
            external_id::Entity::insert_many(new).exec_without_returning(&transaction).await?;
        }
        finish(transaction, by, instance, "names", counts, mode).await
    }
}

/// The line of the audit log, and the end of the transaction.
async fn finish(
    transaction: DatabaseTransaction,
    by: &Actor,
    instance: &str,
    what: &str,
    counts: ImportCounts,
    mode: ImportMode,
) -> Result<ImportCounts, DbErr> {
    if mode.dry_run || counts.changes() == 0 {
        transaction.rollback().await?;
        return Ok(counts);
    }
    let gone = || DbErr::RecordNotFound("the instance of the people".to_owned());
    let id = row_id(&transaction, instance).await?.ok_or_else(gone)?;
    let after = Some(json!({"of": what, "created": counts.created, "updated": counts.updated}));
    let change =
        Change { action: "user.import", target: instance, instance: Some((id, instance)), before: None, after };
    audit::record(&transaction, by, change).await?;
    transaction.commit().await?;
    Ok(counts)
}

async fn by_phone(
    transaction: &impl ConnectionTrait,
    instance: &str,
    phones: impl Iterator<Item = &str>,
) -> Result<HashMap<String, user::Model>, DbErr> {
    let found = user::Entity::find()
        .filter(user::Column::InstanceName.eq(instance))
        .filter(user::Column::PhoneNumber.is_in(phones.map(with_plus)));
    Ok(found.all(transaction).await?.into_iter().map(|row| (row.phone_number.clone(), row)).collect())
}

/// The row id and the person of each of these names that somebody has.
async fn taken(
    transaction: &impl ConnectionTrait,
    instance: &str,
    names: &[(String, ExternalId)],
) -> Result<HashMap<ExternalId, (i64, i64)>, DbErr> {
    let found = external_id::Entity::find()
        .filter(external_id::Column::InstanceName.eq(instance))
        .filter(external_id::Column::ExternalId.is_in(names.iter().map(|(_, name)| name.external_id.as_str())));
    let name = |row: external_id::Model| {
        (ExternalId { provider: row.provider, external_id: row.external_id }, (row.id, row.user_id))
    };
    Ok(found.all(transaction).await?.into_iter().map(name).collect())
}

/// The row with what the other system says; `None` when that changes nothing.
fn merged(row: &user::Model, person: &NewPerson) -> Option<user::Model> {
    let mut merged = row.clone();
    merged.email = person.email.clone().or(merged.email);
    merged.user_data = person.user_data.clone().map(Value::Object).or(merged.user_data);
    merged.last_agent_user_id = person.last_agent_user_id.clone().or(merged.last_agent_user_id);
    if merged == *row {
        return None;
    }
    merged.updated_at = now();
    Some(merged)
}

fn new_row(instance: &str, phone_number: String, person: NewPerson) -> user::ActiveModel {
    let now = now();
    user::ActiveModel {
        id: NotSet,
        instance_name: Set(instance.to_owned()),
        phone_number: Set(phone_number),
        email: Set(person.email),
        user_data: Set(person.user_data.map(Value::Object)),
        last_agent_user_id: Set(person.last_agent_user_id),
        created_at: Set(person.created_at.unwrap_or(now)),
        updated_at: Set(now),
    }
}

fn new_name(instance: &str, user_id: i64, name: ExternalId) -> external_id::ActiveModel {
    external_id::ActiveModel {
        id: NotSet,
        instance_name: Set(instance.to_owned()),
        user_id: Set(user_id),
        provider: Set(name.provider),
        external_id: Set(name.external_id),
        created_at: Set(now()),
    }
}

async fn give(transaction: &impl ConnectionTrait, row: i64, person: i64) -> Result<(), DbErr> {
    external_id::Entity::update_many()
        .col_expr(external_id::Column::UserId, Expr::value(person))
        .filter(external_id::Column::Id.eq(row))
        .exec(transaction)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instance::testing::{TestTable, everyone, new_instance},
        person::PersonFilter,
    };

    fn person(phone: &str, email: Option<&str>) -> NewPerson {
        let (phone_number, email) = (phone.to_owned(), email.map(str::to_owned));
        NewPerson { phone_number, email, user_data: None, last_agent_user_id: None, created_at: None }
    }

    fn name(phone: &str, id: &str) -> (String, ExternalId) {
        (phone.to_owned(), ExternalId { provider: "whatsapp".to_owned(), external_id: id.to_owned() })
    }

    const KEEP: ImportMode = ImportMode { dry_run: false, overwrite: false };
    const OVER: ImportMode = ImportMode { dry_run: false, overwrite: true };
    const DRY: ImportMode = ImportMode { dry_run: true, overwrite: false };

    #[tokio::test]
    async fn who_is_there_stays_unless_overwritten() {
        let table = TestTable::new().await;
        table.instances.create(new_instance("a")).await.unwrap();
        let (people, by) = (People::new(table.database.clone()), Actor::hub("import"));
        let import = async |list: &[NewPerson], mode| people.import(&by, "a", list.to_vec(), mode).await.unwrap();

        let two = [person("+1415", Some("old@x.test")), person("55", None), person(" 1415", None)];
        let counts = ImportCounts { created: 2, unchanged: 1, ..ImportCounts::default() };
        assert_eq!(import(&two, DRY).await, counts);
        assert_eq!(import(&two, KEEP).await, counts);
        assert_eq!(import(&two, KEEP).await, ImportCounts { unchanged: 3, ..ImportCounts::default() });

        let changed = [person("1415", Some("new@x.test"))];
        let email = async || people.list(&everyone(), &PersonFilter::default(), 1, 1).await.unwrap().0[0].email.clone();
        assert_eq!(import(&changed, KEEP).await.kept, 1);
        assert_eq!(email().await.as_deref(), Some("old@x.test"));
        assert_eq!(import(&changed, OVER).await.updated, 1);
        assert_eq!(email().await.as_deref(), Some("new@x.test"));

        let elsewhere = people.import(&by, "b", two.to_vec(), DRY).await.unwrap();
        assert_eq!(elsewhere.created, 2, "a dry run may name an instance that is to come");
        assert!(people.import(&by, "b", two.to_vec(), KEEP).await.is_err());
    }

    #[tokio::test]
    async fn a_name_has_one_person() {
        let table = TestTable::new().await;
        table.instances.create(new_instance("a")).await.unwrap();
        let (people, by) = (People::new(table.database.clone()), Actor::hub("import"));
        let import = async |names: Vec<_>, mode| people.import_names(&by, "a", names, mode).await.unwrap();
        let names = || vec![name("1", "1@s"), name("+2", "2@s"), name("2", "1@s")];
        assert_eq!(import(names(), DRY).await, ImportCounts { created: 3, ..ImportCounts::default() });
        assert_eq!(import(names(), KEEP).await, ImportCounts { nobody: 3, ..ImportCounts::default() });

        people.import(&by, "a", vec![person("1", None), person("2", None)], KEEP).await.unwrap();
        assert_eq!(import(names(), KEEP).await, ImportCounts { created: 2, kept: 1, ..ImportCounts::default() });
        assert_eq!(import(names(), KEEP).await, ImportCounts { unchanged: 2, kept: 1, ..ImportCounts::default() });
        assert_eq!(import(vec![name("2", "1@s")], OVER).await.updated, 1);
        let filter = PersonFilter { phone_number: Some("2".to_owned()), ..PersonFilter::default() };
        assert_eq!(people.list(&everyone(), &filter, 0, 9).await.unwrap().0[0].external_ids.len(), 2);
    }
}
