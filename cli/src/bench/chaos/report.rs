//! What a run leaves: a row of the table, and a JSON object with the whole schedule.

use std::{collections::BTreeMap, fs, path::Path};

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use super::super::machine::Machine;
use super::{
    facts::Done,
    schedule::{Fault, FaultKind, Shape},
    verdict::Verdict,
};

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What was asked for.
    pub fault: FaultKind,
    /// What was hurt.
    pub shape: Shape,
    /// The seed's faults.
    pub schedule: Vec<Fault>,
    /// The faults as they were done.
    pub done: Vec<Done>,
    /// Posts that had to be repeated.
    pub posted_again: usize,
    /// What the ledger says.
    pub verdict: Verdict,
    /// Seconds from the first post until all was settled.
    pub took_s: f64,
}

impl Run {
    /// The line that says how to have the same again.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} seed {} on {}", self.fault.word(), self.seed, self.shape.brokers)
    }

    fn faults(&self) -> String {
        let mut count: BTreeMap<FaultKind, usize> = BTreeMap::new();
        for done in &self.done {
            *count.entry(done.kind).or_default() += 1;
        }
        let words: Vec<String> = count.iter().map(|(kind, count)| format!("{} {count}", kind.word())).collect();
        words.join(", ")
    }
}

/// The head of the table.
const HEAD: [&str; 13] = [
    "run",
    "messages",
    "answered",
    "lost",
    "duplicated",
    "in flight",
    "reordered",
    "overlapping",
    "repeated calls",
    "orphan traces",
    "other wrongs",
    "faults",
    "longest silence",
];

/// What the head's words cannot say.
const NOTE: &str = "in flight: bubbles repeated + calls at once that were in flight at a fault, which fail no run";

impl Run {
    fn cells(&self) -> [String; 13] {
        let verdict = &self.verdict;
        let others = verdict.wrong.len() + verdict.never_accepted + verdict.not_answered;
        [
            self.name(),
            verdict.messages.to_string(),
            verdict.answered.to_string(),
            verdict.lost.to_string(),
            verdict.duplicated.to_string(),
            format!("{} + {}", verdict.duplicated_in_flight, verdict.overlapping_in_flight),
            verdict.reordered.to_string(),
            verdict.overlapping.to_string(),
            verdict.repeated_calls.to_string(),
            verdict.orphan_traces.to_string(),
            others.to_string(),
            self.faults(),
            format!("{:.1} s", verdict.longest_silence_ms as f64 / 1_000.0),
        ]
    }
}

/// The table of some runs, for a terminal.
#[must_use]
pub fn table(runs: &[Run]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(HEAD);
    for run in runs {
        table.add_row(run.cells());
    }
    format!("{table}\n{NOTE}\n")
}

/// The same for a page of the documents.
fn markdown(machine: &Machine, runs: &[Run]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: String = runs.iter().map(|run| line(&run.cells())).collect();
    let head = line(&HEAD.map(str::to_owned));
    format!("{}.\n\n{head}|{}\n{rows}\n({NOTE})\n", machine.told(), "---|".repeat(HEAD.len()))
}

/// Writes a report: the table if the file's name ends in `.md`, else everything as JSON.
pub(super) fn write(file: &Path, machine: &Machine, runs: &[Run]) -> anyhow::Result<()> {
    let is_page = file.extension().is_some_and(|word| word == "md");
    let text = if is_page { markdown(machine, runs) } else { serde_json::to_string_pretty(runs)? };
    Ok(fs::write(file, text)?)
}

/// What went wrong in a run, a line each.
#[must_use]
pub fn wrongs(run: &Run) -> String {
    let lines = run.verdict.wrong.iter().chain(&run.verdict.examples);
    lines.map(|line| format!("  {}: {line}\n", run.name())).collect()
}
