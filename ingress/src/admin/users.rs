//! `/api/v1/users`: the people whom an instance has answered, and what the agent is told of them.

#[cfg(test)]
mod tests;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use omnihub_common::person::{ExternalId, LinkError, People, PersonFilter, PersonPatch, User};
use sea_orm::DbErr;
use serde_json::{Map, Value, json};

use super::{
    TOTAL_COUNT,
    access::{Allowed, CanRead, CanWrite},
    body::Body,
    door::{Routes, get, post},
    fields::{Fields, invalid, page},
    openapi::{
        field::{Field, ID, INSTANCE_NAME, Kind, PAGE, field, text},
        says,
    },
    path::Path,
    query::Pairs,
};
use crate::{
    problem::{FieldError, Problem},
    state::AppState,
};

/// Characters of an address, of a provider and of a name there.
const MAX_WORD: usize = 254;
/// Bytes of `user_data` as JSON: it travels in every question to the agent.
const MAX_DATA: usize = 16 * 1024;

/// What [`filter`] reads.
const FILTER: [Field; 5] = [
    INSTANCE_NAME,
    text("phone_number", "Only who has this number."),
    text("phone", "The same as `phone_number`."),
    text("email", "Only who has this address."),
    text("external_id", "Only who has this other name."),
];
/// What [`read_patch`] reads.
const EMAIL: Kind = Kind::Such(|| json!({"type": "string", "format": "email"}));
const PATCH: [Field; 2] =
    [field("email", EMAIL, "An address."), field("user_data", Kind::Object, "Anything else, at most 16 KiB.")];

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let external_id = [
        text("provider", "Whose name it is: a channel, or a system of your own.").required(),
        text("external_id", "The name.").required(),
    ];
    let changing = says("Change what the agent is told of a person")
        .more("What is absent stays, `null` clears. The agent is told from the next question on.")
        .body(&PATCH, json!({"email": "maria@example.com", "user_data": {"plan": "gold"}}))
        .answers::<User>();
    let linking = says("Give a person another name")
        .body(&external_id, json!({"provider": "crm", "external_id": "4711"}))
        .answers::<User>()
        .problem(409, "Another person of the instance has this name.");
    let unlinking = says("Take another name from a person").query(external_id).answers::<User>();
    Routes::new()
        .route(
            "/api/v1/users",
            get(list).doc(says("People, the newest first").query(FILTER).query(PAGE).lists::<User>().with_total()),
        )
        .route(
            "/api/v1/users/{id}",
            get(show).doc(says("A person").path(ID).answers::<User>()).patch(update).put(update).doc(changing.path(ID)),
        )
        .route(
            "/api/v1/users/{id}/external-ids",
            post(link).doc(linking.path(ID)).delete(unlink).doc(unlinking.path(ID)),
        )
}

/// `GET /api/v1/users`: newest first, narrowed by `instance_name`, `phone_number` (or `phone`),
/// `email` and `external_id`.
async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Response, Problem> {
    let (skip, limit) = page(&pairs)?;
    let filter = filter(&pairs)?;
    let people = People::new(state.database);
    let (users, total) =
        people.list(access.reach(), &filter, skip, limit).await.map_err(|error| unavailable(&error))?;
    Ok(([(TOTAL_COUNT, total.to_string())], Json(users)).into_response())
}

/// `GET /api/v1/users/{id}`.
async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<User>, Problem> {
    let found = match id.parse() {
        Ok(id) => People::new(state.database).get(access.reach(), id).await,
        Err(_) => Ok(None),
    };
    found.map_err(|error| unavailable(&error))?.map(Json).ok_or_else(|| no_such_user(&id))
}

