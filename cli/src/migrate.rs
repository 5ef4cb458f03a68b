//! `omnihub migrate`: the tables and the streams, made before the parts run.
//!
//! The parts themselves migrate nothing: of several that start at once, none could know whether
//! another one is still at it.

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;
use backon::{ExponentialBuilder, Retryable as _};
use clap::Subcommand;
use omnihub_common::{
    config::NatsSettings,
    process::{Ground, Program},
    queue::{self, Layout},
};
use omnihub_migrations::Migrator;
use sea_orm::DatabaseConnection;
use sea_orm_migration::{MigrationStatus, MigratorTrait as _};

/// How long a cluster may take until it can place the streams.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do to the tables.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is missing, make the streams, and seed the default instance from the settings.
    Up,
    /// Take the last steps back. Data in the tables that go is lost.
    Down {
        /// How many steps.
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// Show which steps are applied.
    Status,
}

/// Runs the command.
///
/// # Errors
/// When the database or NATS cannot be reached, or a step fails.
pub async fn run(command: MigrateCommand, program: Program) -> anyhow::Result<()> {
    let ground = Ground::open(&program).await?;
    let done = match command {
        MigrateCommand::Up => {
            apply(&ground.database).await?;
            prepare_streams(&ground.nats, &Layout::load(&*ground.settings)?).await?;
            seed(&ground).await?;
            "The tables and the streams are up to date.".to_owned()
        }
        MigrateCommand::Down { steps } => {
            Migrator::down(&ground.database, Some(steps)).await.context("the migration could not be taken back")?;
            status(&ground.database).await?
        }
        MigrateCommand::Status => status(&ground.database).await?,
    };
    writeln!(std::io::stdout(), "{done}")?;
    Ok(())
}

/// Applies every migration that is missing.
///
/// # Errors
/// When a step fails.
pub async fn apply(database: &DatabaseConnection) -> anyhow::Result<()> {
    Migrator::up(database, None).await.context("the database could not be migrated")
}

/// Makes the streams of the queue; existing ones keep the layout they were made with.
///
/// # Errors
/// When NATS cannot be reached, or holds streams that this build cannot honour.
pub async fn prepare_streams(nats: &NatsSettings, wanted: &Layout) -> anyhow::Result<()> {
    let nats = queue::connect(nats, "omnihub-migrate").await?;
    // A cluster that has just started needs a moment to know its servers.
    let prepare = || queue::prepare(&nats.js, wanted);
    let patience = ExponentialBuilder::default().without_max_times().with_total_delay(Some(PATIENCE));
    let layout = prepare.retry(patience).when(queue::PrepareError::may_pass).await?;
    if layout != *wanted {
        tracing::warn!("the streams keep the layout they were made with, whatever the settings say");
    }
    Ok(())
}

/// Makes the default instance from the settings when there is no instance yet.
///
/// # Errors
/// When the database fails.
pub async fn seed(ground: &Ground) -> anyhow::Result<()> {
    ground.tenants().await?;
    Ok(())
}

async fn status(database: &DatabaseConnection) -> anyhow::Result<String> {
    let steps = Migrator::get_migration_with_status_read_only(database).await?;
    let line = |step: &sea_orm_migration::Migration| {
        let word = match step.status() {
            MigrationStatus::Applied => "applied",
            MigrationStatus::Pending => "pending",
        };
        format!("{word}  {}", step.name())
    };
    Ok(steps.iter().map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use omnihub_common::{config::DatabaseSettings, database, secret::Secret};

    use super::*;

    #[tokio::test]
    async fn migrations_go_up_twice_and_all_the_way_down_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let url = Secret::new(format!("sqlite://{}", folder.path().join("omnihub.db").display()));
        let database = database::connect(&DatabaseSettings { url, connections: 1 }).await.unwrap();
        apply(&database).await.unwrap();
        apply(&database).await.unwrap();
        assert!(!status(&database).await.unwrap().contains("pending"));
        Migrator::down(&database, None).await.unwrap();
        assert!(!status(&database).await.unwrap().contains("applied"));
    }
}
