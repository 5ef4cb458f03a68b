//! An instance as the Python hub kept it, read as one of ours. Pure.
//!
//! What means something else there is translated here: `automagik` was the older protocol, answers
//! were split whatever their length, and the prefix that was stored by default was never used.

use std::time::Duration;

use omnihub_common::{
    channel::ChannelType,
    instance::{
        AccountWatch, AgentKind, AgentOptions, AgentOptionsPatch, AgentPatch, AgentProtocol, AgentSettings,
        BudgetSettings, ChannelSettings, DiscordPatch, DiscordSettings, EvolutionFallback, FailoverSettings,
        GroupSettings, Instance, InstanceName, NewInstance, OfficeSettings, Patch, ReplyPatch, ReplySettings,
        SlackPatch, SlackSettings, TakeoverSettings, TurnSettings, WhatsappPatch, WhatsappSettings, service_url,
    },
    secret::{Reference, Secret},
};
use uuid::Uuid;

use super::{
    row::{Problem, Row},
    source::{Schema, WIDEST, Walk},
};

/// All instances.
pub(super) const INSTANCES: Walk = Walk {
    table: "instance_configs",
    key: "id",
    columns: &[
        "name",
        "channel_type",
        "is_active",
        "is_default",
        "session_id_prefix",
        "agent_api_url",
        "agent_api_key",
        "agent_id",
        "default_agent",
        "agent_timeout",
        "agent_instance_type",
        "agent_type",
        "agent_stream_mode",
        "enable_auto_split",
        "evolution_url",
        "evolution_key",
        "whatsapp_instance",
        "webhook_base64",
        "discord_bot_token",
        "discord_client_id",
        "discord_guild_id",
        "discord_default_channel_id",
        "slack_bot_token",
        "slack_signing_secret",
        "slack_workspace_id",
    ],
    widest: WIDEST,
};

/// Words that stand in the place of a name in the API.
const TAKEN_BY_PATHS: [&str; 2] = ["supported-channels", "discover"];

/// What the import was told of instances.
#[derive(Debug)]
pub(super) struct Rules {
    /// What `automagik` means in the source.
    pub(super) protocol: AgentProtocol,
    /// The Evolution server of instances that name none.
    pub(super) fallback: EvolutionFallback,
    pub(super) schema: Schema,
}

/// An instance to make.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) new: NewInstance,
    /// The fields of which the source says something: only those are compared and overwritten.
    said: Vec<&'static str>,
    /// What is worth knowing.
    pub(super) remarks: Vec<String>,
}

/// The name that an instance gets here, of the one that it has or is given.
pub(super) fn name(given: &str) -> Result<InstanceName, Problem> {
    let remedy = || format!("give it another one with --rename '{given}=NEW-NAME'");
    if TAKEN_BY_PATHS.contains(&given) {
        return Err(format!("the name stands for something else in the API; {}", remedy()));
    }
    InstanceName::parse(given).map_err(|problem| format!("{problem}; {}", remedy()))
}

/// Reads a row; `name` is what it is called here.
pub(super) fn read(row: &Row, name: InstanceName, rules: &Rules) -> Result<Draft, Problem> {
    let theirs = row.required("name")?;
    let mut remarks = Vec::new();
    let channel = channel(row, &theirs, rules, &mut remarks)?;
    let unconnected = !matches!(channel, ChannelSettings::Whatsapp(_));
    let agent = agent(row, rules, unconnected, &mut remarks)?;
    let is_active = row.flag("is_active")?.unwrap_or(true);
    if !is_active && !unconnected {
        let remedy = format!("`omnihub instance update {name} --active true` switches it on");
        remarks.push(format!("it is inactive, and here that means that nobody is answered; {remedy}"));
    }
    if name.as_str() != theirs {
        let told = "has a new name: let Evolution post to it, and know that conversations begin anew with the agent";
        remarks.push(told.to_owned());
    }
    let new = NewInstance {
        is_active,
        is_default: row.flag("is_default")?.unwrap_or(false),
        session_id_prefix: prefix(row, &theirs, rules, &mut remarks)?,
        agent,
        failover: FailoverSettings::default(),
        turns: TurnSettings::default(),
        takeover: TakeoverSettings::default(),
        groups: GroupSettings::default(),
        budget: BudgetSettings::default(),
        office: OfficeSettings::default(),
        reply: ReplySettings {
            enable_auto_split: row.flag("enable_auto_split")?.unwrap_or(true),
            split_over: 0,
            ..ReplySettings::default()
        },
        media: Default::default(),
        trace_retention_days: None,
        channel,
        name,
    };
    let is_said = |column: &&'static str| row.hint(column).is_some();
    let said = INSTANCES.columns.iter().copied().filter(is_said).chain(["split_over"]).collect();
    Ok(Draft { new, said, remarks })
}

