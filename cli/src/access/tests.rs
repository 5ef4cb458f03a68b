//! The commands against the real routes over a real SQLite file.

use clap::Parser;

use super::*;
use crate::testing::Hub;

/// The command line as far as this room has a say in it.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: AccessCommand,
}

async fn run(hub: &Hub, line: &[&str]) -> anyhow::Result<String> {
    let line = Line::try_parse_from([&["access"], line].concat())?;
    execute(line.command, &hub.api()).await
}

#[tokio::test]
async fn somebody_is_blocked_and_answered_again() {
    let hub = Hub::start().await;
    assert!(run(&hub, &["list"]).await.unwrap().starts_with("No rules"));
    let made = run(&hub, &["block", "+5511*", "--every-instance", "--reason", "spam"]).await.unwrap();
    assert_eq!(made, "+5511* is blocked on every instance, by rule 1.\n");
    let list = run(&hub, &["list", "--action", "block"]).await.unwrap();
    assert!(list.contains("+5511*") && list.contains("spam"), "{list}");
    let check = async |phone: &str| run(&hub, &["check", phone]).await.unwrap();
    assert_eq!(check("+551199").await, "+551199 is blocked: rule 1 for +5511* says so (spam).\n");
    assert_eq!(check("+4411").await, "+4411 is answered: there is no rule about them.\n");
    let removed = run(&hub, &["remove", "1", "--json"]).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&removed).unwrap(), json!({"removed": 1}));
    assert!(run(&hub, &["remove", "1"]).await.unwrap_err().to_string().contains("not found"));
    assert!(check("+551199").await.contains("is answered"));
    assert!(run(&hub, &["list", "--action", "block"]).await.unwrap().starts_with("No such rules"));
}

#[tokio::test]
async fn what_is_exported_is_imported() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    run(&hub, &["block", "1*", "--every-instance", "--reason", "a, b"]).await.unwrap();
    run(&hub, &["allow", "12", "--every-instance"]).await.unwrap();
    for format in ["csv", "json"] {
        let file = folder.path().join(format);
        std::fs::write(&file, run(&hub, &["export", "--format", format]).await.unwrap()).unwrap();
        let (other, file) = (Hub::start().await, file.display().to_string());
        let would = run(&other, &["import", &file, "--dry-run"]).await.unwrap();
        assert_eq!(would, "2 rules would be made, 0 would be changed, 0 there already.\n");
        let did = run(&other, &["import", &file]).await.unwrap();
        assert_eq!(did, "2 rules made, 0 changed, 0 there already.\n");
        let rules = |text: String| serde_json::from_str::<Vec<Value>>(&text).unwrap().len();
        assert_eq!(rules(run(&other, &["list", "--json"]).await.unwrap()), 2);
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (hub, folder) = (Hub::start().await, tempfile::tempdir().unwrap());
    let wrong = async |line: &[&str]| run(&hub, line).await.unwrap_err().to_string();
    let unknown = wrong(&["list", "--instance", "nobody"]).await;
    assert!(unknown.contains("not found") && unknown.contains("instance list"), "{unknown}");
    assert!(wrong(&["block", "1"]).await.contains("--instance"));
    assert!(wrong(&["block", "maria", "--every-instance"]).await.contains("phone_number: must be digits"));
    assert!(wrong(&["block", "1", "--instance", "nobody"]).await.contains("'nobody' not found"));
    assert!(wrong(&["import", "/nowhere"]).await.contains("/nowhere cannot be read"));
    let file = folder.path().join("rules.csv");
    std::fs::write(&file, "phone_number,action\n1,maybe\n").unwrap();
    let refused = wrong(&["import", &file.display().to_string()]).await;
    assert!(refused.contains("rules[0].action: must be allow or block"), "{refused}");
}
