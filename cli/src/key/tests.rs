//! The commands against the real routes over a real SQLite file.

use clap::Parser;

use super::*;
use crate::testing::Hub;

/// The command line as far as this room has a say in it.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: KeyCommand,
}

async fn run(hub: &Hub, line: &[&str]) -> anyhow::Result<String> {
    let line = Line::try_parse_from([&["key"], line].concat())?;
    execute(line.command, &hub.api()).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_listed_until_it_is_revoked_and_after() {
    let hub = Hub::start().await;
    assert!(run(&hub, &["list"]).await.unwrap().starts_with("No keys"));
    let made =
        run(&hub, &["create", "console", "--scope", "read", "--scope", "send", "--every-instance"]).await.unwrap();
    let key = made.lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(key.starts_with("omni_"), "{made}");
    let list = run(&hub, &["list"]).await.unwrap();
    assert!(list.contains("console") && list.contains(&format!("****{}", &key[key.len() - 4..])), "{list}");
    assert!(!list.contains(&key));
    assert_eq!(run(&hub, &["revoke", "1"]).await.unwrap(), "Key 1 opens nothing any more.\n");
    let list: Value = serde_json::from_str(&run(&hub, &["list", "--json"]).await.unwrap()).unwrap();
    assert_eq!(list[0]["is_active"], false);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let hub = Hub::start().await;
    let wrong = async |line: &[&str]| run(&hub, line).await.unwrap_err().to_string();
    assert!(wrong(&["create", "k", "--every-instance"]).await.contains("--scope"));
    assert!(wrong(&["create", "k", "--scope", "root", "--every-instance"]).await.contains("possible values"));
    assert!(wrong(&["create", "k", "--scope", "read"]).await.contains("--instance"));
    let nobody = wrong(&["create", "k", "--scope", "read", "--instance", "nobody"]).await;
    assert!(nobody.contains("instances: names an instance that is not there"), "{nobody}");
    assert!(wrong(&["revoke", "9"]).await.contains("not found"));
}

#[tokio::test]
async fn rotation_counts_and_says_that_nothing_is_left() {
    let hub = Hub::start().await;
    run(&hub, &["create", "console", "--scope", "read", "--every-instance"]).await.unwrap();
    let dry = run(&hub, &["rotate", "--dry-run"]).await.unwrap();
    assert!(dry.contains("k1 (first)") && dry.contains("0 secrets would be"), "{dry}");
    let done: Value = serde_json::from_str(&run(&hub, &["rotate", "--json"]).await.unwrap()).unwrap();
    assert_eq!((&done["finished"], &done["rotated"], &done["remaining"]), (&json!(true), &json!(0), &json!(0)));
    assert!(run(&hub, &["rotate"]).await.unwrap().contains("needed no longer"));
}
