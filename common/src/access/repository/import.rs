//! Many rules at once.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{AccessError, AccessRules, Column, Entity, NewRule, for_instance, instance_of, now, row};
use crate::{
    audit::{self, Change},
    database,
    key::Actor,
};

/// Rows of one statement: far below the variables that either database allows.
const STATEMENT_ROWS: usize = 500;

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Imported {
    /// Rules that were not there.
    pub created: usize,
    /// Rules that were there with another reason.
    pub updated: usize,
    /// Rules that were there, or that the import names again.
    pub unchanged: usize,
    /// What is to be announced: row ids of instances, and [`crate::instance::WHOLE_HUB`].
    #[serde(skip)]
    pub announce: BTreeSet<i64>,
}

/// What tells rules of an instance apart: whom they mean and what they do.
type Known = HashMap<(String, String), (i64, Option<String>)>;

impl AccessRules {
    /// Makes all of these rules, or none. A rule that is there takes the reason, where one is given.
    /// With `dry_run` nothing is changed, and what would be is told.
    ///
    /// # Errors
    /// [`AccessError::NoInstance`], or a failure of the database.
    pub async fn import(&self, by: &Actor, rules: Vec<NewRule>, dry_run: bool) -> Result<Imported, AccessError> {
        let mut groups: HashMap<Option<String>, Vec<NewRule>> = HashMap::new();
        for rule in rules {
            groups.entry(rule.instance_name.clone()).or_default().push(rule);
        }
        let transaction = database::begin_write(&self.0).await?;
        let mut all = Imported::default();
        for (name, rules) in groups {
            let instance = instance_of(&transaction, name.as_deref()).await?;
            let done = import_for(&transaction, name.as_deref(), rules).await?;
            if done.created + done.updated > 0 {
                let after = Some(json!({"created": done.created, "updated": done.updated}));
                let target = name.as_deref().unwrap_or("*");
                let instance_named = name.as_deref().map(|name| (instance, name));
                let change = Change { action: "access.import", target, instance: instance_named, before: None, after };
                audit::record(&transaction, by, change).await?;
                all.announce.insert(instance);
            }
            all.created += done.created;
            all.updated += done.updated;
            all.unchanged += done.unchanged;
        }
        if dry_run {
            transaction.rollback().await?;
            all.announce.clear();
        } else {
            transaction.commit().await?;
        }
        Ok(all)
    }
}

/// The rules of one instance, or those for all.
async fn import_for(
    transaction: &impl ConnectionTrait,
    name: Option<&str>,
    rules: Vec<NewRule>,
) -> Result<Imported, AccessError> {
    let (mut known, mut done, mut new) = (known(transaction, name).await?, Imported::default(), Vec::new());
    for rule in rules {
        let key = (rule.pattern.to_string(), rule.action.as_str().to_owned());
        match known.get(&key) {
            Some((id, reason)) if rule.reason.is_some() && rule.reason != *reason => {
                // One that this import makes has no row yet: the first line of two holds.
                if *id == 0 {
                    done.unchanged += 1;
                    continue;
                }
                set_reason(transaction, *id, rule.reason.clone()).await?;
                done.updated += 1;
                let id = *id;
                known.insert(key, (id, rule.reason));
            }
            Some(_) => done.unchanged += 1,
            None => {
                known.insert(key, (0, rule.reason.clone()));
                new.push(row(rule));
            }
        }
    }
    done.created = new.len();
    while !new.is_empty() {
        let rest = new.split_off(new.len().min(STATEMENT_ROWS));
        Entity::insert_many(std::mem::replace(&mut new, rest)).exec_without_returning(transaction).await?;
    }
    Ok(done)
}

async fn known(transaction: &impl ConnectionTrait, name: Option<&str>) -> Result<Known, AccessError> {
    let columns = [Column::Id, Column::Pattern, Column::Action, Column::Reason];
    let rows = Entity::find().select_only().columns(columns).filter(for_instance(name));
    let rows: Vec<(i64, String, String, Option<String>)> = rows.into_tuple().all(transaction).await?;
    Ok(rows.into_iter().map(|(id, pattern, action, reason)| ((pattern, action), (id, reason))).collect())
}

async fn set_reason(transaction: &impl ConnectionTrait, id: i64, reason: Option<String>) -> Result<(), AccessError> {
    Entity::update_many()
        .col_expr(Column::Reason, Expr::value(reason))
        .col_expr(Column::UpdatedAt, Expr::value(now()))
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await?;
    Ok(())
}
