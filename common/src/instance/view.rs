//! An instance as people see it: flat, every secret masked.

use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ChannelSettings, DiscordSettings, FallbackView, Instance, OpeningHours, ReplySettings, SlackSettings,
    WhatsappSettings,
};
use crate::secret::Secret;

/// What API answers and the audit log hold of an instance. Field names and their order are the
/// older system's; fields of other channels are null.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InstanceView {
    id: i64,
    name: String,
    channel_type: &'static str,
    #[serde(flatten)]
    whatsapp: WhatsappView,
    #[serde(flatten)]
    discord: DiscordView,
    #[serde(flatten)]
    slack: SlackView,
    agent_api_url: String,
    agent_api_key: String,
    default_agent: Option<String>,
    agent_timeout: u64,
    is_default: bool,
    is_active: bool,
    session_id_prefix: Option<String>,
    created_at: String,
    updated_at: String,
    agent_instance_type: &'static str,
    agent_id: Option<String>,
    agent_type: &'static str,
    agent_stream_mode: bool,
    agent_error_message: Option<String>,
    agent_system_prompt: Option<String>,
    agent_history_turns: u32,
    agent_webhook_secret: Option<String>,
    agent_webhook_secret_previous: Option<String>,
    fallback_agents: Vec<FallbackView>,
    on_agent_failure: &'static str,
    late_answer_minutes: u32,
    #[serde(flatten)]
    reply: ReplyView,
    debounce_ms: u32,
    debounce_max_ms: u32,
    overlap: &'static str,
    max_backlog: Option<u32>,
    turns_per_minute: u32,
    on_edit: &'static str,
    takeover_minutes: u32,
    resume_keyword: Option<String>,
    group_trigger: &'static str,
    group_keywords: Vec<String>,
    group_session: &'static str,
    budget_turns_per_minute: Option<u32>,
    budget_turns_per_day: Option<u32>,
    budget_tokens_per_day: Option<u32>,
    opening_hours: Option<serde_json::Value>,
    out_of_office_message: Option<String>,
    transcript_api_url: Option<String>,
    transcript_api_key: Option<String>,
    transcript_model: Option<String>,
    transcript_language: Option<String>,
    media_delivery: &'static str,
    trace_retention_days: Option<u32>,
}

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct WhatsappView {
    evolution_url: Option<String>,
    evolution_key: Option<String>,
    whatsapp_instance: Option<String>,
    webhook_base64: Option<bool>,
    webhook_secret: Option<String>,
    webhook_secret_previous: Option<String>,
    webhook_url: Option<String>,
    catch_up_minutes: Option<u32>,
    restart_when_silent: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct DiscordView {
    has_discord_bot_token: bool,
    discord_client_id: Option<String>,
    discord_guild_id: Option<String>,
    discord_default_channel_id: Option<String>,
}

/// How answers are sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ReplyView {
    enable_auto_split: bool,
    split_over: usize,
    quote_replies: &'static str,
    mention_in_groups: &'static str,
    mark_read: bool,
    typing_speed: u32,
    sends_per_minute: u32,
    stream_replies: bool,
}

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct SlackView {
    has_slack_bot_token: bool,
    has_slack_signing_secret: bool,
    slack_workspace_id: Option<String>,
}

