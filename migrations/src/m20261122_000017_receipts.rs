//! `message_receipts`: how far each bubble of ours has come on its way to the person, as the channel
//! told. `state` grows (1 sent, 2 failed, 3 delivered, 4 read), `at` is when it was told.

use sea_orm_migration::{prelude::*, schema::*};

/// One row for each bubble of which something was told.
const TABLE: &str = "message_receipts";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut instance = ForeignKey::create()
            .name("fk_message_receipts_instance")
            .from(TABLE, "instance_id")
            .to("instance_configs", "id")
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        let table = Table::create()
            .table(TABLE)
            .col(big_integer("instance_id"))
            .col(string("provider_id"))
            .col(small_integer("state"))
            .col(timestamp_with_time_zone("at"))
            .primary_key(Index::create().col("instance_id").col("provider_id"))
            .foreign_key(&mut instance)
            .to_owned();
        manager.create_table(table).await?;
        // For what is too old to be kept.
        let index = Index::create().name("ix_message_receipts_at").table(TABLE).col("instance_id").col("at").to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
