//! `/api/v1/traces`: what happened to each message, and what many come to.
//!
//! `query` reads what is asked for, `view` shows traces, `summary` the figures of many; `cleanup`
//! removes old ones.
//!
//! The paths and names are those of the older system, so that its clients go on working; what it
//! lacked (totals, the texts, the agent's answer, the four payloads) is beside them.

mod cleanup;
mod query;
mod summary;
mod view;

use std::{collections::HashMap, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode},
    response::{AppendHeaders, IntoResponse, Response},
};
use omnihub_common::{
    key::Reach,
    trace::{Traces, bare_phone, entity::message_trace},
};
use sea_orm::{DatabaseConnection, DbErr};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

pub(super) use query::{END_OF_DAY, OUTCOMES, moment};

use super::{
    TOTAL_COUNT,
    access::{Allowed, CanRead},
    door::{Routes, get, post},
    openapi::{
        Doc,
        field::{Kind, PHONE, TRACE_ID, field as parameter, flag},
        says,
    },
    path::Path,
    query::Parameters,
};
use crate::problem::{FieldError, Problem};

/// How long a trace may take to appear after its webhook was answered: the recorder's batch and
/// its commit, with room for a busy database.
const APPEARS_WITHIN: Duration = Duration::from_secs(2);
/// How often the database is asked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Where the next page of a list begins.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");
/// The most traces of one phone in one list, as the older system had it.
const MAX_OF_A_PHONE: u64 = 500;

/// The routes of traces.
pub fn routes() -> Routes {
    let filter = query::parameters;
    let cleaning = says("Delete old traces with their payloads, or count them")
        .more("A call ends after a while; when `status` is `unfinished` the same call goes on.")
        .answers_like(cleanup::example());
    Routes::new()
        .route(
            "/api/v1/traces",
            get(list).doc(
                says("Traces, the newest first")
                    .query(filter())
                    .lists::<view::TraceView>()
                    .with_total()
                    .with_header("x-next-cursor", "`cursor` of the next page, while there is one."),
            ),
        )
        .route(
            "/api/v1/traces/analytics/summary",
            get(summary::summary).doc(
                says("What many messages come to")
                    .more("Of the last 24 hours when no date and no `all_time` is given.")
                    .query(filter())
                    .answers::<summary::Summary>(),
            ),
        )
        .route(
            "/api/v1/traces/cleanup",
            post(cleanup::by_body)
                .doc(
                    cleaning
                        .clone()
                        .optional_body(&query::CLEANUP, json!({"days_old": 30, "dry_run": true}))
                        .nothing_else(),
                )
                .delete(cleanup::by_query)
                .doc(cleaning.query(query::CLEANUP)),
        )
        .route("/api/v1/traces/phone/{phone}", get(of_a_phone).doc(documented_of_a_phone()))
        .route(
            "/api/v1/traces/{trace_id}",
            get(show).doc(says("A trace with its payloads").path(TRACE_ID).answers::<view::TraceDetail>()),
        )
        .route(
            "/api/v1/traces/{trace_id}/payloads",
            get(payloads).doc(
                says("What was sent and received on a message's way")
                    .path(TRACE_ID)
                    .query([flag("include_payload", "Whether with the payloads themselves; true unless said.")])
                    .lists::<view::PayloadView>(),
            ),
        )
}

fn documented_of_a_phone() -> Doc {
    says("Traces of one person, the newest first")
        .path(parameter("phone", PHONE, "A phone number, in any spelling."))
        .query([parameter("limit", Kind::Whole(1, MAX_OF_A_PHONE), "How many to answer; 50 when nothing is said.")])
        .lists::<view::TraceView>()
        .with_total()
}

/// `GET /api/v1/traces`: newest first, a plain array. The total is in `x-total-count`; while there is
/// more, `x-next-cursor` is the `cursor` of the next page, which counts no total again.
async fn list(
    access: Allowed<CanRead>,
    State(database): State<DatabaseConnection>,
    Parameters(given): Parameters,
) -> Result<Response, Problem> {
    list_traces(&Traces::new(database), access.reach(), &given).await
}

/// `GET /api/v1/traces/phone/{phone}`: those of one person, newest first.
async fn of_a_phone(
    access: Allowed<CanRead>,
    State(database): State<DatabaseConnection>,
    Path(phone): Path<String>,
    Parameters(given): Parameters,
) -> Result<Response, Problem> {
    list_of_a_phone(&Traces::new(database), access.reach(), phone, given).await
}

