//! `instance_configs`: what an instance may spend (`budget_*`), when it answers (`opening_hours`,
//! `out_of_office_message`), and how (`quote_replies`, `mark_read`). `instance_usage`: what it has
//! spent, one row for each instance that has a budget.

use sea_orm_migration::{prelude::*, schema::*};

/// The table of instances.
const TABLE: &str = "instance_configs";
/// The table of what they have spent.
const USAGE: &str = "instance_usage";
/// What is new of an instance, in the order of [`columns`].
const COLUMNS: [&str; 7] = [
    "budget_turns_per_minute",
    "budget_turns_per_day",
    "budget_tokens_per_day",
    "opening_hours",
    "out_of_office_message",
    "quote_replies",
    "mark_read",
];

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in columns() {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await?;
        }
        manager.create_table(usage()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(USAGE).to_owned()).await?;
        for column in COLUMNS.into_iter().rev() {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 7] {
    let [per_minute, per_day, tokens, hours, message, quote, mark] = COLUMNS;
    [
        integer_null(per_minute).to_owned(),
        integer_null(per_day).to_owned(),
        integer_null(tokens).to_owned(),
        // JSON.
        text_null(hours).to_owned(),
        text_null(message).to_owned(),
        string(quote).default("never").to_owned(),
        boolean(mark).default(false).to_owned(),
    ]
}

/// `minute` and `day` count from 1970 in UTC; what was spent in an earlier one is no longer known.
fn usage() -> TableCreateStatement {
    let mut instance = ForeignKey::create()
        .name("fk_instance_usage_instance")
        .from(USAGE, "instance_id")
        .to(TABLE, "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned();
    Table::create()
        .table(USAGE)
        .col(big_integer("instance_id").primary_key())
        .col(big_integer("minute"))
        .col(big_integer("minute_turns"))
        .col(big_integer("day"))
        .col(big_integer("day_turns"))
        .col(big_integer("day_tokens"))
        .foreign_key(&mut instance)
        .to_owned()
}
