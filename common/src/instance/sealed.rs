//! What lies encrypted in `instance_configs`, as texts: a row need not be readable to be counted,
//! nor a secret to be known to be encrypted anew.

use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{Set, Unchanged},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::Value;

use super::{
    channel_settings::{put_sealed, sealed},
    entity::{ActiveModel, Column, Entity},
    repository::TABLE,
};
use crate::{sealed::SealedText, secret::Place};

/// A row's id, its secrets that are columns of their own, and its channel's settings.
type Row = (i64, String, Option<String>, Option<String>, Option<String>, Option<String>, Value);

const COLUMNS: [Column; 7] = [
    Column::Id,
    Column::AgentApiKey,
    Column::AgentWebhookSecret,
    Column::AgentWebhookSecretPrevious,
    Column::TranscriptApiKey,
    Column::FallbackAgents,
    Column::ChannelSettings,
];

/// The encrypted texts of the next rows after a row id, at most `limit` rows.
pub(crate) async fn page(database: &impl ConnectionTrait, after: i64, limit: u64) -> Result<Vec<SealedText>, DbErr> {
    let next = Entity::find().select_only().columns(COLUMNS).filter(Column::Id.gt(after));
    let rows: Vec<Row> = next.order_by_asc(Column::Id).limit(limit).into_tuple().all(database).await?;
    Ok(rows.into_iter().flat_map(texts).collect())
}

/// The encrypted texts of these rows.
pub(crate) async fn of_rows(database: &impl ConnectionTrait, rows: &[i64]) -> Result<Vec<SealedText>, DbErr> {
    let named = Entity::find().select_only().columns(COLUMNS).filter(Column::Id.is_in(rows.iter().copied()));
    let rows: Vec<Row> = named.order_by_asc(Column::Id).into_tuple().all(database).await?;
    Ok(rows.into_iter().flat_map(texts).collect())
}

/// Puts encrypted texts into their row. `updated_at` stays: the instance is what it was.
pub(crate) async fn put(database: &impl ConnectionTrait, row: i64, texts: &[SealedText]) -> Result<(), DbErr> {
    let column = Entity::find_by_id(row).select_only().column(Column::ChannelSettings);
    let Some(mut settings) = column.into_tuple::<Value>().one(database).await? else { return Ok(()) };
    let mut change = ActiveModel { id: Unchanged(row), ..Default::default() };
    for text in texts {
        match text.place.field {
            "agent_api_key" => change.agent_api_key = Set(text.text.clone()),
            "agent_webhook_secret" => change.agent_webhook_secret = Set(Some(text.text.clone())),
            "agent_webhook_secret_previous" => change.agent_webhook_secret_previous = Set(Some(text.text.clone())),
            "transcript_api_key" => change.transcript_api_key = Set(Some(text.text.clone())),
            "fallback_agents" => change.fallback_agents = Set(Some(text.text.clone())),
            field => put_sealed(&mut settings, field, &text.text),
        }
    }
    change.channel_settings = Set(settings);
    change.update(database).await.map(drop)
}

fn texts((id, key, webhook, previous, transcript, fallbacks, settings): Row) -> Vec<SealedText> {
    let text = |field, text| SealedText { place: Place { instance: id, table: TABLE, row: id, field }, text };
    let mut texts = vec![text("agent_api_key", key)];
    texts.extend(webhook.map(|secret| text("agent_webhook_secret", secret)));
    texts.extend(previous.map(|secret| text("agent_webhook_secret_previous", secret)));
    texts.extend(transcript.map(|secret| text("transcript_api_key", secret)));
    texts.extend(fallbacks.map(|agents| text("fallback_agents", agents)));
    texts.extend(sealed(&settings).map(|(field, sealed)| text(field, sealed.to_owned())));
    texts
}
