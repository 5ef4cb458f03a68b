//! `/api/v1/traces/cleanup`: removes old traces with their payloads, or says how many would go.
//!
//! `DELETE` with a query is the older system's form, `POST` with a body what its documents said.
//! A call ends after a while and says what is left, since nobody's client waits for ever; the same
//! call again goes on.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use axum::{Json, extract::State, http::StatusCode};
use chrono::Utc;
use omnihub_common::{
    key::{Actor, Reach},
    trace::{Older, Traces},
};
use sea_orm::{DatabaseConnection, DbErr};
use serde_json::{Value, json};

use super::{
    invalid,
    query::{self, Cleanup},
    unavailable,
};
use crate::{
    admin::{
        access::{Allowed, CanWrite},
        body::Body,
        dead,
        query::Parameters,
    },
    problem::Problem,
};

/// A call goes on for so long, and a little longer for what it has begun.
const WORK_FOR: Duration = Duration::from_secs(10);

/// What a call answers that has done everything.
pub(super) fn example() -> Value {
    json!({
        "status": "completed",
        "traces_deleted": 1200,
        "traces_left": 0,
        "instances": {"acme": 1200},
        "cutoff_date": "2026-10-23T09:00:00Z",
        "message": "Deleted 1200 traces older than 30 days",
    })
}

/// `POST /api/v1/traces/cleanup` with `days_old`, `instance_name` and `dry_run` in a JSON body.
pub(super) async fn by_body(
    access: Allowed<CanWrite>,
    State(database): State<DatabaseConnection>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let given = dead::pairs_of_body(body)?.into_iter().collect();
    clean_up(&access, &Traces::new(database), &given).await.map(Json)
}

/// `DELETE /api/v1/traces/cleanup` with the same in the query.
pub(super) async fn by_query(
    access: Allowed<CanWrite>,
    State(database): State<DatabaseConnection>,
    Parameters(given): Parameters,
) -> Result<Json<Value>, Problem> {
    clean_up(&access, &Traces::new(database), &given).await.map(Json)
}

async fn clean_up(
    access: &Allowed<CanWrite>,
    traces: &Traces,
    given: &HashMap<String, String>,
) -> Result<Value, Problem> {
    let asked = query::cleanup(given, Utc::now()).map_err(invalid)?;
    if let Some(name) = &asked.instance_name {
        access.sees(name)?;
    }
    clean(traces, access.reach(), access.actor(), &asked, WORK_FOR).await
}

/// Does what is asked for, for so long.
pub(super) async fn clean(
    traces: &Traces,
    reach: &Reach,
    actor: &Actor,
    asked: &Cleanup,
    work_for: Duration,
) -> Result<Value, Problem> {
    let found = traces.older(reach, asked.instance_name.as_deref(), asked.than).await.map_err(unavailable)?;
    let total: u64 = found.iter().map(|older| older.traces).sum();
    let instances: BTreeMap<_, _> = found.iter().map(|older| (older.instance_name.as_str(), older.traces)).collect();
    let days = asked.days_old;
    if asked.dry_run {
        return Ok(json!({
            "status": "dry_run",
            "traces_to_delete": total,
            "instances": instances,
            "cutoff_date": asked.than,
            "message": format!("Would delete {total} traces older than {days} days"),
        }));
    }
    let deleted = remove(traces, actor, asked, &found, work_for).await?;
    // What the workers removed at the same time is gone, too.
    let left = traces.older(reach, asked.instance_name.as_deref(), asked.than).await.map_err(unavailable)?;
    let left: u64 = left.iter().map(|older| older.traces).sum();
    tracing::info!(traces.deleted = deleted, traces.left = left, "old traces were deleted");
    Ok(json!({
        "status": if left == 0 { "completed" } else { "unfinished" },
        "traces_deleted": deleted,
        "traces_left": left,
        "instances": instances,
        "cutoff_date": asked.than,
        "message": format!("Deleted {deleted} traces older than {days} days"),
    }))
}

/// Batch after batch, until nothing is left or the time is up.
async fn remove(
    traces: &Traces,
    actor: &Actor,
    asked: &Cleanup,
    found: &[Older],
    work_for: Duration,
) -> Result<u64, Problem> {
    let (began, mut deleted) = (Instant::now(), 0);
    for older in found {
        let mut wanted = Some((actor, older));
        loop {
            if deleted > 0 && began.elapsed() > work_for {
                return Ok(deleted);
            }
            let removed = traces.remove_older(&older.instance_name, asked.than, wanted.take()).await;
            match removed.map_err(|error| stopped(&error, deleted))? {
                0 => break,
                removed => deleted += removed,
            }
        }
    }
    Ok(deleted)
}

/// The database did not take a batch; those before it are gone.
fn stopped(error: &DbErr, deleted: u64) -> Problem {
    tracing::error!(error.message = %error, traces.deleted = deleted, "old traces cannot be deleted");
    let detail = format!("The database did not do it. {deleted} traces were deleted before; the same call goes on.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(5)
}
