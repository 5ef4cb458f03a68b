//! The table of people.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, SqlErr,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    entity::{external_id, user},
    profile::Profile,
    with_plus,
};
use crate::{
    audit::{self, Change},
    database,
    instance::row_id,
    key::{Actor, Reach},
};

/// Another name of a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
pub struct ExternalId {
    /// Whose name it is: a channel (`whatsapp`), or a system of the operator's own.
    pub provider: String,
    /// The name.
    pub external_id: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct User {
    /// Its row id.
    pub id: i64,
    /// The instance that they write to.
    pub instance_name: String,
    /// The phone number, with its plus.
    pub phone_number: String,
    /// What an operator has told of them; the agent is told it too.
    pub email: Option<String>,
    /// The same, in the operator's own words.
    pub user_data: Option<Value>,
    /// What the agent calls them.
    pub last_agent_user_id: Option<String>,
    /// The other names.
    pub external_ids: Vec<ExternalId>,
    /// When they were first answered.
    pub created_at: DateTime<Utc>,
    /// When an operator last changed something.
    pub updated_at: DateTime<Utc>,
}

/// People to list: every field that is set narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonFilter {
    /// The instance that they write to.
    pub instance_name: Option<String>,
    /// The phone number, with or without its plus.
    pub phone_number: Option<String>,
    /// The address.
    pub email: Option<String>,
    /// One of their other names.
    pub external_id: Option<String>,
}

/// What is changed of a person; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonPatch {
    /// The address; `Some(None)` takes it away.
    pub email: Option<Option<String>>,
    /// What else the agent is to know; `Some(None)` takes it away.
    pub user_data: Option<Option<Map<String, Value>>>,
}

/// Why a name was not linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Another person of the instance has it.
    #[error("another person has this name")]
    Taken,
    /// The database failed.
    #[error("the database did not do it")]
    Database(#[source] DbErr),
}

impl From<DbErr> for LinkError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Taken,
            _ => Self::Database(error),
        }
    }
}

/// The table of people.
#[derive(Clone, Debug)]
pub struct People(DatabaseConnection);

impl People {
    /// Over a connection.
    #[must_use]
    pub fn new(database: DatabaseConnection) -> Self {
        Self(database)
    }

    pub(super) fn database(&self) -> &DatabaseConnection {
        &self.0
    }

    /// A page of the people within this reach, newest first, and how many match in all.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &PersonFilter,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<User>, u64), DbErr> {
        let found = user::Entity::find().filter(within(reach)).filter(matching(filter));
        let total = found.clone().count(&self.0).await?;
        let rows = found.order_by_desc(user::Column::Id).offset(skip).limit(limit).all(&self.0).await?;
        Ok((with_names(&self.0, rows).await?, total))
    }

    /// One person; `None` when there is none of this id within this reach.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn get(&self, reach: &Reach, id: i64) -> Result<Option<User>, DbErr> {
        match find(&self.0, reach, id).await? {
            Some(row) => Ok(with_names(&self.0, vec![row]).await?.pop()),
            None => Ok(None),
        }
    }

    /// Changes what is known of a person; `None` when there is none of this id within this reach.
    /// Also answers the row id of the instance, to be announced as changed.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn update(
        &self,
        by: &Actor,
        reach: &Reach,
        id: i64,
        patch: PersonPatch,
    ) -> Result<Option<(User, i64)>, DbErr> {
        let transaction = database::begin_write(&self.0).await?;
        let Some(row) = find(&transaction, reach, id).await? else { return Ok(None) };
        let before = one(&transaction, row.clone()).await?;
        let mut row = row.into_active_model();
        if let Some(email) = patch.email {
            row.email = Set(email);
        }
        if let Some(data) = patch.user_data {
            row.user_data = Set(data.map(Value::Object));
        }
        row.updated_at = Set(now());
        let changed = row.update(&transaction).await?;
        let done = finish(transaction, by, "user.update", &before, changed).await?;
        Ok(Some(done))
    }

    /// Gives a person another name; one that they have already stays. Otherwise as
    /// [`People::update`].
    ///
    /// # Errors
    /// [`LinkError::Taken`] when another person of the instance has it, or a failure of the database.
    pub async fn link(
        &self,
        by: &Actor,
        reach: &Reach,
        id: i64,
        name: ExternalId,
    ) -> Result<Option<(User, i64)>, LinkError> {
        let transaction = database::begin_write(&self.0).await?;
        let Some(row) = find(&transaction, reach, id).await? else { return Ok(None) };
        let before = one(&transaction, row.clone()).await?;
        if !before.external_ids.contains(&name) {
            let link = external_id::ActiveModel {
                id: NotSet,
                instance_name: Set(row.instance_name.clone()),
                user_id: Set(id),
                provider: Set(name.provider),
                external_id: Set(name.external_id),
                created_at: Set(now()),
            };
            link.insert(&transaction).await?;
        }
        Ok(Some(finish(transaction, by, "user.link", &before, row).await?))
    }

    /// Takes a name away; one that they do not have is gone already. Otherwise as
    /// [`People::update`].
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn unlink(
        &self,
        by: &Actor,
        reach: &Reach,
        id: i64,
        name: &ExternalId,
    ) -> Result<Option<(User, i64)>, DbErr> {
        let transaction = database::begin_write(&self.0).await?;
        let Some(row) = find(&transaction, reach, id).await? else { return Ok(None) };
        let before = one(&transaction, row.clone()).await?;
        external_id::Entity::delete_many()
            .filter(external_id::Column::UserId.eq(id))
            .filter(external_id::Column::Provider.eq(&name.provider))
            .filter(external_id::Column::ExternalId.eq(&name.external_id))
            .exec(&transaction)
            .await?;
        Ok(Some(finish(transaction, by, "user.unlink", &before, row).await?))
    }

    /// What the agent is to know of somebody, beside what the channel says.
    pub(super) async fn profile(&self, instance_name: &str, phone: &str) -> Result<Option<Profile>, DbErr> {
        let columns = [user::Column::Email, user::Column::UserData];
        let row: Option<(Option<String>, Option<Value>)> = user::Entity::find()
            .select_only()
            .columns(columns)
            .filter(user::Column::InstanceName.eq(instance_name))
            .filter(user::Column::PhoneNumber.eq(with_plus(phone)))
            .into_tuple()
            .one(&self.0)
            .await?;
        Ok(row.map(|(email, data)| Profile::new(email, data)))
    }

    /// Whether anything is known of anybody of an instance beside what the channel says.
    pub(super) async fn has_profiles(&self, instance_name: &str) -> Result<bool, DbErr> {
        let known = Condition::any().add(user::Column::Email.is_not_null()).add(user::Column::UserData.is_not_null());
        let row: Option<i64> = user::Entity::find()
            .select_only()
            .column(user::Column::Id)
            .filter(user::Column::InstanceName.eq(instance_name))
            .filter(known)
            .limit(1)
            .into_tuple()
            .one(&self.0)
            .await?;
        Ok(row.is_some())
    }
}

