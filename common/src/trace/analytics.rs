//! What many traces come to: how many ended well, and how long they took.
//!
//! Everything is computed in the database, by one statement per breakdown, all in one snapshot, so
//! that the sums agree. Percentiles are by nearest rank: each is a time that a message really
//! took, and the same on both databases.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, IsolationLevel, QueryResult, TransactionOptions, TransactionTrait,
    sea_query::{Expr, Order, Query, SelectStatement},
};

use super::{
    TraceFilter, Traces,
    entity::message_trace::{Column, Entity},
    repository::{condition, within},
};
use crate::key::Reach;

/// So many parts of a breakdown are told of, those with the most messages.
const MOST_PARTS: u64 = 1000;

/// The whole, and its breakdowns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analytics {
    /// All messages.
    pub all: Figures,
    /// By instance.
    pub by_instance: Vec<Figures>,
    /// By kind of message; `unknown` where none is kept.
    pub by_type: Vec<Figures>,
    /// By how they ended; messages that have not ended are in none.
    pub by_outcome: Vec<Figures>,
    /// By why they ended so.
    pub by_outcome_reason: Vec<Figures>,
    /// By the step at which an attempt failed.
    pub by_error_stage: Vec<Figures>,
    /// By the hour in which they were received, `2026-01-31T09:00:00Z`, the oldest first; hours
    /// without messages are left out.
    pub per_hour: Vec<Figures>,
}

/// The figures of some messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// What they have in common.
    pub key: String,
    /// How many.
    pub total: i64,
    /// Of these, how many ended well.
    pub completed: i64,
    /// How many are in the dead letters.
    pub failed: i64,
    /// From the webhook to the end.
    pub total_time: Times,
    /// What the agent took of it.
    pub agent_time: Times,
}

/// Times in milliseconds; none where no message has one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// The mean.
    pub average: Option<f64>,
    /// Half of the messages took no longer.
    pub p50: Option<i32>,
    /// 95 of 100 took no longer.
    pub p95: Option<i32>,
    /// 99 of 100 took no longer.
    pub p99: Option<i32>,
}

/// What a breakdown is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Nothing,
    Instance,
    Type,
    Outcome,
    OutcomeReason,
    ErrorStage,
    Hour,
}

impl By {
    /// What the messages of a part have in common, in SQL.
    fn key(self, backend: DbBackend) -> &'static str {
        match (self, backend) {
            (Self::Nothing, _) => "'all'",
            (Self::Instance, _) => "instance_name",
            (Self::Type, _) => "COALESCE(message_type, 'unknown')",
            (Self::Outcome, _) => "outcome",
            (Self::OutcomeReason, _) => "outcome_reason",
            (Self::ErrorStage, _) => "error_stage",
            // A moment is text there, in UTC.
            (Self::Hour, DbBackend::Sqlite) => "SUBSTR(received_at, 1, 13) || ':00:00Z'",
            (Self::Hour, _) => "TO_CHAR(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"')",
        }
    }

    /// The column without which a message is in no part.
    fn needs(self) -> Option<Column> {
        match self {
            Self::Outcome => Some(Column::Outcome),
            Self::OutcomeReason => Some(Column::OutcomeReason),
            Self::ErrorStage => Some(Column::ErrorStage),
            Self::Nothing | Self::Instance | Self::Type | Self::Hour => None,
        }
    }
}

