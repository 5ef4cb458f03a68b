//! `GET /api/v1/channels`: how every instance is connected, and how much it has.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use omnihub_common::{
    channel::{ChannelType, whatsapp::admin::Account},
    instance::Instance,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{PartialError, asked::Query};
use crate::{
    admin::{
        access::{Allowed, CanRead},
        fields::page,
        instances::{
            connected::{AT_ONCE, PATIENCE},
            reached,
        },
        query::Pairs,
    },
    problem::Problem,
    state::AppState,
};

/// The instances of a page, in the older system's form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChannelsOverview)]
pub(super) struct Overview {
    channels: Vec<ChannelAnswer>,
    /// All within the caller's reach and on the channel that is asked for, on this page or not.
    total_count: u64,
    /// Those of this page that are connected.
    healthy_count: usize,
    partial_errors: Vec<PartialError>,
}

/// An instance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
struct ChannelAnswer {
    instance_name: String,
    channel_type: &'static str,
    display_name: String,
    /// `connected`, `connecting`, `disconnected`, `not_found` or `error`.
    status: &'static str,
    is_healthy: bool,
    supports_contacts: bool,
    supports_groups: bool,
    supports_media: bool,
    supports_voice: bool,
    avatar_url: Option<String>,
    description: String,
    total_contacts: Option<u64>,
    total_chats: Option<u64>,
    channel_data: Value,
    connected_at: Option<DateTime<Utc>>,
    last_activity_at: Option<DateTime<Utc>>,
}

/// Narrowed by `channel_type`; by `skip` and `limit`, as each instance's server is asked.
pub(super) async fn list(
    access: Allowed<CanRead>,
    State(state): State<AppState>,
    Pairs(pairs): Pairs,
) -> Result<Json<Overview>, Problem> {
    let (skip, limit) = page(&pairs)?;
    let mut query = Query::of(pairs);
    let channel = query.channel();
    query.finish()?;
    let found = state.instances.page(access.reach(), channel, skip, limit).await;
    let (instances, total_count) = found.map_err(reached::unlisted)?;
    let end = Instant::now() + PATIENCE;
    let asked = instances.into_iter().map(|instance| told(&state, instance, end));
    let told: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let (channels, missing): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    let healthy_count = channels.iter().filter(|channel: &&ChannelAnswer| channel.is_healthy).count();
    let partial_errors = missing.into_iter().flatten().collect();
    Ok(Json(Overview { channels, total_count, healthy_count, partial_errors }))
}

/// What is told of an instance, and why something is missing.
async fn told(state: &AppState, instance: Instance, end: Instant) -> (ChannelAnswer, Option<PartialError>) {
    let (name, is_active, channel) = (instance.name.to_string(), instance.is_active, instance.channel_type());
    let account = match channel {
        ChannelType::Whatsapp => match timeout_at(end, reached::ask(state, instance)).await {
            Ok(account) => account,
            Err(_) => Err(("error", "it did not tell in time".to_owned())),
        },
        ChannelType::Discord | ChannelType::Slack => {
            Err(("disconnected", "this channel is not connected yet".to_owned()))
        }
    };
    let missing = account.as_ref().err().map(|(_, message)| PartialError {
        instance_name: name.clone(),
        channel_type: channel.as_str(),
        error_code: "channel_info_error",
        message: message.clone(),
    });
    (answer(name, is_active, channel, account), missing)
}

fn answer(
    name: String,
    is_active: bool,
    channel: ChannelType,
    account: Result<Account, (&'static str, String)>,
) -> ChannelAnswer {
    let label = match channel {
        ChannelType::Whatsapp => "WhatsApp",
        ChannelType::Discord => "Discord",
        ChannelType::Slack => "Slack",
    };
    let can = channel == ChannelType::Whatsapp;
    let (status, channel_data, account) = match account {
        Ok(account) => {
            let data = json!({"evolution_state": account.connection.as_str(), "profile_name": account.profile_name,
                              "owner_jid": account.owner, "is_active": is_active});
            (reached::status_word(&account.connection), data, Some(account))
        }
        Err((status, message)) => (status, json!({"error": message, "is_active": is_active}), None),
    };
    let (total_contacts, total_chats) =
        account.as_ref().map_or((None, None), |account| (account.contacts, account.chats));
    ChannelAnswer {
        channel_type: channel.as_str(),
        display_name: format!("{label} - {name}"),
        status,
        is_healthy: status == "connected",
        supports_contacts: can,
        supports_groups: can,
        supports_media: can,
        supports_voice: can,
        avatar_url: account.and_then(|account| account.picture),
        description: format!("{label} instance: {name}"),
        total_contacts,
        total_chats,
        channel_data,
        connected_at: None,
        last_activity_at: None,
        instance_name: name,
    }
}
