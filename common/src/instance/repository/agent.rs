//! The agent's part of a row.

use std::time::Duration;

use super::RowError;
use crate::instance::{
    AgentKind, AgentOptions, AgentProtocol, AgentSettings, FailoverSettings, OnAgentFailure,
    channel_settings::RowSeal,
    entity::Model,
    failover::{of_column, to_column},
};

/// The column of the fallbacks, as its encryption names it.
const FALLBACKS: &str = "fallback_agents";

/// Which agent answers, its secrets decrypted.
pub(super) fn read(row: &Model, seal: &RowSeal<'_>) -> Result<AgentSettings, RowError> {
    let seconds = u64::try_from(row.agent_timeout).map_err(|_| RowError::Column("agent_timeout"))?;
    Ok(AgentSettings {
        api_key: seal.decrypt("agent_api_key", &row.agent_api_key)?,
        api_url: row.agent_api_url.clone(),
        agent_id: row.agent_id.clone(),
        default_agent: row.default_agent.clone(),
        timeout: Duration::from_secs(seconds),
        protocol: AgentProtocol::parse(&row.agent_instance_type).ok_or(RowError::Column("agent_instance_type"))?,
        error_message: row.agent_error_message.clone(),
        options: options(row, seal)?,
    })
}

/// Who is asked when that one does not answer.
pub(super) fn failover(row: &Model, seal: &RowSeal<'_>) -> Result<FailoverSettings, RowError> {
    let kept = seal.decrypt_some(FALLBACKS, row.fallback_agents.as_deref())?;
    let agents = of_column(kept.as_ref()).map_err(|_| RowError::Column(FALLBACKS))?;
    let on_failure = OnAgentFailure::parse(&row.on_agent_failure).ok_or(RowError::Column("on_agent_failure"))?;
    Ok(FailoverSettings { agents, on_failure })
}

/// The column of the fallbacks, encrypted.
pub(super) fn fallbacks(settings: &FailoverSettings, seal: &RowSeal<'_>) -> Result<Option<String>, RowError> {
    let kept = to_column(&settings.agents).map_err(|_| RowError::Column(FALLBACKS))?;
    Ok(seal.encrypt_some(FALLBACKS, kept.as_ref())?)
}

fn options(row: &Model, seal: &RowSeal<'_>) -> Result<AgentOptions, RowError> {
    let turns = u32::try_from(row.agent_history_turns).map_err(|_| RowError::Column("agent_history_turns"))?;
    let minutes = u32::try_from(row.late_answer_minutes).map_err(|_| RowError::Column("late_answer_minutes"))?;
    Ok(AgentOptions {
        kind: AgentKind::parse(&row.agent_type).ok_or(RowError::Column("agent_type"))?,
        stream: row.agent_stream_mode,
        system_prompt: row.agent_system_prompt.clone(),
        history_turns: turns,
        late_answer_minutes: minutes,
        webhook_secret: seal.decrypt_some("agent_webhook_secret", row.agent_webhook_secret.as_deref())?,
        webhook_secret_previous: seal
            .decrypt_some("agent_webhook_secret_previous", row.agent_webhook_secret_previous.as_deref())?,
    })
}
