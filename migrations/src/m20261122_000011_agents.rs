//! `instance_configs`: how agents of more protocols are spoken to; and an index for the newest turns
//! of a conversation, in place of the one that knew no order.

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";
/// The table of traces.
const TRACES: &str = "message_traces";
/// The index that serves a conversation in its order.
const CONVERSATION: &str = "ix_message_traces_conversation";
/// The one in whose place it is.
const SESSION: &str = "ix_message_traces_session";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in columns() {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).to_owned()).await?;
        }
        let index = Index::create().name(CONVERSATION).table(TRACES).col("session_name").col("received_at").to_owned();
        manager.create_index(index).await?;
        manager.drop_index(Index::drop().name(SESSION).table(TRACES).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_index(Index::create().name(SESSION).table(TRACES).col("session_name").to_owned()).await?;
        manager.drop_index(Index::drop().name(CONVERSATION).table(TRACES).to_owned()).await?;
        for column in columns().iter().rev() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(TABLE).drop_column(name).to_owned()).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 6] {
    [
        string("agent_type").default("agent").to_owned(),
        boolean("agent_stream_mode").default(false).to_owned(),
        text_null("agent_system_prompt").to_owned(),
        integer("agent_history_turns").default(20).to_owned(),
        text_null("agent_webhook_secret").to_owned(),
        text_null("agent_webhook_secret_previous").to_owned(),
    ]
}
