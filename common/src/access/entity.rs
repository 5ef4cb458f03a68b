//! A row of `access_control_rules`.

#![expect(unreachable_pub, reason = "the derive makes the entities public, and their parts must be as public")]

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "access_control_rules")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub instance_name: Option<String>,
    pub phone_number: String,
    pub pattern: String,
    pub action: String,
    pub reason: Option<String>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
