//! `/api/v1/instances/{name}/conversations`: how conversations stand, pause and resume.
//!
//! A conversation is called by the session name that its traces show. In a paused one the bot is
//! silent: what comes meanwhile is traced `ignored: paused`.

#[cfg(test)]
mod tests;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use omnihub_common::conversation::{Pauses, Standing};
use sea_orm::DbErr;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    TOTAL_COUNT,
    access::{Allowed, CanRead, CanWrite, no_such_instance},
    body::Body,
    door::{Routes, get, post},
    fields::{Fields, invalid, page},
    narrowed,
    openapi::{
        field::{Field, Kind, PAGE, field, text},
        says,
    },
    path::Path,
    query::Pairs,
};
use crate::{
    problem::{FieldError, Problem},
    state::AppState,
};

/// The longest pause with an end: a year.
const MAX_MINUTES: u64 = 366 * 24 * 60;
/// Characters of a conversation's name.
const MAX_SESSION: usize = 512;

/// What [`read_pause`] reads.
const PAUSE: [Field; 3] = [
    field("minutes", Kind::Whole(1, MAX_MINUTES), "How long."),
    field("until", Kind::Time, "Until when; not beside `minutes`."),
    text("reason", "Why, for people."),
];

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let pausing = says("Silence the bot in a conversation")
        .more("What comes meanwhile is traced `ignored: paused`. Without an end it lasts until somebody resumes.")
        .optional_body(&PAUSE, json!({"minutes": 60, "reason": "Ana has taken over"}))
        .answers::<ConversationAnswer>();
    let resuming = says("Let the bot answer again in a conversation").answers::<ConversationAnswer>();
    Routes::new()
        .route(
            "/api/v1/instances/{name}/conversations",
            get(list).doc(
                says("Conversations that are paused, the latest first")
                    .query(PAGE)
                    .lists::<ConversationAnswer>()
                    .with_total(),
            ),
        )
        .route(
            "/api/v1/instances/{name}/conversations/{session}",
            get(show).doc(
                says("How a conversation stands")
                    .more("One of which nothing was decided, or that never was, is active.")
                    .answers::<ConversationAnswer>(),
            ),
        )
        .route("/api/v1/instances/{name}/conversations/{session}/pause", post(pause).doc(pausing))
        .route("/api/v1/instances/{name}/conversations/{session}/resume", post(resume).doc(resuming))
}

/// A conversation as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversation)]
struct ConversationAnswer {
    #[serde(flatten)]
    standing: Standing,
    /// `active` or `paused`.
    state: &'static str,
}

impl From<Standing> for ConversationAnswer {
    fn from(standing: Standing) -> Self {
        let state = if standing.is_paused(Utc::now()) { "paused" } else { "active" };
        Self { standing, state }
    }
}

/// `GET /api/v1/instances/{name}/conversations`: those that are paused, the latest first.
async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    access.sees(&name)?;
    narrowed(&state.directory, &name).await?;
    let (skip, limit) = page(&pairs)?;
    let pauses = Pauses::new(state.database);
    let (found, total) =
        pauses.list(access.reach(), Some(&name), skip, limit).await.map_err(|error| unavailable(&error))?;
    let answers: Vec<ConversationAnswer> = found.into_iter().map(ConversationAnswer::from).collect();
    Ok(([(TOTAL_COUNT, total.to_string())], Json(answers)).into_response())
}

/// `GET /api/v1/instances/{name}/conversations/{session}`: one of which nothing was decided, or
/// that never was, is active.
async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path((name, session)): Path<(String, String)>,
) -> Result<Json<ConversationAnswer>, Problem> {
    access.sees(&name)?;
    narrowed(&state.directory, &name).await?;
    let session = session_name(session)?;
    let standing = Pauses::new(state.database).get(&name, &session).await.map_err(|error| unavailable(&error))?;
    Ok(Json(standing.into()))
}

/// `POST .../pause`: `minutes` or `until` give it an end, `reason` says why; the body may be empty.
async fn pause(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path((name, session)): Path<(String, String)>,
    body: Body,
) -> Result<Json<ConversationAnswer>, Problem> {
    access.sees(&name)?;
    let session = session_name(session)?;
    let (until, reason) = read_pause(body)?;
    let pauses = Pauses::new(state.database.clone());
    let done = pauses.pause(access.actor(), &name, &session, until, reason).await;
    decided(&state, &name, done).await
}

/// `POST .../resume`: one that is active stays so.
async fn resume(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path((name, session)): Path<(String, String)>,
) -> Result<Json<ConversationAnswer>, Problem> {
    access.sees(&name)?;
    let session = session_name(session)?;
    let done = Pauses::new(state.database.clone()).resume(access.actor(), &name, &session).await;
    decided(&state, &name, done).await
}

/// Tells every worker what was decided.
async fn decided(
    state: &AppState,
    name: &str,
    done: Result<Option<(Standing, i64)>, DbErr>,
) -> Result<Json<ConversationAnswer>, Problem> {
    let done = done.map_err(|error| unavailable(&error))?;
    let (standing, changed) = done.ok_or_else(|| no_such_instance(name))?;
    state.announcer.changed(changed).await;
    Ok(Json(standing.into()))
}

fn read_pause(body: Body) -> Result<(Option<DateTime<Utc>>, Option<String>), Problem> {
    if body.is_blank() {
        return Ok((None, None));
    }
    let mut fields = Fields::read(body)?.without_empty();
    let minutes = fields.number("minutes", 1..=MAX_MINUTES).clearable().flatten();
    let until = fields.text("until").check(&mut fields, "until", moment).clearable().flatten();
    if minutes.is_some() && until.is_some() {
        fields.wrong::<()>("until", "must not be given beside minutes");
    }
    let reason = fields.text("reason").clearable().flatten();
    fields.finish()?;
    let minutes = minutes.and_then(|minutes| i64::try_from(minutes).ok()).map(TimeDelta::minutes);
    Ok((until.or_else(|| minutes.map(|minutes| Utc::now() + minutes)), reason))
}

fn moment(text: String) -> Result<DateTime<Utc>, &'static str> {
    let wrong = "must be a time as 2027-01-31T12:00:00Z, in the future";
    let at = DateTime::parse_from_rfc3339(&text).map_err(|_| wrong)?.with_timezone(&Utc);
    if at > Utc::now() { Ok(at) } else { Err(wrong) }
}

fn session_name(session: String) -> Result<String, Problem> {
    let wrong = |message: &str| invalid(vec![FieldError { field: "session".to_owned(), message: message.to_owned() }]);
    if session.chars().count() > MAX_SESSION {
        return Err(wrong("is longer than the name of any conversation"));
    }
    Ok(session)
}

fn unavailable(error: &DbErr) -> Problem {
    tracing::error!(error.message = %error, "the table of conversations failed");
    let detail = "The database did not do it. Nothing was changed.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(5)
}
