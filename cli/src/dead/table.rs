//! Dead letters as tables for people.

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 7] = [
    ("Id", "id"),
    ("Died", "died_at"),
    ("Instance", "instance_name"),
    ("Phone", "phone"),
    ("Reason", "reason"),
    ("Attempts", "attempts"),
    ("Error", "error_message"),
];

/// A page, one line per letter, and how to see the rest.
pub(super) fn page(page: &Value) -> String {
    let letters = page["dead_letters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total = page["total"].as_u64().unwrap_or_default();
    if letters.is_empty() && total == 0 {
        return "No dead letters.\n".to_owned();
    }
    let mut table = plain();
    table.set_header(COLUMNS.map(|(head, _)| head));
    for letter in letters {
        table.add_row(COLUMNS.map(|(_, field)| word(&letter[field])));
    }
    let rest = match page["next_cursor"].as_str() {
        Some(cursor) => format!("; go on with --cursor {cursor}"),
        None => String::new(),
    };
    format!("{table}\n{} of {total} shown{rest}\n", letters.len())
}

/// One letter, one line per field that is set, its payload below.
pub(super) fn letter(letter: &Value) -> String {
    let mut table = plain();
    let shown = |(field, value): &(&String, &Value)| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        !empty && *value != "" && !matches!(field.as_str(), "payload" | "not_redrivable")
    };
    for (field, value) in letter.as_object().into_iter().flatten().filter(shown) {
        table.add_row([field.clone(), word(value)]);
    }
    let mut text = format!("{table}\n");
    if let Some(detail) = letter["not_redrivable"]["detail"].as_str() {
        text.push_str(&format!("It cannot be redriven: {detail}.\n"));
    }
    if !letter["payload"].is_null() {
        let payload = serde_json::to_string_pretty(&letter["payload"]).unwrap_or_default();
        text.push_str(&format!("Payload:\n{payload}\n"));
    }
    text
}

/// What has come of work on many, or would come of it.
pub(super) fn tally(verb: &str, done: &str, answer: &Value) -> String {
    let count = |field: &str| answer[field].as_u64().unwrap_or_default();
    let matched = count("matched");
    if matched == 0 {
        return "No dead letter matches.\n".to_owned();
    }
    let mut text = if answer["dry_run"] == true {
        let would = answer["redrivable"].as_u64().unwrap_or(matched);
        format!("{matched} match, {would} would be {done}. Nothing was done (--dry-run).\n")
    } else {
        format!("{matched} matched, {} {done}.\n", count(done))
    };
    for (reason, number) in answer["skipped"].as_object().into_iter().flatten() {
        text.push_str(&format!("Skipped, {reason}: {number}\n"));
    }
    let named = answer["skipped_letters"].as_array().map(Vec::as_slice).unwrap_or_default();
    for skipped in named {
        text.push_str(&format!("  cannot {verb} {}: {}\n", word(&skipped["id"]), word(&skipped["detail"])));
    }
    text
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value as people write it.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_tells_how_to_see_the_rest() {
        assert_eq!(page(&json!({"dead_letters": [], "total": 0, "next_cursor": null})), "No dead letters.\n");
        let letters = json!([{"id": "raw-1", "reason": "unreadable", "instance_name": "acme"}]);
        let shown = page(&json!({"dead_letters": letters, "total": 7, "next_cursor": "12"}));
        assert!(shown.contains("raw-1") && shown.ends_with("1 of 7 shown; go on with --cursor 12\n"), "{shown}");
    }

    #[test]
    fn a_tally_names_what_was_skipped() {
        let skipped = json!([{"id": "raw-1", "reason": "unreadable", "detail": "cannot be read"}]);
        let answer = json!({
            "dry_run": false, "matched": 3, "redriven": 2,
            "skipped": {"unreadable": 1}, "skipped_letters": skipped,
        });
        let shown = tally("redrive", "redriven", &answer);
        assert!(shown.starts_with("3 matched, 2 redriven.\nSkipped, unreadable: 1\n"), "{shown}");
        assert!(shown.ends_with("cannot redrive raw-1: cannot be read\n"), "{shown}");
        let dry = json!({"dry_run": true, "matched": 3, "dropped": 0});
        assert!(tally("drop", "dropped", &dry).contains("3 match, 3 would be dropped. Nothing was done"));
    }
}
