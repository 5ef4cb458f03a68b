//! `GET /api/v1/traces/analytics/summary`: how many messages ended how, and how long they took.

use std::collections::{BTreeMap, HashMap};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use omnihub_common::{
    key::Reach,
    trace::{Analytics, Figures, Times, TraceFilter, Traces},
};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use utoipa::ToSchema;

use super::{invalid, query, unavailable, view::rounded};
use crate::{
    admin::{
        access::{Allowed, CanRead},
        query::Parameters,
    },
    problem::Problem,
};

/// The older system's fields first; its counts by name are maps, ours with more to tell are lists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceSummary)]
pub(super) struct Summary {
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    total_messages: i64,
    successful_messages: i64,
    failed_messages: i64,
    success_rate: f64,
    avg_processing_time_ms: Option<f64>,
    avg_agent_time_ms: Option<f64>,
    message_types: BTreeMap<String, i64>,
    error_stages: BTreeMap<String, i64>,
    instances: BTreeMap<String, i64>,
    outcomes: BTreeMap<String, i64>,
    outcome_reasons: BTreeMap<String, i64>,
    total_time_ms: Percentiles,
    agent_time_ms: Percentiles,
    by_instance: Vec<Part>,
    by_type: Vec<Part>,
    by_outcome: Vec<Part>,
    by_outcome_reason: Vec<Part>,
    by_error_stage: Vec<Part>,
    per_hour: Vec<Part>,
}

/// The figures of some of the messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceFigures)]
struct Part {
    key: String,
    total: i64,
    successful: i64,
    failed: i64,
    success_rate: f64,
    total_time_ms: Percentiles,
    agent_time_ms: Percentiles,
}

/// Null where no message has such a time.
#[derive(Debug, Serialize, ToSchema)]
struct Percentiles {
    avg: Option<f64>,
    p50: Option<i32>,
    p95: Option<i32>,
    p99: Option<i32>,
}

/// `GET /api/v1/traces/analytics/summary`: takes every filter of the list, and is of the last 24
/// hours when no date and no `all_time` is given.
pub(super) async fn summary(
    access: Allowed<CanRead>,
    State(database): State<DatabaseConnection>,
    Parameters(given): Parameters,
) -> Result<Json<Summary>, Problem> {
    if let Some(name) = given.get("instance_name").map(|name| name.trim()).filter(|name| !name.is_empty()) {
        access.sees(name)?;
    }
    sum_up(&Traces::new(database), access.reach(), &given).await.map(Json)
}

pub(super) async fn sum_up(
    traces: &Traces,
    reach: &Reach,
    given: &HashMap<String, String>,
) -> Result<Summary, Problem> {
    let filter = query::period(given, Utc::now()).map_err(invalid)?;
    let analytics = traces.analytics(reach, &filter).await.map_err(unavailable)?;
    Ok(Summary::new(&filter, analytics))
}

impl Summary {
    fn new(filter: &TraceFilter, found: Analytics) -> Self {
        let counts = |parts: &[Figures]| parts.iter().map(|part| (part.key.clone(), part.total)).collect();
        let parts = |parts: Vec<Figures>| parts.into_iter().map(Part::from).collect();
        let all = found.all;
        Self {
            start_date: filter.from,
            end_date: filter.to,
            total_messages: all.total,
            successful_messages: all.completed,
            failed_messages: all.failed,
            success_rate: success_rate(&all),
            avg_processing_time_ms: all.total_time.average.map(rounded),
            avg_agent_time_ms: all.agent_time.average.map(rounded),
            message_types: counts(&found.by_type),
            error_stages: counts(&found.by_error_stage),
            instances: counts(&found.by_instance),
            outcomes: counts(&found.by_outcome),
            outcome_reasons: counts(&found.by_outcome_reason),
            total_time_ms: all.total_time.into(),
            agent_time_ms: all.agent_time.into(),
            by_instance: parts(found.by_instance),
            by_type: parts(found.by_type),
            by_outcome: parts(found.by_outcome),
            by_outcome_reason: parts(found.by_outcome_reason),
            by_error_stage: parts(found.by_error_stage),
            per_hour: parts(found.per_hour),
        }
    }
}

/// Of all messages, also those that have not ended, in per cent.
fn success_rate(figures: &Figures) -> f64 {
    match figures.total {
        0 => 0.0,
        total => rounded(100.0 * figures.completed as f64 / total as f64),
    }
}

impl From<Figures> for Part {
    fn from(figures: Figures) -> Self {
        Self {
            total: figures.total,
            successful: figures.completed,
            failed: figures.failed,
            success_rate: success_rate(&figures),
            total_time_ms: figures.total_time.into(),
            agent_time_ms: figures.agent_time.into(),
            key: figures.key,
        }
    }
}

impl From<Times> for Percentiles {
    fn from(times: Times) -> Self {
        Self { avg: times.average.map(rounded), p50: times.p50, p95: times.p95, p99: times.p99 }
    }
}
