//! `/api/v1/dead-letters`: messages that could not be answered, and what may be done with them.
//!
//! `asked` reads what is meant, `audited` notes who wants it, `view` shows letters with their secrets masked, `desk` does one
//! letter, `work` does many.

mod asked;
mod audited;
mod desk;
mod view;
mod work;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use omnihub_common::{
    key::Reach,
    queue::{
        InstanceToken, IntakeError, MediaError, PersonTracks,
        dead::{DeadLetterError, KeptLetter, LetterId, RedriveError},
    },
};
use serde_json::{Value, json};

pub(super) use self::asked::body as pairs_of_body;
pub use self::desk::DeadDesk;
use self::{asked::Asked, audited::Deed};
use super::{
    TOTAL_COUNT,
    access::{Allowed, CanRead, CanWrite},
    body::Body,
    door::{Routes, get, post},
    openapi::says,
    path::Path,
    query::Pairs,
};
use crate::{problem::Problem, state::AppState};

/// Seconds after which a queue or a database that was away is worth another try.
const RETRY_AFTER: u64 = 5;

/// An id as letters and traces have it.
const EXAMPLE_ID: &str = "0193f6a0-5c1e-5a7b-9d2e-3f4a5b6c7d8e";

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let redriving = says("Put many dead letters back into the queue")
        .more("A call ends after a while; `next_cursor` is the `cursor` of the call that goes on.")
        .optional_body(&asked::work(), json!({"instance_name": "acme", "since": "24h", "dry_run": true}))
        .nothing_else()
        .answers::<work::Redriven>();
    let dropping = says("Drop many dead letters")
        .more("A call ends after a while; `next_cursor` is the `cursor` of the call that goes on.")
        .query(asked::work())
        .answers::<work::Dropped>();
    let listing = says("Dead letters, the newest first")
        .query(asked::FIELDS)
        .query(asked::PAGE)
        .answers::<view::PageView>()
        .with_total();
    let back = says("Put a dead letter back into the queue")
        .answers_like(json!({"id": EXAMPLE_ID, "trace_id": EXAMPLE_ID, "instance_name": "acme", "redrives": 1}))
        .problem(409, "It cannot be redriven; `code` says why.");
    Routes::new()
        .route("/api/v1/dead-letters", get(list).doc(listing).delete(drop_many).doc(dropping))
        .route("/api/v1/dead-letters/redrive", post(redrive_many).doc(redriving))
        .route(
            "/api/v1/dead-letters/{id}",
            get(show)
                .doc(says("A dead letter with its payload").answers::<view::WholeView>())
                .delete(drop_one)
                .doc(says("Drop a dead letter").answers_like(json!({"message": "Dead letter '...' dropped"}))),
        )
        .route("/api/v1/dead-letters/{id}/redrive", post(redrive_one).doc(back))
}

/// `GET /api/v1/dead-letters`: the newest first.
async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    let asked = Asked::for_a_list(&pairs)?.within(access.reach());
    let page = desk(&state)?.letters().list(&asked.filter, asked.before, asked.limit).await.map_err(unreachable)?;
    let total = [(TOTAL_COUNT, page.matched.to_string())];
    Ok((total, Json(view::page(&page))).into_response())
}

/// `GET /api/v1/dead-letters/{id}`: one, with its payload.
async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<view::WholeView>, Problem> {
    let desk = desk(&state)?;
    let kept = found(desk, access.reach(), &id).await?;
    let instance = desk::instance_of(&state, &kept).await?;
    let why_not = match desk.check(&kept, instance.as_deref()).await {
        Err(RedriveError::Skipped(skip)) => Some(skip),
        Err(error) => return Err(not_done(error)),
        Ok(()) => None,
    };
    Ok(Json(view::whole(&kept, instance.as_deref(), why_not)))
}

/// `POST /api/v1/dead-letters/{id}/redrive`: back to the tail of its lane.
async fn redrive_one(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let desk = desk(&state)?;
    let kept = found(desk, access.reach(), &id).await?;
    let instance = desk::instance_of(&state, &kept).await?;
    desk.check(&kept, instance.as_deref()).await.map_err(not_done)?;
    audited::one(&state, access.actor(), Deed::Redrive, &kept).await?;
    let envelope = desk.redrive(&kept, instance.as_deref()).await.map_err(not_done)?;
    tracing::info!(trace.id = %envelope.trace_id, dead.redrives = envelope.redrives(), "a dead letter was redriven");
    Ok(Json(json!({
        "id": kept.id,
        "trace_id": envelope.trace_id,
        "instance_name": envelope.instance,
        "redrives": envelope.redrives(),
    })))
}