impl InstanceView {
    /// Of an instance.
    #[must_use]
    pub fn new(instance: &Instance) -> Self {
        let (mut whatsapp, mut discord, mut slack) = <(WhatsappView, DiscordView, SlackView)>::default();
        match &instance.channel {
            ChannelSettings::Whatsapp(settings) => whatsapp = WhatsappView::new(settings),
            ChannelSettings::Discord(settings) => discord = DiscordView::new(settings),
            ChannelSettings::Slack(settings) => slack = SlackView::new(settings),
        }
        let agent = &instance.agent;
        Self {
            id: instance.id,
            name: instance.name.to_string(),
            channel_type: instance.channel_type().as_str(),
            whatsapp,
            discord,
            slack,
            agent_api_url: agent.api_url.clone(),
            agent_api_key: agent.api_key.mask(),
            default_agent: agent.default_agent.clone(),
            agent_timeout: agent.timeout.as_secs(),
            is_default: instance.is_default,
            is_active: instance.is_active,
            session_id_prefix: instance.session_id_prefix.clone(),
            created_at: instance.created_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            updated_at: instance.updated_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            agent_instance_type: agent.protocol.as_str(),
            agent_id: agent.agent_id.clone(),
            agent_type: agent.options.kind.as_str(),
            agent_stream_mode: agent.options.stream,
            agent_error_message: agent.error_message.clone(),
            agent_system_prompt: agent.options.system_prompt.clone(),
            agent_history_turns: agent.options.history_turns,
            agent_webhook_secret: agent.options.webhook_secret.as_ref().map(Secret::mask),
            agent_webhook_secret_previous: agent.options.webhook_secret_previous.as_ref().map(Secret::mask),
            fallback_agents: instance.failover.agents.iter().map(FallbackView::new).collect(),
            on_agent_failure: instance.failover.on_failure.as_str(),
            late_answer_minutes: agent.options.late_answer_minutes,
            reply: ReplyView::new(&instance.reply),
            debounce_ms: instance.turns.debounce_ms,
            debounce_max_ms: instance.turns.debounce_max_ms,
            overlap: instance.turns.overlap.as_str(),
            max_backlog: instance.turns.max_backlog,
            turns_per_minute: instance.turns.turns_per_minute,
            on_edit: instance.turns.on_edit.as_str(),
            takeover_minutes: instance.takeover.minutes,
            resume_keyword: instance.takeover.resume_keyword.clone(),
            group_trigger: instance.groups.trigger.as_str(),
            group_keywords: instance.groups.keywords.clone(),
            group_session: instance.groups.session.as_str(),
            budget_turns_per_minute: instance.budget.turns_per_minute,
            budget_turns_per_day: instance.budget.turns_per_day,
            budget_tokens_per_day: instance.budget.tokens_per_day,
            opening_hours: instance.office.hours.as_ref().map(OpeningHours::to_json),
            out_of_office_message: instance.office.message.clone(),
            transcript_api_url: instance.media.transcript.api_url.clone(),
            transcript_api_key: instance.media.transcript.api_key.as_ref().map(Secret::mask),
            transcript_model: instance.media.transcript.model.clone(),
            transcript_language: instance.media.transcript.language.clone(),
            media_delivery: instance.media.delivery.as_str(),
            trace_retention_days: instance.trace_retention_days,
        }
    }
}

impl WhatsappView {
    fn new(settings: &WhatsappSettings) -> Self {
        Self {
            evolution_url: Some(settings.evolution_url.clone()),
            evolution_key: Some(settings.evolution_key.mask()),
            whatsapp_instance: Some(settings.whatsapp_instance.clone()),
            webhook_base64: Some(settings.webhook_base64),
            webhook_secret: settings.webhook_secret.as_ref().map(Secret::mask),
            webhook_secret_previous: settings.webhook_secret_previous.as_ref().map(Secret::mask),
            webhook_url: settings.webhook_url.clone(),
            catch_up_minutes: Some(settings.watch.catch_up_minutes),
            restart_when_silent: Some(settings.watch.restart_when_silent),
        }
    }
}

impl DiscordView {
    fn new(settings: &DiscordSettings) -> Self {
        Self {
            has_discord_bot_token: settings.bot_token.is_some(),
            discord_client_id: settings.client_id.clone(),
            discord_guild_id: settings.guild_id.clone(),
            discord_default_channel_id: settings.default_channel_id.clone(),
        }
    }
}

impl SlackView {
    fn new(settings: &SlackSettings) -> Self {
        Self {
            has_slack_bot_token: settings.bot_token.is_some(),
            has_slack_signing_secret: settings.signing_secret.is_some(),
            slack_workspace_id: settings.workspace_id.clone(),
        }
    }
}

impl ReplyView {
    fn new(settings: &ReplySettings) -> Self {
        Self {
            enable_auto_split: settings.enable_auto_split,
            split_over: settings.split_over,
            quote_replies: settings.quote.as_str(),
            mention_in_groups: settings.mention.as_str(),
            mark_read: settings.mark_read,
            typing_speed: settings.typing_speed,
            sends_per_minute: settings.sends_per_minute,
            stream_replies: settings.stream,
        }
    }
}
