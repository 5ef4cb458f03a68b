//! The tables, step by step, for SQLite and PostgreSQL alike.
//!
//! Each file is one step with a way back. A step that has been released is never edited: the
//! next change is a step of its own, named after its day.
//!
//! What is absent: this crate knows none of the other crates, so a step stays what it was when
//! it was written, whatever becomes of the entities.

use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};

mod m20261122_000001_instances;
mod m20261122_000002_users;
mod m20261122_000003_traces;
mod m20261122_000004_turns;
mod m20261122_000005_answered_in;
mod m20261122_000006_keys;
mod m20261122_000007_audit;
mod m20261122_000008_people;
mod m20261122_000009_conversations;
mod m20261122_000010_trace_retention;
mod m20261122_000011_agents;
mod m20261122_000012_groups;
mod m20261122_000013_takeover;
mod m20261122_000014_media;
mod m20261122_000015_hours;
mod m20261122_000017_mentions;
mod m20261122_000017_receipts;
mod m20261122_000018_agents;
mod m20261122_000019_streaming;
mod m20261122_000020_pacing;
#[cfg(test)]
mod tests;

/// All steps in their order: `Migrator::up(&connection, None)` applies those that are missing.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_instances::Migration),
            Box::new(m20261122_000002_users::Migration),
            Box::new(m20261122_000003_traces::Migration),
            Box::new(m20261122_000004_turns::Migration),
            Box::new(m20261122_000005_answered_in::Migration),
            Box::new(m20261122_000006_keys::Migration),
            Box::new(m20261122_000007_audit::Migration),
            Box::new(m20261122_000008_people::Migration),
            Box::new(m20261122_000009_conversations::Migration),
            Box::new(m20261122_000010_trace_retention::Migration),
            Box::new(m20261122_000011_agents::Migration),
            Box::new(m20261122_000012_groups::Migration),
            Box::new(m20261122_000013_takeover::Migration),
            Box::new(m20261122_000014_media::Migration),
            Box::new(m20261122_000015_hours::Migration),
            Box::new(m20261122_000017_receipts::Migration),
            Box::new(m20261122_000017_mentions::Migration),
            Box::new(m20261122_000018_agents::Migration),
            Box::new(m20261122_000019_streaming::Migration),
            Box::new(m20261122_000020_pacing::Migration),
        ]
    }
}

/// The names of the steps that are not applied yet, in their order. Nothing is made for it, not even the
/// table that remembers them.
///
/// # Errors
/// A failure of the database, or steps that are applied and that this version does not know.
pub async fn pending<C: ConnectionTrait>(database: &C) -> Result<Vec<String>, DbErr> {
    let steps = Migrator::get_pending_migrations_read_only(database).await?;
    Ok(steps.iter().map(|step| step.name().to_owned()).collect())
}

/// A foreign key `instance_name` to the instance: deleting the instance deletes the rows.
fn instance_foreign_key(name: &str, table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(name)
        .from(table, "instance_name")
        .to("instance_configs", "name")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}
