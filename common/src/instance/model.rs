//! What an instance is, apart from how it is stored.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::RangeInclusive,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AgentSettings, BudgetSettings, FailoverSettings, GroupSettings, MediaSettings, MentionInGroups, OfficeSettings,
    QuoteReplies, TakeoverSettings, TurnSettings,
};
use crate::{channel::ChannelType, secret::Secret};

/// The words that follow `/webhook/evolution/` when Evolution posts by events; no instance may
/// have such a name. Source: Evolution API 2.3.6, webhook.controller.ts (`we` in lower case with `-`).
pub const RESERVED_NAMES: [&str; 31] = [
    "application-startup",
    "qrcode-updated",
    "messages-set",
    "messages-upsert",
    "messages-edited",
    "messages-update",
    "messages-delete",
    "send-message",
    "send-message-update",
    "contacts-set",
    "contacts-upsert",
    "contacts-update",
    "presence-update",
    "chats-set",
    "chats-upsert",
    "chats-update",
    "chats-delete",
    "groups-upsert",
    "group-update",
    "group-participants-update",
    "connection-update",
    "labels-edit",
    "labels-association",
    "call",
    "typebot-start",
    "typebot-change-status",
    "remove-instance",
    "logout-instance",
    "instance-create",
    "instance-delete",
    "status-instance",
];

/// An instance's name: 1 to 64 of `[A-Za-z0-9_-]`, kept exactly as given, never normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceName(String);

/// Why a name is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, too long, or with a character outside the alphabet.
    #[error("a name has 1 to 64 characters out of A-Z, a-z, 0-9, _ and -")]
    Alphabet,
    /// One of Evolution's event words, which stand in the same place of the URL.
    #[error("the name is reserved: it is one of Evolution's event words")]
    Reserved,
}

