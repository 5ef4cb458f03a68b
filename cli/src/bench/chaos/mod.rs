//! `omnihub bench chaos`: a hub of real processes under load and under faults, and a ledger of
//! every message.
//!
//! The cast: `schedule` makes the faults from a seed; `site` is what runs (two ingresses, three
//! workers, nats-server, PostgreSQL, proxies between them, fakes around them); `traffic` posts,
//! `hurt` does the faults, `stall` notes the machine's
//! own and `owners` who owned what, `settle` waits for the end and reads what was recorded as `facts`;
//! `verdict` balances the ledger, `report` shows it; `play` is what is said.
//!
//! A seed reproduces the schedule, not the run: what a fault hits depends on the machine's moment.

pub mod facts;
mod hurt;
mod owners;
mod play;
pub mod report;
pub mod schedule;
mod settle;
mod site;
mod stall;
mod traffic;
pub mod verdict;

use std::{io::Write as _, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use omnihub_common::process::Stop;
use tokio::time::Instant;

use super::machine::{Machine, nats_version};
use facts::Facts;
use report::Run;
use schedule::{FaultKind, Shape, schedule};
use site::Site;
use traffic::Load;

/// Options of `omnihub bench chaos`.
#[derive(Clone, Debug, Args)]
pub struct ChaosArgs {
    /// The seed of the schedule.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Several seeds, one run each, the last one included: 1..10.
    #[arg(long, value_parser = seeds, conflicts_with = "seed")]
    pub seeds: Option<(u64, u64)>,
    /// Seeds 1 to 3 of each kind of fault, and 1 to 10 of all of them mixed.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "fault"])]
    pub campaign: bool,
    /// What is done to the hub.
    #[arg(long, value_enum, default_value = "mixed")]
    pub fault: FaultKind,
    /// How many messages are posted.
    #[arg(long, default_value_t = 2_000)]
    pub messages: usize,
    /// Over how many conversations.
    #[arg(long, default_value_t = 200, value_parser = at_least_one)]
    pub conversations: usize,
    /// How many nats-servers: 1, or a cluster of 3.
    #[arg(long, default_value_t = 1, value_parser = one_or_three)]
    pub nats: usize,
    /// How long the load and the faults go on.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Write to this file after each run: the table if its name ends in .md, else everything as
    /// JSON. May be given twice.
    #[arg(long)]
    pub report: Vec<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Keep the logs of the hub's processes in this folder.
    #[arg(long)]
    pub logs: Option<PathBuf>,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "expected two numbers, such as 1..10".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    match (first.parse(), last.trim_start_matches('=').parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(wrong()),
    }
}

fn one_or_three(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| matches!(count, 1 | 3)).ok_or_else(|| "expected 1 or 3".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected at least 1".to_owned())
}

/// A promise was broken.
#[derive(Debug, thiserror::Error)]
#[error("the ledger does not balance in {0} of {1} runs")]
struct Unbalanced(usize, usize);

/// Runs every seed.
///
/// # Errors
/// When a run cannot be made, or when its ledger does not balance.
pub async fn run(arguments: ChaosArgs) -> anyhow::Result<()> {
    // First of all: from here on a signal cleans up.
    let stop = Stop::on_signals()?;
    let machine = Machine::look(nats_version().await?, arguments.nats);
    let (plan, mut runs) = (plan(&arguments), Vec::new());
    for (kind, seed) in &plan {
        let run = tokio::select! {
            run = one(*kind, *seed, &arguments) => run,
            () = stop.requested() => anyhow::bail!("stopped before the end"),
        };
        match run.with_context(|| format!("the run {} seed {seed}", kind.word())) {
            Ok(run) => {
                note(&report::wrongs(&run));
                runs.push(run);
            }
            // The others of a long campaign are worth having; it fails all the same.
            Err(error) if plan.len() > 1 => note(&format!("{error:#}\n")),
            Err(error) => return Err(error),
        }
        for file in &arguments.report {
            report::write(file, &machine, &runs).with_context(|| file.display().to_string())?;
        }
    }
    say(&if arguments.json { serde_json::to_string_pretty(&runs)? + "\n" } else { report::table(&runs) });
    match plan.len() - runs.iter().filter(|run| run.verdict.is_good()).count() {
        0 => Ok(()),
        bad => Err(Unbalanced(bad, plan.len()).into()),
    }
}

/// The runs that are asked for.
fn plan(arguments: &ChaosArgs) -> Vec<(FaultKind, u64)> {
    if arguments.campaign {
        let each = FaultKind::EACH.into_iter().flat_map(|kind| (1..=3).map(move |seed| (kind, seed)));
        return each.chain((1..=10).map(|seed| (FaultKind::Mixed, seed))).collect();
    }
    let (first, last) = arguments.seeds.unwrap_or((arguments.seed, arguments.seed));
    (first..=last).map(|seed| (arguments.fault, seed)).collect()
}

async fn one(kind: FaultKind, seed: u64, arguments: &ChaosArgs) -> anyhow::Result<Run> {
    let shape = shape(arguments);
    let faults = schedule(seed, kind, &shape);
    let site = Site::start(&shape).await?;
    owners::keep(&site, &shape).await?;
    if !arguments.json {
        say(&told(kind, seed, &faults));
    }
    let began = Instant::now();
    let length = Duration::from_secs(arguments.seconds);
    let load = Load { seed, messages: arguments.messages, conversations: arguments.conversations, length };
    let doors = site.doors();
    let mut stalls = Vec::new();
    let (mut facts, posted_again, settled) = {
        let run = async {
            let both = tokio::try_join!(traffic::post(&doors, load, began), hurt::hurt(&site, &faults, began));
            let (posted, hurt) = both?;
            let mut facts = Facts {
                accepted: posted.accepted,
                never_accepted: posted.never_accepted,
                violations: [posted.refused, hurt.wrong].concat(),
                faults: hurt.done,
                ..Facts::default()
            };
            let settled = settle::settle(&site, &mut facts, began).await;
            facts.violations.extend(hurt::ended_since(&site).await);
            anyhow::Ok((facts, posted.again, settled))
        };
        tokio::select! {
            ended = run => ended?,
            watched = stall::watch(&site, &shape, began, &mut stalls) => {
                return Err(watched.err().unwrap_or_else(|| anyhow::anyhow!("the watch over the broker ended")));
            }
        }
    };
    facts.faults.extend(stall::unexplained(stalls, &facts.faults));
    if let Some(folder) = &arguments.logs {
        site.keep_logs(&folder.join(format!("{}-{seed}", kind.word()))).await?;
    }
    settled?;
    let lease_ms = u64::try_from(shape.lease.as_millis()).unwrap_or(u64::MAX);
    let faults_until_well = facts.faults.into_iter().map(|fault| fault.until_well(&facts.beats, lease_ms));
    facts.faults = faults_until_well.collect();
    let verdict = verdict::verdict(&facts);
    let (done, took_s) = (facts.faults, began.elapsed().as_secs_f64());
    Ok(Run { seed, fault: kind, shape, schedule: faults, done, posted_again, verdict, took_s })
}

/// Short leases, so that conversations change hands often.
fn shape(arguments: &ChaosArgs) -> Shape {
    let lease = Duration::from_secs(if arguments.nats == 3 { 5 } else { 2 });
    let length_ms = arguments.seconds.saturating_mul(1_000);
    Shape { workers: 3, ingresses: 2, brokers: arguments.nats, lease, length_ms }
}

fn told(kind: FaultKind, seed: u64, faults: &[schedule::Fault]) -> String {
    let line = |fault: &schedule::Fault| {
        format!("  at {:>6} ms for {:>5} ms: {:?}\n", fault.at_ms, fault.lasts_ms, fault.deed)
    };
    format!("{} seed {seed}: {} faults\n{}", kind.word(), faults.len(), faults.iter().map(line).collect::<String>())
}

/// Prints; a closed standard output is nobody's loss.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The same on standard error.
fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        assert_eq!(seeds("1..10"), Ok((1, 10)));
        assert_eq!(seeds("3..=3"), Ok((3, 3)));
        assert!(seeds("3..1").is_err() && seeds("x").is_err());
        assert!(one_or_three("2").is_err() && one_or_three("3") == Ok(3));
        assert!(at_least_one("0").is_err());
    }

    #[test]
    fn a_campaign_has_three_seeds_of_each_kind_and_ten_mixed() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            chaos: ChaosArgs,
        }
        let plan = plan(&<Command as clap::Parser>::parse_from(["chaos", "--campaign"]).chaos);
        assert_eq!(plan.len(), 6 * 3 + 10);
        assert_eq!(plan.iter().filter(|(kind, _)| *kind == FaultKind::Mixed).count(), 10);
    }
}
