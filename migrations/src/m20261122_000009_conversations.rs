//! `conversations`: what an operator has decided about a conversation, one row for each of which
//! anything was decided.

use sea_orm_migration::{prelude::*, schema::*};

use crate::instance_foreign_key;

/// The table.
const TABLE: &str = "conversations";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(conversations()).await?;
        manager.create_index(one_per_name()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}

/// `session_name` is the conversation's name. While `paused_at` is set the bot is silent in it:
/// until `paused_until`, or until somebody resumes it.
fn conversations() -> TableCreateStatement {
    Table::create()
        .table(TABLE)
        .col(big_pk_auto("id"))
        .col(string("instance_name"))
        .col(string("session_name"))
        .col(timestamp_with_time_zone_null("paused_at"))
        .col(timestamp_with_time_zone_null("paused_until"))
        .col(string_null("paused_by"))
        .col(text_null("reason"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .foreign_key(&mut instance_foreign_key("fk_conversations_instance", TABLE))
        .to_owned()
}

fn one_per_name() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_conversations_instance_session")
        .table(TABLE)
        .col("instance_name")
        .col("session_name")
        .to_owned()
}
