//! `/api/v1/keys`: who else may use the API, for what, and on which instances.
//!
//! A key is shown once, in the answer to the POST that makes it. Only whoever may act on the hub
//! as a whole sees keys and makes them.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use omnihub_common::key::{ApiKey, Everyone, KeyError, NewKey, Reach, Scope, Scopes};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    TOTAL_COUNT,
    access::{Allowed, CanAdmin},
    body::Body,
    door::{Routes, delete, get},
    fields::{Fields, invalid, page},
    openapi::{
        field::{Field, ID, Kind, PAGE, field, text},
        says,
    },
    path::Path,
    query::Pairs,
};
use crate::{
    problem::{FieldError, Problem},
    state::AppState,
};

/// Characters of a name.
const MAX_NAME: usize = 100;
/// What stands for every instance.
const EVERY_INSTANCE: &str = "*";

/// What [`read`] reads.
const NEW: [Field; 4] = [
    text("name", "What it is for.").required(),
    field(
        "scopes",
        Kind::Such(|| json!({"type": "array", "items": {"enum": Scope::ALL.map(Scope::word)}})),
        "What it may do.",
    )
    .required(),
    field(
        "instances",
        Kind::Such(|| json!({"oneOf": [{"const": EVERY_INSTANCE}, {"type": "array", "items": {"type": "string"}}]})),
        "The instances that it reaches, by name, or `*`.",
    )
    .required(),
    field("expires_at", Kind::Time, "When it ends; never, unless said."),
];

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let making = says("Make a key")
        .more("`key` is in this answer, and never again.")
        .body(&NEW, json!({"name": "shop", "instances": ["acme"], "scopes": ["read", "send"]}))
        .makes::<KeyAnswer>();
    let ending = says("End a key for good").more("It stays in the list.").path(ID).answers::<KeyAnswer>();
    Routes::new()
        .route(
            "/api/v1/keys",
            get(list)
                .doc(
                    says("Keys, the oldest first, also those that have ended")
                        .query(PAGE)
                        .lists::<KeyAnswer>()
                        .with_total(),
                )
                .post(create)
                .doc(making),
        )
        .route("/api/v1/keys/{id}", delete(revoke).doc(ending))
}

/// A key as it is shown; `key` only when it was just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
struct KeyAnswer {
    id: i64,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    hint: String,
    instances: Instances,
    scopes: Scopes,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
    is_active: bool,
}

/// `"*"` or a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = KeyInstances)]
enum Instances {
    Every(&'static str),
    These(Vec<String>),
}

impl KeyAnswer {
    fn new(key: ApiKey, shown: Option<String>) -> Self {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let instances = match key.reach {
            Reach::Everyone(_) => Instances::Every(EVERY_INSTANCE),
            Reach::Only(names) => Instances::These(names.into_iter().collect()),
        };
        let expired = key.expires_at.is_some_and(|end| end <= Utc::now());
        Self {
            id: key.id,
            name: key.name,
            key: shown,
            hint: format!("****{}", key.hint),
            instances,
            scopes: key.scopes,
            created_at: time(key.created_at),
            expires_at: key.expires_at.map(time),
            is_active: key.revoked_at.is_none() && !expired,
            revoked_at: key.revoked_at.map(time),
            last_used_at: key.last_used_at.map(time),
        }
    }
}

/// `POST /api/v1/keys`: makes one, and shows it this once.
async fn create(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    body: Body,
) -> Result<(StatusCode, Json<KeyAnswer>), Problem> {
    let everyone = access.everyone()?;
    let new = read(Fields::read(body)?, everyone)?;
    let (made, shown) = state.keys.create(access.actor(), new).await.map_err(problem)?;
    tracing::info!(key.id = made.id, "a key was made");
    Ok((StatusCode::CREATED, Json(KeyAnswer::new(made, Some(shown.expose().to_owned())))))
}

/// `GET /api/v1/keys`: all of them, oldest first, also those that have ended.
async fn list(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    access.everyone()?;
    let (skip, limit) = page(&pairs)?;
    let (keys, total) = state.keys.list(skip, limit).await.map_err(problem)?;
    let answers: Vec<_> = keys.into_iter().map(|key| KeyAnswer::new(key, None)).collect();
    Ok(([(TOTAL_COUNT, total.to_string())], Json(answers)).into_response())
}

/// `DELETE /api/v1/keys/{id}`: ends one for good; it stays in the list.
async fn revoke(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<KeyAnswer>, Problem> {
    access.everyone()?;
    let found = match id.parse() {
        Ok(id) => state.keys.revoke(access.actor(), id).await.map_err(problem)?,
        Err(_) => None,
    };
    let revoked =
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "key_not_found", format!("Key '{id}' not found")))?;
    tracing::info!(key.id = revoked.id, "a key was revoked");
    Ok(Json(KeyAnswer::new(revoked, None)))
}

/// Reads `name`, `instances`, `scopes` and `expires_at`.
fn read(mut fields: Fields, everyone: Everyone) -> Result<NewKey, Problem> {
    let name = fields.text("name").check(&mut fields, "name", |name| {
        if name.chars().count() > MAX_NAME { Err(format!("must have at most {MAX_NAME} characters")) } else { Ok(name) }
    });
    let name = fields.kept("name", name);
    let name = fields.require("name", name);
    let scopes = fields.texts("scopes").check(&mut fields, "scopes", scopes);
    let scopes = fields.kept("scopes", scopes);
    let scopes = fields.require("scopes", scopes);
    let reach = reach(&mut fields, everyone);
    let expires_at = fields.text("expires_at").check(&mut fields, "expires_at", moment);
    let expires_at = expires_at.clearable().flatten();
    fields.finish()?;
    Ok(NewKey { name, scopes, reach, expires_at })
}

fn scopes(words: Vec<String>) -> Result<Scopes, String> {
    let scopes: Result<Scopes, _> = words.iter().map(|word| word.parse::<Scope>()).collect();
    match scopes {
        Ok(scopes) if scopes.is_empty() => Err("must name at least one of read, write, send and admin".to_owned()),
        scopes => scopes.map_err(|error| error.to_string()),
    }
}

/// `"*"`, or names. A name that is not there is a wrong field.
fn reach(fields: &mut Fields, everyone: Everyone) -> Reach {
    if fields.is_text("instances", EVERY_INSTANCE) {
        return Reach::Everyone(everyone);
    }
    let named = fields.texts("instances").check(fields, "instances", |names| match names.is_empty() {
        true => Err("must be a list of names, or \"*\""),
        false => Ok(names),
    });
    let named = fields.kept("instances", named);
    Reach::Only(fields.require("instances", named).into_iter().collect())
}

fn moment(text: String) -> Result<DateTime<Utc>, &'static str> {
    let wrong = "must be a time as 2027-01-31T12:00:00Z, in the future";
    let at = DateTime::parse_from_rfc3339(&text).map_err(|_| wrong)?.with_timezone(&Utc);
    if at > Utc::now() { Ok(at) } else { Err(wrong) }
}

/// The one table from what the table of keys says to a status.
fn problem(error: KeyError) -> Problem {
    if matches!(error, KeyError::NoInstance) {
        let message = "names an instance that is not there".to_owned();
        return invalid(vec![FieldError { field: "instances".to_owned(), message }]);
    }
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(error.message = %error, error.cause = cause, "the table of keys failed");
    let detail = "The database did not do it. Nothing was changed.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(5)
}

#[cfg(test)]
mod tests;
