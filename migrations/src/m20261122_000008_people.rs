//! `access_control_rules`: who is answered and who is not; `user_external_ids`: the other names
//! that a person of `users` goes by.

use sea_orm_migration::{prelude::*, schema::*};

use crate::instance_foreign_key;

/// The rules.
const RULES: &str = "access_control_rules";
/// The other names.
const NAMES: &str = "user_external_ids";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(rules()).await?;
        manager.create_index(one_rule_per_instance()).await?;
        manager.create_index(one_rule_for_everyone()).await?;
        manager.create_table(names()).await?;
        manager.create_index(one_person_per_name()).await?;
        manager.create_index(names_of_a_person()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [NAMES, RULES] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// A rule without an instance is for all of them. `phone_number` is what somebody wrote, `pattern`
/// what is compared: the same number in two spellings is one rule.
fn rules() -> TableCreateStatement {
    Table::create()
        .table(RULES)
        .col(big_pk_auto("id"))
        .col(string_null("instance_name"))
        .col(string("phone_number"))
        .col(string("pattern"))
        .col(string("action"))
        .col(text_null("reason"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .foreign_key(&mut instance_foreign_key("fk_access_control_rules_instance", RULES))
        .to_owned()
}

fn one_rule_per_instance() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_access_control_rules_instance_pattern_action")
        .table(RULES)
        .col("instance_name")
        .col("pattern")
        .col("action")
        .to_owned()
}

/// To a unique index no instance is like another.
fn one_rule_for_everyone() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_access_control_rules_global_pattern_action")
        .table(RULES)
        .col("pattern")
        .col("action")
        .and_where(Expr::col("instance_name").is_null())
        .to_owned()
}

/// `provider` is a channel (`whatsapp`), or a system of the operator's own (`crm`).
fn names() -> TableCreateStatement {
    Table::create()
        .table(NAMES)
        .col(big_pk_auto("id"))
        .col(string("instance_name"))
        .col(big_integer("user_id"))
        .col(string("provider"))
        .col(string("external_id"))
        .col(timestamp_with_time_zone("created_at"))
        .foreign_key(&mut instance_foreign_key("fk_user_external_ids_instance", NAMES))
        .foreign_key(
            ForeignKey::create()
                .name("fk_user_external_ids_user")
                .from(NAMES, "user_id")
                .to("users", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

/// Within an instance: two tenants may know the same person.
fn one_person_per_name() -> IndexCreateStatement {
    Index::create()
        .unique()
        .name("uq_user_external_ids_instance_provider_id")
        .table(NAMES)
        .col("instance_name")
        .col("provider")
        .col("external_id")
        .to_owned()
}

fn names_of_a_person() -> IndexCreateStatement {
    Index::create().name("ix_user_external_ids_user").table(NAMES).col("user_id").to_owned()
}
