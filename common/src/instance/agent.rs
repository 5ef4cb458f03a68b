//! Which agent answers for an instance, and how it is spoken to.

use std::{ops::RangeInclusive, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The protocols an agent can speak (`agent_instance_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentProtocol {
    /// The architecture guide's `POST {url}/api/agent/chat`.
    Automagik,
    /// The Python hub's `POST {url}/api/v1/agent/{agent}/run`.
    AutomagikV1,
    /// Automagik Hive and Agno AgentOS: `POST {url}/agents/{agent}/runs`.
    Hive,
    /// Any OpenAI-compatible server: `POST {url}/v1/chat/completions`.
    Openai,
    /// Anybody's own server: `POST {url}`, signed.
    Webhook,
}

impl AgentProtocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Automagik, Self::AutomagikV1, Self::Hive, Self::Openai, Self::Webhook];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automagik => "automagik",
            Self::AutomagikV1 => "automagik-v1",
            Self::Hive => "hive",
            Self::Openai => "openai",
            Self::Webhook => "webhook",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == word)
    }

    /// Whether an agent can answer piece by piece in it.
    #[must_use]
    pub fn streams(self) -> bool {
        matches!(self, Self::Hive | Self::Openai)
    }
}

/// What answers at a `hive` (`agent_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentKind {
    /// One agent.
    #[default]
    Agent,
    /// Several who work together.
    Team,
}

impl AgentKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Agent, Self::Team];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Team => "team",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which agent answers, and how it is asked.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The base URL.
    pub api_url: String,
    /// The key, sent as `Authorization: Bearer` and `x-api-key`.
    pub api_key: Secret,
    /// `agent_id`; `default` counts as unset when `default_agent` is set.
    pub agent_id: Option<String>,
    /// The older name of the same.
    pub default_agent: Option<String>,
    /// How long one call may take.
    pub timeout: Duration,
    /// The protocol.
    pub protocol: AgentProtocol,
    /// What the person gets once, when the agent has failed for the last time; silence if unset.
    pub error_message: Option<String>,
    /// What only some protocols know.
    pub options: AgentOptions,
}

impl AgentSettings {
    /// How many seconds one call may be given.
    pub const TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=600;
    /// What it is given when nobody says; the guide's default.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let Self { api_key, options, .. } = self;
        std::iter::once(api_key).chain(&options.webhook_secret).chain(&options.webhook_secret_previous)
    }

    pub(super) fn secrets_mut(&mut self) -> impl Iterator<Item = &mut Secret> {
        let Self { api_key, options, .. } = self;
        std::iter::once(api_key).chain(&mut options.webhook_secret).chain(&mut options.webhook_secret_previous)
    }

    /// The agent to name in a call: `agent_id` before `default_agent`, else `default`.
    #[must_use]
    pub fn effective_agent(&self) -> &str {
        let given = self.agent_id.as_deref().filter(|id| !id.is_empty());
        match (given, self.default_agent.as_deref().filter(|id| !id.is_empty())) {
            (None | Some("default"), Some(default)) => default,
            (Some(id), _) => id,
            (None, None) => "default",
        }
    }
}

/// How the agent is asked, as far as only some protocols know it. What the instance's protocol does
/// not know is kept and means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    /// `hive`: whether an agent or a team answers.
    pub kind: AgentKind,
    /// `hive`, `openai`: whether the answer comes piece by piece. It is sent when it is whole.
    pub stream: bool,
    /// `openai`: what the model is told before anything else.
    pub system_prompt: Option<String>,
    /// `openai`: so many turns that were answered before are told again.
    pub history_turns: u32,
    /// `webhook`: how long an answer is waited for that is to come later, in minutes.
    pub late_answer_minutes: u32,
    /// `webhook`: what calls are signed with; unset = they are not signed.
    pub webhook_secret: Option<Secret>,
    /// `webhook`: the secret before the last rotation; calls are signed with it as well.
    pub webhook_secret_previous: Option<Secret>,
}

