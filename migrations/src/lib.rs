//! The tables, step by step.

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait::async_trait};

/// Every step, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Vec::new()
    }
}
