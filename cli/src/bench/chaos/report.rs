//! What a run leaves: a row of the table, and a JSON object with the whole schedule.

use std::collections::BTreeMap;

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

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

/// The table of some runs.
#[must_use]
pub fn table(runs: &[Run]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(HEAD);
    for run in runs {
        let verdict = &run.verdict;
        let others = verdict.wrong.len() + verdict.never_accepted + verdict.not_answered;
        table.add_row([
            run.name(),
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
            run.faults(),
            format!("{:.1} s", verdict.longest_silence_ms as f64 / 1_000.0),
        ]);
    }
    let note = "in flight: bubbles repeated + calls at once that were in flight at a fault, which fail no run";
    format!("{table}\n{note}\n")
}

/// What is remarkable about a run, a line each: what went wrong, and who gave up.
#[must_use]
pub fn wrongs(run: &Run) -> String {
    let lines = run.verdict.wrong.iter().chain(&run.verdict.examples).chain(&run.verdict.gave_up);
    lines.map(|line| format!("  {}: {line}\n", run.name())).collect()
}
