//! `omnihub bench`: what the hub promises, tried on real processes.
//!
//! The cast: [`chaos`] hurts a running hub and keeps a ledger of every message; [`promises`]
//! measures the figures that are promised; [`machine`] says on what.
//!
//! What is absent: anything that touches a hub of the user's. Each run makes its own servers and
//! processes in temporary folders (`omnihub_stage`) and takes them away again.

pub mod chaos;
pub mod machine;
pub mod promises;

use clap::Subcommand;

/// What to try.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Kill, freeze, stop and cut the parts of a hub under load, and account for every message.
    Chaos(chaos::ChaosArgs),
    /// Measure what is promised: takeovers, restarts, quotas, bursts, memory, fairness, outages.
    Promises(promises::PromisesArgs),
}

/// Runs one of them.
///
/// # Errors
/// When it cannot run, or when a promise was broken.
pub async fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Chaos(arguments) => chaos::run(arguments).await,
        BenchCommand::Promises(arguments) => promises::run(arguments).await,
    }
}
