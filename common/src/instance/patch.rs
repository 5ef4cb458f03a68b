//! A partial change of an instance: what is absent stays as it is.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    AgentOptionsPatch, AgentProtocol, AgentSettings, BudgetPatch, ChannelSettings, DiscordSettings, FailoverPatch,
    GroupPatch, Instance, MediaPatch, MentionInGroups, OfficePatch, QuoteReplies, ReplySettings, SlackSettings,
    TakeoverPatch, TurnPatch, WhatsappSettings,
};
use crate::secret::Secret;

/// The change. `None` keeps; in a field that may be empty, `Some(None)` empties it.
///
/// A secret that is given as its own mask (what answers show instead of it) keeps the secret, so
/// that an answer can be edited and sent back.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `Instance`, described there")]
pub struct Patch {
    /// The `updated_at` of what the change was decided on, if it must be the same still.
    pub based_on: Option<DateTime<Utc>>,
    pub is_active: Option<bool>,
    pub is_default: Option<bool>,
    pub session_id_prefix: Option<Option<String>>,
    pub agent: AgentPatch,
    pub failover: FailoverPatch,
    pub turns: TurnPatch,
    pub takeover: TakeoverPatch,
    pub groups: GroupPatch,
    pub budget: BudgetPatch,
    pub office: OfficePatch,
    pub reply: ReplyPatch,
    pub media: MediaPatch,
    pub trace_retention_days: Option<Option<u32>>,
    /// Only looked at when the instance is on WhatsApp.
    pub whatsapp: WhatsappPatch,
    /// Only looked at when the instance is on Discord.
    pub discord: DiscordPatch,
    /// Only looked at when the instance is on Slack.
    pub slack: SlackPatch,
}

/// A change of [`AgentSettings`].
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `AgentSettings`, described there")]
pub struct AgentPatch {
    pub api_url: Option<String>,
    pub api_key: Option<Secret>,
    pub agent_id: Option<Option<String>>,
    pub default_agent: Option<Option<String>>,
    pub timeout: Option<Duration>,
    pub protocol: Option<AgentProtocol>,
    pub error_message: Option<Option<String>>,
    pub options: AgentOptionsPatch,
}

/// A change of [`super::ReplySettings`].
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `ReplySettings`, described there")]
pub struct ReplyPatch {
    pub enable_auto_split: Option<bool>,
    pub split_over: Option<usize>,
    pub quote: Option<QuoteReplies>,
    pub mention: Option<MentionInGroups>,
    pub mark_read: Option<bool>,
    pub typing_speed: Option<u32>,
    pub sends_per_minute: Option<u32>,
    pub stream: Option<bool>,
}

/// A change of [`WhatsappSettings`].
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `WhatsappSettings`, described there")]
pub struct WhatsappPatch {
    pub evolution_url: Option<String>,
    pub evolution_key: Option<Secret>,
    /// `Some(None)`: Evolution knows the instance by our name for it.
    pub whatsapp_instance: Option<Option<String>>,
    pub webhook_base64: Option<bool>,
    /// A new secret moves the old one to `webhook_secret_previous`, which stays accepted;
    /// `Some(None)` empties both.
    pub webhook_secret: Option<Option<Secret>>,
    /// `true`: the secret before the last rotation is no longer accepted.
    pub forget_previous_secret: bool,
    /// Takes the place of both secrets at once: whoever knew them is not to be heard any more.
    pub replace_webhook_secrets: Option<Secret>,
    /// `Some(None)`: the webhook at Evolution is no longer the hub's to look after.
    pub webhook_url: Option<Option<String>>,
    pub catch_up_minutes: Option<u32>,
    pub restart_when_silent: Option<bool>,
}

/// A change of [`DiscordSettings`].
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `DiscordSettings`, described there")]
pub struct DiscordPatch {
    pub bot_token: Option<Option<Secret>>,
    pub client_id: Option<Option<String>>,
    pub guild_id: Option<Option<String>>,
    pub default_channel_id: Option<Option<String>>,
}

/// A change of [`SlackSettings`].
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `SlackSettings`, described there")]
pub struct SlackPatch {
    pub bot_token: Option<Option<Secret>>,
    pub signing_secret: Option<Option<Secret>>,
    pub workspace_id: Option<Option<String>>,
}

