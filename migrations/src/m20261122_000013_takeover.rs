//! `instance_configs`: what a message from the paired phone does (`takeover_minutes`,
//! `resume_keyword`), what an edit does (`on_edit`), and how many turns a conversation gets within a minute (`turns_per_minute`).

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
        for column in ["on_edit", "turns_per_minute", "resume_keyword", "takeover_minutes"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 4] {
    [
        integer("takeover_minutes").default(30).to_owned(),
        text_null("resume_keyword").to_owned(),
        integer("turns_per_minute").default(20).to_owned(),
        string("on_edit").default("ignore").to_owned(),
    ]
}
