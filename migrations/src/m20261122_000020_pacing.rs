//! `instance_configs`: how fast an account writes (`typing_speed`, `sends_per_minute`).

use sea_orm_migration::{prelude::*, schema::*};

/// The table of instances.
const TABLE: &str = "instance_configs";
/// What is new of an instance.
const COLUMNS: [&str; 2] = ["typing_speed", "sends_per_minute"];

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            let column = integer(column).default(0).to_owned();
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