impl Patch {
    /// The instance as it will be.
    #[must_use]
    pub fn applied(self, instance: &Instance) -> Instance {
        let mut changed = instance.clone();
        self.apply(&mut changed);
        changed
    }

    /// Changes the instance.
    pub(super) fn apply(self, instance: &mut Instance) {
        put(&mut instance.is_active, self.is_active);
        put(&mut instance.is_default, self.is_default);
        put(&mut instance.session_id_prefix, self.session_id_prefix);
        self.turns.apply(&mut instance.turns);
        self.takeover.apply(&mut instance.takeover);
        self.groups.apply(&mut instance.groups);
        self.budget.apply(&mut instance.budget);
        self.office.apply(&mut instance.office);
        self.reply.apply(&mut instance.reply);
        self.media.apply(&mut instance.media);
        put(&mut instance.trace_retention_days, self.trace_retention_days);
        self.agent.apply(&mut instance.agent);
        self.failover.apply(&mut instance.failover);
        match &mut instance.channel {
            ChannelSettings::Whatsapp(settings) => self.whatsapp.apply(settings, instance.name.as_str()),
            ChannelSettings::Discord(settings) => self.discord.apply(settings),
            ChannelSettings::Slack(settings) => self.slack.apply(settings),
        }
    }
}

impl AgentPatch {
    /// Changes the settings.
    pub fn apply(self, agent: &mut AgentSettings) {
        put(&mut agent.api_url, self.api_url);
        put_secret(&mut agent.api_key, self.api_key);
        put(&mut agent.agent_id, self.agent_id);
        put(&mut agent.default_agent, self.default_agent);
        put(&mut agent.timeout, self.timeout);
        put(&mut agent.protocol, self.protocol);
        put(&mut agent.error_message, self.error_message);
        self.options.apply(&mut agent.options);
    }
}

impl ReplyPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut ReplySettings) {
        put(&mut settings.enable_auto_split, self.enable_auto_split);
        put(&mut settings.split_over, self.split_over);
        put(&mut settings.quote, self.quote);
        put(&mut settings.mention, self.mention);
        put(&mut settings.mark_read, self.mark_read);
        put(&mut settings.typing_speed, self.typing_speed);
        put(&mut settings.sends_per_minute, self.sends_per_minute);
        put(&mut settings.stream, self.stream);
    }
}

impl WhatsappPatch {
    fn apply(self, settings: &mut WhatsappSettings, name: &str) {
        put(&mut settings.evolution_url, self.evolution_url);
        put_secret(&mut settings.evolution_key, self.evolution_key);
        let slug = self.whatsapp_instance.map(|slug| slug.unwrap_or_else(|| name.to_owned()));
        put(&mut settings.whatsapp_instance, slug);
        put(&mut settings.webhook_base64, self.webhook_base64);
        put(&mut settings.webhook_url, self.webhook_url);
        put(&mut settings.watch.catch_up_minutes, self.catch_up_minutes);
        put(&mut settings.watch.restart_when_silent, self.restart_when_silent);
        let secrets = (&mut settings.webhook_secret, &mut settings.webhook_secret_previous);
        rotate(secrets, self.webhook_secret, self.forget_previous_secret);
        if let Some(only) = self.replace_webhook_secrets {
            settings.webhook_secret = Some(only);
            settings.webhook_secret_previous = None;
        }
    }
}

impl DiscordPatch {
    fn apply(self, settings: &mut DiscordSettings) {
        change_secret(&mut settings.bot_token, self.bot_token);
        put(&mut settings.client_id, self.client_id);
        put(&mut settings.guild_id, self.guild_id);
        put(&mut settings.default_channel_id, self.default_channel_id);
    }
}

impl SlackPatch {
    fn apply(self, settings: &mut SlackSettings) {
        change_secret(&mut settings.bot_token, self.bot_token);
        change_secret(&mut settings.signing_secret, self.signing_secret);
        put(&mut settings.workspace_id, self.workspace_id);
    }
}

pub(super) fn put<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

