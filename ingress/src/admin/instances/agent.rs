//! The fields of an instance's agent in a body.

use std::time::Duration;

use omnihub_common::{
    instance::{AgentKind, AgentOptions, AgentOptionsPatch, AgentPatch, AgentProtocol, AgentSettings, signing_key},
    secret::{MayRefer, Secret},
};

use super::body::{number, url};
use crate::admin::fields::{Fields, Given};

/// Every field that can be changed.
pub(super) fn patch(fields: &mut Fields, current: Option<&AgentSettings>, may: &MayRefer) -> AgentPatch {
    let api_url = url(fields, "agent_api_url");
    let api_key = fields.secret("agent_api_key", current.map(|agent| &agent.api_key), may);
    let protocol = fields.text("agent_instance_type").check(fields, "agent_instance_type", |word| {
        let words = AgentProtocol::ALL.map(AgentProtocol::as_str).join(", ");
        AgentProtocol::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    AgentPatch {
        api_url: fields.kept("agent_api_url", api_url),
        api_key: fields.kept("agent_api_key", api_key),
        agent_id: fields.text("agent_id").clearable(),
        default_agent: fields.text("default_agent").clearable(),
        timeout: fields
            .number("agent_timeout", AgentSettings::TIMEOUT_SECONDS)
            .check(fields, "agent_timeout", |seconds| Ok::<_, String>(Duration::from_secs(seconds)))
            .or_default(AgentSettings::DEFAULT_TIMEOUT),
        protocol: protocol.or_default(AgentProtocol::Automagik),
        error_message: fields.text("agent_error_message").clearable(),
        options: options(fields, current.map(|agent| &agent.options), may),
    }
}

fn options(fields: &mut Fields, current: Option<&AgentOptions>, may: &MayRefer) -> AgentOptionsPatch {
    let default = AgentOptions::default();
    let kind = fields.text("agent_type").check(fields, "agent_type", |word| {
        let words = AgentKind::ALL.map(AgentKind::as_str).join(", ");
        AgentKind::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let turns = number(fields, "agent_history_turns", AgentOptions::HISTORY_TURNS);
    AgentOptionsPatch {
        kind: kind.or_default(default.kind),
        stream: fields.flag("agent_stream_mode").or_default(default.stream),
        system_prompt: fields.text("agent_system_prompt").clearable(),
        history_turns: turns.or_default(default.history_turns),
        late_answer_minutes: number(fields, "late_answer_minutes", AgentOptions::LATE_ANSWER_MINUTES)
            .or_default(default.late_answer_minutes),
        webhook_secret: webhook_secret(fields, current, may).clearable(),
        forget_previous_secret: fields.text("agent_webhook_secret_previous") == Given::Null,
    }
}

/// One that calls can be signed with; what is kept somewhere else is looked at when it is needed.
fn webhook_secret(fields: &mut Fields, current: Option<&AgentOptions>, may: &MayRefer) -> Given<Secret> {
    const FIELD: &str = "agent_webhook_secret";
    let current = current.and_then(|options| options.webhook_secret.as_ref());
    fields.secret(FIELD, current, may).check(fields, FIELD, |secret| {
        let own_mask = current.is_some_and(|current| current.mask() == *secret.stored());
        let known = own_mask || secret.reference().is_some() || signing_key(secret.expose()).is_some();
        known.then_some(secret).ok_or("must be whsec_ and the Base64 of 24 to 64 bytes")
    })
}

/// The agent of an instance that is made.
pub(super) fn new(fields: &mut Fields, patch: AgentPatch) -> AgentSettings {
    let mut options = AgentOptions::default();
    patch.options.apply(&mut options);
    AgentSettings {
        api_url: fields.require("agent_api_url", patch.api_url),
        api_key: Secret::read(fields.require("agent_api_key", patch.api_key.map(|key| key.stored().to_string()))),
        agent_id: patch.agent_id.flatten(),
        default_agent: patch.default_agent.flatten(),
        timeout: patch.timeout.unwrap_or(AgentSettings::DEFAULT_TIMEOUT),
        protocol: patch.protocol.unwrap_or(AgentProtocol::Automagik),
        error_message: patch.error_message.flatten(),
        options,
    }
}

/// What was given and means nothing to agents of the protocol; it is kept all the same.
pub(super) fn remarks(patch: &AgentPatch, current: Option<AgentProtocol>) -> Vec<String> {
    let protocol = patch.protocol.or(current).unwrap_or(AgentProtocol::Automagik);
    let (word, given) = (protocol.as_str(), &patch.options);
    let mut remarks = Vec::new();
    let mut note = |is_given: bool, field: &str, what: &str| {
        if is_given {
            remarks.push(format!("{field} means nothing as long as agent_instance_type is {word}: {what}"));
        }
    };
    let (streams, is) = (protocol.streams(), |one| protocol == one);
    note(given.stream == Some(true) && !streams, "agent_stream_mode", "it does not stream");
    note(given.kind == Some(AgentKind::Team) && !is(AgentProtocol::Hive), "agent_type", "it knows no teams");
    let prompt = given.system_prompt.iter().flatten().next().is_some();
    note(prompt && !is(AgentProtocol::Openai), "agent_system_prompt", "its agents bring their own");
    let minutes =
        given.late_answer_minutes.is_some_and(|minutes| minutes != AgentOptions::default().late_answer_minutes);
    note(minutes && !is(AgentProtocol::Webhook), "late_answer_minutes", "its agents answer at once");
    let secret = given.webhook_secret.iter().flatten().next().is_some();
    note(secret && !is(AgentProtocol::Webhook), "agent_webhook_secret", "its calls are not signed");
    remarks
}
