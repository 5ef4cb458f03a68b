//! `POST /api/v1/instances/discover`: how every instance is connected, and which accounts of the
//! Evolution server have no instance yet.
//!
//! Nothing is made of what is found: an instance needs an agent, which no server knows of.

use std::{collections::HashSet, time::Duration};

use axum::{Json, extract::State};
use futures_util::{StreamExt as _, stream};
use omnihub_common::{
    instance::{ChannelSettings, Instance, service_url},
    secret::{MayRefer, Secret},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    lifecycle::{status_of, word},
    problem,
    troubles::not_at_hand,
};
use crate::{
    admin::{
        access::{Allowed, CanAdmin},
        body::Body,
        fields::{Fields, page},
        openapi::{
            Doc,
            field::{PAGE, text},
            says,
        },
        query::Pairs,
    },
    evolution::same_server,
    problem::Problem,
    state::AppState,
};

/// Accounts that are asked at once.
const AT_ONCE: usize = 16;
/// For all of them together: a caller waits for 25 s at most.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was found, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Discovery {
    message: &'static str,
    instances: Vec<Found>,
    total_discovered: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// An instance, or an account without one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscoveredInstance)]
struct Found {
    name: String,
    channel_type: &'static str,
    status: &'static str,
    /// Whether it is an instance here.
    configured: bool,
    active: bool,
    channel_data: Value,
}

/// What is said of it.
pub(super) fn documented() -> Doc {
    let server = [
        text("evolution_url", "The server whose accounts are looked at; the one of the settings unless said."),
        text("evolution_key", "Its key."),
    ];
    says("How every instance is connected, and which accounts have no instance yet")
        .more("Nothing is made of what is found.")
        .query(PAGE)
        .optional_body(
            &server,
            json!({"evolution_url": "http://evolution:8080", "evolution_key": "the-key-of-the-server"}),
        )
        .answers::<Discovery>()
        .problem(409, "The key of the server cannot be had.")
}

/// Within the caller's reach, by `skip` and `limit`; who acts on the whole hub also sees the accounts
/// without an instance on the server of the settings, or on the one that the body names.
pub(super) async fn discover(
    access: Allowed<CanAdmin>,
    State(state): State<AppState>,
    Pairs(query): Pairs,
    body: Body,
) -> Result<Json<Discovery>, Problem> {
    let (skip, limit) = page(&query)?;
    let server = server(&state, access.everyone().is_ok(), body).await?;
    let rows = state.instances.list(access.reach(), skip, limit).await.map_err(problem)?;
    let mut instances = ask_all(&state, rows).await;
    let mut warnings = Vec::new();
    if let Some((url, key)) = server {
        match strangers(&state, &url, &key).await {
            Ok(found) => instances.extend(found),
            Err(warning) => warnings.push(warning),
        }
    }
    let total_discovered = instances.len();
    Ok(Json(Discovery { message: "Instance discovery completed", instances, total_discovered, warnings }))
}

/// The server whose accounts are listed, with a key that sees them; none when nobody names one, or
/// for who does not act on the `whole_hub`.
async fn server(state: &AppState, whole_hub: bool, body: Body) -> Result<Option<(String, Secret)>, Problem> {
    if !whole_hub {
        return Ok(None);
    }
    let fallback = &state.evolution_fallback;
    let mut named = (None, None);
    if !body.is_blank() {
        let mut fields = Fields::read(body)?.without_empty();
        let url = fields.text("evolution_url").check(&mut fields, "evolution_url", |text| service_url(&text));
        let key = fields.secret("evolution_key", None, &MayRefer::Anywhere);
        named = (url.clearable().flatten(), key.clearable().flatten());
        if named.0.is_some() && named.1.is_none() {
            // The key of the settings goes to the server of the settings only.
            fields.require::<String>("evolution_key", None);
        }
        fields.finish()?;
    }
    let (url, key) = (named.0.or_else(|| fallback.url.clone()), named.1.or_else(|| fallback.key.clone()));
    let Some((url, key)) = url.zip(key) else { return Ok(None) };
    let key = state.instances.secrets().resolve(&key, None).await.map_err(|error| not_at_hand("discover", &error))?;
    Ok(Some((url, key)))
}

/// How each instance is connected; one that did not tell in time says so.
async fn ask_all(state: &AppState, rows: Vec<Instance>) -> Vec<Found> {
    let end = tokio::time::Instant::now() + PATIENCE;
    let asked = rows.into_iter().map(|instance| async move {
        let (status, channel_data) = match &instance.channel {
            ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => {
                ("error", json!({"error": "this channel is not connected yet"}))
            }
            ChannelSettings::Whatsapp(_) => match tokio::time::timeout_at(end, status_of(state, &instance)).await {
                Ok(Ok(told)) => told,
                Ok(Err(problem)) => ("error", json!({"error": problem.detail})),
                Err(_) => ("error", json!({"error": "it did not tell in time"})),
            },
        };
        let channel_type = instance.channel_type().as_str();
        Found {
            name: instance.name.to_string(),
            channel_type,
            status,
            configured: true,
            active: instance.is_active,
            channel_data,
        }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// The accounts of a server that no instance has.
async fn strangers(state: &AppState, url: &str, key: &Secret) -> Result<Vec<Found>, String> {
    let accounts = state.evolution.accounts_at(url, key).await;
    let accounts =
        accounts.map_err(|error| format!("the accounts of the Evolution server cannot be listed: {error}"))?;
    let known = known(state, url).await.map_err(|_| "the table of instances cannot be read".to_owned())?;
    let unknown = accounts.into_iter().filter(|account| !known.contains(&account.name));
    Ok(unknown
        .map(|account| Found {
            status: word(&account.connection),
            channel_data: json!({"evolution_state": account.connection.as_str(), "evolution_id": account.id,
                                 "profile_name": account.profile_name}),
            name: account.name,
            channel_type: "whatsapp",
            configured: false,
            active: false,
        })
        .collect())
}

/// The names at a server that instances have, all of them, whatever page was asked for.
async fn known(state: &AppState, url: &str) -> Result<HashSet<String>, omnihub_common::instance::StoreError> {
    let ids: Vec<i64> = state.instances.versions().await?.into_keys().collect();
    let mut known = HashSet::new();
    for ids in ids.chunks(200) {
        for instance in state.instances.by_ids(ids).await? {
            if let ChannelSettings::Whatsapp(settings) = instance.channel
                && same_server(&settings.evolution_url, url)
            {
                known.insert(settings.whatsapp_instance);
            }
        }
    }
    Ok(known)
}
