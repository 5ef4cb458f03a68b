//! The commands against the real routes over a real SQLite file.

use clap::Parser;

use super::*;
use crate::testing::Hub;

/// The command line as far as this room has a say in it.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: UserCommand,
}

async fn run(hub: &Hub, line: &[&str]) -> anyhow::Result<String> {
    let line = Line::try_parse_from([&["user"], line].concat())?;
    execute(line.command, &hub.api()).await
}

/// A hub whose instance `acme` has answered `+5511`.
async fn hub() -> Hub {
    let hub = Hub::start().await;
    let body = json!({
        "name": "acme",
        "channel_type": "discord",
        "agent_api_url": "http://agent.test",
        "agent_api_key": "k",
        "default_agent": "bot",
    });
    hub.api().call(Method::POST, &["instances"], &[], Some(&body)).await.unwrap();
    hub.answered("acme", "5511").await;
    hub
}

#[tokio::test]
async fn a_person_is_shown_changed_and_linked() {
    let hub = hub().await;
    assert!(run(&hub, &["list", "--instance", "acme", "--phone", "99"]).await.unwrap().starts_with("Nobody"));
    assert!(run(&hub, &["list", "--phone", "+5511"]).await.unwrap().contains("+5511"));
    let told = run(&hub, &["update", "1", "--email", "m@x.test", "--data", r#"{"plan": "gold"}"#]).await.unwrap();
    assert!(told.contains("m@x.test") && told.contains("gold"), "{told}");
    let linked = run(&hub, &["link", "1", "--provider", "crm", "--external-id", "77"]).await.unwrap();
    assert!(linked.contains("crm: 77") && linked.contains("whatsapp: 5511@s.whatsapp.net"), "{linked}");
    let left = run(&hub, &["unlink", "1", "--provider", "crm", "--external-id", "77"]).await.unwrap();
    assert!(!left.contains("crm"), "{left}");
    let cleared = run(&hub, &["update", "1", "--email", "", "--data", "null", "--json"]).await.unwrap();
    let cleared: Value = serde_json::from_str(&cleared).unwrap();
    assert_eq!((&cleared["email"], &cleared["user_data"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_person_is_taken_out_and_erased() {
    let hub = hub().await;
    let export: Value =
        serde_json::from_str(&run(&hub, &["export", "+5511", "--instance", "acme"]).await.unwrap()).unwrap();
    assert_eq!((&export["total_messages"], export["messages"].as_array().unwrap().len()), (&json!(1), 1));
    let erased = run(&hub, &["erase", "+5511", "--instance", "acme", "--yes"]).await.unwrap();
    assert_eq!(erased, "Erased: 1 message and 0 dead letters.\n");
    assert!(run(&hub, &["show", "1"]).await.unwrap_err().to_string().contains("not found"));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let hub = hub().await;
    let wrong = async |line: &[&str]| run(&hub, line).await.unwrap_err().to_string();
    assert!(wrong(&["update", "1"]).await.contains("nothing to change"));
    assert!(wrong(&["update", "1", "--data", "gold"]).await.contains("--data must be"));
    assert!(wrong(&["update", "1", "--email", "nobody"]).await.contains("email: must be an address"));
    assert!(wrong(&["export", "1", "--instance", "nobody"]).await.contains("'nobody' not found"));
}
