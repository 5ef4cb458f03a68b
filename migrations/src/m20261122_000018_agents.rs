//! `instance_configs`: the agents that are asked when the instance's own does not answer
//! (`fallback_agents`, encrypted as a whole), what becomes of a question that none has answered
//! (`on_agent_failure`), and how long an answer is waited for that comes later (`late_answer_minutes`).

use sea_orm_migration::{prelude::*, schema::*};

/// The table of instances.
const TABLE: &str = "instance_configs";
/// What is new of an instance, in the order of [`columns`].
const COLUMNS: [&str; 3] = ["fallback_agents", "on_agent_failure", "late_answer_minutes"];

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
        for column in COLUMNS.into_iter().rev() {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 3] {
    let [fallbacks, on_failure, late] = COLUMNS;
    [
        text_null(fallbacks).to_owned(),
        string(on_failure).default("text").to_owned(),
        integer(late).default(10).to_owned(),
    ]
}
