//! `users`: the people who write to an instance, one row per instance and phone number.

use sea_orm_migration::{prelude::*, schema::*};

use crate::instance_foreign_key;

/// The table.
const TABLE: &str = "users";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(users()).await?;
        manager.create_index(one_per_phone()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}

/// `last_agent_user_id` is the id that the agent gave this person in its last answer.
fn users() -> TableCreateStatement {
    Table::create()
        .table(TABLE)
        .col(big_pk_auto("id"))
        .col(string("instance_name"))
        .col(string("phone_number"))
        .col(string_null("email"))
        .col(json_binary_null("user_data"))
        .col(string_null("last_agent_user_id"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .foreign_key(&mut instance_foreign_key("fk_users_instance", TABLE))
        .to_owned()
}

/// It begins with the instance, so it also serves "everyone of this instance".
fn one_per_phone() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_users_instance_phone")
        .table(TABLE)
        .col("instance_name")
        .col("phone_number")
        .to_owned()
}
