//! Answers of the hub as people read them: tables, and JSON for programs.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;

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
        table.add_row(columns.map(|(_, field)| word(&object[field])));
    }
    table
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

/// Prints the answer of a command. Whoever reads it may have had enough of it (`| head`).
///
/// # Errors
/// When nobody can take it.
pub fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("the answer could not be printed"),
    }
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
