//! `instance_configs`: who writes down what is said in voice messages (`transcript_*`; the key is
//! encrypted).

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";

const COLUMNS: [&str; 4] = ["transcript_api_url", "transcript_api_key", "transcript_model", "transcript_language"];

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
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS.iter().rev() {
            manager.alter_table(Table::alter().table(TABLE).drop_column(*column).to_owned()).await?;
        }
        Ok(())
    }
}
