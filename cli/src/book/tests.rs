//! The commands against the real routes and a fake Evolution.

use clap::Parser;
use omnihub_fakes::{
    FakeEvolution,
    evolution::{chat_row, contact_row},
};
use serde_json::json;

use super::*;
use crate::{Cli, Command, testing::Hub};

/// A hub whose instance `acme` knows two people and has two chats.
async fn hub() -> (Hub, FakeEvolution) {
    let (hub, fake) = (Hub::start().await, FakeEvolution::start().await.unwrap());
    fake.add_instance("acme", "key");
    let contacts = ["14155550100", "14155550101"].map(|phone| format!("{phone}@s.whatsapp.net"));
    fake.set_contacts("acme", vec![contact_row(&contacts[0], Some("Bia")), contact_row(&contacts[1], Some("Ana"))]);
    fake.set_chats(
        "acme",
        vec![chat_row(&contacts[0], Some("Bia"), 1_761_000_000, 3), chat_row("1@g.us", Some("Team"), 2, 0)],
    );
    let body = json!({"name": "acme", "evolution_url": fake.url(), "evolution_key": "key", "provision": false,
        "agent_api_url": "http://agent.test", "agent_api_key": "k", "default_agent": "bot"});
    hub.api().call(Method::POST, &["instances"], &[], Some(&body)).await.unwrap();
    (hub, fake)
}

async fn run(hub: &Hub, words: &[&str]) -> anyhow::Result<String> {
    match Cli::try_parse_from([&["omnihub"], words].concat())?.command {
        Command::Contacts(command) => contacts(command, &hub.api()).await,
        Command::Chats(command) => chats(command, &hub.api()).await,
        Command::Channels(arguments) => channels(arguments, &hub.api()).await,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lists_are_tables_with_totals() {
    let (hub, _fake) = hub().await;
    let told = run(&hub, &["contacts", "list", "acme"]).await.unwrap();
    assert!(told.find("Ana") < told.find("Bia") && told.ends_with("2 of 2 contacts.\n"), "{told}");
    let told = run(&hub, &["contacts", "list", "acme", "--page-size", "1"]).await.unwrap();
    assert!(told.contains("14155550101") && told.ends_with("1 of 2 contacts. The next: --page 2\n"), "{told}");
    let told = run(&hub, &["contacts", "list", "acme", "--search", "+1 415 555-0100"]).await.unwrap();
    assert!(told.contains("Bia") && !told.contains("Ana"), "{told}");
    let told = run(&hub, &["contacts", "list", "acme", "--status", "online"]).await.unwrap();
    assert_eq!(told, "None on this page, of 0 contacts.\n");
    let told = run(&hub, &["chats", "list", "acme", "--type", "group", "--unread", "false"]).await.unwrap();
    assert!(told.contains("Team") && !told.contains("Bia"), "{told}");
    let told = run(&hub, &["chats", "list", "acme", "--json"]).await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["total_count"], &told["chats"][0]["unread_count"]), (&json!(2), &json!(3)));
    let told = run(&hub, &["channels", "--channel", "whatsapp"]).await.unwrap();
    assert!(told.contains("connected") && told.ends_with("1 of 1, 1 of them connected.\n"), "{told}");
}

#[tokio::test]
async fn one_is_shown_and_what_is_wrong_is_said() {
    let (hub, _fake) = hub().await;
    let told = run(&hub, &["contacts", "show", "acme", "+14155550100"]).await.unwrap();
    assert!(told.contains("Bia") && told.contains("14155550100@s.whatsapp.net"), "{told}");
    let told = run(&hub, &["chats", "show", "acme", "1@g.us", "--json"]).await.unwrap();
    assert!(told.contains("\"group_id\": \"1@g.us\""), "{told}");
    let wrong = async |words: &[&str]| run(&hub, words).await.unwrap_err().to_string();
    assert_eq!(wrong(&["chats", "show", "acme", "2@g.us"]).await, "Chat '2@g.us' not found in instance 'acme'");
    assert!(wrong(&["contacts", "list", "nobody"]).await.starts_with("Instance 'nobody' not found\n"));
    assert!(wrong(&["contacts", "list", "acme", "--page", "401"]).await.contains("page: must end within"));
    assert!(wrong(&["chats", "list", "acme", "--type", "dm"]).await.contains("possible values"));
}
