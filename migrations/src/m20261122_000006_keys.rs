//! `api_keys` and what they reach; `hub_secrets`, what the hub as a whole keeps secret.

use sea_orm_migration::{prelude::*, schema::*};

use crate::instance_foreign_key;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(hub_secrets()).await?;
        manager.create_table(api_keys()).await?;
        manager.create_table(api_key_instances()).await?;
        manager.create_index(keys_of_an_instance()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["api_key_instances", "api_keys", "hub_secrets"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// `sealed` is encrypted for its row.
fn hub_secrets() -> TableCreateStatement {
    Table::create().table("hub_secrets").col(big_pk_auto("id")).col(string_uniq("name")).col(text("sealed")).to_owned()
}

/// The key itself is kept nowhere: `hash` is its keyed hash, `hint` its last letters.
fn api_keys() -> TableCreateStatement {
    Table::create()
        .table("api_keys")
        .col(big_pk_auto("id"))
        .col(string("name"))
        .col(string_uniq("hash"))
        .col(string("hint"))
        .col(string("scopes"))
        .col(boolean("every_instance"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone_null("expires_at"))
        .col(timestamp_with_time_zone_null("revoked_at"))
        .col(timestamp_with_time_zone_null("last_used_at"))
        .to_owned()
}

/// A key loses an instance that is deleted, and does not get the next one of that name.
fn api_key_instances() -> TableCreateStatement {
    Table::create()
        .table("api_key_instances")
        .col(big_integer("key_id"))
        .col(string("instance_name"))
        .primary_key(Index::create().col("key_id").col("instance_name"))
        .foreign_key(
            ForeignKey::create()
                .name("fk_api_key_instances_key")
                .from("api_key_instances", "key_id")
                .to("api_keys", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .foreign_key(&mut instance_foreign_key("fk_api_key_instances_instance", "api_key_instances"))
        .to_owned()
}

fn keys_of_an_instance() -> IndexCreateStatement {
    Index::create().name("ix_api_key_instances_instance").table("api_key_instances").col("instance_name").to_owned()
}
