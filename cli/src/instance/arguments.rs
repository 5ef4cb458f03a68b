//! What `omnihub instance` takes, and the bodies that come of it.

use clap::{Args, Subcommand};
use omnihub_common::secret::Secret;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    media::MediaArgs,
    values::{clearable, json, put, secret},
};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// List all instances.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an instance.
    Add(Box<AddArgs>),
    /// Show an instance, its secrets masked.
    Show {
        /// Which one.
        #[command(flatten)]
        name: NameArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change what is named of an instance; the rest stays.
    Update(Box<UpdateArgs>),
    /// Delete an instance with its users and traces. Asks first.
    Delete {
        /// Which one.
        #[command(flatten)]
        name: NameArgs,
        /// What becomes of its account at Evolution: keep or remove.
        #[arg(long, value_name = "WHAT", default_value = "keep", value_parser = ["keep", "remove"])]
        evolution: String,
        /// Do not ask.
        #[arg(long, short)]
        force: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say how an instance is connected.
    Status(OneArgs),
    /// Show the QR code that a phone scans to be paired.
    Qr(QrArgs),
    /// Make or adopt the account at Evolution, register the webhook, and begin to connect.
    Connect(OneArgs),
    /// Stop Evolution from posting and the instance from answering; the phone stays paired.
    Disconnect(OneArgs),
    /// Connect the account anew.
    Restart(OneArgs),
    /// Unpair the phone; the instance answers nobody.
    Logout(OneArgs),
    /// Say how every instance is connected, and which accounts have no instance yet.
    Discover(DiscoverArgs),
    /// Make an instance the one that /webhook/evolution means.
    SetDefault {
        /// Which one.
        #[command(flatten)]
        name: NameArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The name of an instance, as the first word or as an option.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The instance's name.
    #[arg(value_name = "NAME", required_unless_present = "name_option")]
    name: Option<String>,
    /// The same as an option.
    #[arg(long = "name", id = "name_option", value_name = "NAME", conflicts_with = "name")]
    name_option: Option<String>,
}

impl NameArgs {
    /// The name.
    #[must_use]
    pub fn get(&self) -> &str {
        self.name.as_deref().or(self.name_option.as_deref()).unwrap_or_default()
    }
}

/// One instance, and how to print the answer.
#[derive(Debug, Args)]
pub struct OneArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The instance that is paired.
#[derive(Debug, Args)]
pub struct QrArgs {
    #[command(flatten)]
    pub(super) one: OneArgs,
    /// The phone's number with its country code: there is a code to type in too, where no connection
    /// is under way.
    #[arg(long, value_name = "NUMBER")]
    pub(super) phone: Option<String>,
}

/// Where to look for accounts.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// The Evolution server whose accounts are listed; without it the hub's EVOLUTION_API_URL.
    #[arg(long, value_name = "URL", requires = "evolution_key")]
    evolution_url: Option<String>,
    /// The server's key. Given by the environment it stays out of the shell's history.
    #[arg(long, value_name = "KEY", env = "EVOLUTION_API_KEY", hide_env_values = true, value_parser = secret)]
    evolution_key: Option<Secret>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl DiscoverArgs {
    /// The body of the call; the key goes with its address only.
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(url) = &self.evolution_url {
            body.insert("evolution_url".to_owned(), url.as_str().into());
            put(&mut body, "evolution_key", self.evolution_key.as_ref());
        }
        Value::Object(body)
    }
}

/// The fields of an instance. They are named as in the API, which checks them.
#[derive(Debug, Args, Serialize)]
pub struct FieldArgs {
    /// The Evolution server's base URL; without it the hub's EVOLUTION_API_URL.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    evolution_url: Option<String>,
    /// The instance's name on the Evolution server; without it NAME.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    whatsapp_instance: Option<String>,
    /// Whether the hub looks after the account: makes or adopts it and registers the webhook. A new
    /// instance wants it unless this says false.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    provision: Option<bool>,
    /// Put in front of session names.
    #[arg(long, value_name = "PREFIX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id_prefix: Option<String>,
    /// Whether Evolution puts media into its webhooks.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_base64: Option<bool>,
    /// Messages that were missed in an outage are fetched when they are at most so old; 0 fetches none.
    #[arg(long, value_name = "MINUTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up_minutes: Option<u64>,
    /// Whether an account that is open and strangely silent is connected anew.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_when_silent: Option<bool>,
    /// What a webhook must prove to know.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    #[serde(skip)]
    webhook_secret: Option<Secret>,
    /// The agent's base URL.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_api_url: Option<String>,
    /// The agent to ask; before --default-agent.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    /// The older name of the same.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    default_agent: Option<String>,
    /// How long the agent may take for an answer, in seconds from 1 to 600.
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_timeout: Option<u64>,
    /// The protocol that the agent speaks: automagik, automagik-v1, hive, openai or webhook.
    #[arg(long, value_name = "PROTOCOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_instance_type: Option<String>,
    /// What the person gets when the agent has failed for good; without it nothing.
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_error_message: Option<String>,
    /// For hive: whether an agent or a team answers.
    #[arg(long, value_name = "KIND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_type: Option<String>,
    /// For hive and openai: whether the answer comes piece by piece.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_stream_mode: Option<bool>,
    /// For openai: what the model is told before anything else.
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_system_prompt: Option<String>,
    /// For openai: so many earlier turns are told again; without it 20.
    #[arg(long, value_name = "TURNS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_history_turns: Option<u64>,
    /// For webhook: what calls are signed with, whsec_ and Base64. A new one signs beside the old one
    /// until --clear agent_webhook_secret_previous.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    #[serde(skip)]
    agent_webhook_secret: Option<Secret>,
    /// For webhook: how long an answer is waited for that comes later; without it 10.
    #[arg(long, value_name = "MINUTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    late_answer_minutes: Option<u64>,
    /// Who else is asked, as '[{"name": "b", "agent_api_url": "http://…", "agent_api_key": "…"}]'.
    #[arg(long, value_name = "JSON", value_parser = json)]
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_agents: Option<Value>,
    /// What becomes of a question that no agent has answered: text or handoff.
    #[arg(long, value_name = "WHAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    on_agent_failure: Option<String>,
    /// Whether long answers are split on blank lines.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_auto_split: Option<bool>,
    /// Answers with more characters are split; 0 splits always.
    #[arg(long, value_name = "CHARACTERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    split_over: Option<u64>,
    /// Messages that follow each other within so many milliseconds become one turn; 0 = off.
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    debounce_ms: Option<u64>,
    /// No message waits longer for others to follow.
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    debounce_max_ms: Option<u64>,
    /// Messages that arrive while a turn runs: queue, merge or supersede.
    #[arg(long, value_name = "HOW")]
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<String>,
    /// So many accepted messages may wait; beyond it webhooks get 503.
    #[arg(long, value_name = "MESSAGES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_backlog: Option<u64>,
    /// A conversation gets so many turns within a minute; 0 = any number.
    #[arg(long, value_name = "TURNS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    turns_per_minute: Option<u64>,
    /// An edit that comes too late to change the question: ignore or new_turn.
    #[arg(long, value_name = "HOW")]
    #[serde(skip_serializing_if = "Option::is_none")]
    on_edit: Option<String>,
    /// WhatsApp: the bot is silent for so long after somebody wrote on the phone; 0 = not at all.
    #[arg(long, value_name = "MINUTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    takeover_minutes: Option<u64>,
    /// WhatsApp: written on the phone, alone in a message, it lets the bot answer again.
    #[arg(long, value_name = "WORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_keyword: Option<String>,
    /// When it answers in a group: never, mention, keyword or always.
    #[arg(long, value_name = "WHEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group_trigger: Option<String>,
    /// The words that it answers to with --group-trigger keyword, with commas between them.
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_keywords: Vec<String>,
    /// What a conversation is in a group: group, or user for one with each member.
    #[arg(long, value_name = "WHAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group_session: Option<String>,
    /// So many turns may begin within a minute; beyond it messages get no answer.
    #[arg(long, value_name = "TURNS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_turns_per_minute: Option<u64>,
    /// So many turns may begin on a day, in UTC.
    #[arg(long, value_name = "TURNS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_turns_per_day: Option<u64>,
    /// So many tokens may be used on a day, in UTC, as far as the agent names them.
    #[arg(long, value_name = "TOKENS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_tokens_per_day: Option<u64>,
    /// When its agent is asked, as '{"time_zone": "America/Sao_Paulo", "monday": ["09:00-18:00"]}'.
    #[arg(long, value_name = "JSON", value_parser = json)]
    #[serde(skip_serializing_if = "Option::is_none")]
    opening_hours: Option<Value>,
    /// What a person is told outside of the opening hours, once a day.
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_office_message: Option<String>,
    /// Where an answer quotes what it answers: never, groups or always.
    #[arg(long, value_name = "WHERE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    quote_replies: Option<String>,
    /// Whom an answer in a group mentions: off or sender.
    #[arg(long, value_name = "WHOM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mention_in_groups: Option<String>,
    /// WhatsApp: whether messages are marked as read when their turn begins.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mark_read: Option<bool>,
    /// As how many characters a second the bubbles behind the first are typed; 0 is at once.
    #[arg(long, value_name = "CHARACTERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_speed: Option<u64>,
    /// How many messages a minute go out over the account; 0 is no limit.
    #[arg(long, value_name = "MESSAGES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sends_per_minute: Option<u64>,
    /// Whether each paragraph of a streamed answer goes out as soon as it has ended.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_replies: Option<bool>,
    #[command(flatten)]
    #[serde(flatten)]
    media: MediaArgs,
    /// For how many days its traces are kept; without it the hub's OMNIHUB_TRACE_RETENTION_DAYS.
    #[arg(long, value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_retention_days: Option<u64>,
    /// Whether it answers; an inactive one takes webhooks and stays silent.
    #[arg(long = "active", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
    /// Make it the one that /webhook/evolution means.
    #[arg(long = "default")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_default: bool,
    /// Discord: the application's id.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_client_id: Option<String>,
    /// Discord: the guild it serves.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_guild_id: Option<String>,
    /// Discord: the channel for messages without one.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_default_channel_id: Option<String>,
    /// Discord: the bot's token.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    #[serde(skip)]
    discord_bot_token: Option<Secret>,
    /// Slack: the workspace's id.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    slack_workspace_id: Option<String>,
    /// Slack: the bot's token.
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    #[serde(skip)]
    slack_bot_token: Option<Secret>,
    /// Slack: what its requests are signed with.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    #[serde(skip)]
    slack_signing_secret: Option<Secret>,
    /// Print JSON.
    #[arg(long)]
    #[serde(skip)]
    pub(super) json: bool,
}

/// An instance to make.
#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    name: NameArgs,
    /// The channel: whatsapp, discord or slack.
    #[arg(long, alias = "channel", value_name = "CHANNEL", default_value = "whatsapp")]
    channel_type: String,
    /// The Evolution server's key; without it the hub's EVOLUTION_API_KEY. Given by the
    /// environment it stays out of the shell's history.
    #[arg(long, value_name = "KEY", env = "EVOLUTION_API_KEY", hide_env_values = true, value_parser = secret)]
    evolution_key: Option<Secret>,
    /// The agent's key.
    #[arg(long, value_name = "KEY", env = "AGENT_API_KEY", hide_env_values = true, value_parser = secret)]
    agent_api_key: Option<Secret>,
    #[command(flatten)]
    pub(super) fields: FieldArgs,
}

