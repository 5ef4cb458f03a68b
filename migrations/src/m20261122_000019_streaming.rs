//! `instance_configs`: whether each paragraph of a streamed answer goes out as soon as it has ended.

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = boolean("stream_replies").default(false).to_owned();
        manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(TABLE).drop_column("stream_replies").to_owned()).await
    }
}
