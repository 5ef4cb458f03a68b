//! Deleting an instance, with its account at Evolution or without, never half.
//!
//! The account first, the row after it: what is left of a deletion that broke off is the row, and
//! the same call again finds no account and goes on.

use axum::{Json, extract::State};
use omnihub_common::{
    channel::whatsapp::admin::AdminError,
    instance::{ChannelSettings, Instance, StoreError, WhatsappSettings},
    key::Actor,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    after_delete,
    documented::by_evolution,
    lifecycle::note,
    problem,
    provision::{at_hand, to_its_end},
    troubles::{After, trouble},
};
use crate::{
    admin::{
        access::{Allowed, CanAdmin, no_such_instance},
        fields::invalid,
        openapi::{
            Doc,
            field::{Kind, field},
            says,
        },
        path::Path,
        query::Pairs,
    },
    evolution::Trouble,
    problem::{FieldError, Problem},
    state::AppState,
};

/// What becomes of the account at Evolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// It stays, and stops posting to us.
    Keep,
    /// It goes.
    Remove,
}

/// The answer to a deletion.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceDeleted)]
pub(super) struct Message {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What is said of it.
pub(super) fn documented() -> Doc {
    by_evolution(says("Delete an instance with everything that is kept of it"))
        .query([field(
            "evolution",
            Kind::OneOf(&["keep", "remove"]),
            "What becomes of the account; `keep` unless said.",
        )])
        .answers::<Message>()
}

/// `DELETE /api/v1/instances/{name}?evolution=keep|remove`; an account stays unless it is asked for.
pub(super) async fn delete(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Pairs(query): Pairs,
) -> Result<Json<Message>, Problem> {
    access.sees(&name)?;
    let side = side(&query)?;
    let actor = access.actor().clone();
    to_its_end(async move {
        let instance = match state.instances.get(&name).await {
            Ok(None) => return Err(no_such_instance(&name)),
            Ok(found) => found,
            // This is also the way out of a lost key.
            Err(StoreError::Unreadable { .. }) if side == Side::Keep => None,
            Err(error) => return Err(problem(error)),
        };
        let warnings = match instance {
            Some(instance) => part(&state, &actor, &instance, side).await?,
            None => vec!["the instance could not be read, so its account at Evolution was left as it is".to_owned()],
        };
        let deleted = state.instances.by(&actor).delete(&name).await.map_err(problem)?;
        let deleted = deleted.ok_or_else(|| no_such_instance(&name))?;
        after_delete(&state, &deleted).await;
        Ok(Json(Message { message: format!("Instance '{}' deleted successfully", deleted.name), warnings }))
    })
    .await
}

fn side(pairs: &[(String, String)]) -> Result<Side, Problem> {
    match pairs.iter().rev().find(|(name, _)| name == "evolution").map(|(_, word)| word.as_str()) {
        None | Some("keep") => Ok(Side::Keep),
        Some("remove") => Ok(Side::Remove),
        Some(_) => {
            let message = "must be one of: keep, remove".to_owned();
            Err(invalid(vec![FieldError { field: "evolution".to_owned(), message }]))
        }
    }
}

/// Parts an instance from its account.
async fn part(state: &AppState, actor: &Actor, instance: &Instance, side: Side) -> Result<Vec<String>, Problem> {
    let ChannelSettings::Whatsapp(settings) = &instance.channel else { return Ok(Vec::new()) };
    let settings = at_hand(state, instance.name.as_str(), settings).await;
    match side {
        Side::Keep => {
            let silenced = match settings {
                Ok(settings) => state.evolution.silence(&settings).await.map_err(|error| error.to_string()),
                Err(problem) => Err(problem.detail),
            };
            let left = silenced.err().map(|error| format!("Evolution may still post here, and gets 404: {error}"));
            Ok(left.into_iter().collect())
        }
        Side::Remove => {
            let settings = settings?;
            let step = "Removing the instance from Evolution";
            remove(state, &settings).await.map_err(|error| trouble(&Trouble::Step { step, error }, After::Asked))?;
            note(state, actor, "instance.evolution_removed", instance).await?;
            Ok(Vec::new())
        }
    }
}

/// Older versions remove no account that is connected, and say 400.
async fn remove(state: &AppState, settings: &WhatsappSettings) -> Result<(), AdminError> {
    let account = state.evolution.account(settings)?;
    match account.remove().await {
        Err(AdminError::Refused { .. }) => {
            account.log_out().await?;
            account.remove().await.map(drop)
        }
        removed => removed.map(drop),
    }
}
