use clap::Parser;
use omnihub_fakes::FakeEvolution;

use super::*;
use crate::{Cli, Command, testing::Hub};

async fn run(hub: &Hub, words: &[&str]) -> anyhow::Result<String> {
    match Cli::try_parse_from([&["omnihub", "profile"], words].concat())?.command {
        Command::Profile(command) => execute(&command, &hub.api()).await,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_profile_is_shown_and_a_picture_set() {
    let (hub, fake) = (Hub::start().await, FakeEvolution::start().await.unwrap());
    fake.add_instance("acme", "key");
    fake.add_profile("acme", "14155550100@s.whatsapp.net", json!({"name": "Ana", "isBusiness": false}));
    let body = json!({"name": "acme", "evolution_url": fake.url(), "evolution_key": "key", "provision": false,
        "agent_api_url": "http://agent.test", "agent_api_key": "k", "default_agent": "bot"});
    hub.api().call(Method::POST, &["instances"], &[], Some(&body)).await.unwrap();
    assert!(run(&hub, &["fetch", "acme", "+1 415 555-0100"]).await.unwrap().contains("Ana"));
    let told = run(&hub, &["fetch", "acme", "14155550100", "--json"]).await.unwrap();
    assert!(told.contains("\"success\": true"), "{told}");
    let nobody = run(&hub, &["fetch", "acme", "14155550199"]).await.unwrap_err();
    assert!(nobody.to_string().contains("not on WhatsApp"), "{nobody}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, "hi").unwrap();
    let told = run(&hub, &["set-picture", "acme", "--file", path.to_str().unwrap()]).await.unwrap();
    assert_eq!((told.as_str(), fake.picture("acme").as_deref()), ("The picture of acme is set.\n", Some("aGk=")));
    let told = run(&hub, &["set-picture", "acme", "--url", "https://files.test/a.png", "--json"]).await.unwrap();
    assert!(told.contains("\"updated\"") && fake.picture("acme").unwrap().starts_with("https:"), "{told}");
    assert!(run(&hub, &["set-picture", "acme"]).await.unwrap_err().to_string().contains("required"));
    let missing = run(&hub, &["set-picture", "acme", "--file", "/nowhere/at.all"]).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere/at.all cannot be read"));
}
