//! Dead letters as tables for people.

use serde_json::Value;

use crate::show;

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 7] = [
    ("Id", "id"),
    ("Died (UTC)", "died_at"),
    ("Instance", "instance_name"),
    ("Phone", "phone"),
    ("Reason", "reason"),
    ("After", "attempts"),
    ("Error", "error_message"),
];

/// A page, one line per letter, and how to see the rest.
pub(super) fn page(page: &Value) -> String {
    let letters = page["dead_letters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total = page["total"].as_u64().unwrap_or_default();
    if letters.is_empty() && total == 0 {
        return "No dead letters.\n".to_owned();
    }
    let cells = |letter: &Value| {
        COLUMNS.map(|(_, field)| match letter[field].as_u64() {
            Some(attempts) => show::counted(attempts, "attempt"),
            None => show::cell(&letter[field]),
        })
    };
    let table = show::with_ids(COLUMNS.map(|(head, _)| head), 0, &letters.iter().map(cells).collect::<Vec<_>>());
    let rest = match page["next_cursor"].as_str() {
        Some(cursor) => format!("; go on with --cursor {cursor}"),
        None => String::new(),
    };
    format!("{table}{} of {total} shown{rest}\n", letters.len())
}

/// One letter, one line per field that is set, its payload below.
pub(super) fn letter(letter: &Value) -> String {
    let table = show::fields(letter, &["payload", "not_redrivable"]);
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
        text.push_str(&format!("  cannot {verb} {}: {}\n", show::word(&skipped["id"]), show::word(&skipped["detail"])));
    }
    text
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
