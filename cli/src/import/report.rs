//! What an import did, for people and for programs.

use omnihub_common::person::{ImportCounts, ImportMode};
use serde::Serialize;

use super::source::Schema;
use crate::show;

/// Rows that were left out and are named; more are only counted.
const NAMED: usize = 100;

/// What an import did, or would do.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Where the rows came from.
    pub(super) source: String,
    /// Which generation of the Python hub made it.
    pub(super) schema: Schema,
    /// Nothing was written.
    pub(super) dry_run: bool,
    /// What was there and differed was changed.
    pub(super) overwrite: bool,
    /// In the order of the source.
    pub(super) instances: Vec<InstanceReport>,
    /// Rules for all instances.
    pub(super) global_rules: Tally,
    /// Rows of no instance that the source has.
    pub(super) orphans: u64,
    /// Rows that were left out.
    pub(super) left_out: Vec<LeftOut>,
    /// So many more were left out.
    pub(super) left_out_unnamed: u64,
    /// Payloads of traces that are damaged or larger than any message.
    pub(super) payloads_missed: u64,
    /// Not everything could be read or written, beside what is said of an instance.
    pub(super) incomplete: bool,
    /// What is worth knowing of the import as a whole.
    pub(super) remarks: Vec<String>,
}

/// What became of an instance and of what belongs to it.
#[derive(Debug, Serialize)]
pub(super) struct InstanceReport {
    /// Its name in the source.
    pub(super) source_name: String,
    /// Its name here.
    pub(super) name: String,
    /// What became of it.
    pub(super) result: Fate,
    /// Why it was not imported, or not whole.
    pub(super) reason: Option<String>,
    /// The fields in which it differs from the source's, where it was there.
    pub(super) differs: Vec<&'static str>,
    /// What is worth knowing.
    pub(super) remarks: Vec<String>,
    pub(super) users: Tally,
    pub(super) external_ids: Tally,
    pub(super) access_rules: Tally,
    pub(super) traces: Tally,
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// It was not there, and is now.
    Created,
    /// It was there, differed, and is as in the source now.
    Updated,
    /// It was there, differs, and stays as it is.
    Kept,
    /// It was there, the same.
    Unchanged,
    /// Somebody deleted it here, and it stays so.
    Deleted,
    /// It could not be imported, or what belongs to it not whole.
    Failed,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Kept => "kept",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted here",
            Self::Failed => "FAILED",
        }
    }
}

/// What became of rows of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Were not there.
    pub(super) created: u64,
    /// Were there, and were changed.
    pub(super) updated: u64,
    /// Were there or were removed here, differ, and stay so.
    pub(super) kept: u64,
    /// Were there.
    pub(super) unchanged: u64,
    /// Cannot be imported; `left_out` says why.
    pub(super) left_out: u64,
}

impl Tally {
    /// Counts what a table of people says.
    pub(super) fn add(&mut self, counts: ImportCounts) {
        self.created += counts.created;
        self.updated += counts.updated;
        self.kept += counts.kept;
        self.unchanged += counts.unchanged;
        self.left_out += counts.nobody;
    }

    /// Adds up two of them.
    pub(super) fn join(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.kept += other.kept;
        self.unchanged += other.unchanged;
        self.left_out += other.left_out;
    }

    /// As a cell of the table: what is new, and in words what else there is.
    fn cell(&self) -> String {
        let words =
            [(self.updated, "updated"), (self.kept, "kept"), (self.unchanged, "there"), (self.left_out, "left out")];
        let more = words.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let new = (self.created > 0).then(|| format!("{} new", self.created));
        let cell: Vec<String> = new.into_iter().chain(more).collect();
        if cell.is_empty() { "-".to_owned() } else { cell.join("\n") }
    }
}

/// A row that was left out.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    pub(super) table: &'static str,
    /// Its key in the source.
    pub(super) row: String,
    pub(super) instance: Option<String>,
    pub(super) reason: String,
}

