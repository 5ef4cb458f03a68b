//! `omnihub audit`: who changed what, over the admin API.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, show};

/// The columns of the list: head and field.
const COLUMNS: [(&str, &str); 5] =
    [("At (UTC)", "at"), ("Who", "actor"), ("Did", "action"), ("To", "target"), ("Changed", "changed")];

/// What `audit` takes.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Of this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// By this key's name, or root.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// What was done, as instance.update, or all of a kind, as key.
    #[arg(long, value_name = "WORD")]
    action: Option<String>,
    /// At or after this time: RFC 3339, or a day.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// At or before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How many at most, from 1 to 500.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Go on where an earlier list ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl AuditArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.map(|limit| limit.to_string());
        let pairs = [
            ("instance_name", &self.instance),
            ("actor", &self.actor),
            ("action", &self.action),
            ("from", &self.from),
            ("to", &self.to),
            ("limit", &limit),
            ("cursor", &self.cursor),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// Asks a hub and prints the answer.
///
/// # Errors
/// When the hub is not reachable or refuses.
pub async fn run(arguments: AuditArgs, target: &Api) -> anyhow::Result<()> {
    let page = target.call(Method::GET, &["audit"], &arguments.query(), None).await?;
    show::print(&if arguments.json { show::pretty(&page)? } else { told(&page) })
}

fn told(page: &Value) -> String {
    let lines: Vec<Value> = page["items"].as_array().into_iter().flatten().map(with_changes).collect();
    if lines.is_empty() {
        return "Nothing was changed.\n".to_owned();
    }
    let rest = page["next_cursor"].as_str().map(|cursor| format!("Go on with --cursor {cursor}\n"));
    format!("{}\n{}", show::rows(COLUMNS, &lines), rest.unwrap_or_default())
}

/// The line with what differs between before and after, in words.
fn with_changes(line: &Value) -> Value {
    let mut line = line.clone();
    let (before, after) = (line["before"].clone(), line["after"].clone());
    let differs = |(field, now): (&String, &Value)| {
        let told = before[field] != *now && field != "updated_at";
        told.then(|| format!("{field}: {} -> {}", show::word(&before[field]), show::word(now)))
    };
    if before.is_object() && after.is_object() {
        let changes: Vec<String> = after.as_object().into_iter().flatten().filter_map(differs).collect();
        line["changed"] = changes.join("\n").into();
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_by_what_differs() {
        let line = |before: Value, after: Value| {
            json!({"at": "2026-11-22T10:00:00Z", "actor": "root", "action": "instance.update", "target": "acme",
                "before": before, "after": after})
        };
        let before = json!({"agent_timeout": 60, "is_active": true, "updated_at": "a"});
        let after = json!({"agent_timeout": 60, "is_active": false, "updated_at": "b"});
        let text = told(&json!({"items": [line(before, after), line(json!(null), json!({}))], "next_cursor": "7"}));
        assert!(text.contains("is_active: yes -> no") && !text.contains("agent_timeout"), "{text}");
        assert!(text.ends_with("--cursor 7\n"));
        assert_eq!(told(&json!({"items": []})), "Nothing was changed.\n");
    }
}
