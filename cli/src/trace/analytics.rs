//! `omnihub trace analytics`: what many messages come to.

use reqwest::Method;
use serde_json::Value;

use super::{AnalyticsArgs, table::span};
use crate::{api::Api, show};

/// The breakdowns of the answer, and what each is by.
const BREAKDOWNS: [(&str, &str); 6] = [
    ("by_instance", "Instance"),
    ("by_type", "Kind"),
    ("by_outcome", "Ended"),
    ("by_outcome_reason", "Why"),
    ("by_error_stage", "Failed at"),
    ("per_hour", "Hour (UTC)"),
];

pub(super) async fn run(arguments: &AnalyticsArgs, target: &Api) -> anyhow::Result<String> {
    let AnalyticsArgs { instance, since, until, .. } = arguments;
    let given = [("instance_name", instance), ("start_date", since), ("end_date", until)];
    let mut query: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    if arguments.all_time {
        query.push(("all_time", true.to_string()));
    }
    let found = target.call(Method::GET, &["traces", "analytics", "summary"], &query, None).await?;
    if arguments.json { show::pretty(&found) } else { Ok(tables(&found)) }
}

fn tables(found: &Value) -> String {
    let period = match [&found["start_date"], &found["end_date"]].map(show::cell) {
        [from, to] if from.is_empty() || to.is_empty() => "of all time".to_owned(),
        [from, to] => format!("from {from} to {to} UTC"),
    };
    let count = |field: &str| found[field].as_u64().unwrap_or_default();
    let total = count("total_messages");
    if total == 0 {
        return format!("No messages {period}.\n");
    }
    let (well, failed, rate) = (count("successful_messages"), count("failed_messages"), &found["success_rate"]);
    let mut text =
        format!("{} {period}: {well} ended well ({rate} %), {failed} failed.\n", show::counted(total, "message"));
    let mut whole = head("");
    for (name, times) in [("Webhook to end", "total_time_ms"), ("Agent", "agent_time_ms")] {
        let times = &found[times];
        whole.add_row([name.to_owned(), ms(&times["avg"]), ms(&times["p50"]), ms(&times["p95"]), ms(&times["p99"])]);
    }
    text.push_str(&format!("{whole}\n"));
    for (field, name) in BREAKDOWNS {
        let Some(parts) = found[field].as_array().filter(|parts| !parts.is_empty()) else { continue };
        text.push_str(&format!("\n{}\n", breakdown(name, parts)));
    }
    text
}

fn head(name: &str) -> comfy_table::Table {
    let mut table = show::table();
    table.set_header([name, "Mean", "p50", "p95", "p99"]);
    table
}

fn breakdown(name: &str, parts: &[Value]) -> comfy_table::Table {
    let mut table = show::table();
    table.set_header([name, "Messages", "Ended well", "Failed", "p50", "p95", "p99", "Agent p50", "Agent p95"]);
    for part in parts {
        let (total, agent) = (&part["total_time_ms"], &part["agent_time_ms"]);
        let counts = [&part["key"], &part["total"], &part["successful"], &part["failed"]].map(show::cell);
        let times = [&total["p50"], &total["p95"], &total["p99"], &agent["p50"], &agent["p95"]].map(ms);
        table.add_row(counts.into_iter().chain(times));
    }
    table
}

/// A time span; nothing where there is none.
fn ms(value: &Value) -> String {
    value.as_f64().map(|ms| span(ms.round() as i64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_shown_as_tables() {
        let times = json!({"avg": 1200.4, "p50": 900, "p95": 61_000, "p99": 61_000});
        let part = |key: &str| json!({"key": key, "total": 4, "successful": 3, "failed": 1, "total_time_ms": times, "agent_time_ms": {}});
        let found = json!({
            "start_date": "2026-01-30T09:00:00Z", "end_date": "2026-01-31T09:00:00Z", "total_messages": 4,
            "successful_messages": 3, "failed_messages": 1, "success_rate": 75.0, "total_time_ms": times,
            "agent_time_ms": times, "by_instance": [part("acme")], "by_type": [], "per_hour": [part("2026-01-31T08:00:00Z")],
        });
        let text = tables(&found);
        for word in [
            "4 messages from 2026-01-30 09:00:00 to 2026-01-31 09:00:00 UTC: 3",
            "(75.0 %)",
            "1.2 s",
            "900 ms",
            "1 min 1 s",
            "acme",
            "Hour",
        ] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        assert!(!text.contains("Kind"), "{text}");
        assert_eq!(tables(&json!({"total_messages": 0})), "No messages of all time.\n");
    }
}
