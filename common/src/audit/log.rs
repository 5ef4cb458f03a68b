//! Writing and reading the log.

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::entity::{ActiveModel, Column, Entity, Model};
use crate::key::{Actor, Reach};

/// What stands in the place of a person who was erased.
const FORGOTTEN: &str = "****";
/// Targets of one statement.
const FORGOTTEN_AT_ONCE: usize = 500;

/// A change that is about to be made.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// What is done, `<room>.<verb>`: `instance.update`, `key.revoke`.
    pub action: &'static str,
    /// To what, as people know it: a name, a phone, an id.
    pub target: &'a str,
    /// The instance that it belongs to: row id and name.
    pub instance: Option<(i64, &'a str)>,
    /// What was there, secrets masked.
    pub before: Option<Value>,
    /// What is there now, secrets masked.
    pub after: Option<Value>,
}

/// Writes a line, in the transaction of the change.
///
/// # Errors
/// A failure of the database; the change is not to be made then.
pub async fn record(transaction: &impl ConnectionTrait, by: &Actor, change: Change<'_>) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: NotSet,
        at: Set(Utc::now().trunc_subsecs(6)),
        key_id: Set(by.key_id),
        actor: Set(by.name.clone()),
        action: Set(change.action.to_owned()),
        target: Set(change.target.to_owned()),
        instance_id: Set(change.instance.map(|(id, _)| id)),
        instance_name: Set(change.instance.map(|(_, name)| name.to_owned())),
        before: Set(change.before),
        after: Set(change.after),
    };
    row.insert(transaction).await.map(drop)
}

/// Takes out of the lines of an instance what they say about some targets, since a person wants to
/// be forgotten: that something was done stays, to whom and what does not. `rooms` are the
/// beginnings of the actions that are meant.
pub(crate) async fn forget(
    transaction: &impl ConnectionTrait,
    instance_id: i64,
    rooms: &[&str],
    targets: &[String],
) -> Result<(), DbErr> {
    let of_rooms = rooms.iter().fold(Condition::any(), |any, room| any.add(Column::Action.starts_with(*room)));
    for some in targets.chunks(FORGOTTEN_AT_ONCE) {
        Entity::update_many()
            .col_expr(Column::Target, Expr::value(FORGOTTEN))
            .col_expr(Column::Before, Expr::value(Option::<Value>::None))
            .col_expr(Column::After, Expr::value(Option::<Value>::None))
            .filter(Column::InstanceId.eq(instance_id))
            .filter(of_rooms.clone())
            .filter(Column::Target.is_in(some))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// A line as it is read.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct Entry {
    /// Grows with time.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The row id of the key; none for the root key and the hub itself.
    pub key_id: Option<i64>,
    /// The name of the key, `root`, or `hub:` and a part of it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// Of which instance.
    pub instance_name: Option<String>,
    /// What was there, secrets masked.
    pub before: Option<Value>,
    /// What is there since, secrets masked.
    pub after: Option<Value>,
}

impl From<Model> for Entry {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            at: row.at,
            key_id: row.key_id,
            actor: row.actor,
            action: row.action,
            target: row.target,
            instance_name: row.instance_name,
            before: row.before,
            after: row.after,
        }
    }
}

/// Lines to read: every field that is set narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The instance's name.
    pub instance_name: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// What was done; a word without a dot is a whole room.
    pub action: Option<String>,
    /// At or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// At or before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Older than this line: where an earlier page ended.
    pub before: Option<i64>,
}

/// The log, for readers.
#[derive(Clone, Debug)]
pub struct AuditLog(DatabaseConnection);

impl AuditLog {
    /// Over a connection.
    #[must_use]
    pub fn new(database: DatabaseConnection) -> Self {
        Self(database)
    }

    /// The newest lines first. Who does not reach everyone sees the lines of their instances that
    /// are there now, not those of another one that had the name before.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn list(&self, reach: &Reach, filter: &AuditFilter, limit: u64) -> Result<Vec<Entry>, DbErr> {
        let found = Entity::find().filter(within(reach)).filter(matching(filter));
        let rows = found.order_by_desc(Column::Id).limit(limit).all(&self.0).await?;
        Ok(rows.into_iter().map(Entry::from).collect())
    }
}

fn within(reach: &Reach) -> Condition {
    let Some(names) = reach.names() else { return Condition::all() };
    let ids =
        Query::select().column("id").from("instance_configs").and_where(Expr::col("name").is_in(names)).to_owned();
    Condition::all().add(Column::InstanceId.in_subquery(ids))
}

fn matching(filter: &AuditFilter) -> Condition {
    let action = filter.action.as_deref().map(|word| match word.contains('.') {
        true => Column::Action.eq(word),
        false => Column::Action.starts_with(format!("{word}.")),
    });
    Condition::all()
        .add_option(filter.instance_name.as_deref().map(|name| Column::InstanceName.eq(name)))
        .add_option(filter.actor.as_deref().map(|actor| Column::Actor.eq(actor)))
        .add_option(action)
        .add_option(filter.from.map(|from| Column::At.gte(from)))
        .add_option(filter.to.map(|to| Column::At.lte(to)))
        .add_option(filter.before.map(|id| Column::Id.lt(id)))
}

#[cfg(test)]
mod tests;