impl AgentOptions {
    /// How many turns may be told again.
    pub const HISTORY_TURNS: RangeInclusive<u64> = 0..=200;
    /// For how long an answer may be waited for; a turn has a day.
    pub const LATE_ANSWER_MINUTES: RangeInclusive<u64> = 1..=1440;
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            kind: AgentKind::Agent,
            stream: false,
            system_prompt: None,
            history_turns: 20,
            late_answer_minutes: 10,
            webhook_secret: None,
            webhook_secret_previous: None,
        }
    }
}

/// The key that a webhook secret stands for, as Standard Webhooks write it: `whsec_` and Base64 of 24
/// to 64 bytes. `None`: it is none.
#[must_use]
pub fn signing_key(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// A change of [`AgentOptions`]; `None` keeps.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `AgentOptions`, described there")]
pub struct AgentOptionsPatch {
    pub kind: Option<AgentKind>,
    pub stream: Option<bool>,
    pub system_prompt: Option<Option<String>>,
    pub history_turns: Option<u32>,
    pub late_answer_minutes: Option<u32>,
    /// A new secret moves the old one to `webhook_secret_previous`; `Some(None)` empties both.
    pub webhook_secret: Option<Option<Secret>>,
    /// `true`: calls are no longer signed with the secret before the last rotation.
    pub forget_previous_secret: bool,
}

impl AgentOptionsPatch {
    /// Changes the options.
    pub fn apply(self, options: &mut AgentOptions) {
        options.kind = self.kind.unwrap_or(options.kind);
        options.stream = self.stream.unwrap_or(options.stream);
        options.history_turns = self.history_turns.unwrap_or(options.history_turns);
        options.late_answer_minutes = self.late_answer_minutes.unwrap_or(options.late_answer_minutes);
        if let Some(prompt) = self.system_prompt {
            options.system_prompt = prompt;
        }
        let secrets = (&mut options.webhook_secret, &mut options.webhook_secret_previous);
        super::patch::rotate(secrets, self.webhook_secret, self.forget_previous_secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        assert_eq!(AgentProtocol::ALL.map(|one| AgentProtocol::parse(one.as_str())), AgentProtocol::ALL.map(Some));
        assert_eq!(AgentKind::ALL.map(|one| AgentKind::parse(one.as_str())), AgentKind::ALL.map(Some));
        assert_eq!(AgentProtocol::parse("hive "), None);
    }

    #[test]
    fn a_signing_key_is_written_as_the_standard_says() {
        let written = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert_eq!(signing_key(&written(24)), Some(vec![7; 24]));
        assert_eq!(signing_key(&written(64)), Some(vec![7; 64]));
        for wrong in [written(23), written(65), "whsec_".into(), "whsec_!".into(), STANDARD.encode([7; 32])] {
            assert_eq!(signing_key(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_new_webhook_secret_keeps_the_one_before_until_it_is_forgotten() {
        let mut options = AgentOptions::default();
        let patch = |secret: Option<&str>| AgentOptionsPatch {
            webhook_secret: Some(secret.map(Secret::new)),
            ..AgentOptionsPatch::default()
        };
        let both = |options: &AgentOptions| {
            let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
            (text(&options.webhook_secret), text(&options.webhook_secret_previous))
        };
        for given in ["first", "first", "second", "****"] {
            patch(Some(given)).apply(&mut options);
        }
        assert_eq!(both(&options), (Some("second".into()), Some("first".into())));
        AgentOptionsPatch { forget_previous_secret: true, ..AgentOptionsPatch::default() }.apply(&mut options);
        assert_eq!(both(&options), (Some("second".into()), None));
        let told = AgentOptionsPatch { history_turns: Some(3), kind: Some(AgentKind::Team), ..patch(None) };
        told.apply(&mut options);
        assert_eq!(both(&options), (None, None));
        assert_eq!((options.history_turns, options.kind, options.stream), (3, AgentKind::Team, false));
    }
}
