//! Answers of the hub as people read them: tables, and JSON for programs.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;

/// A day and what is left and right of it: a time is broken behind its day, if at all.
const DAY: u16 = 12;
/// A table with an id and what belongs to it needs so many columns.
const WIDE: u16 = 110;

/// An empty table in the style of this program.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Objects as a table, one line each; `columns` are heads and fields.
#[must_use]
pub fn rows<const N: usize>(columns: [(&str, &str); N], objects: &[Value]) -> Table {
    let mut table = table();
    table.set_header(columns.map(|(head, _)| head));
    for object in objects {
        table.add_row(columns.map(|(_, field)| cell(&object[field])));
    }
    for (nth, _) in columns.iter().enumerate().filter(|(_, (head, _))| head.ends_with("(UTC)")) {
        if let Some(column) = table.column_mut(nth) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(DAY)));
        }
    }
    table
}

/// Lines whose `id`th cell is an id that people copy: never broken. A table, and on a terminal that is too narrow
/// for one each line in full below its id.
#[must_use]
pub fn with_ids<const N: usize>(heads: [&str; N], id: usize, lines: &[[String; N]]) -> String {
    let mut table = table();
    if table.width().is_some_and(|width| width < WIDE) {
        return lines.iter().map(|line| below_its_id(line, id)).collect();
    }
    table.set_header(heads);
    table.add_rows(lines);
    if let Some(column) = table.column_mut(id) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    format!("{table}\n")
}

fn below_its_id(line: &[String], id: usize) -> String {
    let others = line.iter().enumerate().filter(|(nth, cell)| *nth != id && !cell.is_empty());
    let others: Vec<&str> = others.map(|(_, cell)| cell.as_str()).collect();
    format!("{}\n  {}\n", line.get(id).map(String::as_str).unwrap_or_default(), others.join(" · "))
}

/// A value in a narrow column: a time in UTC to the second, as its head says; anything else in full.
#[must_use]
pub fn cell(value: &Value) -> String {
    let whole = word(value);
    match whole.parse::<DateTime<Utc>>() {
        Ok(at) if value.is_string() => second(at),
        _ => whole,
    }
}

/// A time as people read it, in UTC.
#[must_use]
pub fn second(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// An object as a table, one line per field that is set and is none of `without`.
#[must_use]
pub fn fields(object: &Value, without: &[&str]) -> Table {
    let mut table = table();
    let empty = |value: &Value| value.is_null() || *value == "" || value.as_array().is_some_and(Vec::is_empty);
    for (field, value) in object.as_object().into_iter().flatten() {
        if !empty(value) && !without.contains(&field.as_str()) {
            table.add_row([field.clone(), word(value)]);
        }
    }
    table
}

/// A value as people write it.
#[must_use]
pub fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(word).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

/// So many of something that has a plain plural.
#[must_use]
pub fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// A value for programs.
///
/// # Errors
/// Never for what came as JSON.
pub fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// What is said of an answer that is not what it should be.
pub const UNREADABLE: &str =
    "the hub's answer cannot be read: hub and program may be of different versions, compare `omnihub --version`";

/// The error of an answer that is something else than what was asked for.
#[must_use]
pub fn unexpected(wanted: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the hub's answer is not {wanted}: hub and program may be of different versions, compare `omnihub --version`"
    )
}

/// Prints the answer of a command. A reader that has read enough, as `head` does, is no error.
///
/// # Errors
/// When nobody can take it.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("the answer could not be printed"),
    }
}

/// Whether standard output is a terminal that knows colours, unless `NO_COLOR` says no.
#[must_use]
pub fn has_colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !unwanted && !dumb
}

/// Tells a person something beside the answer, where a program that reads the answer does not
/// stumble over it. Nobody waits for a terminal that fails.
pub fn note(text: &str) {
    let _unseen = writeln!(io::stderr().lock(), "{text}");
}

/// Asks before something that cannot be undone; `without_asking` names the option for where nobody
/// can be asked.
///
/// # Errors
/// When nobody can be asked.
pub async fn confirmed(question: String, without_asking: &'static str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        anyhow::bail!("{question} Nobody can be asked here: say {without_asking}");
    }
    let ask = move || dialoguer::Confirm::new().with_prompt(question).default(false).interact();
    tokio::task::spawn_blocking(ask).await?.context("the question was not answered")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_in_a_column_ends_at_its_second() {
        let lines = [json!({"at": "2026-11-22T16:23:07.356309Z", "what": "2026-11-22", "reason": null})];
        let table = rows([("At (UTC)", "at"), ("What", "what"), ("Reason", "reason")], &lines).to_string();
        assert!(table.contains("│ 2026-11-22 16:23:07 ┆ 2026-11-22 ┆        │"), "{table}");
        let table = rows([("At (UTC)", "at")], &[json!({"at": "2026-11-22T18:23:07+02:00"})]).to_string();
        assert!(table.contains("│ 2026-11-22 16:23:07 │"), "{table}");
        let table = rows([("A long head", "a"), ("At (UTC)", "at")], &[json!({"at": "2026-11-22T18:23:07Z"})])
            .set_width(20)
            .to_string();
        assert!(table.contains("┆ 2026-11-22 │"), "{table}");
    }

    #[test]
    fn an_id_stays_whole() {
        let line = ["acme", "", "01a20414-c218-810a-834b-842983e4985d", "answered"].map(str::to_owned);
        assert_eq!(below_its_id(&line, 2), "01a20414-c218-810a-834b-842983e4985d\n  acme · answered\n");
        let wide = with_ids(["Instance", "From", "Trace", "Ended"], 2, &[line]);
        assert!(wide.contains("┆ 01a20414-c218-810a-834b-842983e4985d ┆ answered │"), "{wide}");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "trace")), ["0 traces", "1 trace", "2 traces"]);
    }
}
