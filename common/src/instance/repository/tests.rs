//! The table against a real SQLite file.

use sea_orm::ConnectionTrait;

use super::*;
use crate::{
    instance::{
        AgentPatch, DiscordSettings, SlackSettings,
        testing::{TestTable, connect, everyone, new_instance},
    },
    secret::Secret,
};

/// The whole row as text.
async fn row(table: &TestTable, name: &str) -> String {
    format!("{:?}", Entity::find().filter(Column::Name.eq(name)).one(&table.database).await.unwrap().unwrap())
}

async fn defaults(instances: &Instances) -> Vec<String> {
    let all = instances.list(&everyone(), 0, 100).await.unwrap();
    all.iter().filter(|instance| instance.is_default).map(|instance| instance.name.to_string()).collect()
}

#[tokio::test]
async fn what_goes_in_comes_out_and_secrets_lie_encrypted() {
    let table = TestTable::new().await;
    let made = table.instances.create(new_instance("a")).await.unwrap();
    let found = table.instances.get("a").await.unwrap().unwrap();
    assert_eq!(format!("{made:?}"), format!("{found:?}"));
    assert_eq!(found.agent.api_key.expose(), "planted-agent-key");
    assert!(!row(&table, "a").await.contains("planted"));
    assert!(row(&table, "a").await.contains("v1.k1."));
    assert!(matches!(table.instances.create(new_instance("a")).await, Err(StoreError::NameTaken)));
    assert!(table.instances.create(new_instance("A")).await.is_ok(), "names are case-sensitive");
}

#[tokio::test]
async fn discord_is_kept_whole() {
    let table = TestTable::new().await;
    let discord = DiscordSettings {
        bot_token: Some(Secret::new("planted-bot-token")),
        client_id: Some("1".to_owned()),
        guild_id: None,
        default_channel_id: Some("2".to_owned()),
    };
    let new = NewInstance { channel: ChannelSettings::Discord(discord), ..new_instance("d") };
    table.instances.create(new).await.unwrap();
    let found = table.instances.get("d").await.unwrap().unwrap();
    let ChannelSettings::Discord(found) = found.channel else { panic!("it is on Discord") };
    assert_eq!(found.bot_token.unwrap().expose(), "planted-bot-token");
    assert_eq!((found.client_id.as_deref(), found.default_channel_id.as_deref()), (Some("1"), Some("2")));
    assert!(!row(&table, "d").await.contains("planted"));
}

#[tokio::test]
async fn slack_is_kept_whole() {
    let table = TestTable::new().await;
    let slack = SlackSettings {
        bot_token: Some(Secret::new("planted-bot-token")),
        signing_secret: Some(Secret::new("planted-signing-secret")),
        workspace_id: Some("T1".to_owned()),
    };
    let new = NewInstance { channel: ChannelSettings::Slack(slack), ..new_instance("s") };
    table.instances.create(new).await.unwrap();
    let found = table.instances.get("s").await.unwrap().unwrap();
    let ChannelSettings::Slack(found) = found.channel else { panic!("it is on Slack") };
    assert_eq!(found.bot_token.unwrap().expose(), "planted-bot-token");
    assert_eq!(found.signing_secret.unwrap().expose(), "planted-signing-secret");
    assert_eq!(found.workspace_id.as_deref(), Some("T1"));
    assert!(!row(&table, "s").await.contains("planted"));
}

#[tokio::test]
async fn a_secret_copied_to_another_row_does_not_open() {
    let table = TestTable::new().await;
    for name in ["a", "b"] {
        table.instances.create(new_instance(name)).await.unwrap();
    }
    let copy = "UPDATE instance_configs SET agent_api_key = \
                (SELECT agent_api_key FROM instance_configs WHERE name = 'a') WHERE name = 'b'";
    table.database.execute_unprepared(copy).await.unwrap();
    assert!(matches!(table.instances.get("b").await, Err(StoreError::Unreadable { name, .. }) if name == "b"));
    assert!(table.instances.get("a").await.is_ok());
    let deleted = table.instances.delete("b").await.unwrap();
    assert_eq!(deleted, Some(Deleted { id: 2, name: "b".to_owned() }), "what cannot be read can be deleted");
}

#[tokio::test]
async fn the_default_moves_and_is_one() {
    let table = TestTable::new().await;
    let instances = &table.instances;
    instances.create(NewInstance { is_default: true, ..new_instance("a") }).await.unwrap();
    instances.create(NewInstance { is_default: true, ..new_instance("b") }).await.unwrap();
    instances.create(new_instance("c")).await.unwrap();
    assert_eq!(defaults(instances).await, ["b"]);
    assert!(instances.set_default("c").await.unwrap().unwrap().is_default);
    assert_eq!(defaults(instances).await, ["c"]);
    instances.set_default("c").await.unwrap();
    assert!(instances.set_default("nobody").await.unwrap().is_none());
    assert_eq!(defaults(instances).await, ["c"], "nothing is lost for a name that does not exist");
    instances.update("c", Patch { is_default: Some(false), ..Patch::default() }).await.unwrap();
    assert!(instances.default().await.unwrap().is_none());
}

