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

/// The field of the row that is a column of its own.
const AGENT_KEY: &str = "agent_api_key";

/// The encrypted texts of the next rows after a row id, at most `limit` rows.
pub(crate) async fn page(database: &impl ConnectionTrait, after: i64, limit: u64) -> Result<Vec<SealedText>, DbErr> {
    let columns = [Column::Id, Column::AgentApiKey, Column::ChannelSettings];
    let next = Entity::find().select_only().columns(columns).filter(Column::Id.gt(after));
    let rows: Vec<(i64, String, Value)> = next.order_by_asc(Column::Id).limit(limit).into_tuple().all(database).await?;
    Ok(rows.into_iter().flat_map(|(id, agent_key, settings)| texts(id, agent_key, &settings)).collect())
}

/// The encrypted texts of these rows.
pub(crate) async fn of_rows(database: &impl ConnectionTrait, rows: &[i64]) -> Result<Vec<SealedText>, DbErr> {
    let columns = [Column::Id, Column::AgentApiKey, Column::ChannelSettings];
    let named = Entity::find().select_only().columns(columns).filter(Column::Id.is_in(rows.iter().copied()));
    let rows: Vec<(i64, String, Value)> = named.order_by_asc(Column::Id).into_tuple().all(database).await?;
    Ok(rows.into_iter().flat_map(|(id, agent_key, settings)| texts(id, agent_key, &settings)).collect())
}

/// Puts encrypted texts into their row. `updated_at` stays: the instance is what it was.
pub(crate) async fn put(database: &impl ConnectionTrait, row: i64, texts: &[SealedText]) -> Result<(), DbErr> {
    let column = Entity::find_by_id(row).select_only().column(Column::ChannelSettings);
    let Some(mut settings) = column.into_tuple::<Value>().one(database).await? else { return Ok(()) };
    let mut change = ActiveModel { id: Unchanged(row), ..Default::default() };
    for text in texts {
        match text.place.field {
            AGENT_KEY => change.agent_api_key = Set(text.text.clone()),
            field => put_sealed(&mut settings, field, &text.text),
        }
    }
    change.channel_settings = Set(settings);
    change.update(database).await.map(drop)
}

fn texts(id: i64, agent_key: String, settings: &Value) -> Vec<SealedText> {
    let place = |field| Place { instance: id, table: TABLE, row: id, field };
    let mut texts = vec![SealedText { place: place(AGENT_KEY), text: agent_key }];
    texts.extend(sealed(settings).map(|(field, text)| SealedText { place: place(field), text: text.to_owned() }));
    texts
}
