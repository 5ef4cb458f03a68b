//! The table of what instances have spent: one row for each that has a budget.
//!
//! A turn is counted in a transaction before its agent is asked, so that all workers together begin
//! no more than the budget says, whoever of them ends in between. Tokens are counted when an answer
//! has come: the questions that are under way when the budget is spent are still answered.

use std::sync::Arc;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QuerySelect,
    sea_query::OnConflict,
};

use super::{Directory, Instance, Spent, Unavailable, budget::Usage};
use crate::database;

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "instance_usage")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub instance_id: i64,
        pub minute: i64,
        pub minute_turns: i64,
        pub day: i64,
        pub day_turns: i64,
        pub day_tokens: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// What instances have spent.
#[derive(Clone, Debug)]
pub struct Budgets {
    database: DatabaseConnection,
    directory: Arc<Directory>,
}

impl Budgets {
    /// Over a connection; the directory knows whether the database can be asked.
    #[must_use]
    pub fn new(database: DatabaseConnection, directory: Arc<Directory>) -> Self {
        Self { database, directory }
    }

    /// Counts a turn that begins now (milliseconds since 1970), or says which budget has no room for it.
    ///
    /// # Errors
    /// When the database cannot be asked now: then nothing is counted.
    pub async fn begin_turn(&self, instance: &Instance, now: i64) -> Result<Result<(), Spent>, Unavailable> {
        if !instance.budget.is_any() {
            return Ok(Ok(()));
        }
        let counting = async {
            let transaction = database::begin_write(&self.database).await?;
            match usage(&transaction, instance.id).await?.at(now).with_turn(&instance.budget) {
                Ok(usage) => keep(transaction, instance.id, usage).await.map(Ok),
                Err(spent) => Ok(Err(spent)),
            }
        };
        self.directory.ask(counting).await
    }

    /// Counts the tokens of an answer.
    ///
    /// # Errors
    /// As [`Budgets::begin_turn`].
    pub async fn use_tokens(&self, instance: &Instance, tokens: i64, now: i64) -> Result<(), Unavailable> {
        if instance.budget.tokens_per_day.is_none() || tokens <= 0 {
            return Ok(());
        }
        let counting = async {
            let transaction = database::begin_write(&self.database).await?;
            let usage = usage(&transaction, instance.id).await?.at(now).with_tokens(tokens);
            keep(transaction, instance.id, usage).await
        };
        self.directory.ask(counting).await
    }
}

/// What an instance has spent; its row is held until the transaction ends.
async fn usage(transaction: &DatabaseTransaction, instance_id: i64) -> Result<Usage, DbErr> {
    let first = row(instance_id, Usage::default());
    let absent = OnConflict::column(Column::InstanceId).do_nothing().to_owned();
    Entity::insert(first).on_conflict(absent).exec_without_returning(transaction).await?;
    let row = Entity::find_by_id(instance_id).lock_exclusive().one(transaction).await?;
    let usage = row.map(|row| Usage {
        minute: row.minute,
        minute_turns: row.minute_turns,
        day: row.day,
        day_turns: row.day_turns,
        day_tokens: row.day_tokens,
    });
    Ok(usage.unwrap_or_default())
}

async fn keep(transaction: DatabaseTransaction, instance_id: i64, usage: Usage) -> Result<(), DbErr> {
    row(instance_id, usage).update(&transaction).await?;
    transaction.commit().await
}

fn row(instance_id: i64, usage: Usage) -> ActiveModel {
    ActiveModel {
        instance_id: Set(instance_id),
        minute: Set(usage.minute),
        minute_turns: Set(usage.minute_turns),
        day: Set(usage.day),
        day_turns: Set(usage.day_turns),
        day_tokens: Set(usage.day_tokens),
    }
}
