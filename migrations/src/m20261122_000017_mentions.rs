//! `instance_configs`: whom answers in groups mention (`mention_in_groups`).

use sea_orm_migration::{prelude::*, schema::*};

/// The table of instances.
const TABLE: &str = "instance_configs";
/// What is new of an instance.
const COLUMN: &str = "mention_in_groups";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = string(COLUMN).default("off").to_owned();
        manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(TABLE).drop_column(COLUMN).to_owned()).await
    }
}
