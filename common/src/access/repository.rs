//! The table of rules.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, IntoActiveModel, ModelTrait,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, SqlErr,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Action, Pattern, RuleSet,
    entity::{ActiveModel, Column, Entity, Model},
};
use crate::{
    audit::{self, Change},
    database,
    instance::{WHOLE_HUB, row_id, row_ids},
    key::{Actor, Reach},
};

mod import;
#[cfg(test)]
mod tests;

pub use import::Imported;

/// Why the table did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The same rule is there already.
    #[error("there is such a rule already")]
    AlreadyThere,
    /// The instance that a rule is for is not there.
    #[error("there is no such instance")]
    NoInstance,
    /// What a row holds is no rule.
    #[error("the rule {0} cannot be read")]
    Unreadable(i64),
    /// The database failed.
    #[error("the database did not do it")]
    Database(#[source] DbErr),
}

impl From<DbErr> for AccessError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::AlreadyThere,
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => Self::NoInstance,
            _ => Self::Database(error),
        }
    }
}

/// A rule to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// The instance that it is for; none for all of them.
    pub instance_name: Option<String>,
    /// Whom it means, as somebody wrote it.
    pub phone_number: String,
    /// The same as it is compared.
    pub pattern: Pattern,
    /// What it does.
    pub action: Action,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What is changed of a rule; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulePatch {
    /// Whom it means: as somebody wrote it, and as it is compared.
    pub whom: Option<(String, Pattern)>,
    /// What it does.
    pub action: Option<Action>,
    /// Why; `Some(None)` takes it away.
    pub reason: Option<Option<String>>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rule {
    /// Its row id.
    pub id: i64,
    /// The instance that it is for; none for all of them.
    pub instance_name: Option<String>,
    /// Whom it means, as somebody wrote it.
    pub phone_number: String,
    /// What it does.
    pub action: Action,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Rules to list: every field that is set narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFilter {
    /// The instance that they are for.
    pub instance_name: Option<String>,
    /// What they do.
    pub action: Option<Action>,
    /// Whom they mean.
    pub pattern: Option<Pattern>,
    /// Older than this rule: where an earlier page ended.
    pub before: Option<i64>,
}

/// The table of rules.
#[derive(Clone, Debug)]
pub struct AccessRules(DatabaseConnection);

impl AccessRules {
    /// Over a connection.
    #[must_use]
    pub fn new(database: DatabaseConnection) -> Self {
        Self(database)
    }

    /// Makes a rule. Also answers what is to be announced as changed: the row id of its instance,
    /// or [`WHOLE_HUB`].
    ///
    /// # Errors
    /// [`AccessError::AlreadyThere`], [`AccessError::NoInstance`], or a failure of the database.
    pub async fn create(&self, by: &Actor, new: NewRule) -> Result<(Rule, i64), AccessError> {
        let transaction = database::begin_write(&self.0).await?;
        let instance = instance_of(&transaction, new.instance_name.as_deref()).await?;
        let rule = read(&row(new).insert(&transaction).await?)?;
        note(&transaction, by, "access.create", instance, None, Some(&rule)).await?;
        transaction.commit().await?;
        Ok((rule, instance))
    }

    /// A page of the rules within this reach, newest first, and how many match in all. Rules for
    /// all instances are seen by those who reach all.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn list(
        &self,
        reach: &Reach,
        filter: &RuleFilter,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<Rule>, u64), AccessError> {
        let found = Entity::find().filter(within(reach)).filter(matching(filter));
        let total = found.clone().count(&self.0).await?;
        let rows = found.order_by_desc(Column::Id).offset(skip).limit(limit).all(&self.0).await?;
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, total))
    }

    /// One rule; `None` when there is none of this id within this reach.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn get(&self, reach: &Reach, id: i64) -> Result<Option<Rule>, AccessError> {
        find(&self.0, reach, id).await?.as_ref().map(read).transpose()
    }

    /// Changes a rule; `None` when there is none of this id within this reach. Also answers what is
    /// to be announced, see [`AccessRules::create`].
    ///
    /// # Errors
    /// [`AccessError::AlreadyThere`] when it would be the same as another, or a failure of the
    /// database.
    pub async fn update(
        &self,
        by: &Actor,
        reach: &Reach,
        id: i64,
        patch: RulePatch,
    ) -> Result<Option<(Rule, i64)>, AccessError> {
        let transaction = database::begin_write(&self.0).await?;
        let Some(present) = find(&transaction, reach, id).await? else { return Ok(None) };
        let before = read(&present)?;
        let mut changed = present.into_active_model();
        if let Some((written, pattern)) = patch.whom {
            (changed.phone_number, changed.pattern) = (Set(written), Set(pattern.to_string()));
        }
        if let Some(action) = patch.action {
            changed.action = Set(action.as_str().to_owned());
        }
        if let Some(reason) = patch.reason {
            changed.reason = Set(reason);
        }
        changed.updated_at = Set(now());
        let after = read(&changed.update(&transaction).await?)?;
        let instance = instance_of(&transaction, after.instance_name.as_deref()).await?;
        note(&transaction, by, "access.update", instance, Some(&before), Some(&after)).await?;
        transaction.commit().await?;
        Ok(Some((after, instance)))
    }

    /// Removes a rule; `None` when there is none of this id within this reach. Also answers what is
    /// to be announced, see [`AccessRules::create`].
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn delete(&self, by: &Actor, reach: &Reach, id: i64) -> Result<Option<(Rule, i64)>, AccessError> {
        let transaction = database::begin_write(&self.0).await?;
        let Some(present) = find(&transaction, reach, id).await? else { return Ok(None) };
        let before = read(&present)?;
        let instance = instance_of(&transaction, before.instance_name.as_deref()).await?;
        present.delete(&transaction).await?;
        note(&transaction, by, "access.delete", instance, Some(&before), None).await?;
        transaction.commit().await?;
        Ok(Some((before, instance)))
    }

    /// The rules of an instance, or those for all, ready to decide.
    ///
    /// # Errors
    /// A failure of the database.
    pub async fn set_of(&self, instance_name: Option<&str>) -> Result<RuleSet, DbErr> {
        Ok(self.sets_of(for_instance(instance_name)).await?.into_values().next().unwrap_or_default())
    }

    /// All rules, by the instance that they are for.
    pub(super) async fn sets(&self) -> Result<HashMap<Option<String>, RuleSet>, DbErr> {
        self.sets_of(Condition::all()).await
    }

    /// The instances: names and row ids.
    pub(super) async fn instances(&self) -> Result<HashMap<String, i64>, DbErr> {
        row_ids(&self.0).await
    }

    async fn sets_of(&self, which: Condition) -> Result<HashMap<Option<String>, RuleSet>, DbErr> {
        let columns = [Column::Id, Column::InstanceName, Column::Pattern, Column::Action];
        let rows = Entity::find().select_only().columns(columns).filter(which);
        let rows: Vec<(i64, Option<String>, String, String)> = rows.into_tuple().all(&self.0).await?;
        let mut sets: HashMap<Option<String>, RuleSet> = HashMap::new();
        for (id, instance_name, pattern, action) in rows {
            match (Pattern::parse(&pattern), action.parse()) {
                (Ok(pattern), Ok(action)) => sets.entry(instance_name).or_default().add(id, &pattern, action),
                // Written by somebody else, or by a newer version: the others still hold.
                _ => tracing::warn!(rule.id = id, "an access rule cannot be read and is left out"),
            }
        }
        Ok(sets)
    }
}