/// A change of an instance.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    pub(super) name: NameArgs,
    /// The Evolution server's key.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    evolution_key: Option<Secret>,
    /// The agent's key.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    agent_api_key: Option<Secret>,
    /// Empty a field, by its name in the API, e.g. agent_error_message. May be repeated.
    #[arg(long, value_name = "FIELD", value_parser = clearable)]
    clear: Vec<String>,
    #[command(flatten)]
    pub(super) fields: FieldArgs,
}

impl AddArgs {
    /// The body of the call.
    pub(super) fn body(&self) -> Value {
        let mut body = self.fields.to_map();
        body.insert("name".to_owned(), self.name.get().into());
        body.insert("channel_type".to_owned(), self.channel_type.as_str().into());
        put(&mut body, "evolution_key", self.evolution_key.as_ref());
        put(&mut body, "agent_api_key", self.agent_api_key.as_ref());
        Value::Object(body)
    }
}

impl UpdateArgs {
    /// The body of the call: only what was named.
    pub(super) fn body(&self) -> Value {
        let mut body = self.fields.to_map();
        put(&mut body, "evolution_key", self.evolution_key.as_ref());
        put(&mut body, "agent_api_key", self.agent_api_key.as_ref());
        for field in &self.clear {
            body.insert(field.clone(), Value::Null);
        }
        Value::Object(body)
    }
}

impl FieldArgs {
    fn to_map(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut map)) = serde_json::to_value(self) else { return Map::new() };
        put(&mut map, "webhook_secret", self.webhook_secret.as_ref());
        put(&mut map, "agent_webhook_secret", self.agent_webhook_secret.as_ref());
        put(&mut map, "transcript_api_key", self.media.transcript_api_key.as_ref());
        put(&mut map, "discord_bot_token", self.discord_bot_token.as_ref());
        put(&mut map, "slack_bot_token", self.slack_bot_token.as_ref());
        put(&mut map, "slack_signing_secret", self.slack_signing_secret.as_ref());
        map
    }
}
