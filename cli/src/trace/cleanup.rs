//! `omnihub trace cleanup`: old messages are removed, call by call, with a bar that grows.

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

use super::CleanupArgs;
use crate::{api::Api, progress, show};

pub(super) async fn run(arguments: &CleanupArgs, target: &Api) -> anyhow::Result<String> {
    let counted = call(arguments, target, true).await?;
    let total = number(&counted["traces_to_delete"]);
    if arguments.dry_run {
        return if arguments.json { show::pretty(&counted) } else { Ok(format!("{}.\n", word(&counted["message"]))) };
    }
    let days = arguments.days_old;
    let question = format!("Delete {total} traces older than {days} days for good?");
    if total > 0 && !arguments.yes && !show::confirmed(question, "--yes or --dry-run").await? {
        return Ok("Nothing was done.\n".to_owned());
    }
    let done = all_rounds(arguments, target, total).await?;
    match arguments.json {
        true => show::pretty(&done),
        false => Ok(format!("Deleted {} traces older than {days} days.\n", number(&done["traces_deleted"]))),
    }
}

/// The hub does a part per call and says what is left.
async fn all_rounds(arguments: &CleanupArgs, target: &Api, total: u64) -> anyhow::Result<Value> {
    let (bar, mut deleted) = (progress::bar_for_people(arguments.json, "traces deleted", total), 0);
    loop {
        let mut round = call(arguments, target, false).await?;
        let now = number(&round["traces_deleted"]);
        deleted += now;
        progress::show(&bar, deleted);
        if round["status"] == "completed" {
            round["traces_deleted"] = deleted.into();
            return Ok(round);
        }
        if now == 0 {
            bail!(
                "the hub deletes no more, and {} old traces are left: look at its log, then run this again",
                number(&round["traces_left"])
            );
        }
    }
}

async fn call(arguments: &CleanupArgs, target: &Api, dry_run: bool) -> anyhow::Result<Value> {
    let mut body = json!({"days_old": arguments.days_old, "dry_run": dry_run});
    if let Some(instance) = &arguments.instance {
        body["instance_name"] = instance.as_str().into();
    }
    Ok(target.call(Method::POST, &["traces", "cleanup"], &[], Some(&body)).await?)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