/// The Python hub kept `<name>-` for everybody and used none; what somebody chose is kept.
fn prefix(row: &Row, theirs: &str, rules: &Rules, remarks: &mut Vec<String>) -> Result<Option<String>, Problem> {
    let prefix = row.text("session_id_prefix")?.filter(|prefix| *prefix != format!("{theirs}-"));
    if prefix.is_some() && rules.schema == Schema::Omni {
        remarks.push(
            "session_id_prefix stands before the names of its conversations now, which the Python hub did not do: \
             clear it for the agent to find the earlier ones"
                .to_owned(),
        );
    }
    Ok(prefix)
}

fn agent(row: &Row, rules: &Rules, unconnected: bool, remarks: &mut Vec<String>) -> Result<AgentSettings, Problem> {
    let protocol = match row.text("agent_instance_type")?.as_deref() {
        None | Some("automagik") => rules.protocol,
        Some("automagik-v1") => AgentProtocol::AutomagikV1,
        Some("hive") => AgentProtocol::Hive,
        Some(_) => return Err("agent_instance_type is none that is known: mend it in the source".to_owned()),
    };
    let agent = AgentSettings {
        api_url: url(row, "agent_api_url")?.ok_or("agent_api_url is missing: set it in the source")?,
        api_key: secret(row, "agent_api_key")?.unwrap_or_else(|| Secret::new("")),
        agent_id: row.text("agent_id")?,
        default_agent: row.text("default_agent")?,
        timeout: timeout(row, remarks)?,
        protocol,
        error_message: None,
        options: AgentOptions {
            kind: kind(row, protocol, remarks)?,
            stream: row.flag("agent_stream_mode")?.unwrap_or(false),
            ..AgentOptions::default()
        },
    };
    let ignored = agent.agent_id.as_deref() == Some("default") && agent.effective_agent() != "default";
    if ignored && rules.schema == Schema::Omni && !unconnected {
        let asked = agent.effective_agent();
        remarks.push(format!("agent {asked} is asked, its default_agent; the Python hub asked the agent `default`"));
    }
    if protocol == AgentProtocol::Hive {
        remarks.push("its agent is given sessions with ids of this hub's: conversations begin anew with it".to_owned());
    }
    if rules.schema == Schema::Guide && protocol == AgentProtocol::AutomagikV1 {
        remarks.push(
            "its agent is asked at /api/v1/agent/…/run; where it answers at /api/agent/chat, as the guide has it, set \
             agent_instance_type to automagik, or import with --agent-protocol automagik"
                .to_owned(),
        );
    }
    Ok(agent)
}

/// The Python hub took any word, and asked a team only where it was `team`.
fn kind(row: &Row, protocol: AgentProtocol, remarks: &mut Vec<String>) -> Result<AgentKind, Problem> {
    let word = row.text("agent_type")?.unwrap_or_else(|| AgentKind::Agent.as_str().to_owned());
    let kind = AgentKind::parse(&word);
    if kind.is_none() && protocol == AgentProtocol::Hive {
        remarks.push("agent_type was neither agent nor team, and is agent now, as which it was asked".to_owned());
    }
    Ok(kind.unwrap_or_default())
}

fn timeout(row: &Row, remarks: &mut Vec<String>) -> Result<Duration, Problem> {
    let Some(seconds) = row.number("agent_timeout")? else { return Ok(AgentSettings::DEFAULT_TIMEOUT) };
    let (least, most) = (*AgentSettings::TIMEOUT_SECONDS.start(), *AgentSettings::TIMEOUT_SECONDS.end());
    let taken = u64::try_from(seconds).unwrap_or(least).clamp(least, most);
    if i64::try_from(taken) != Ok(seconds) {
        remarks.push(format!("agent_timeout was {seconds} s and is {taken} s now: {least} to {most} can be set"));
    }
    Ok(Duration::from_secs(taken))
}

fn channel(row: &Row, theirs: &str, rules: &Rules, remarks: &mut Vec<String>) -> Result<ChannelSettings, Problem> {
    let word = row.text("channel_type")?.unwrap_or_else(|| ChannelType::Whatsapp.as_str().to_owned());
    match ChannelType::parse(&word) {
        Some(ChannelType::Whatsapp) => whatsapp(row, theirs, rules, remarks).map(ChannelSettings::Whatsapp),
        Some(ChannelType::Discord) => Ok(ChannelSettings::Discord(DiscordSettings {
            bot_token: secret(row, "discord_bot_token")?,
            client_id: row.text("discord_client_id")?,
            guild_id: row.text("discord_guild_id")?,
            default_channel_id: row.text("discord_default_channel_id")?,
        })),
        Some(ChannelType::Slack) => Ok(ChannelSettings::Slack(SlackSettings {
            bot_token: secret(row, "slack_bot_token")?,
            signing_secret: secret(row, "slack_signing_secret")?,
            workspace_id: row.text("slack_workspace_id")?,
        })),
        None => Err("channel_type is none that is known: mend it in the source".to_owned()),
    }
}