impl InstanceReport {
    /// Of an instance of this name in the source, made until something else is said.
    pub(super) fn new(source_name: &str) -> Self {
        let none = Tally::default();
        Self {
            source_name: source_name.to_owned(),
            name: source_name.to_owned(),
            result: Fate::Created,
            reason: None,
            differs: Vec::new(),
            remarks: Vec::new(),
            users: none,
            external_ids: none,
            access_rules: none,
            traces: none,
        }
    }
}

impl Report {
    /// Of an import that has done nothing yet.
    pub(super) fn new(source: String, schema: Schema, mode: ImportMode) -> Self {
        Self {
            source,
            schema,
            dry_run: mode.dry_run,
            overwrite: mode.overwrite,
            instances: Vec::new(),
            global_rules: Tally::default(),
            orphans: 0,
            left_out: Vec::new(),
            left_out_unnamed: 0,
            payloads_missed: 0,
            incomplete: false,
            remarks: Vec::new(),
        }
    }

    /// Notes a row that is left out.
    pub(super) fn leave_out(&mut self, left_out: LeftOut) {
        match self.left_out.len() < NAMED {
            true => self.left_out.push(left_out),
            false => self.left_out_unnamed += 1,
        }
    }

    /// How many instances were not imported, or not whole.
    pub(super) fn failed(&self) -> usize {
        self.instances.iter().filter(|instance| instance.result == Fate::Failed).count()
    }

    /// For programs.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        show::pretty(&serde_json::to_value(self)?)
    }

    /// For people.
    pub(super) fn page(&self) -> String {
        let mut table = show::table();
        table.set_header(["Instance", "Result", "Users", "Other names", "Access rules", "Traces"]);
        for instance in &self.instances {
            let name = match instance.name == instance.source_name {
                true => instance.name.clone(),
                false => format!("{}\n(was {})", instance.name, instance.source_name),
            };
            let tallies = [instance.users, instance.external_ids, instance.access_rules, instance.traces];
            let cells = tallies.map(|tally| tally.cell());
            table.add_row([&[name, instance.result.word().to_owned()][..], &cells].concat());
        }
        if self.global_rules != Tally::default() {
            let [name, none] = ["(every instance)", "-"].map(str::to_owned);
            let rules = self.global_rules.cell();
            table.add_row([name, none.clone(), none.clone(), none.clone(), rules, none]);
        }
        let mut page = format!("{table}\n");
        self.tell(&mut page);
        page
    }

    fn tell(&self, page: &mut String) {
        let mut line = |text: String| page.push_str(&format!("{text}\n"));
        for instance in &self.instances {
            let (name, differs) = (&instance.source_name, instance.differs.join(", "));
            if let Some(reason) = &instance.reason {
                line(format!("{name}: {reason}"));
            }
            match instance.result {
                Fate::Kept => line(format!(
                    "{name}: stays as it is, though the source differs in {differs}; --overwrite takes the source's"
                )),
                Fate::Updated => line(format!("{name}: {differs} are the source's now")),
                _ => {}
            }
            instance.remarks.iter().for_each(|remark| line(format!("{name}: {remark}")));
        }
        for row in &self.left_out {
            line(format!("left out: row {} of {}: {}", row.row, row.table, row.reason));
        }
        if self.left_out_unnamed > 0 {
            line(format!("left out: {} more rows", self.left_out_unnamed));
        }
        if self.payloads_missed > 0 {
            line(format!("payloads of traces that are damaged or too large, and stay there: {}", self.payloads_missed));
        }
        if self.orphans > 0 {
            line(format!("rows that belong to no instance of the source, and stay there: {}", self.orphans));
        }
        self.remarks.iter().for_each(|remark| line(remark.clone()));
        if self.dry_run {
            line("This was a dry run: nothing was written.".to_owned());
        }
    }
}