/// The row id of the instance that a rule is for, or what stands for all of them.
async fn instance_of(transaction: &impl ConnectionTrait, name: Option<&str>) -> Result<i64, AccessError> {
    match name {
        None => Ok(WHOLE_HUB),
        Some(name) => row_id(transaction, name).await?.ok_or(AccessError::NoInstance),
    }
}

async fn find(database: &impl ConnectionTrait, reach: &Reach, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(within(reach)).one(database).await
}

fn row(new: NewRule) -> ActiveModel {
    let now = now();
    ActiveModel {
        id: NotSet,
        instance_name: Set(new.instance_name),
        phone_number: Set(new.phone_number),
        pattern: Set(new.pattern.to_string()),
        action: Set(new.action.as_str().to_owned()),
        reason: Set(new.reason),
        created_at: Set(now),
        updated_at: Set(now),
    }
}

fn read(row: &Model) -> Result<Rule, AccessError> {
    Ok(Rule {
        id: row.id,
        instance_name: row.instance_name.clone(),
        phone_number: row.phone_number.clone(),
        action: row.action.parse().map_err(|_| AccessError::Unreadable(row.id))?,
        reason: row.reason.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// A line of the audit log.
async fn note(
    transaction: &impl ConnectionTrait,
    by: &Actor,
    action: &'static str,
    instance: i64,
    before: Option<&Rule>,
    after: Option<&Rule>,
) -> Result<(), DbErr> {
    let Some(rule) = after.or(before) else { return Ok(()) };
    let json = |rule: Option<&Rule>| rule.and_then(|rule| serde_json::to_value(rule).ok());
    let instance = rule.instance_name.as_deref().map(|name| (instance, name));
    let (before, after): (Option<Value>, Option<Value>) = (json(before), json(after));
    audit::record(transaction, by, Change { action, target: &rule.phone_number, instance, before, after }).await
}

fn within(reach: &Reach) -> Condition {
    Condition::all().add_option(reach.names().map(|names| Column::InstanceName.is_in(names)))
}

fn matching(filter: &RuleFilter) -> Condition {
    Condition::all()
        .add_option(filter.instance_name.as_deref().map(|name| Column::InstanceName.eq(name)))
        .add_option(filter.action.map(|action| Column::Action.eq(action.as_str())))
        .add_option(filter.pattern.as_ref().map(|pattern| Column::Pattern.eq(pattern.to_string())))
        .add_option(filter.before.map(|id| Column::Id.lt(id)))
}

fn for_instance(name: Option<&str>) -> Condition {
    Condition::all().add(match name {
        Some(name) => Column::InstanceName.eq(name),
        None => Column::InstanceName.is_null(),
    })
}

/// PostgreSQL keeps microseconds.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
