//! `omnihub dead`.

use std::collections::HashMap;

use omnihub_fakes::Behaviour;
use serde_json::{Value, json};

use super::{dies, refusing, total};
use crate::harness::{ADMIN_KEY, Database, Site, omnihub, on_both_databases};

on_both_databases!(the_commands_do_what_they_say);

/// Runs `omnihub dead <line>` against a site: its exit code, what it printed, and its complaint.
async fn dead(site: &Site, line: &str) -> (Option<i32>, String, String) {
    let env: HashMap<String, String> = [("OMNIHUB_URL", site.hub.url()), ("OMNIHUB_API_KEY", ADMIN_KEY.to_owned())]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    let args: Vec<&str> = std::iter::once("dead").chain(line.split_whitespace()).collect();
    let ended = omnihub(&args, &env).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

async fn printed(site: &Site, line: &str) -> String {
    let (code, printed, complaint) = dead(site, line).await;
    assert_eq!(code, Some(0), "{line}: {complaint}");
    printed
}

async fn json_of(site: &Site, line: &str) -> Value {
    serde_json::from_str(&printed(site, &format!("{line} --json")).await).unwrap()
}

async fn refused(site: &Site, line: &str) -> String {
    let (code, printed, complaint) = dead(site, line).await;
    assert!(code != Some(0) && printed.is_empty(), "{line}: {printed}");
    complaint
}

async fn the_commands_do_what_they_say(database: Database) {
    let site = Site::up(database, refusing()).await;
    assert_eq!(printed(&site, "list").await, "No dead letters.\n");
    let mut letters = Vec::new();
    for (nth, phone) in ["14155553001", "14155553001", "14155553002", "14155553003"].into_iter().enumerate() {
        letters.push(dies(&site, phone, &format!("question {nth}")).await);
    }

    let listed = printed(&site, "list --limit 3").await;
    assert!(listed.contains("agent_rejected") && listed.contains("3 of 4 shown; go on with --cursor "), "{listed}");
    assert_eq!(json_of(&site, "list --phone +14155553002").await["dead_letters"][0]["id"], json!(letters[2]));
    assert_eq!(json_of(&site, "list --reason too_old").await["total"], 0);
    let shown = printed(&site, &format!("show {}", letters[0])).await;
    assert!(shown.contains("Payload:") && shown.contains("question 0"), "{shown}");
    assert_eq!(json_of(&site, &format!("show {}", letters[0])).await["redrivable"], true);

    // Errors say what to do, and nothing is done by mistake.
    assert!(refused(&site, "show nothing").await.contains("'nothing' not found"));
    assert!(refused(&site, "redrive").await.contains("--all"));
    assert!(refused(&site, "drop --instance acme").await.contains("--yes"));
    assert!(refused(&site, &format!("drop {}", letters[0])).await.contains("--yes"));
    assert!(refused(&site, "redrive --all").await.contains("4 dead letters match"));
    assert!(refused(&site, "list --since soon").await.contains("since: expected an RFC 3339 time"));
    assert!(refused(&site, &format!("redrive {} --all", letters[0])).await.contains("cannot be used with"));
    assert_eq!(total(&site).await, 4);

    let dry = printed(&site, "redrive --all --dry-run").await;
    assert_eq!(dry, "4 match, 4 would be redriven. Nothing was done (--dry-run).\n");
    assert_eq!(json_of(&site, "drop --phone 14155553001 --dry-run").await["matched"], 2);
    assert_eq!(total(&site).await, 4);

    site.agent.set_behaviour(Behaviour::Echo);
    assert!(printed(&site, &format!("redrive {}", letters[0])).await.starts_with("Redriven: "));
    assert_eq!(json_of(&site, "redrive --phone 14155553001 --yes").await["redriven"], 1);
    assert_eq!(printed(&site, &format!("drop {} --yes", letters[2])).await, format!("Dropped {}.\n", letters[2]));
    assert_eq!(printed(&site, "redrive --all --yes").await, "1 matched, 1 redriven.\n");
    for nth in [0, 1, 3] {
        site.trace_when(&letters[nth], "is answered", |trace| trace["outcome"] == "answered").await;
    }
    assert_eq!(site.replies_to("14155553001"), ["echo: question 0", "echo: question 1"]);
    assert_eq!(site.replies_to("14155553003"), ["echo: question 3"]);
    assert!(site.replies_to("14155553002").is_empty());
    assert_eq!(printed(&site, "drop --all --yes").await, "No dead letter matches.\n");
    site.assert_no_violations();
}
