//! `audit_log`: who changed what.

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "audit_log";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(audit_log()).await?;
        for (name, column) in [("ix_audit_log_instance", "instance_id"), ("ix_audit_log_at", "at")] {
            manager.create_index(Index::create().name(name).table(TABLE).col(column).col("id").to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}

/// What was done stays when the key or the instance is gone: no foreign keys. The instance's row
/// id is beside its name, so that another one of that name does not show it.
fn audit_log() -> TableCreateStatement {
    Table::create()
        .table(TABLE)
        .col(big_pk_auto("id"))
        .col(timestamp_with_time_zone("at"))
        .col(big_integer_null("key_id"))
        .col(string("actor"))
        .col(string("action"))
        .col(string("target"))
        .col(big_integer_null("instance_id"))
        .col(string_null("instance_name"))
        .col(json_binary_null("before"))
        .col(json_binary_null("after"))
        .to_owned()
}
