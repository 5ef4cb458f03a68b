//! How the accounts of instances are connected right now, for who asks for it with the instances.
//!
//! Each account is asked at its Evolution server, so nobody is unless `include_status=true`: a list
//! is one query of the database otherwise, whatever becomes of those servers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use omnihub_common::{channel::ChannelType, instance::Instance};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{InstanceAnswer, reached};
use crate::{
    admin::{
        fields::invalid,
        openapi::field::{Field, flag},
    },
    problem::{FieldError, Problem},
    state::AppState,
};

/// Accounts that are asked at once.
pub(in crate::admin) const AT_ONCE: usize = 16;
/// For all of them together: a caller waits for 25 s at most.
pub(in crate::admin) const PATIENCE: Duration = Duration::from_secs(15);

/// The parameter of the query.
const ASKED: &str = "include_status";

/// How an account is connected, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EvolutionStatus {
    /// Evolution's word: `open`, `connecting`, `close`; null when it did not tell.
    state: Option<String>,
    owner_jid: Option<String>,
    profile_name: Option<String>,
    profile_picture_url: Option<String>,
    last_updated: DateTime<Utc>,
    /// Why nothing is told.
    error: Option<String>,
}

/// The parameter, for the OpenAPI document.
pub(super) fn documented() -> Field {
    flag(ASKED, "Whether `evolution_status` is asked for at Evolution; false unless said.")
}

/// Whether a query asks for it.
pub(super) fn is_asked(pairs: &[(String, String)]) -> Result<bool, Problem> {
    match pairs.iter().rev().find(|(name, _)| name == ASKED).map(|(_, word)| word.to_ascii_lowercase()).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => {
            let message = "must be true or false".to_owned();
            Err(invalid(vec![FieldError { field: ASKED.to_owned(), message }]))
        }
    }
}

/// The instances as answers, with what their accounts tell.
pub(super) async fn told(state: &AppState, instances: Vec<Instance>) -> Vec<InstanceAnswer> {
    let end = Instant::now() + PATIENCE;
    let asked = instances.into_iter().map(|instance| async move {
        let answer = InstanceAnswer::new(&instance, Vec::new());
        match instance.channel_type() {
            ChannelType::Whatsapp => answer.with_status(ask(state, instance, end).await),
            ChannelType::Discord | ChannelType::Slack => answer,
        }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn ask(state: &AppState, instance: Instance, end: Instant) -> EvolutionStatus {
    let told = timeout_at(end, reached::ask(state, instance)).await;
    let (account, error) = match told {
        Ok(Ok(account)) => (Some(account), None),
        Ok(Err((_, message))) => (None, Some(message)),
        Err(_) => (None, Some("it did not tell in time".to_owned())),
    };
    EvolutionStatus {
        state: account.as_ref().map(|account| account.connection.as_str().to_owned()),
        owner_jid: account.as_ref().and_then(|account| account.owner.clone()),
        profile_name: account.as_ref().and_then(|account| account.profile_name.clone()),
        profile_picture_url: account.and_then(|account| account.picture),
        last_updated: Utc::now(),
        error,
    }
}
