//! `message_traces`: the trace that carries the reply of messages that were answered together.

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "message_traces";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter().table(TABLE).add_column(uuid_null("answered_in")).to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(TABLE).drop_column("answered_in").to_owned()).await
    }
}
