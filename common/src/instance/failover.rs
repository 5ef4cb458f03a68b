//! Failover: the agents that are asked when the instance's own does not answer, and what becomes of a
//! question that none of them has answered.
//!
//! The instance's own agent has rank 0. A lower rank is asked first; agents of one rank share the
//! conversations. A fallback has the fields of an agent and none of the instance's: the text that people
//! get after the last failure is one for all.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AgentKind, AgentOptions, AgentProtocol, AgentSettings};
use crate::secret::Secret;

/// What becomes of a question that no agent has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnAgentFailure {
    /// The person gets `agent_error_message`, where there is one, and the message is a dead letter.
    #[default]
    Text,
    /// The same text, and the conversation is left to people: the bot is silent in it as after a
    /// takeover.
    Handoff,
}

impl OnAgentFailure {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Text, Self::Handoff];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Handoff => "handoff",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// An agent beside the instance's own.
#[derive(Clone, Debug)]
pub struct FallbackAgent {
    /// Its name within the instance.
    pub name: String,
    /// When it is asked: after those of lower ranks have failed.
    pub rank: u32,
    /// How it is asked; it has no `error_message` of its own.
    pub agent: AgentSettings,
}

impl FallbackAgent {
    /// An instance may have so many.
    pub const MOST: usize = 8;
    /// The ranks that can be given; the instance's own agent has 0.
    pub const RANKS: RangeInclusive<u64> = 0..=100;
    /// Characters of a name.
    pub const LONGEST_NAME: usize = 64;
    /// The name that the instance's own agent goes by.
    pub const OWN: &'static str = "own";
}

/// Who is asked when the instance's own agent does not answer.
#[derive(Clone, Debug, Default)]
pub struct FailoverSettings {
    /// The agents, as they were given.
    pub agents: Vec<FallbackAgent>,
    /// What becomes of a question that none has answered.
    pub on_failure: OnAgentFailure,
}

/// A change of [`FailoverSettings`]; `None` keeps.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `FailoverSettings`, described there")]
pub struct FailoverPatch {
    pub agents: Option<Vec<FallbackAgent>>,
    pub on_failure: Option<OnAgentFailure>,
}

impl FailoverPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut FailoverSettings) {
        if let Some(agents) = self.agents {
            settings.agents = agents;
        }
        if let Some(on_failure) = self.on_failure {
            settings.on_failure = on_failure;
        }
    }
}

/// A fallback as people see it, its secrets masked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FallbackAgent)]
pub struct FallbackView {
    name: String,
    rank: u32,
    agent_api_url: String,
    agent_api_key: String,
    agent_id: Option<String>,
    agent_timeout: u64,
    agent_instance_type: &'static str,
    agent_type: &'static str,
    agent_stream_mode: bool,
    agent_system_prompt: Option<String>,
    agent_history_turns: u32,
    late_answer_minutes: u32,
    agent_webhook_secret: Option<String>,
    agent_webhook_secret_previous: Option<String>,
}

impl FallbackView {
    pub(super) fn new(fallback: &FallbackAgent) -> Self {
        let (agent, options) = (&fallback.agent, &fallback.agent.options);
        Self {
            name: fallback.name.clone(),
            rank: fallback.rank,
            agent_api_url: agent.api_url.clone(),
            agent_api_key: agent.api_key.mask(),
            agent_id: agent.agent_id.clone(),
            agent_timeout: agent.timeout.as_secs(),
            agent_instance_type: agent.protocol.as_str(),
            agent_type: options.kind.as_str(),
            agent_stream_mode: options.stream,
            agent_system_prompt: options.system_prompt.clone(),
            agent_history_turns: options.history_turns,
            late_answer_minutes: options.late_answer_minutes,
            agent_webhook_secret: options.webhook_secret.as_ref().map(Secret::mask),
            agent_webhook_secret_previous: options.webhook_secret_previous.as_ref().map(Secret::mask),
        }
    }
}

