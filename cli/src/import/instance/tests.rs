//! Rows of the three schemas as instances.

use super::*;

fn row(values: &[(&'static str, &str)]) -> Row {
    let needed = [
        ("name", "acme"),
        ("agent_api_url", "http://127.0.0.1:8886"),
        ("agent_api_key", "planted-agent-key"),
        ("evolution_url", "http://localhost:8080"),
        ("evolution_key", "planted-evolution-key"),
    ];
    let mut row = Row::default();
    for (column, value) in needed.iter().chain(values) {
        row.put(column, Ok(Some((*value).to_owned())));
    }
    row
}

fn rules(schema: Schema) -> Rules {
    Rules { protocol: AgentProtocol::AutomagikV1, fallback: EvolutionFallback::default(), schema }
}

fn draft(schema: Schema, values: &[(&'static str, &str)]) -> Result<Draft, Problem> {
    super::read(&row(values), InstanceName::parse("acme").unwrap(), &rules(schema))
}

fn omni(values: &[(&'static str, &str)]) -> Draft {
    draft(Schema::Omni, values).unwrap()
}

#[test]
fn what_meant_something_else_is_translated() {
    let Draft { new, remarks, .. } = omni(&[("agent_instance_type", "automagik"), ("session_id_prefix", "acme-")]);
    assert_eq!(
        (new.agent.protocol, new.reply.split_over, new.session_id_prefix),
        (AgentProtocol::AutomagikV1, 0, None)
    );
    assert_eq!((new.agent.api_url.as_str(), new.is_active), ("http://127.0.0.1:8886", true), "no address is rewritten");
    assert_eq!(remarks, Vec::<String>::new());
    let ChannelSettings::Whatsapp(channel) = new.channel else { panic!("it is on WhatsApp") };
    assert_eq!((channel.whatsapp_instance.as_str(), channel.webhook_base64), ("acme", true));
}

#[test]
fn what_is_worth_knowing_is_said() {
    for (values, word) in [
        (&[("session_id_prefix", "dev-")][..], "session_id_prefix"),
        (&[("agent_id", "default"), ("default_agent", "helper")], "agent helper is asked"),
        (&[("agent_timeout", "3600")], "600 s"),
        (&[("is_active", "0")], "inactive"),
        (&[("whatsapp_instance", "8b167ecf-b1a6-4165-bb0c-c2c7fbaf103e")], "Evolution's id"),
    ] {
        let remarks = omni(values).remarks;
        assert!(remarks.len() == 1 && remarks[0].contains(word), "{remarks:?}");
    }
    let guide = draft(Schema::Guide, &[]).unwrap();
    assert!(guide.remarks[0].contains("--agent-protocol automagik"));
    let renamed = super::read(&row(&[]), InstanceName::parse("other").unwrap(), &rules(Schema::Roadmap)).unwrap();
    assert!(renamed.remarks[0].contains("new name"));
    assert_eq!(omni(&[("agent_timeout", "-1")]).new.agent.timeout, Duration::from_secs(1));
}

#[test]
fn what_cannot_be_taken_says_why_and_shows_no_secret() {
    for (values, word) in [
        (&[("agent_instance_type", "hive")][..], "hive"),
        (&[("agent_instance_type", "planted")], "none that is known"),
        (&[("channel_type", "bogus")], "channel_type"),
        (&[("agent_api_url", "planted:8080")], "agent_api_url must be a URL"),
        (&[("evolution_url", "http://me:planted@h")], "evolution_url must not hold"),
        (&[("evolution_key", "")], "EVOLUTION_API_KEY"),
        (&[("agent_api_key", "env:OMNIHUB_API_KEY")], "begins like a reference"),
        (&[("evolution_key", "file:planted")], "begins like a reference"),
        (&[("is_active", "maybe")], "is_active"),
    ] {
        let problem = draft(Schema::Omni, values).unwrap_err();
        assert!(problem.contains(word) && !problem.contains("planted"), "{problem}");
    }
    assert!(name("my shop").unwrap_err().contains("--rename 'my shop=NEW-NAME'"));
    assert!(name("messages-upsert").is_err() && name("discover").is_err() && name("My_Shop-2").is_ok());
}

#[test]
fn what_evolution_lacks_comes_from_the_settings() {
    let fallback = EvolutionFallback { url: Some("http://shared".to_owned()), key: Some(Secret::new("shared-key")) };
    let rules = Rules { fallback, ..rules(Schema::Omni) };
    let lacking = row(&[("evolution_url", " "), ("evolution_key", "")]);
    let draft = super::read(&lacking, InstanceName::parse("acme").unwrap(), &rules).unwrap();
    let ChannelSettings::Whatsapp(channel) = &draft.new.channel else { panic!("it is on WhatsApp") };
    assert_eq!((channel.evolution_url.as_str(), channel.evolution_key.expose()), ("http://shared", "shared-key"));
    assert!(draft.patch().whatsapp.evolution_url.is_none(), "what the source does not say overwrites nothing");
}

#[test]
fn slack_is_read_where_the_source_has_its_columns() {
    let draft = omni(&[("channel_type", "slack"), ("slack_bot_token", "planted-token"), ("slack_workspace_id", "T7")]);
    let ChannelSettings::Slack(slack) = &draft.new.channel else { panic!("it is on Slack") };
    assert_eq!((slack.workspace_id.as_deref(), slack.signing_secret.is_some()), (Some("T7"), false));
    assert_eq!(draft.patch().slack.workspace_id, Some(Some("T7".to_owned())));
    assert!(draft.patch().slack.signing_secret.is_none());
    assert!(draft.secrets().iter().any(|secret| secret.expose() == "planted-token"));
}

#[test]
fn discord_is_read_whole() {
    let draft = omni(&[("channel_type", "discord"), ("discord_bot_token", "planted-token"), ("discord_guild_id", "7")]);
    let ChannelSettings::Discord(discord) = &draft.new.channel else { panic!("it is on Discord") };
    assert_eq!((discord.guild_id.as_deref(), discord.client_id.as_deref()), (Some("7"), None));
    assert_eq!(draft.patch().discord.guild_id, Some(Some("7".to_owned())));
    assert!(draft.patch().discord.client_id.is_none());
}
