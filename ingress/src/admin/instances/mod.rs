//! `/api/v1/instances`: the tenants.
//!
//! `fields` reads a body and collects everything that is wrong with it, `body` knows the
//! fields of an instance, `answer` shows one with its secrets masked. The fields are flat, as
//! the older system had them, whatever the table looks like.

mod answer;
mod body;
mod fields;
#[cfg(test)]
mod tests;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::StatusCode,
    routing::{get, post},
};
use omnihub_common::{
    instance::{Deleted, StoreError},
    queue::InstanceToken,
};
use serde::Serialize;

use self::{answer::InstanceAnswer, fields::Fields};
use crate::{
    admin::access::AdminAccess,
    problem::{FieldError, Problem},
    state::AppState,
};

/// The channels that an instance can be on, as words.
const SUPPORTED_CHANNELS: [&str; 2] = ["whatsapp", "discord"];
/// The word that stands in the place of a name in one path: no instance may be called so.
const SUPPORTED_CHANNELS_PATH: &str = "supported-channels";
/// How many instances a page holds when nobody says.
const DEFAULT_LIMIT: u64 = 100;
/// How many it holds at most.
const MAX_LIMIT: u64 = 500;
/// Seconds after which a database that was away is worth another try.
const RETRY_AFTER: u64 = 5;

/// The routes, with their whole path.
pub fn routes() -> Router<AppState> {
    let one = get(show).put(update).delete(delete);
    Router::new()
        .route("/api/v1/instances", get(list).post(create))
        .route("/api/v1/instances/supported-channels", get(supported_channels))
        .route("/api/v1/instances/{name}", one)
        .route("/api/v1/instances/{name}/set-default", post(set_default))
}

/// What follows the deletion of an instance: every process forgets it, and whatever is kept of it
/// outside SQL goes.
async fn after_delete(state: &AppState, deleted: &Deleted) {
    state.announcer.changed(deleted.id).await;
    state.purger.purge(InstanceToken::new(&deleted.name, deleted.id)).await;
    tracing::info!(instance.name = deleted.name, instance.id = deleted.id, "an instance was deleted");
}

async fn create(
    _: AdminAccess,
    State(state): State<AppState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<InstanceAnswer>), Problem> {
    let (new, ignored) = body::read_new(Fields::read(body)?, &state.evolution_fallback)?;
    let made = state.instances.create(new).await.map_err(problem)?;
    state.announcer.changed(made.id).await;
    tracing::info!(instance.name = %made.name, instance.id = made.id, "an instance was made");
    Ok((StatusCode::CREATED, Json(InstanceAnswer::new(&made, ignored))))
}

async fn list(
    _: AdminAccess,
    State(state): State<AppState>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Vec<InstanceAnswer>>, Problem> {
    let (skip, limit) = page(&query.map(|Query(pairs)| pairs).unwrap_or_default())?;
    let all = state.instances.list(skip, limit).await.map_err(problem)?;
    Ok(Json(all.iter().map(|instance| InstanceAnswer::new(instance, Vec::new())).collect()))
}

async fn show(
    _: AdminAccess,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<InstanceAnswer>, Problem> {
    let found = state.instances.get(&name).await.map_err(problem)?.ok_or_else(|| not_found(&name))?;
    Ok(Json(InstanceAnswer::new(&found, Vec::new())))
}

async fn update(
    _: AdminAccess,
    State(state): State<AppState>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<InstanceAnswer>, Problem> {
    let fields = Fields::read(body)?;
    let current = state.instances.get(&name).await.map_err(problem)?.ok_or_else(|| not_found(&name))?;
    let (patch, ignored) = body::read_patch(fields, &current)?;
    let changed = state.instances.update(&name, patch).await.map_err(problem)?.ok_or_else(|| not_found(&name))?;
    state.announcer.changed(changed.id).await;
    tracing::info!(instance.name = %changed.name, instance.id = changed.id, "an instance was changed");
    Ok(Json(InstanceAnswer::new(&changed, ignored)))
}

async fn set_default(
    _: AdminAccess,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<InstanceAnswer>, Problem> {
    let changed = state.instances.set_default(&name).await.map_err(problem)?.ok_or_else(|| not_found(&name))?;
    state.announcer.changed(changed.id).await;
    tracing::info!(instance.name = %changed.name, instance.id = changed.id, "an instance was made the default");
    Ok(Json(InstanceAnswer::new(&changed, Vec::new())))
}

/// The answer to a deletion.
#[derive(Serialize)]
struct Message {
    message: String,
}

async fn delete(
    _: AdminAccess,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Message>, Problem> {
    let deleted = state.instances.delete(&name).await.map_err(problem)?.ok_or_else(|| not_found(&name))?;
    after_delete(&state, &deleted).await;
    Ok(Json(Message { message: format!("Instance '{}' deleted successfully", deleted.name) }))
}

/// The channels that an instance can be made for.
#[derive(Serialize)]
struct SupportedChannels {
    supported_channels: [&'static str; 2],
    total_channels: usize,
}

async fn supported_channels(_: AdminAccess) -> Json<SupportedChannels> {
    Json(SupportedChannels { supported_channels: SUPPORTED_CHANNELS, total_channels: SUPPORTED_CHANNELS.len() })
}

/// `skip` and `limit`; other parameters are ignored, as the older system did.
fn page(pairs: &[(String, String)]) -> Result<(u64, u64), Problem> {
    let mut errors = Vec::new();
    let mut number = |name: &str, default: u64, range: std::ops::RangeInclusive<u64>| {
        let Some((_, text)) = pairs.iter().rev().find(|(given, _)| given == name) else { return default };
        text.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
            let message = format!("must be a whole number from {} to {}", range.start(), range.end());
            errors.push(FieldError { field: name.to_owned(), message });
            default
        })
    };
    let skip = number("skip", 0, 0..=u64::from(u32::MAX));
    let limit = number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT);
    if errors.is_empty() { Ok((skip, limit)) } else { Err(invalid(errors)) }
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    let detail = format!("Not valid: {}.", names.join(", "));
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", detail).with_errors(errors)
}

fn not_found(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "instance_not_found", format!("Instance '{name}' not found"))
}

/// The one table from what the table of instances says to a status.
fn problem(error: StoreError) -> Problem {
    let message = match &error {
        StoreError::NameTaken => {
            let detail = "An instance of this name exists. Change it with PUT, or choose another name.";
            return Problem::new(StatusCode::CONFLICT, "instance_exists", detail);
        }
        StoreError::Database(_) | StoreError::Unreadable { .. } => error.with_causes(),
    };
    tracing::error!(error.message = message, "the table of instances failed");
    match error {
        StoreError::Unreadable { .. } => {
            let detail = format!("{message}. Give this process the key it was written with, or delete and make it.");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "instance_unreadable", detail)
        }
        _ => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "The database did not do it. Nothing was changed.",
        )
        .retry_after(RETRY_AFTER),
    }
}
