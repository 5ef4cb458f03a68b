//! How long traces are kept, and how those that are older go.
//!
//! A trace is old when it was received long ago and nothing was told of it since: one that came
//! back from the dead letters is kept anew. Its payloads go with it, by their foreign key; receipts go by
//! their own age. Rows go
//! in small batches, so that the recorder and readers never wait for long.
//!
//! What is absent: nothing here decides when; the workers do that for what has expired by itself,
//! and the admin API for what somebody wants gone.

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    TransactionTrait,
    sea_query::{Expr, ExprTrait, Query},
};
use serde_json::json;

use super::{
    Traces,
    entity::message_trace::{Column, Entity},
    receipt,
    repository::{within, writing},
};
use crate::{
    audit::{self, Change},
    key::{Actor, Reach},
};

/// For how many days traces are kept when neither the instance nor the hub says.
pub const DEFAULT_RETENTION_DAYS: u32 = 30;
/// How many days may be said.
pub const RETENTION_DAYS: RangeInclusive<u64> = 1..=3650;
/// So many traces go at once.
const BATCH: u64 = 500;

/// The moment before which traces are too old, when they are kept for so many days.
#[must_use]
pub fn kept_since(now: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    now.checked_sub_signed(TimeDelta::days(days.into())).unwrap_or(DateTime::UNIX_EPOCH)
}

/// How many old traces an instance has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Older {
    /// The instance's row id.
    pub instance_id: i64,
    /// The instance's name.
    pub instance_name: String,
    /// How many.
    pub traces: u64,
}

impl Traces {
    /// The instances, each with the days its traces are kept, where it says so itself.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn retentions(&self) -> Result<Vec<(String, Option<u32>)>, DbErr> {
        let query = Query::select().columns(["name", "trace_retention_days"]).from("instance_configs").to_owned();
        let rows = self.database.query_all(&query).await?;
        let read = |row: &sea_orm::QueryResult| {
            let days: Option<i32> = row.try_get("", "trace_retention_days")?;
            Ok((row.try_get("", "name")?, days.and_then(|days| u32::try_from(days).ok())))
        };
        rows.iter().map(read).collect()
    }

    /// How many old traces there are within this reach, by instance.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn older(&self, reach: &Reach, instance: Option<&str>, than: DateTime<Utc>) -> Result<Vec<Older>, DbErr> {
        let rows: Vec<(i64, String, i64)> = Entity::find()
            .filter(within(reach))
            .filter(Condition::all().add_option(instance.map(|name| Column::InstanceName.eq(name))))
            .filter(old(than))
            .select_only()
            .column(Column::InstanceId)
            .column(Column::InstanceName)
            .column_as(Column::TraceId.count(), "traces")
            .group_by(Column::InstanceId)
            .group_by(Column::InstanceName)
            .order_by_asc(Column::InstanceName)
            .into_tuple()
            .all(&self.database)
            .await?;
        let older = |(instance_id, instance_name, traces): (i64, String, i64)| Older {
            instance_id,
            instance_name,
            traces: traces.unsigned_abs(),
        };
        Ok(rows.into_iter().map(older).collect())
    }

    /// Removes the oldest traces of an instance, a batch of them, and says how many: none is the
    /// end. With somebody who wants it the first batch brings the line of the audit log, which
    /// tells of all that are to go.
    ///
    /// # Errors
    /// When the database cannot be written; then none of the batch is gone.
    pub async fn remove_older(
        &self,
        instance: &str,
        than: DateTime<Utc>,
        wanted: Option<(&Actor, &Older)>,
    ) -> Result<u64, DbErr> {
        let oldest = Entity::find()
            .select_only()
            .column(Column::TraceId)
            .filter(Column::InstanceName.eq(instance))
            .filter(old(than))
            .order_by_asc(Column::ReceivedAt)
            .limit(BATCH)
            .into_query();
        let delete =
            Query::delete().from_table(Entity).and_where(Expr::col(Column::TraceId).in_subquery(oldest)).to_owned();
        let transaction = self.database.begin_with_options(writing()).await?;
        let removed = transaction.execute(&delete).await?.rows_affected();
        transaction.execute(&receipt::older(instance, than)).await?;
        if let Some((actor, older)) = wanted {
            let change = Change {
                action: "trace.cleanup",
                target: instance,
                instance: Some((older.instance_id, instance)),
                before: Some(json!({"traces": older.traces})),
                after: Some(json!({"kept_since": than})),
            };
            audit::record(&transaction, actor, change).await?;
        }
        transaction.commit().await?;
        Ok(removed)
    }
}

fn old(than: DateTime<Utc>) -> Condition {
    Condition::all().add(Column::ReceivedAt.lt(than)).add(Column::UpdatedAt.lt(than))
}

#[cfg(test)]
mod tests;
