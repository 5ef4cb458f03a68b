//! The rows of `users` and `user_external_ids`.

#![expect(unreachable_pub, reason = "the derive makes the entities public, and their parts must be as public")]

/// A person.
pub(super) mod user {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub instance_name: String,
        pub phone_number: String,
        pub email: Option<String>,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub user_data: Option<Json>,
        pub last_agent_user_id: Option<String>,
        pub created_at: DateTimeUtc,
        pub updated_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Another name of a person.
pub(super) mod external_id {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "user_external_ids")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub instance_name: String,
        pub user_id: i64,
        pub provider: String,
        pub external_id: String,
        pub created_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