/// `POST /api/v1/dead-letters/redrive`: those of a filter, or all.
async fn redrive_many(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    body: Body,
) -> Result<Json<work::Redriven>, Problem> {
    let asked = Asked::for_work(&asked::body(body)?)?.within(access.reach());
    let desk = desk(&state)?;
    let meant = work::Meant::find(desk, &asked).await?;
    audited::many(&state, access.actor(), Deed::Redrive, &asked, &meant).await?;
    work::redrive(&state, desk, &asked, meant).await.map(Json)
}

/// `DELETE /api/v1/dead-letters/{id}`.
async fn drop_one(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let desk = desk(&state)?;
    let kept = found(desk, access.reach(), &id).await?;
    audited::one(&state, access.actor(), Deed::Drop, &kept).await?;
    desk.letters().drop_one(&kept).await.map_err(unreachable)?;
    tracing::info!(dead.id = kept.id, instance.token = kept.instance_token, "a dead letter was dropped");
    Ok(Json(json!({"message": format!("Dead letter '{}' dropped", kept.id)})))
}

/// `DELETE /api/v1/dead-letters`: those of a filter, or all.
async fn drop_many(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Json<work::Dropped>, Problem> {
    let asked = Asked::for_work(&pairs)?.within(access.reach());
    let desk = desk(&state)?;
    let meant = work::Meant::find(desk, &asked).await?;
    audited::many(&state, access.actor(), Deed::Drop, &asked, &meant).await?;
    work::drop_letters(desk, &asked, meant).await.map(Json)
}

/// Drops every letter of a person, since they are erased; answers how many there were. What the
/// audit log says of it is said of the erasure.
pub(super) async fn drop_of_person(state: &AppState, person: &PersonTracks) -> Result<u64, Problem> {
    let Some(desk) = state.dead.as_ref() else { return Ok(0) };
    let asked = Asked::of_person(person.clone());
    let meant = work::Meant::find(desk, &asked).await?;
    let done = work::drop_letters(desk, &asked, meant).await?;
    match done.next_cursor {
        None => Ok(done.dropped),
        Some(_) => Err(queue_unavailable("there are more dead letters than could be dropped at once; call again")),
    }
}

fn desk(state: &AppState) -> Result<&DeadDesk, Problem> {
    state.dead.as_ref().ok_or_else(|| queue_unavailable("this process has no queue"))
}

async fn found(desk: &DeadDesk, reach: &Reach, id: &str) -> Result<KeptLetter, Problem> {
    let kept = match LetterId::parse(id) {
        Some(id) => desk.letters().show(&id).await.map_err(unreachable)?,
        None => None,
    };
    let visible = |kept: &KeptLetter| reach.includes(InstanceToken::name(&kept.instance_token));
    kept.filter(visible).ok_or_else(|| {
        let detail = format!("Dead letter '{id}' not found: it may have been redriven, dropped or answered already");
        Problem::new(StatusCode::NOT_FOUND, "dead_letter_not_found", detail)
    })
}

/// The queue does not do it now.
pub(super) fn queue_unavailable(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue_unavailable", detail).retry_after(RETRY_AFTER)
}

fn unreachable(error: DeadLetterError) -> Problem {
    log(&error);
    queue_unavailable("the dead letters cannot be reached right now; again is harmless")
}

/// The one table from what a redrive says to a status.
fn not_done(error: RedriveError) -> Problem {
    let busy = |code, detail: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail.to_owned()).retry_after(RETRY_AFTER)
    };
    match error {
        RedriveError::Skipped(skip) => Problem::new(StatusCode::CONFLICT, skip.as_str(), skip.detail()),
        RedriveError::Queue(IntakeError::Full) | RedriveError::Objects(MediaError::Full) => {
            busy("queue_full", "the queue is full; redrive later")
        }
        RedriveError::Queue(IntakeError::Busy) => busy("queue_busy", "too many messages are being accepted at once"),
        error => {
            log(&error);
            queue_unavailable("the queue does not confirm; redriving again is harmless")
        }
    }
}

fn log(error: &dyn std::error::Error) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(error.message = %error, error.cause = cause, "the dead letters failed");
}
