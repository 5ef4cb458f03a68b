//! `/api/v1/instances`: the tenants.
//!
//! `body` knows the fields of an instance (and `fields` above it how a body is read), `answer` shows
//! one with its secrets masked, `elsewhere` keeps them from doors that they were not given for. The
//! fields are flat, as the older system had them, whatever the table looks like.
//!
//! An instance on WhatsApp has an account on an Evolution server: `provision` makes and changes both
//! together, `removal` parts them, `lifecycle` is what an account goes through, `discover` looks
//! for accounts, and `troubles` says what Evolution did not do. `reached` is for the other rooms that
//! ask something of an account.

#[cfg(test)]
mod account_tests;
mod agent;
mod answer;
mod body;
pub(super) mod connected;
mod discover;
mod documented;
mod elsewhere;
mod failover;
mod lifecycle;
mod manners;
mod media;
mod provision;
pub(super) mod reached;
mod removal;
#[cfg(test)]
mod tests;
mod troubles;

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use omnihub_common::{
    instance::{ChannelSettings, Deleted, Instance, StoreError},
    queue::InstanceToken,
    secret::MayRefer,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use self::{
    answer::InstanceAnswer,
    documented::by_evolution,
    provision::{Asker, to_its_end},
};
use crate::{
    admin::{
        access::{Allowed, CanAdmin, CanRead, CanWrite, no_such_instance},
        body::Body,
        door::{Routes, get, post},
        fields::{Fields, page},
        openapi::{field::PAGE, says},
        path::Path,
        query::Pairs,
    },
    problem::Problem,
    state::AppState,
};

/// The channels that an instance can be on, as words.
pub(super) const SUPPORTED_CHANNELS: [&str; 3] = ["whatsapp", "discord", "slack"];
/// Words that stand in the place of a name in paths: no instance may be called so.
const RESERVED_PATHS: [&str; 2] = ["supported-channels", "discover"];
/// The fields that Evolution is to know of.
const EVOLUTION_FIELDS: [&str; 5] =
    ["evolution_url", "evolution_key", "whatsapp_instance", "webhook_base64", "webhook_secret"];
/// Seconds after which a database that was away is worth another try.
const RETRY_AFTER: u64 = 5;

/// The routes, with their whole path.
pub fn routes() -> Routes {
    let making = by_evolution(says("Make an instance"))
        .more(
            "On WhatsApp the account at Evolution is made or adopted, and our webhook registered with it, unless \
             `provision` is false. `warnings` says what is worth a look.",
        )
        .body(&documented::fields(), documented::example())
        .makes::<InstanceAnswer>()
        .problem(409, "There is one of this name, here or at Evolution.");
    let changing = by_evolution(says("Change an instance"))
        .more("What is absent stays; `null` empties what may be empty. A mask stands for the secret that is there.")
        .body(&documented::changes(), json!({"agent_timeout": 90}))
        .answers::<InstanceAnswer>();
    let one = get(show)
        .doc(says("An instance").query([connected::documented()]).answers::<InstanceAnswer>())
        .put(update)
        .doc(changing)
        .delete(removal::delete)
        .doc(removal::documented());
    let default = says("Make an instance the one that is meant where none is named").answers::<InstanceAnswer>();
    Routes::new()
        .route(
            "/api/v1/instances",
            get(list)
                .doc(says("Instances, by name").query(PAGE).query([connected::documented()]).lists::<InstanceAnswer>())
                .post(create)
                .doc(making),
        )
        .route(
            "/api/v1/instances/supported-channels",
            get(supported_channels).doc(says("The channels that there are").answers::<SupportedChannels>()),
        )
        .route("/api/v1/instances/discover", post(discover::discover).doc(discover::documented()))
        .route("/api/v1/instances/{name}", one)
        .route("/api/v1/instances/{name}/set-default", post(set_default).doc(default))
        .merge(lifecycle::routes())
}

/// What follows the deletion of an instance: every process forgets it, and whatever is kept of it
/// outside SQL goes.
async fn after_delete(state: &AppState, deleted: &Deleted) {
    state.announcer.changed(deleted.id).await;
    state.purger.purge(InstanceToken::new(&deleted.name, deleted.id)).await;
    tracing::info!(instance.name = deleted.name, instance.id = deleted.id, "an instance was deleted");
}

async fn create(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    body: Body,
) -> Result<(StatusCode, Json<InstanceAnswer>), Problem> {
    access.everyone()?;
    let mut fields = Fields::read(body)?;
    let provision = fields.flag("provision").clearable().flatten().unwrap_or(true);
    let number = body::phone(&mut fields);
    let (new, mut remarks) = body::read_new(fields, &state.evolution_fallback)?;
    if provision && matches!(new.channel, ChannelSettings::Whatsapp(_)) {
        let (made, warnings) = to_its_end(provision::make(state.clone(), Asker::new(&access), new, number)).await?;
        remarks.extend(warnings);
        remarks.extend(media::out_of_reach(&state.evolution, &made));
        return Ok((StatusCode::CREATED, Json(InstanceAnswer::new(&made, remarks))));
    }
    let made = state.instances.by(access.actor()).create(new).await.map_err(problem)?;
    state.announcer.changed(made.id).await;
    tracing::info!(instance.name = %made.name, instance.id = made.id, "an instance was made");
    let remarks = with_unresolved(&state, &made, remarks).await;
    Ok((StatusCode::CREATED, Json(InstanceAnswer::new(&made, remarks))))
}

async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Json<Vec<InstanceAnswer>>, Problem> {
    let (skip, limit) = page(&pairs)?;
    let is_asked = connected::is_asked(&pairs)?;
    let all = state.instances.list(access.reach(), skip, limit).await.map_err(problem)?;
    if is_asked {
        return Ok(Json(connected::told(&state, all).await));
    }
    Ok(Json(all.iter().map(|instance| InstanceAnswer::new(instance, Vec::new())).collect()))
}

async fn show(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Pairs(pairs): Pairs,
) -> Result<Json<InstanceAnswer>, Problem> {
    access.sees(&name)?;
    let is_asked = connected::is_asked(&pairs)?;
    let found = state.instances.get(&name).await.map_err(problem)?.ok_or_else(|| no_such_instance(&name))?;
    let answer = match is_asked {
        true => connected::told(&state, vec![found]).await.pop(),
        false => Some(InstanceAnswer::new(&found, Vec::new())),
    };
    answer.map(Json).ok_or_else(|| no_such_instance(&name))
}

async fn update(
    access: Allowed<CanWrite>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<InstanceAnswer>, Problem> {
    access.sees(&name)?;
    let mut fields = Fields::read(body)?;
    let current = state.instances.get(&name).await.map_err(problem)?.ok_or_else(|| no_such_instance(&name))?;
    let may = match access.everyone() {
        Ok(_) => MayRefer::Anywhere,
        Err(_) => state.instances.secrets().for_tenant(&name),
    };
    let provision = fields.flag("provision").clearable().flatten();
    let named = fields.names_any(&EVOLUTION_FIELDS);
    let (patch, mut remarks) = body::read_patch(fields, &current, &may)?;
    if patch.is_default.is_some_and(|is_default| is_default != current.is_default) {
        // Another instance would lose it.
        access.everyone()?;
    }
    let change = provision::change(state.clone(), Asker::new(&access), current, patch, provision, named);
    let (changed, warnings) = to_its_end(change).await?;
    remarks.extend(warnings);
    let remarks = with_unresolved(&state, &changed, remarks).await;
    Ok(Json(InstanceAnswer::new(&changed, remarks)))
}

/// Whoever gives a reference that leads nowhere is told at once; it is kept all the same, since it
/// may lead somewhere where the workers run, or later.
async fn with_unresolved(state: &AppState, instance: &Instance, mut remarks: Vec<String>) -> Vec<String> {
    let resolved = state.instances.resolve(instance.clone(), Some(Duration::ZERO)).await;
    if let Err(StoreError::Unresolved { source, .. }) = resolved {
        remarks.push(source.to_string());
    }
    remarks.extend(media::out_of_reach(&state.evolution, instance));
    remarks
}

async fn set_default(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<InstanceAnswer>, Problem> {
    access.everyone()?;
    let changed = state
        .instances
        .by(access.actor())
        .set_default(&name)
        .await
        .map_err(problem)?
        .ok_or_else(|| no_such_instance(&name))?;
    state.announcer.changed(changed.id).await;
    tracing::info!(instance.name = %changed.name, instance.id = changed.id, "an instance was made the default");
    Ok(Json(InstanceAnswer::new(&changed, Vec::new())))
}

/// The channels that an instance can be made for.
#[derive(Serialize, ToSchema)]
struct SupportedChannels {
    supported_channels: [&'static str; SUPPORTED_CHANNELS.len()],
    total_channels: usize,
}

async fn supported_channels(_: Allowed<CanRead>) -> Json<SupportedChannels> {
    Json(SupportedChannels { supported_channels: SUPPORTED_CHANNELS, total_channels: SUPPORTED_CHANNELS.len() })
}

/// The one table from what the table of instances says to a status.
pub(super) fn problem(error: StoreError) -> Problem {
    let message = match &error {
        StoreError::NameTaken => {
            let detail = "An instance of this name exists. Change it with PUT, or choose another name.";
            return Problem::new(StatusCode::CONFLICT, "instance_exists", detail);
        }
        StoreError::Changed => {
            let detail = "Somebody else changed the instance meanwhile. Look at it, and try again.";
            return Problem::new(StatusCode::CONFLICT, "instance_changed", detail);
        }
        StoreError::Database(_) | StoreError::Unreadable { .. } | StoreError::Unresolved { .. } => error.with_causes(),
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