/// `GET /api/v1/traces/{trace_id}`: every column and the four payloads.
async fn show(
    access: Allowed<CanRead>,
    State(database): State<DatabaseConnection>,
    Path(trace_id): Path<String>,
) -> Result<Response, Problem> {
    show_trace(&Traces::new(database), access.reach(), &trace_id).await
}

/// `GET /api/v1/traces/{trace_id}/payloads`: what was sent and received on the way;
/// `include_payload=false` leaves the payloads themselves out.
async fn payloads(
    access: Allowed<CanRead>,
    State(database): State<DatabaseConnection>,
    Path(trace_id): Path<String>,
    Parameters(given): Parameters,
) -> Result<Response, Problem> {
    show_payloads(&Traces::new(database), access.reach(), &trace_id, &given).await
}

async fn list_traces(traces: &Traces, reach: &Reach, given: &HashMap<String, String>) -> Result<Response, Problem> {
    let filter = query::filter(given).map_err(invalid)?;
    let page = traces.list(reach, &filter).await.map_err(unavailable)?;
    let views: Vec<_> = page.rows.into_iter().map(view::TraceView::from).collect();
    let total = page.total.map(|total| (TOTAL_COUNT, total.to_string()));
    let next = page.next.map(|next| (NEXT_CURSOR, next.to_string()));
    let headers: Vec<_> = total.into_iter().chain(next).collect();
    Ok((AppendHeaders(headers), Json(views)).into_response())
}

/// `limit` alone is read of the query: a person's traces are of any time.
async fn list_of_a_phone(
    traces: &Traces,
    reach: &Reach,
    phone: String,
    mut given: HashMap<String, String>,
) -> Result<Response, Problem> {
    given.retain(|name, _| name == "limit");
    if given.get("limit").is_some_and(|limit| limit.trim().parse().is_ok_and(|limit: u64| limit > MAX_OF_A_PHONE)) {
        return Err(invalid(vec![field("limit", format!("expected a number from 1 to {MAX_OF_A_PHONE}"))]));
    }
    if bare_phone(&phone).is_empty() {
        return Err(invalid(vec![field("phone", "expected a phone number")]));
    }
    given.insert("phone".to_owned(), phone);
    list_traces(traces, reach, &given).await
}

async fn show_trace(traces: &Traces, reach: &Reach, trace_id: &str) -> Result<Response, Problem> {
    let trace = awaited(traces, reach, trace_id).await?;
    let payloads = traces.payloads(reach, trace.trace_id).await.map_err(unavailable)?;
    let states = traces.bubble_states(&trace).await.map_err(unavailable)?;
    Ok(Json(view::TraceDetail::new(trace, &payloads, states)).into_response())
}

async fn show_payloads(
    traces: &Traces,
    reach: &Reach,
    trace_id: &str,
    given: &HashMap<String, String>,
) -> Result<Response, Problem> {
    let include = query::flag(given, "include_payload").map_err(invalid)?.unwrap_or(true);
    let trace = awaited(traces, reach, trace_id).await?;
    let payloads = traces.payloads(reach, trace.trace_id).await.map_err(unavailable)?;
    let views: Vec<_> = payloads.iter().map(|row| view::PayloadView::new(row, &trace, include)).collect();
    Ok(Json(views).into_response())
}

/// The trace, waited for a moment.
///
/// A webhook's 200 names its trace id as soon as the queue has the message; the recorder writes
/// the row a moment later. A caller who asks at once must not be told that there is no such trace.
pub(super) async fn awaited(traces: &Traces, reach: &Reach, trace_id: &str) -> Result<message_trace::Model, Problem> {
    let id = Uuid::parse_str(trace_id).map_err(|_| invalid(vec![field("trace_id", "expected a UUID")]))?;
    let deadline = Instant::now() + APPEARS_WITHIN;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if let Some(trace) = traces.get(reach, id).await.map_err(unavailable)? {
            return Ok(trace);
        }
        if Instant::now() >= deadline {
            return Err(Problem::new(StatusCode::NOT_FOUND, "trace_not_found", format!("Trace '{id}' not found")));
        }
    }
}

pub(super) fn field(field: &str, message: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), message: message.into() }
}

pub(super) fn invalid(errors: Vec<FieldError>) -> Problem {
    let named: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_parameter", named.join("; ")).with_errors(errors)
}

/// The request was right; the database could not be read.
pub(super) fn unavailable(error: DbErr) -> Problem {
    tracing::error!(error.message = %error, "traces cannot be read");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", "the database cannot be read; try again")
        .retry_after(1)
}

#[cfg(test)]
mod tests;
