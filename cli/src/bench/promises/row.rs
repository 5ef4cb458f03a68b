//! The rows of the report, and the report.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use super::super::machine::Machine;

/// What a row is about. A slow machine changes times and sizes, never what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// Whether the right things were done: true on every machine.
    Deeds,
    /// How long it took.
    Time,
    /// How much memory or room it took.
    Size,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The measurement it belongs to.
    pub figure: &'static str,
    /// What was measured.
    pub what: String,
    /// What it was.
    pub measured: String,
    /// What it should be; empty where nothing is promised.
    pub goal: String,
    /// Whether the goal was reached; `None` where there is none.
    pub ok: Option<bool>,
    /// What the row is about.
    pub about: About,
}

impl Row {
    /// A figure with nothing promised about it.
    pub(super) fn note(
        figure: &'static str,
        about: About,
        what: impl Into<String>,
        measured: impl Into<String>,
    ) -> Self {
        Self { figure, what: what.into(), measured: measured.into(), goal: String::new(), ok: None, about }
    }

    /// The same with a goal, reached or not.
    #[must_use]
    pub(super) fn goal(self, goal: impl Into<String>, ok: bool) -> Self {
        Self { goal: goal.into(), ok: Some(ok), ..self }
    }

    /// A number of things that should be exactly so many.
    pub(super) fn count(figure: &'static str, what: impl Into<String>, measured: usize, wanted: usize) -> Self {
        Self::note(figure, About::Deeds, what, measured.to_string()).goal(wanted.to_string(), measured == wanted)
    }

    fn word(&self) -> &'static str {
        match self.ok {
            None => "",
            Some(true) => "yes",
            Some(false) => "NO",
        }
    }

    fn cells(&self) -> [&str; 5] {
        [self.figure, &self.what, &self.measured, &self.goal, self.word()]
    }
}

const HEAD: [&str; 5] = ["", "what", "measured", "goal", "ok"];

/// Everything that was measured in one run of the command.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// What came out.
    pub rows: Vec<Row>,
}

impl Report {
    /// How many goals were missed.
    #[must_use]
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.ok == Some(false)).count()
    }

    /// The report for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(HEAD);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        format!("{}\n{table}\n", self.machine.told())
    }

    /// The report for a page of the documents.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: [&str; 5]| format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        let rows: String = self.rows.iter().map(|row| line(row.cells())).collect();
        format!("{}.\n\n{}|---|---|---|---|---|\n{rows}", self.machine.told(), line(HEAD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_counted_and_a_note_is_not() {
        let rows = vec![
            Row::count("burst", "calls", 5, 5),
            Row::note("burst", About::Time, "took", "1 s | 2 s"),
            Row::note("burst", About::Time, "took", "3 s").goal("1 s", false),
        ];
        let report = Report { machine: Machine::look("2.15.1".to_owned(), 1), rows };
        assert_eq!(report.missed(), 1);
        assert!(report.table().contains("NO"));
        assert!(report.markdown().contains("| burst | took | 1 s \\| 2 s |  |  |\n"));
    }
}
