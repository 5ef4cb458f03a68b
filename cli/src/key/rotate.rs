//! `omnihub key rotate`: everything that is encrypted, anew with the ring's first key.

use std::fmt::Write as _;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::KEYS;
use crate::{api::Api, progress, show};

/// What `rotate` takes.
#[derive(Clone, Copy, Debug, Args)]
pub struct RotateArgs {
    /// Only count what lies under which key.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The hub does a part per call, until it has looked at everything.
pub(super) async fn run(arguments: RotateArgs, target: &Api) -> anyhow::Result<String> {
    let body = json!({"dry_run": arguments.dry_run});
    let mut rotated = 0;
    let mut bar = None;
    let mut total = loop {
        let round = target.call(Method::POST, &[KEYS, "rotate"], &[], Some(&body)).await?;
        rotated += number(&round["rotated"]);
        if round["finished"] == true {
            break round;
        }
        let total = rotated + number(&round["remaining"]);
        let bar = bar.get_or_insert_with(|| progress::bar_for_people(arguments.json, "secrets encrypted anew", total));
        progress::show(bar, rotated);
    };
    drop(bar);
    total["rotated"] = rotated.into();
    if arguments.json { show::pretty(&total) } else { Ok(page(&total)) }
}

fn page(total: &Value) -> String {
    let first = total["first_key"].as_str().unwrap_or_default();
    let mut table = show::table();
    table.set_header(["Key", "Rows", "Secrets", "In the ring"]);
    for (id, count) in total["keys"].as_object().into_iter().flatten() {
        let mark = if id == first { " (first)" } else { "" };
        let words = [&count["rows"], &count["secrets"], &count["in_ring"]].map(show::word);
        table.add_row([&[format!("{id}{mark}")][..], &words].concat());
    }
    let mut page = format!("{table}\n{}\n", sentence(total, first));
    for stuck in total["stuck_secrets"].as_array().into_iter().flatten() {
        let [table, row, field, detail] = ["table", "row", "field", "detail"].map(|name| show::word(&stuck[name]));
        let _ = writeln!(page, "  not done: {field} in row {row} of {table}: {detail}");
    }
    page
}

fn sentence(total: &Value, first: &str) -> String {
    let [rotated, remaining, stuck] = ["rotated", "remaining", "stuck"].map(|name| number(&total[name]));
    let done = format!("{rotated} secrets were encrypted anew with key {first}.");
    if total["dry_run"] == true {
        return format!("{remaining} secrets would be encrypted anew with key {first}.");
    }
    match (remaining, stuck) {
        (0, 0) => format!("{done} The other keys are needed no longer."),
        (_, 0) => format!(
            "{done} {remaining} more were written with another key meanwhile: give every process key {first} as its \
             first one, then run this again."
        ),
        _ => format!(
            "{done} {stuck} cannot be: give those instances new secrets, or delete them. Keep the other keys until then."
        ),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(remaining: u64, stuck: u64) -> Value {
        json!({
            "dry_run": false, "first_key": "b", "rotated": 3, "remaining": remaining, "stuck": stuck,
            "keys": {"a": {"rows": 1, "secrets": 2, "in_ring": false}, "b": {"rows": 1, "secrets": 3, "in_ring": true}},
            "stuck_secrets": [],
        })
    }

    #[test]
    fn what_to_do_next_is_said() {
        let done = page(&total(0, 0));
        assert!(done.contains("b (first)") && done.contains("needed no longer"), "{done}");
        assert!(page(&total(2, 0)).contains("run this again"));
        let mut stuck = total(2, 1);
        stuck["stuck_secrets"] = json!([{"table": "t", "row": 4, "field": "f", "detail": "why"}]);
        let stuck = page(&stuck);
        assert!(stuck.contains("Keep the other keys") && stuck.contains("f in row 4 of t: why"), "{stuck}");
        let dry = json!({"dry_run": true, "remaining": 7, "first_key": "b"});
        assert!(page(&dry).contains("7 secrets would be"));
    }
}