impl InstanceName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it is outside the alphabet or reserved.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(known) {
            return Err(NameError::Alphabet);
        }
        if RESERVED_NAMES.contains(&name) {
            return Err(NameError::Reserved);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InstanceName {
    /// `default`: the name of the first instance when nobody names it.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl TryFrom<String> for InstanceName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl From<InstanceName> for String {
    fn from(name: InstanceName) -> Self {
        name.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One tenant, secrets decrypted: what ingress and worker need to serve it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The row's id; never used again, so that a name given twice sees nothing old.
    pub id: i64,
    /// The name, unique and case-sensitive.
    pub name: InstanceName,
    /// Inactive instances accept webhooks and answer nobody.
    pub is_active: bool,
    /// Whether `/webhook/evolution` without a name means this one.
    pub is_default: bool,
    /// Put in front of session names.
    pub session_id_prefix: Option<String>,
    /// The agent that answers.
    pub agent: AgentSettings,
    /// Who is asked when that one does not answer.
    pub failover: FailoverSettings,
    /// How messages become turns.
    pub turns: TurnSettings,
    /// What a message from the paired phone does.
    pub takeover: TakeoverSettings,
    /// How it behaves in groups.
    pub groups: GroupSettings,
    /// What it may spend.
    pub budget: BudgetSettings,
    /// When it answers by itself.
    pub office: OfficeSettings,
    /// How answers are sent.
    pub reply: ReplySettings,
    /// What becomes of files.
    pub media: MediaSettings,
    /// For how many days its traces are kept; unset = the hub's `OMNIHUB_TRACE_RETENTION_DAYS`.
    pub trace_retention_days: Option<u32>,
    /// The channel account.
    pub channel: ChannelSettings,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
}

impl Instance {
    /// The channel that this instance is on.
    #[must_use]
    pub fn channel_type(&self) -> ChannelType {
        match self.channel {
            ChannelSettings::Whatsapp(_) => ChannelType::Whatsapp,
            ChannelSettings::Discord(_) => ChannelType::Discord,
            ChannelSettings::Slack(_) => ChannelType::Slack,
        }
    }

    /// Every secret of the instance: what no trace and no error may show.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        let fallbacks = self.failover.agents.iter().map(|fallback| &fallback.agent);
        let mut secrets: Vec<&Secret> =
            std::iter::once(&self.agent).chain(fallbacks).flat_map(AgentSettings::secrets).collect();
        secrets.extend(&self.media.transcript.api_key);
        match &self.channel {
            ChannelSettings::Whatsapp(whatsapp) => {
                secrets.push(&whatsapp.evolution_key);
                secrets.extend(whatsapp.webhook_secret.iter().chain(&whatsapp.webhook_secret_previous));
            }
            ChannelSettings::Discord(discord) => secrets.extend(&discord.bot_token),
            ChannelSettings::Slack(slack) => secrets.extend(slack.bot_token.iter().chain(&slack.signing_secret)),
        }
        secrets
    }

    /// The same, to give those their value that are kept somewhere else.
    pub(super) fn secrets_mut(&mut self) -> Vec<&mut Secret> {
        let fallbacks = self.failover.agents.iter_mut().map(|fallback| &mut fallback.agent);
        let agents = std::iter::once(&mut self.agent).chain(fallbacks);
        let mut secrets: Vec<&mut Secret> = agents.flat_map(AgentSettings::secrets_mut).collect();
        secrets.extend(&mut self.media.transcript.api_key);
        match &mut self.channel {
            ChannelSettings::Whatsapp(whatsapp) => {
                secrets.push(&mut whatsapp.evolution_key);
                secrets.extend(whatsapp.webhook_secret.iter_mut().chain(&mut whatsapp.webhook_secret_previous));
            }
            ChannelSettings::Discord(discord) => secrets.extend(&mut discord.bot_token),
            ChannelSettings::Slack(slack) => {
                secrets.extend(slack.bot_token.iter_mut().chain(&mut slack.signing_secret))
            }
        }
        secrets
    }

    /// Tells one state of the instance from another, within this process only: it is another one
    /// after each change, and when a secret that is kept somewhere else is another one there.
    #[must_use]
    pub fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.updated_at.hash(&mut hasher);
        for secret in self.secrets() {
            secret.expose().hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Whether some of its secrets are kept somewhere else.
    #[must_use]
    pub fn has_references(&self) -> bool {
        self.secrets().into_iter().any(|secret| secret.reference().is_some())
    }
}

/// How answers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplySettings {
    /// Whether long answers are split on blank lines.
    pub enable_auto_split: bool,
    /// Answers longer than this many characters are split; 0 splits always.
    pub split_over: usize,
    /// Whether an answer quotes the message that it answers.
    pub quote: QuoteReplies,
    /// Whom an answer in a group mentions.
    pub mention: MentionInGroups,
    /// Whether messages are marked as read when their turn begins.
    pub mark_read: bool,
    /// As how many characters a second the bubbles of an answer behind its first are typed; 0 is at once.
    pub typing_speed: u32,
    /// How many messages a minute go out over the account, in all conversations together; 0 is no limit.
    pub sends_per_minute: u32,
    /// Whether each paragraph of a streamed answer goes out as soon as the agent has ended it.
    pub stream: bool,
}

impl ReplySettings {
    /// The speeds of typing that may be said, in characters a second.
    pub const TYPING_SPEED: RangeInclusive<u64> = 0..=1000;
    /// The limits of sends that may be said, a minute.
    pub const SENDS_PER_MINUTE: RangeInclusive<u64> = 0..=6000;
}

impl Default for ReplySettings {
    /// The guide's: answers over 1000 characters are split.
    fn default() -> Self {
        let (quote, mention) = (QuoteReplies::default(), MentionInGroups::default());
        Self {
            enable_auto_split: true,
            split_over: 1000,
            quote,
            mention,
            mark_read: false,
            typing_speed: 0,
            sends_per_minute: 0,
            stream: false,
        }
    }
}

/// The channel account of an instance.
#[derive(Clone, Debug)]
pub enum ChannelSettings {
    /// WhatsApp through Evolution API.
    Whatsapp(WhatsappSettings),
    /// A Discord bot: kept, not connected yet.
    Discord(DiscordSettings),
    /// A Slack app: kept, not connected yet.
    Slack(SlackSettings),
}

/// An account on an Evolution API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatsappSettings {
    /// The server's base URL.
    pub evolution_url: String,
    /// The key for the `apikey` header.
    pub evolution_key: Secret,
    /// The instance's name on the Evolution server; never our own name unless they are the same.
    pub whatsapp_instance: String,
    /// Whether Evolution is asked to put media into the webhook.
    pub webhook_base64: bool,
    /// What a webhook must prove to know; unset = webhooks are accepted unverified.
    pub webhook_secret: Option<Secret>,
    /// The secret before the last rotation, still accepted.
    pub webhook_secret_previous: Option<Secret>,
    /// Where Evolution was told to post; unset = the webhook there is not the hub's to look after.
    pub webhook_url: Option<String>,
    /// How the hub watches over it.
    pub watch: AccountWatch,
}

/// How the hub watches over an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountWatch {
    /// Messages that were missed in an outage are fetched when they are at most so many minutes old; 0 =
    /// none is.
    pub catch_up_minutes: u32,
    /// Whether an account that is open and strangely silent is connected anew.
    pub restart_when_silent: bool,
}

impl AccountWatch {
    /// What `catch_up_minutes` may be: traces are kept for a day at least, and tell what was missed.
    pub const CATCH_UP_MINUTES: RangeInclusive<u64> = 0..=1440;
}

impl Default for AccountWatch {
    /// Who wrote within the last twelve hours is answered.
    fn default() -> Self {
        Self { catch_up_minutes: 720, restart_when_silent: false }
    }
}

/// A Discord bot's account.
#[derive(Clone, Debug)]
pub struct DiscordSettings {
    /// The bot's token.
    pub bot_token: Option<Secret>,
    /// The application's id.
    pub client_id: Option<String>,
    /// The guild it serves.
    pub guild_id: Option<String>,
    /// The channel for messages without one.
    pub default_channel_id: Option<String>,
}

/// A Slack app's account in one workspace.
#[derive(Clone, Debug)]
pub struct SlackSettings {
    /// The bot's token (`xoxb-...`), for what is sent.
    pub bot_token: Option<Secret>,
    /// What Slack signs its requests with.
    pub signing_secret: Option<Secret>,
    /// The workspace's id (`T...`).
    pub workspace_id: Option<String>,
}
