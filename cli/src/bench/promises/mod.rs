//! `omnihub bench promises`: the figures that the hub promises, measured on real processes.
//!
//! The cast: one file per measurement ([`Figure`] lists them), each starts the hub it needs
//! (`site`, with `outside` around it and `load` before it), plays it, and answers rows (`row`);
//! [`super::machine`] says on what. `changes` is what the measurements of dying workers share.
//!
//! What is absent: faults by seed and the ledger of every message, see [`super::chaos`].

mod broker;
mod burst;
mod changes;
mod fairness;
mod load;
mod outage;
mod outside;
mod quota;
mod restart;
mod rewind;
pub mod row;
mod site;
mod statistics;
mod takeover;
mod tenants;
mod waiting;

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use omnihub_common::process::Stop;

use super::machine::{Machine, nats_version};
use row::{Report, Row};

/// Options of `omnihub bench promises`.
#[derive(Clone, Debug, Args)]
pub struct PromisesArgs {
    /// Which ones, with commas between; all of them unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Figure>,
    /// How many nats-servers: 1, or a cluster of 3.
    #[arg(long, default_value_t = 1, value_parser = one_or_three)]
    pub nats: usize,
    /// Smaller and shorter: to see that it works, not for figures.
    #[arg(long)]
    pub quick: bool,
    /// Write the table to this file as Markdown, after each measurement.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// The measurements, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// A worker is killed, and another one goes on.
    Takeover,
    /// A worker is killed and started again.
    Restart,
    /// An instance has too much in the queue.
    Quota,
    /// Five messages within two seconds are one question.
    Burst,
    /// Ten thousand turns wait for a slow agent.
    Waiting,
    /// A tenant whose agent hangs, and sixty others.
    Fairness,
    /// The database is away for ten minutes.
    Outage,
    /// The store of NATS is put back by a minute.
    Rewind,
    /// Ten thousand instances.
    Tenants,
}

/// How a measurement is made.
#[derive(Clone, Copy, Debug)]
struct Terms {
    brokers: usize,
    quick: bool,
}

impl Terms {
    /// The first of the two for figures, the second one for a quick look.
    fn size<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

impl Figure {
    fn word(self) -> &'static str {
        match self {
            Self::Takeover => "takeover",
            Self::Restart => "restart",
            Self::Quota => "quota",
            Self::Burst => "burst",
            Self::Waiting => "waiting",
            Self::Fairness => "fairness",
            Self::Outage => "outage",
            Self::Rewind => "rewind",
            Self::Tenants => "tenants",
        }
    }

    async fn measure(self, terms: Terms) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Takeover => takeover::measure(terms).await,
            Self::Restart => restart::measure(terms).await,
            Self::Quota => quota::measure(terms).await,
            Self::Burst => burst::measure(terms).await,
            Self::Waiting => waiting::measure(terms).await,
            Self::Fairness => fairness::measure(terms).await,
            Self::Outage => outage::measure(terms).await,
            Self::Rewind => rewind::measure(terms).await,
            Self::Tenants => tenants::measure(terms).await,
        }
    }
}

fn one_or_three(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| matches!(count, 1 | 3)).ok_or_else(|| "expected 1 or 3".to_owned())
}

/// A goal was missed.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} goals were missed")]
struct Missed(usize, usize);

/// Makes the measurements one after the other.
///
/// # Errors
/// When one cannot be made, or when it misses its goal.
pub async fn run(arguments: PromisesArgs) -> anyhow::Result<()> {
    // First of all: from here on a signal cleans up.
    let stop = Stop::on_signals()?;
    let measured = tokio::select! {
        measured = measure(&arguments) => measured?,
        () = stop.requested() => anyhow::bail!("stopped before the end"),
    };
    let text = if arguments.json { serde_json::to_string_pretty(&measured)? + "\n" } else { measured.table() };
    // A closed standard output is nobody's loss.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    match measured.missed() {
        0 => Ok(()),
        missed => Err(Missed(missed, measured.rows.iter().filter(|row| row.ok.is_some()).count()).into()),
    }
}

async fn measure(arguments: &PromisesArgs) -> anyhow::Result<Report> {
    let terms = Terms { brokers: arguments.nats, quick: arguments.quick };
    let machine = Machine::look(nats_version().await?, arguments.nats);
    let mut report = Report { machine, rows: Vec::new() };
    let wanted = |figure: &&Figure| arguments.only.is_empty() || arguments.only.contains(figure);
    for figure in Figure::value_variants().iter().filter(wanted) {
        note(&format!("{} ...\n", figure.word()));
        let rows = figure.measure(terms).await.with_context(|| format!("measuring {}", figure.word()))?;
        report.rows.extend(rows);
        if let Some(file) = &arguments.report {
            std::fs::write(file, report.markdown()).with_context(|| file.display().to_string())?;
        }
    }
    Ok(report)
}

/// Says on standard error what goes on.
fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
