//! Values on the command line of `omnihub instance`, and how they come into a body.

use std::convert::Infallible;

use omnihub_common::secret::Secret;
use serde_json::{Map, Value};

/// The fields that may be empty, or go back to what the hub says; in the order of the API's document.
pub(super) const CLEARABLE: &[&str] = &[
    "agent_error_message",
    "agent_history_turns",
    "agent_id",
    "agent_instance_type",
    "agent_stream_mode",
    "agent_system_prompt",
    "agent_timeout",
    "agent_type",
    "agent_webhook_secret",
    "agent_webhook_secret_previous",
    "budget_tokens_per_day",
    "budget_turns_per_day",
    "budget_turns_per_minute",
    "catch_up_minutes",
    "debounce_max_ms",
    "debounce_ms",
    "default_agent",
    "discord_bot_token",
    "discord_client_id",
    "discord_default_channel_id",
    "discord_guild_id",
    "enable_auto_split",
    "fallback_agents",
    "group_keywords",
    "group_session",
    "group_trigger",
    "late_answer_minutes",
    "mark_read",
    "max_backlog",
    "media_delivery",
    "mention_in_groups",
    "on_agent_failure",
    "on_edit",
    "opening_hours",
    "out_of_office_message",
    "overlap",
    "quote_replies",
    "restart_when_silent",
    "resume_keyword",
    "sends_per_minute",
    "session_id_prefix",
    "slack_bot_token",
    "slack_signing_secret",
    "slack_workspace_id",
    "split_over",
    "stream_replies",
    "takeover_minutes",
    "trace_retention_days",
    "transcript_api_key",
    "transcript_api_url",
    "transcript_language",
    "transcript_model",
    "turns_per_minute",
    "typing_speed",
    "webhook_base64",
    "webhook_secret",
    "webhook_secret_previous",
    "whatsapp_instance",
];

/// The API's name of a field that may be empty.
pub(super) fn clearable(text: &str) -> Result<String, String> {
    let field = text.replace('-', "_");
    match CLEARABLE.contains(&field.as_str()) {
        true => Ok(field),
        false => Err(format!("these can be emptied: {}", CLEARABLE.join(", "))),
    }
}

/// Puts a secret into a body, if there is one.
pub(super) fn put(body: &mut Map<String, Value>, name: &str, value: Option<&Secret>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.expose().into());
    }
}

/// JSON as it stands on the command line.
pub(super) fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// A secret, whatever it looks like.
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