/// A fallback as its column has it. The column is encrypted as a whole, since there are keys in it.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    rank: u32,
    url: String,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    timeout: u64,
    protocol: AgentProtocol,
    kind: String,
    stream: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    history_turns: u32,
    late_answer_minutes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_secret_previous: Option<String>,
}

/// The column's text before it is encrypted; none where there are no fallbacks.
pub(super) fn to_column(agents: &[FallbackAgent]) -> Result<Option<Secret>, serde_json::Error> {
    if agents.is_empty() {
        return Ok(None);
    }
    let stored: Vec<Stored> = agents.iter().map(Stored::of).collect();
    serde_json::to_string(&stored).map(|text| Some(Secret::new(text)))
}

/// Reads the decrypted column back.
pub(super) fn of_column(text: Option<&Secret>) -> Result<Vec<FallbackAgent>, serde_json::Error> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let stored: Vec<Stored> = serde_json::from_str(text.expose())?;
    Ok(stored.into_iter().map(Stored::into_agent).collect())
}

impl Stored {
    fn of(fallback: &FallbackAgent) -> Self {
        let (agent, options) = (&fallback.agent, &fallback.agent.options);
        let stored = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.stored().to_string());
        Self {
            name: fallback.name.clone(),
            rank: fallback.rank,
            url: agent.api_url.clone(),
            key: agent.api_key.stored().to_string(),
            agent_id: agent.agent_id.clone(),
            timeout: agent.timeout.as_secs(),
            protocol: agent.protocol,
            kind: options.kind.as_str().to_owned(),
            stream: options.stream,
            system_prompt: options.system_prompt.clone(),
            history_turns: options.history_turns,
            late_answer_minutes: options.late_answer_minutes,
            webhook_secret: stored(&options.webhook_secret),
            webhook_secret_previous: stored(&options.webhook_secret_previous),
        }
    }

    fn into_agent(self) -> FallbackAgent {
        let options = AgentOptions {
            kind: AgentKind::parse(&self.kind).unwrap_or_default(),
            stream: self.stream,
            system_prompt: self.system_prompt,
            history_turns: self.history_turns,
            late_answer_minutes: self.late_answer_minutes,
            webhook_secret: self.webhook_secret.map(Secret::read),
            webhook_secret_previous: self.webhook_secret_previous.map(Secret::read),
        };
        let agent = AgentSettings {
            api_url: self.url,
            api_key: Secret::read(self.key),
            agent_id: self.agent_id,
            default_agent: None,
            timeout: Duration::from_secs(self.timeout),
            protocol: self.protocol,
            error_message: None,
            options,
        };
        FallbackAgent { name: self.name, rank: self.rank, agent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::testing::instance;

    #[test]
    fn what_is_kept_of_a_fallback_is_all_of_it_and_shown_are_masks() {
        let mut agent = instance("a").agent;
        agent.options.webhook_secret = Some(Secret::read("env:SIGNING"));
        agent.options.kind = AgentKind::Team;
        let given = vec![FallbackAgent { name: "backup".into(), rank: 2, agent }];
        let column = to_column(&given).unwrap();
        let read = of_column(column.as_ref()).unwrap();
        let all = |agents: &[FallbackAgent]| agents.iter().map(Stored::of).collect::<Vec<_>>();
        assert_eq!(serde_json::to_value(all(&read)).unwrap(), serde_json::to_value(all(&given)).unwrap());
        assert_eq!(read[0].agent.options.webhook_secret.as_ref().unwrap().mask(), "env:SIGNING");
        let shown = serde_json::to_string(&FallbackView::new(&given[0])).unwrap();
        assert!(shown.contains("****-key") && !shown.contains("planted"), "{shown}");
        assert!(to_column(&[]).unwrap().is_none() && of_column(None).unwrap().is_empty());
        assert_eq!(OnAgentFailure::ALL.map(|one| OnAgentFailure::parse(one.as_str())), OnAgentFailure::ALL.map(Some));
    }
}
