//! `instance_configs`: when the bot answers in groups (`group_trigger`, `group_keywords`), and what a
//! conversation is there (`group_session`).

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in columns() {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["group_session", "group_keywords", "group_trigger"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 3] {
    [
        string("group_trigger").default("mention").to_owned(),
        // A JSON list of texts.
        text("group_keywords").default("[]").to_owned(),
        string("group_session").default("group").to_owned(),
    ]
}