async fn find(database: &impl ConnectionTrait, reach: &Reach, id: i64) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).filter(within(reach)).one(database).await
}

/// Writes the line of the audit log and commits, where something has changed.
async fn finish(
    transaction: DatabaseTransaction,
    by: &Actor,
    action: &'static str,
    before: &User,
    row: user::Model,
) -> Result<(User, i64), DbErr> {
    let after = one(&transaction, row).await?;
    let gone = || DbErr::RecordNotFound("the instance of a person".to_owned());
    let instance = row_id(&transaction, &after.instance_name).await?.ok_or_else(gone)?;
    let unchanged = |user: &User| User { updated_at: before.updated_at, ..user.clone() } == *before;
    if !unchanged(&after) {
        let json = |user: &User| serde_json::to_value(user).ok();
        let named = Some((instance, after.instance_name.as_str()));
        let (target, before, after) = (after.phone_number.as_str(), json(before), json(&after));
        audit::record(&transaction, by, Change { action, target, instance: named, before, after }).await?;
    }
    transaction.commit().await?;
    Ok((after, instance))
}

async fn one(database: &impl ConnectionTrait, row: user::Model) -> Result<User, DbErr> {
    let names = names_of(database, vec![row.id]).await?.remove(&row.id).unwrap_or_default();
    Ok(read(row, names))
}

async fn with_names(database: &impl ConnectionTrait, rows: Vec<user::Model>) -> Result<Vec<User>, DbErr> {
    let mut names = names_of(database, rows.iter().map(|row| row.id).collect()).await?;
    let mut whole = |row: user::Model| {
        let names = names.remove(&row.id).unwrap_or_default();
        read(row, names)
    };
    Ok(rows.into_iter().map(&mut whole).collect())
}

async fn names_of(database: &impl ConnectionTrait, ids: Vec<i64>) -> Result<HashMap<i64, Vec<ExternalId>>, DbErr> {
    let mut names: HashMap<i64, Vec<ExternalId>> = HashMap::new();
    let found = external_id::Entity::find().filter(external_id::Column::UserId.is_in(ids));
    for row in found.order_by_asc(external_id::Column::Id).all(database).await? {
        let name = ExternalId { provider: row.provider, external_id: row.external_id };
        names.entry(row.user_id).or_default().push(name);
    }
    Ok(names)
}

fn read(row: user::Model, external_ids: Vec<ExternalId>) -> User {
    User {
        id: row.id,
        instance_name: row.instance_name,
        phone_number: row.phone_number,
        email: row.email,
        user_data: row.user_data,
        last_agent_user_id: row.last_agent_user_id,
        external_ids,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn within(reach: &Reach) -> Condition {
    Condition::all().add_option(reach.names().map(|names| user::Column::InstanceName.is_in(names)))
}

fn matching(filter: &PersonFilter) -> Condition {
    let named = |name: &String| {
        let ids = external_id::Entity::find().select_only().column(external_id::Column::UserId);
        user::Column::Id.in_subquery(ids.filter(external_id::Column::ExternalId.eq(name)).into_query())
    };
    Condition::all()
        .add_option(filter.instance_name.as_ref().map(|name| user::Column::InstanceName.eq(name)))
        .add_option(filter.phone_number.as_deref().map(|phone| user::Column::PhoneNumber.eq(with_plus(phone))))
        .add_option(filter.email.as_ref().map(|email| user::Column::Email.eq(email)))
        .add_option(filter.external_id.as_ref().map(named))
}

pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