impl Traces {
    /// The figures of the traces that a filter takes; its page plays no part.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn analytics(&self, reach: &Reach, filter: &TraceFilter) -> Result<Analytics, DbErr> {
        let backend = self.database.get_database_backend();
        // SQLite reads from one snapshot anyway.
        let isolation_level = (backend == DbBackend::Postgres).then_some(IsolationLevel::RepeatableRead);
        let options = TransactionOptions { isolation_level, ..TransactionOptions::default() };
        let snapshot = self.database.begin_with_options(options).await?;
        let broken_down = async |by: By| -> Result<Vec<Figures>, DbErr> {
            let rows = snapshot.query_all(&breakdown(by, backend, reach, filter)).await?;
            rows.iter().map(figures).collect()
        };
        let analytics = Analytics {
            all: broken_down(By::Nothing).await?.pop().unwrap_or_default(),
            by_instance: broken_down(By::Instance).await?,
            by_type: broken_down(By::Type).await?,
            by_outcome: broken_down(By::Outcome).await?,
            by_outcome_reason: broken_down(By::OutcomeReason).await?,
            by_error_stage: broken_down(By::ErrorStage).await?,
            per_hour: broken_down(By::Hour).await?,
        };
        snapshot.commit().await?;
        Ok(analytics)
    }
}

/// A row per part: counts, and of both times the mean and the percentiles.
fn breakdown(by: By, backend: DbBackend, reach: &Reach, filter: &TraceFilter) -> SelectStatement {
    let mut parts = Query::select();
    parts
        .column("part")
        .expr_as(Expr::cust("COUNT(*)"), "messages")
        .expr_as(Expr::cust("COUNT(CASE WHEN status = 'completed' THEN 1 END)"), "completed")
        .expr_as(Expr::cust("COUNT(CASE WHEN status = 'error' THEN 1 END)"), "failed");
    for time in ["total", "agent"] {
        parts.expr_as(Expr::cust(format!("CAST(AVG({time}_ms) AS DOUBLE PRECISION)")), format!("{time}_average"));
        for percent in [50, 95, 99] {
            // The smallest rank that has so many per cent at or below it. Ranks without a time are last.
            let rank = format!("MIN(CASE WHEN {time}_rank * 100 >= {percent} * {time}_times THEN {time}_ms END)");
            parts.expr_as(Expr::cust(rank), format!("{time}_p{percent}"));
        }
    }
    parts.from_subquery(ranked(by, backend, reach, filter), "ranked").group_by_col("part").limit(MOST_PARTS);
    match by {
        By::Hour => parts.order_by("part", Order::Asc).reset_limit(),
        _ => parts.order_by("messages", Order::Desc).order_by("part", Order::Asc),
    };
    parts
}

/// A row per message, with the rank of its times within its part.
fn ranked(by: By, backend: DbBackend, reach: &Reach, filter: &TraceFilter) -> SelectStatement {
    let key = by.key(backend);
    let mut ranked = Query::select();
    ranked.expr_as(Expr::cust(key), "part").column(Column::Status);
    for time in ["total", "agent"] {
        let column = format!("{time}_processing_time_ms");
        let rank = format!(
            "ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY CASE WHEN {column} IS NULL THEN 1 ELSE 0 END, {column})"
        );
        ranked
            .expr_as(Expr::cust(column.clone()), format!("{time}_ms"))
            .expr_as(Expr::cust(rank), format!("{time}_rank"))
            .expr_as(Expr::cust(format!("COUNT({column}) OVER (PARTITION BY {key})")), format!("{time}_times"));
    }
    ranked.from(Entity).cond_where(within(reach)).cond_where(condition(filter));
    if let Some(column) = by.needs() {
        ranked.and_where(column.is_not_null());
    }
    ranked
}

fn figures(row: &QueryResult) -> Result<Figures, DbErr> {
    let times = |time: &str| -> Result<Times, DbErr> {
        let percentile = |percent: u8| row.try_get("", &format!("{time}_p{percent}"));
        let average = row.try_get("", &format!("{time}_average"))?;
        Ok(Times { average, p50: percentile(50)?, p95: percentile(95)?, p99: percentile(99)? })
    };
    Ok(Figures {
        key: row.try_get("", "part")?,
        total: row.try_get("", "messages")?,
        completed: row.try_get("", "completed")?,
        failed: row.try_get("", "failed")?,
        total_time: times("total")?,
        agent_time: times("agent")?,
    })
}

#[cfg(test)]
mod tests;