fn whatsapp(row: &Row, theirs: &str, rules: &Rules, remarks: &mut Vec<String>) -> Result<WhatsappSettings, Problem> {
    let missing =
        |field, setting| format!("{field} is missing: set it in the source, or set {setting} for this import");
    let fallback = &rules.fallback;
    let shared =
        || fallback.url.as_deref().map(service_url).transpose().map_err(|why| format!("EVOLUTION_API_URL {why}"));
    let evolution_url = match url(row, "evolution_url")? {
        Some(url) => Some(url),
        None => shared()?,
    };
    let evolution_key = secret(row, "evolution_key")?.or_else(|| fallback.key.clone());
    let slug = row.text("whatsapp_instance")?.unwrap_or_else(|| theirs.to_owned());
    if Uuid::try_parse(&slug).is_ok() {
        remarks.push(
            "whatsapp_instance is Evolution's id of the account; `omnihub instance update` with --provision true finds \
             its name"
                .to_owned(),
        );
    }
    Ok(WhatsappSettings {
        evolution_url: evolution_url.ok_or_else(|| missing("evolution_url", "EVOLUTION_API_URL"))?,
        evolution_key: evolution_key.ok_or_else(|| missing("evolution_key", "EVOLUTION_API_KEY"))?,
        whatsapp_instance: slug,
        webhook_base64: row.flag("webhook_base64")?.unwrap_or(true),
        webhook_secret: None,
        webhook_secret_previous: None,
        webhook_url: None,
        watch: AccountWatch::default(),
    })
}

/// An address, as it is: nothing is put in the place of `localhost`.
fn url(row: &Row, column: &'static str) -> Result<Option<String>, Problem> {
    let Some(text) = row.text(column)? else { return Ok(None) };
    service_url(&text).map(Some).map_err(|problem| format!("{column} {problem}: mend it in the source"))
}

/// A secret. One that looks like a reference would be read as one here: whoever could write into the
/// source could have the hub's own settings sent to a server of theirs.
fn secret(row: &Row, column: &'static str) -> Result<Option<Secret>, Problem> {
    let Some(text) = row.text(column)? else { return Ok(None) };
    match Reference::parse(&text) {
        Some(_) => Err(format!(
            "{column} begins like a reference (vault://, env:, file:), and no secret can: change it in the source"
        )),
        None => Ok(Some(Secret::new(text))),
    }
}