#[tokio::test]
async fn many_who_want_to_be_the_default_end_with_one() {
    let table = TestTable::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let instances = Instances::new(connect(&table.folder).await, Arc::clone(&table.instances.keyring));
        tasks.spawn(async move {
            let name = format!("i{n}");
            instances.create(NewInstance { is_default: true, ..new_instance(&name) }).await.unwrap();
            instances.set_default(&name).await.unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(defaults(&table.instances).await.len(), 1);
    assert_eq!(table.instances.list(&everyone(), 0, 100).await.unwrap().len(), 8);
}

#[tokio::test]
async fn an_update_changes_what_it_names() {
    let table = TestTable::new().await;
    let made = table.instances.create(new_instance("a")).await.unwrap();
    let agent = AgentPatch { api_key: Some(Secret::new("planted-new-key")), ..AgentPatch::default() };
    let patch = Patch { agent, is_active: Some(false), ..Patch::default() };
    let changed = table.instances.update("a", patch.clone()).await.unwrap().unwrap();
    let found = table.instances.get_by_id(made.id).await.unwrap().unwrap();
    assert_eq!(format!("{changed:?}"), format!("{found:?}"));
    assert_eq!((found.agent.api_key.expose(), found.is_active), ("planted-new-key", false));
    assert_eq!(found.agent.api_url, made.agent.api_url);
    assert!(found.updated_at > made.updated_at && found.created_at == made.created_at);
    assert!(!row(&table, "a").await.contains("planted"));
    assert!(table.instances.update("nobody", patch).await.unwrap().is_none());
}

#[tokio::test]
async fn a_change_of_what_has_changed_meanwhile_is_none() {
    let table = TestTable::new().await;
    let made = table.instances.create(new_instance("a")).await.unwrap();
    let patch = Patch { based_on: Some(made.updated_at), is_active: Some(false), ..Patch::default() };
    assert!(!table.instances.update("a", patch.clone()).await.unwrap().unwrap().is_active);
    let again = Patch { is_active: Some(true), ..patch };
    assert!(matches!(table.instances.update("a", again).await, Err(StoreError::Changed)));
    assert!(!table.instances.get("a").await.unwrap().unwrap().is_active);
}

#[tokio::test]
async fn an_id_is_never_used_again() {
    let table = TestTable::new().await;
    let first = table.instances.create(new_instance("a")).await.unwrap();
    assert_eq!(table.instances.delete("a").await.unwrap().unwrap().id, first.id);
    assert!(table.instances.delete("a").await.unwrap().is_none());
    assert!(table.instances.create(new_instance("a")).await.unwrap().id > first.id);
}

#[tokio::test]
async fn pages_are_in_the_order_of_making() {
    let table = TestTable::new().await;
    for name in ["c", "a", "b"] {
        table.instances.create(new_instance(name)).await.unwrap();
    }
    let page = async |skip, limit| -> Vec<String> {
        table
            .instances
            .list(&everyone(), skip, limit)
            .await
            .unwrap()
            .iter()
            .map(|instance| instance.name.to_string())
            .collect()
    };
    assert_eq!(page(0, 2).await, ["c", "a"]);
    assert_eq!(page(2, 2).await, ["b"]);
    assert!(page(3, 2).await.is_empty());
}

#[tokio::test]
async fn a_reference_lies_encrypted_and_comes_out_as_it_was() {
    let table = TestTable::new().await;
    let mut new = new_instance("a");
    new.agent.api_key = Secret::read("vault://secret/planted#key");
    table.instances.create(new).await.unwrap();
    assert!(!row(&table, "a").await.contains("planted"), "nobody without the ring can write one into a row");
    let found = table.instances.get("a").await.unwrap().unwrap();
    assert_eq!(found.agent.api_key.mask(), "vault://secret/planted#key");
    assert!(found.has_references());

    let echoed = Some(Secret::read("vault://secret/planted#key"));
    let patch = Patch { agent: AgentPatch { api_key: echoed, ..AgentPatch::default() }, ..Patch::default() };
    let same = table.instances.update("a", patch).await.unwrap().unwrap();
    assert_eq!(same.agent.api_key, found.agent.api_key);
    let unresolved = table.instances.resolve(same, None).await;
    assert!(matches!(unresolved, Err(StoreError::Unresolved { name, .. }) if name == "a"));
}