/// `PATCH` (and `PUT`) `/api/v1/users/{id}`: `email` and `user_data`; what is absent stays, `null`
/// clears. The agent is told both from the next question on.
async fn update(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<User>, Problem> {
    let patch = read_patch(Fields::read(body)?)?;
    let people = People::new(state.database.clone());
    let changed = match id.parse() {
        Ok(id) => people.update(access.actor(), access.reach(), id, patch).await,
        Err(_) => Ok(None),
    };
    changed_user(&state, &id, changed.map_err(|error| unavailable(&error))?).await
}

/// `POST /api/v1/users/{id}/external-ids`: `provider` and `external_id`; one that they have stays.
async fn link(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<User>, Problem> {
    let mut fields = Fields::read(body)?;
    let (provider, external_id) = (word(&mut fields, "provider"), word(&mut fields, "external_id"));
    fields.finish()?;
    let people = People::new(state.database.clone());
    let linked = match id.parse() {
        Ok(id) => people.link(access.actor(), access.reach(), id, ExternalId { provider, external_id }).await,
        Err(_) => Ok(None),
    };
    let linked = linked.map_err(|error| match error {
        LinkError::Taken => {
            let detail = "Another person of this instance has this name there; unlink it from them first.";
            Problem::new(StatusCode::CONFLICT, "external_id_taken", detail)
        }
        LinkError::Database(error) => unavailable(&error),
    })?;
    changed_user(&state, &id, linked).await
}

/// `DELETE /api/v1/users/{id}/external-ids?provider=&external_id=`: one that they do not have is
/// gone already.
async fn unlink(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    Pairs(pairs): Pairs,
) -> Result<Json<User>, Problem> {
    let given = pairs.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
    let mut fields = Fields::of(given);
    let (provider, external_id) = (word(&mut fields, "provider"), word(&mut fields, "external_id"));
    fields.finish()?;
    let people = People::new(state.database.clone());
    let unlinked = match id.parse() {
        Ok(id) => people.unlink(access.actor(), access.reach(), id, &ExternalId { provider, external_id }).await,
        Err(_) => Ok(None),
    };
    changed_user(&state, &id, unlinked.map_err(|error| unavailable(&error))?).await
}

/// Tells every worker, since the agent is told of people.
async fn changed_user(state: &AppState, id: &str, changed: Option<(User, i64)>) -> Result<Json<User>, Problem> {
    let (user, instance) = changed.ok_or_else(|| no_such_user(id))?;
    state.announcer.changed(instance).await;
    Ok(Json(user))
}

fn filter(pairs: &[(String, String)]) -> Result<PersonFilter, Problem> {
    let mut errors = Vec::new();
    let mut text = |name: &str| {
        let found = pairs.iter().rev().find(|(given, _)| given == name);
        let text = found.map(|(_, text)| text.trim().to_owned()).filter(|text| !text.is_empty())?;
        if text.contains('\0') {
            errors.push(FieldError { field: name.to_owned(), message: "must not contain U+0000".to_owned() });
        }
        Some(text)
    };
    let filter = PersonFilter {
        instance_name: text("instance_name"),
        phone_number: text("phone_number").or_else(|| text("phone")),
        email: text("email"),
        external_id: text("external_id"),
    };
    if errors.is_empty() { Ok(filter) } else { Err(invalid(errors)) }
}

fn read_patch(mut fields: Fields) -> Result<PersonPatch, Problem> {
    let email = fields.text("email").check(&mut fields, "email", address).clearable();
    let user_data = fields.object("user_data").check(&mut fields, "user_data", data).clearable();
    fields.finish()?;
    Ok(PersonPatch { email, user_data })
}

/// What an address looks like; whether somebody reads it only a letter can tell.
fn address(text: String) -> Result<String, &'static str> {
    let parts = text.rsplit_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if parts.is_some() && plain && text.chars().count() <= MAX_WORD {
        Ok(text)
    } else {
        Err("must be an address as name@example.com")
    }
}

fn data(data: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let value = Value::Object(data);
    if value.to_string().len() > MAX_DATA {
        return Err(format!("must be at most {} KiB of JSON, since the agent is told it every time", MAX_DATA / 1024));
    }
    if has_nul(&value) {
        return Err("must not contain U+0000".to_owned());
    }
    match value {
        Value::Object(data) => Ok(data),
        _ => Ok(Map::new()),
    }
}

/// PostgreSQL keeps no U+0000 in JSON either.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(entries) => entries.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A short text that must be there.
fn word(fields: &mut Fields, name: &str) -> String {
    let given = fields.text(name).check(fields, name, |text| match text.chars().count() <= MAX_WORD {
        true => Ok(text),
        false => Err(format!("must have at most {MAX_WORD} characters")),
    });
    let kept = fields.kept(name, given);
    fields.require(name, kept)
}

fn no_such_user(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "user_not_found", format!("User '{id}' not found"))
}

/// The database failed.
pub(super) fn unavailable(error: &DbErr) -> Problem {
    tracing::error!(error.message = %error, "the table of people failed");
    let detail = "The database did not do it. Nothing was changed.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(5)
}
