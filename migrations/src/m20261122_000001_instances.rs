//! `instance_configs`: the tenants.
//!
//! What every channel has is a column; what only one channel has is in `channel_settings`, a JSON
//! object that the channel's code owns. Secrets (`agent_api_key`, and those in
//! `channel_settings`) are stored encrypted, as text.

use sea_orm_migration::{prelude::*, schema::*};

/// The table.
const TABLE: &str = "instance_configs";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(instance_configs()).await?;
        manager.create_index(one_default()).await?;
        manager.create_index(by_whatsapp_instance()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}

/// The id is never used again (`AUTOINCREMENT` on SQLite, a sequence on PostgreSQL): what is kept
/// outside SQL carries it, so that an instance made under an old name sees nothing of the old one.
fn instance_configs() -> TableCreateStatement {
    Table::create()
        .table(TABLE)
        .col(big_pk_auto("id"))
        .col(string_uniq("name"))
        .col(string("channel_type"))
        .col(boolean("is_active").default(true))
        .col(boolean("is_default").default(false))
        .col(string_null("session_id_prefix"))
        .col(string_null("whatsapp_instance"))
        .col(text("agent_api_url"))
        .col(text("agent_api_key"))
        .col(string_null("agent_id"))
        .col(string_null("default_agent"))
        .col(integer("agent_timeout").default(60))
        .col(string("agent_instance_type").default("automagik"))
        .col(text_null("agent_error_message"))
        .col(boolean("enable_auto_split").default(true))
        .col(integer("split_over").default(1000))
        .col(json_binary("channel_settings"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// At most one default row, so that two processes that seed at once cannot both succeed.
fn one_default() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_instance_configs_default")
        .table(TABLE)
        .col("is_default")
        .and_where(Expr::col("is_default").eq(true))
        .to_owned()
}

fn by_whatsapp_instance() -> IndexCreateStatement {
    Index::create().name("ix_instance_configs_whatsapp_instance").table(TABLE).col("whatsapp_instance").to_owned()
}