/// Empties, replaces or leaves a secret that may be missing.
pub(super) fn change_secret(field: &mut Option<Secret>, change: Option<Option<Secret>>) {
    match change {
        None => {}
        Some(None) => *field = None,
        Some(Some(new)) => {
            put_some_secret(field, new);
        }
    }
}

fn put_secret(field: &mut Secret, new: Option<Secret>) {
    if let Some(new) = new.filter(|new| *new.stored() != field.mask()) {
        *field = new;
    }
}

/// The same for a secret that may be unset. Whether it changed.
fn put_some_secret(field: &mut Option<Secret>, new: Secret) -> bool {
    let same = field.as_ref().is_some_and(|old| *new.stored() == old.mask() || &new == old);
    if !same {
        *field = Some(new);
    }
    !same
}

/// Changes a secret and the one before it: a new one moves the old one there, none empties both.
pub(super) fn rotate(
    (secret, previous): (&mut Option<Secret>, &mut Option<Secret>),
    new: Option<Option<Secret>>,
    forget_previous: bool,
) {
    if forget_previous {
        *previous = None;
    }
    match new {
        None => {}
        Some(None) => (*secret, *previous) = (None, None),
        Some(Some(new)) => {
            let old = secret.clone();
            if put_some_secret(secret, new) {
                *previous = old;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::testing::instance;

    fn whatsapp(instance: &Instance) -> &WhatsappSettings {
        match &instance.channel {
            ChannelSettings::Whatsapp(settings) => settings,
            _ => panic!("it is on WhatsApp"),
        }
    }

    #[test]
    fn nothing_given_changes_nothing() {
        let mut changed = instance("a");
        Patch::default().apply(&mut changed);
        assert_eq!(format!("{changed:?}"), format!("{:?}", instance("a")));
    }

    #[test]
    fn a_mask_keeps_and_none_empties() {
        let mut changed = instance("a");
        let mask = changed.agent.api_key.mask();
        Patch {
            session_id_prefix: Some(None),
            agent: AgentPatch { api_key: Some(Secret::new(mask)), agent_id: Some(None), ..AgentPatch::default() },
            whatsapp: WhatsappPatch {
                evolution_key: Some(Secret::new("another-evolution-key")),
                whatsapp_instance: Some(None),
                ..WhatsappPatch::default()
            },
            ..Patch::default()
        }
        .apply(&mut changed);
        assert_eq!(changed.agent.api_key, instance("a").agent.api_key);
        assert_eq!((changed.session_id_prefix.as_deref(), changed.agent.agent_id.as_deref()), (None, None));
        assert_eq!(whatsapp(&changed).evolution_key.expose(), "another-evolution-key");
        assert_eq!(whatsapp(&changed).whatsapp_instance, "a");
    }

    #[test]
    fn a_new_webhook_secret_keeps_the_one_before() {
        let mut changed = instance("a");
        let secret = |secret: Option<&str>| WhatsappPatch {
            webhook_secret: Some(secret.map(Secret::new)),
            ..WhatsappPatch::default()
        };
        let both = |instance: &Instance| {
            let settings = whatsapp(instance).clone();
            let text = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
            (text(settings.webhook_secret), text(settings.webhook_secret_previous))
        };
        for given in ["first", "first", "second", "****"] {
            Patch { whatsapp: secret(Some(given)), ..Patch::default() }.apply(&mut changed);
        }
        assert_eq!(both(&changed), (Some("second".to_owned()), Some("first".to_owned())));
        let forget = WhatsappPatch { forget_previous_secret: true, ..WhatsappPatch::default() };
        Patch { whatsapp: forget, ..Patch::default() }.apply(&mut changed);
        assert_eq!(both(&changed), (Some("second".to_owned()), None));
        Patch { whatsapp: secret(None), ..Patch::default() }.apply(&mut changed);
        assert_eq!(both(&changed), (None, None));
        let only = WhatsappPatch { replace_webhook_secrets: Some(Secret::new("only")), ..secret(Some("third")) };
        let replaced = Patch { whatsapp: only, ..Patch::default() }.applied(&changed);
        assert_eq!(both(&replaced), (Some("only".to_owned()), None));
    }
}