impl Draft {
    /// Its secrets in the source.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let of_channel: Vec<&Secret> = match &self.new.channel {
            ChannelSettings::Whatsapp(channel) => vec![&channel.evolution_key],
            ChannelSettings::Discord(channel) => channel.bot_token.iter().collect(),
            ChannelSettings::Slack(channel) => channel.bot_token.iter().chain(&channel.signing_secret).collect(),
        };
        of_channel.into_iter().chain([&self.new.agent.api_key]).cloned().collect()
    }

    /// The fields of which the source says something else than what is there.
    pub(super) fn differs(&self, there: &Instance) -> Vec<&'static str> {
        let new = &self.new;
        let (agent, their_agent) = (&new.agent, &there.agent);
        let mut fields = vec![
            ("is_active", new.is_active == there.is_active),
            ("is_default", !new.is_default || there.is_default),
            ("session_id_prefix", new.session_id_prefix == there.session_id_prefix),
            ("agent_api_url", agent.api_url == their_agent.api_url),
            ("agent_api_key", agent.api_key == their_agent.api_key),
            ("agent_id", agent.agent_id == their_agent.agent_id),
            ("default_agent", agent.default_agent == their_agent.default_agent),
            ("agent_timeout", agent.timeout == their_agent.timeout),
            ("agent_instance_type", agent.protocol == their_agent.protocol),
            ("agent_type", agent.options.kind == their_agent.options.kind),
            ("agent_stream_mode", agent.options.stream == their_agent.options.stream),
            ("enable_auto_split", new.reply.enable_auto_split == there.reply.enable_auto_split),
            ("split_over", new.reply.split_over == there.reply.split_over),
        ];
        fields.extend(channel_fields(&new.channel, &there.channel));
        let differs = |(field, same): (&'static str, bool)| (!same && self.said.contains(&field)).then_some(field);
        fields.into_iter().filter_map(differs).collect()
    }

    /// The change that makes an instance what the source says.
    pub(super) fn patch(&self) -> Patch {
        let new = &self.new;
        let said = |field| self.said.contains(&field);
        Patch {
            is_active: said("is_active").then_some(new.is_active),
            is_default: new.is_default.then_some(true),
            session_id_prefix: said("session_id_prefix").then(|| new.session_id_prefix.clone()),
            agent: AgentPatch {
                api_url: Some(new.agent.api_url.clone()),
                api_key: said("agent_api_key").then(|| new.agent.api_key.clone()),
                agent_id: said("agent_id").then(|| new.agent.agent_id.clone()),
                default_agent: said("default_agent").then(|| new.agent.default_agent.clone()),
                timeout: said("agent_timeout").then_some(new.agent.timeout),
                protocol: said("agent_instance_type").then_some(new.agent.protocol),
                error_message: None,
                options: AgentOptionsPatch {
                    kind: said("agent_type").then_some(new.agent.options.kind),
                    stream: said("agent_stream_mode").then_some(new.agent.options.stream),
                    ..AgentOptionsPatch::default()
                },
            },
            reply: ReplyPatch {
                enable_auto_split: said("enable_auto_split").then_some(new.reply.enable_auto_split),
                split_over: Some(new.reply.split_over),
                ..ReplyPatch::default()
            },
            whatsapp: self.whatsapp_patch(),
            discord: self.discord_patch(),
            slack: self.slack_patch(),
            ..Patch::default()
        }
    }

    fn whatsapp_patch(&self) -> WhatsappPatch {
        let ChannelSettings::Whatsapp(new) = &self.new.channel else { return WhatsappPatch::default() };
        let said = |field| self.said.contains(&field);
        WhatsappPatch {
            evolution_url: said("evolution_url").then(|| new.evolution_url.clone()),
            evolution_key: said("evolution_key").then(|| new.evolution_key.clone()),
            whatsapp_instance: said("whatsapp_instance").then(|| Some(new.whatsapp_instance.clone())),
            webhook_base64: said("webhook_base64").then_some(new.webhook_base64),
            ..WhatsappPatch::default()
        }
    }

    fn slack_patch(&self) -> SlackPatch {
        let ChannelSettings::Slack(new) = &self.new.channel else { return SlackPatch::default() };
        let said = |field| self.said.contains(&field);
        SlackPatch {
            bot_token: said("slack_bot_token").then(|| new.bot_token.clone()),
            signing_secret: said("slack_signing_secret").then(|| new.signing_secret.clone()),
            workspace_id: said("slack_workspace_id").then(|| new.workspace_id.clone()),
        }
    }

    fn discord_patch(&self) -> DiscordPatch {
        let ChannelSettings::Discord(new) = &self.new.channel else { return DiscordPatch::default() };
        let said = |field| self.said.contains(&field);
        DiscordPatch {
            bot_token: said("discord_bot_token").then(|| new.bot_token.clone()),
            client_id: said("discord_client_id").then(|| new.client_id.clone()),
            guild_id: said("discord_guild_id").then(|| new.guild_id.clone()),
            default_channel_id: said("discord_default_channel_id").then(|| new.default_channel_id.clone()),
        }
    }
}

fn channel_fields(new: &ChannelSettings, there: &ChannelSettings) -> Vec<(&'static str, bool)> {
    match (new, there) {
        (ChannelSettings::Whatsapp(new), ChannelSettings::Whatsapp(there)) => vec![
            ("evolution_url", new.evolution_url == there.evolution_url),
            ("evolution_key", new.evolution_key == there.evolution_key),
            ("whatsapp_instance", new.whatsapp_instance == there.whatsapp_instance),
            ("webhook_base64", new.webhook_base64 == there.webhook_base64),
        ],
        (ChannelSettings::Discord(new), ChannelSettings::Discord(there)) => vec![
            ("discord_bot_token", new.bot_token == there.bot_token),
            ("discord_client_id", new.client_id == there.client_id),
            ("discord_guild_id", new.guild_id == there.guild_id),
            ("discord_default_channel_id", new.default_channel_id == there.default_channel_id),
        ],
        (ChannelSettings::Slack(new), ChannelSettings::Slack(there)) => vec![
            ("slack_bot_token", new.bot_token == there.bot_token),
            ("slack_signing_secret", new.signing_secret == there.signing_secret),
            ("slack_workspace_id", new.workspace_id == there.workspace_id),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
