//! What lies encrypted in `hub_secrets`, as texts.

use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set, Unchanged},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    entity::hub_secret::{ActiveModel, Column, Entity, Model},
    pepper::place,
};
use crate::sealed::SealedText;

/// The encrypted texts of the next rows after a row id, at most `limit`.
pub(crate) async fn page(database: &impl ConnectionTrait, after: i64, limit: u64) -> Result<Vec<SealedText>, DbErr> {
    let next = Entity::find().filter(Column::Id.gt(after)).order_by_asc(Column::Id).limit(limit);
    Ok(next.all(database).await?.into_iter().map(text).collect())
}

/// The encrypted texts of these rows.
pub(crate) async fn of_rows(database: &impl ConnectionTrait, rows: &[i64]) -> Result<Vec<SealedText>, DbErr> {
    let named = Entity::find().filter(Column::Id.is_in(rows.iter().copied())).order_by_asc(Column::Id);
    Ok(named.all(database).await?.into_iter().map(text).collect())
}

/// Puts an encrypted text into its row.
pub(crate) async fn put(database: &impl ConnectionTrait, row: i64, texts: &[SealedText]) -> Result<(), DbErr> {
    for text in texts {
        let change = ActiveModel { id: Unchanged(row), name: NotSet, sealed: Set(text.text.clone()) };
        change.update(database).await?;
    }
    Ok(())
}

fn text(row: Model) -> SealedText {
    SealedText { place: place(row.id), text: row.sealed }
}
