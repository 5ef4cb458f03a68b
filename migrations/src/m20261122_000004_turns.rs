//! `instance_configs`: how messages become turns (`debounce_ms`, `debounce_max_ms`, `overlap`),
//! and how many may wait (`max_backlog`).

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
        for column in ["max_backlog", "overlap", "debounce_max_ms", "debounce_ms"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 4] {
    [
        integer("debounce_ms").default(0).to_owned(),
        integer("debounce_max_ms").default(10_000).to_owned(),
        string("overlap").default("queue").to_owned(),
        integer_null("max_backlog").to_owned(),
    ]
}
