//! `instance_configs`: for how many days traces are kept; unset = the hub's setting.

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = integer_null("trace_retention_days");
        manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(TABLE).drop_column("trace_retention_days").to_owned()).await
    }
}
