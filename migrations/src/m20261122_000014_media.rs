//! `instance_configs`: who writes down what is said in voice messages (`transcript_*`; the key is
//! encrypted), and how agents get files (`media_delivery`).

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";

const COLUMNS: [&str; 4] = ["transcript_api_url", "transcript_api_key", "transcript_model", "transcript_language"];

const DELIVERY: &str = "media_delivery";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in COLUMNS {
            let column = text_null(column).to_owned();
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await?;
        }
        let delivery = string(DELIVERY).default("base64").to_owned();
        manager.alter_table(Table::alter().table(TABLE).add_column(delivery).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS.iter().chain([&DELIVERY]).rev() {
            manager.alter_table(Table::alter().table(TABLE).drop_column(*column).to_owned()).await?;
        }
        Ok(())
    }
}
