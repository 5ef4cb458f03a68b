//! The account of an instance, for the other rooms of the admin API.

use std::sync::Arc;

use axum::http::StatusCode;
use omnihub_common::{
    channel::whatsapp::admin::{Account, AdminError, Connection, EvolutionAdmin, Wanted},
    instance::{ChannelSettings, Instance, StoreError, WhatsappSettings},
};
use uuid::Uuid;

use super::{
    RETRY_AFTER, lifecycle,
    provision::whatsapp,
    troubles::{After, trouble},
};
use crate::{admin::narrowed, evolution::Trouble, problem::Problem, state::AppState};

pub(in crate::admin) use super::provision::to_its_end;

/// An instance as the hub has it at hand, also while the database is away.
pub(in crate::admin) async fn at_hand(state: &AppState, name: &str) -> Result<Arc<Instance>, Problem> {
    narrowed(&state.directory, name).await?.ok_or_else(|| {
        let detail = "The instance cannot be looked up right now. Nothing was asked of Evolution.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(RETRY_AFTER)
    })
}

/// The account of an instance that is on WhatsApp and has the values of its secrets.
pub(in crate::admin) fn account(state: &AppState, instance: &Instance) -> Result<EvolutionAdmin, Problem> {
    let account = state.evolution.account(whatsapp(instance)?);
    account.map_err(not_told("Calling Evolution"))
}

/// Evolution was asked something and did not tell.
pub(in crate::admin) fn not_told(step: &'static str) -> impl Fn(AdminError) -> Problem {
    move |error| trouble(&Trouble::Step { step, error }, After::Read)
}

/// Evolution was to do something and did not.
pub(in crate::admin) fn not_done(step: &'static str) -> impl Fn(AdminError) -> Problem {
    move |error| trouble(&Trouble::Step { step, error }, After::Asked)
}

/// The older system's word for how an account is connected.
pub(in crate::admin) fn status_word(connection: &Connection) -> &'static str {
    lifecycle::word(connection)
}

/// The table of instances does not tell.
pub(in crate::admin) fn unlisted(error: StoreError) -> Problem {
    super::problem(error)
}

/// The account of an instance, or the word for how it is and why nothing is told.
pub(in crate::admin) async fn ask(state: &AppState, instance: Instance) -> Result<Account, (&'static str, String)> {
    let failed = |message: String| ("error", message);
    let resolved = state.instances.resolve(instance, None).await;
    let instance = resolved.map_err(|_| failed("a secret of it cannot be had".to_owned()))?;
    let door = account(state, &instance).map_err(|problem| failed(problem.detail))?;
    let found = door.accounts(wanted(&instance)).await;
    let found = found.map_err(|error| failed(error.to_string()))?.into_iter().next();
    found.ok_or_else(|| ("not_found", AdminError::NotFound.to_string()))
}

/// An account is known by its name, or by Evolution's id of it.
fn wanted(instance: &Instance) -> Wanted<'_> {
    match &instance.channel {
        ChannelSettings::Whatsapp(WhatsappSettings { whatsapp_instance, .. }) => {
            match Uuid::parse_str(whatsapp_instance) {
                Ok(_) => Wanted::Id(whatsapp_instance),
                Err(_) => Wanted::Name(whatsapp_instance),
            }
        }
        ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => Wanted::All,
    }
}
