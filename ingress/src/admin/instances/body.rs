//! The fields of an instance in a body.

use std::ops::RangeInclusive;

use omnihub_common::{
    channel::ChannelType,
    instance::{
        AccountWatch, ChannelSettings, DiscordPatch, DiscordSettings, EvolutionFallback, GroupPatch, GroupSession,
        GroupSettings, GroupTrigger, Instance, InstanceName, NewInstance, OnEdit, Overlap, Patch, SlackPatch,
        SlackSettings, TakeoverPatch, TakeoverSettings, TurnPatch, TurnSettings, WhatsappPatch, WhatsappSettings,
        service_url,
    },
    secret::{MayRefer, Secret},
    trace::RETENTION_DAYS,
};

use super::{RESERVED_PATHS, SUPPORTED_CHANNELS, agent, elsewhere, failover, lifecycle, manners, media};
use crate::{
    admin::fields::{Fields, Given},
    problem::Problem,
};

/// An instance to make, and remarks on what was given and not used.
pub(super) fn read_new(fields: Fields, fallback: &EvolutionFallback) -> Result<(NewInstance, Vec<String>), Problem> {
    let mut fields = fields.without_empty();
    let name = name(&mut fields);
    let name = fields.require("name", name);
    let channel_type = channel_type(&mut fields).unwrap_or(ChannelType::Whatsapp);
    // Only whoever reaches every instance makes one.
    let patch = patch(&mut fields, None, &MayRefer::Anywhere);
    let mut ignored = ignored(&mut fields);
    ignored.extend(agent::remarks(&patch.agent, None));
    let new = NewInstance {
        is_active: patch.is_active.unwrap_or(true),
        is_default: patch.is_default.unwrap_or(false),
        session_id_prefix: patch.session_id_prefix.flatten(),
        agent: agent::new(&mut fields, patch.agent),
        failover: failover::new(patch.failover),
        turns: new_turns(patch.turns),
        takeover: new_takeover(patch.takeover),
        groups: new_groups(patch.groups),
        budget: manners::new_budget(patch.budget),
        office: manners::new_office(patch.office),
        reply: manners::new_reply(patch.reply),
        media: media::new(patch.media),
        trace_retention_days: patch.trace_retention_days.flatten(),
        channel: match channel_type {
            ChannelType::Discord => ChannelSettings::Discord(new_discord(patch.discord)),
            ChannelType::Slack => ChannelSettings::Slack(new_slack(patch.slack)),
            ChannelType::Whatsapp => {
                ChannelSettings::Whatsapp(new_whatsapp(&mut fields, patch.whatsapp, fallback, &name))
            }
        },
        name,
    };
    fields.finish()?;
    Ok((new, ignored))
}

/// A change of an instance, with references as far as the caller may give them, and remarks on what
/// was given and not used.
pub(super) fn read_patch(
    mut fields: Fields,
    current: &Instance,
    may: &MayRefer,
) -> Result<(Patch, Vec<String>), Problem> {
    let given = fields.verbatim("name");
    if let Some(name) = fields.kept("name", given)
        && name != current.name.as_str()
    {
        fields.wrong::<()>("name", "cannot be changed: make another instance and delete this one");
    }
    if let Some(channel_type) = channel_type(&mut fields)
        && channel_type != current.channel_type()
    {
        fields.wrong::<()>("channel_type", "cannot be changed: make another instance and delete this one");
    }
    let mut patch = patch(&mut fields, Some(current), may);
    if elsewhere::refuse_without_secret(&mut fields, current, &patch, may) {
        // What was looked at must be what is changed.
        patch.based_on = Some(current.updated_at);
    }
    let mut ignored = ignored(&mut fields);
    ignored.extend(agent::remarks(&patch.agent, Some(current.agent.protocol)));
    fields.finish()?;
    Ok((patch, ignored))
}

fn name(fields: &mut Fields) -> Option<InstanceName> {
    let given = fields.verbatim("name").check(fields, "name", |name| {
        if RESERVED_PATHS.contains(&name.as_str()) {
            return Err("the name is reserved: it stands in the place of a name in the API".to_owned());
        }
        InstanceName::parse(&name).map_err(|problem| problem.to_string())
    });
    fields.kept("name", given)
}

/// The digits of the phone that an account which is made is meant for.
pub(super) fn phone(fields: &mut Fields) -> Option<String> {
    fields.text("phone_number").check(fields, "phone_number", |text| lifecycle::digits(&text)).clearable().flatten()
}

fn channel_type(fields: &mut Fields) -> Option<ChannelType> {
    let given = fields.text("channel_type").check(fields, "channel_type", |word| {
        let known = ChannelType::parse(&word).filter(|channel| SUPPORTED_CHANNELS.contains(&channel.as_str()));
        known.ok_or_else(|| format!("must be one of: {}", SUPPORTED_CHANNELS.join(", ")))
    });
    fields.kept("channel_type", given)
}

/// Every field that can be changed.
fn patch(fields: &mut Fields, current: Option<&Instance>, may: &MayRefer) -> Patch {
    let is_active = fields.flag("is_active");
    let is_default = fields.flag("is_default");
    let channel = current.map(|current| &current.channel);
    Patch {
        based_on: None,
        is_active: fields.kept("is_active", is_active),
        is_default: fields.kept("is_default", is_default),
        session_id_prefix: fields.text("session_id_prefix").clearable(),
        agent: agent::patch(fields, current.map(|current| &current.agent), may),
        failover: failover::patch(fields, current.map(|current| &current.failover), may),
        turns: turns(fields),
        takeover: TakeoverPatch {
            minutes: number(fields, "takeover_minutes", TakeoverSettings::MINUTES)
                .or_default(TakeoverSettings::default().minutes),
            resume_keyword: fields.text("resume_keyword").clearable(),
        },
        groups: groups(fields),
        budget: manners::budget(fields),
        office: manners::office(fields),
        reply: manners::reply(fields),
        media: media::patch(fields, current.map(|current| &current.media), may),
        trace_retention_days: number(fields, "trace_retention_days", RETENTION_DAYS).clearable(),
        whatsapp: whatsapp_patch(fields, channel, may),
        discord: discord_patch(fields, channel, may),
        slack: slack_patch(fields, channel, may),
    }
}

/// How messages become turns.
fn turns(fields: &mut Fields) -> TurnPatch {
    let default = TurnSettings::default();
    let overlap = fields.text("overlap").check(fields, "overlap", |word| {
        let words = Overlap::ALL.map(Overlap::as_str).join(", ");
        Overlap::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let on_edit = fields.text("on_edit").check(fields, "on_edit", |word| {
        let words = OnEdit::ALL.map(OnEdit::as_str).join(", ");
        OnEdit::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    TurnPatch {
        debounce_ms: number(fields, "debounce_ms", TurnSettings::DEBOUNCE_MS).or_default(default.debounce_ms),
        debounce_max_ms: number(fields, "debounce_max_ms", TurnSettings::DEBOUNCE_MAX_MS)
            .or_default(default.debounce_max_ms),
        overlap: overlap.or_default(default.overlap),
        max_backlog: number(fields, "max_backlog", TurnSettings::MAX_BACKLOG).clearable(),
        turns_per_minute: number(fields, "turns_per_minute", TurnSettings::TURNS_PER_MINUTE)
            .or_default(default.turns_per_minute),
        on_edit: on_edit.or_default(default.on_edit),
    }
}

/// How the instance behaves in groups.
fn groups(fields: &mut Fields) -> GroupPatch {
    let default = GroupSettings::default();
    let trigger = fields.text("group_trigger").check(fields, "group_trigger", |word| {
        let words = GroupTrigger::ALL.map(GroupTrigger::as_str).join(", ");
        GroupTrigger::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let session = fields.text("group_session").check(fields, "group_session", |word| {
        let words = GroupSession::ALL.map(GroupSession::as_str).join(", ");
        GroupSession::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let keywords = fields.texts("group_keywords").check(fields, "group_keywords", keywords);
    GroupPatch {
        trigger: trigger.or_default(default.trigger),
        keywords: keywords.or_default(default.keywords),
        session: session.or_default(default.session),
    }
}

fn keywords(words: Vec<String>) -> Result<Vec<String>, String> {
    let (most, longest) = (GroupSettings::MOST_KEYWORDS, GroupSettings::LONGEST_KEYWORD);
    let fits = |word: &String| (1..=longest).contains(&word.chars().count());
    match words.len() <= most && words.iter().all(fits) {
        true => Ok(words),
        false => Err(format!("must be at most {most} texts of 1 to {longest} characters")),
    }
}

pub(super) fn number(fields: &mut Fields, name: &str, range: RangeInclusive<u64>) -> Given<u32> {
    fields.number(name, range).check(fields, name, u32::try_from)
}

fn whatsapp_patch(fields: &mut Fields, current: Option<&ChannelSettings>, may: &MayRefer) -> WhatsappPatch {
    let current = match current {
        Some(ChannelSettings::Whatsapp(settings)) => Some(settings),
        _ => None,
    };
    let evolution_url = url(fields, "evolution_url");
    let evolution_key = fields.secret("evolution_key", current.map(|settings| &settings.evolution_key), may);
    let secret = current.and_then(|settings| settings.webhook_secret.as_ref());
    WhatsappPatch {
        evolution_url: fields.kept("evolution_url", evolution_url),
        evolution_key: fields.kept("evolution_key", evolution_key),
        whatsapp_instance: fields.text("whatsapp_instance").clearable(),
        webhook_base64: fields.flag("webhook_base64").or_default(true),
        webhook_secret: fields.secret("webhook_secret", secret, may).clearable(),
        forget_previous_secret: fields.text("webhook_secret_previous") == Given::Null,
        // Not for callers: what the hub has registered, and how.
        replace_webhook_secrets: None,
        webhook_url: None,
        catch_up_minutes: number(fields, "catch_up_minutes", AccountWatch::CATCH_UP_MINUTES)
            .or_default(AccountWatch::default().catch_up_minutes),
        restart_when_silent: fields.flag("restart_when_silent").or_default(false),
    }
}

fn discord_patch(fields: &mut Fields, current: Option<&ChannelSettings>, may: &MayRefer) -> DiscordPatch {
    let bot_token = match current {
        Some(ChannelSettings::Discord(settings)) => settings.bot_token.as_ref(),
        _ => None,
    };
    DiscordPatch {
        bot_token: fields.secret("discord_bot_token", bot_token, may).clearable(),
        client_id: fields.text("discord_client_id").clearable(),
        guild_id: fields.text("discord_guild_id").clearable(),
        default_channel_id: fields.text("discord_default_channel_id").clearable(),
    }
}

fn slack_patch(fields: &mut Fields, current: Option<&ChannelSettings>, may: &MayRefer) -> SlackPatch {
    let (bot_token, signing_secret) = match current {
        Some(ChannelSettings::Slack(settings)) => (settings.bot_token.as_ref(), settings.signing_secret.as_ref()),
        _ => (None, None),
    };
    SlackPatch {
        bot_token: fields.secret("slack_bot_token", bot_token, may).clearable(),
        signing_secret: fields.secret("slack_signing_secret", signing_secret, may).clearable(),
        workspace_id: fields.text("slack_workspace_id").clearable(),
    }
}

pub(super) fn url(fields: &mut Fields, name: &str) -> Given<String> {
    fields.text(name).check(fields, name, |text| service_url(&text))
}

fn new_turns(patch: TurnPatch) -> TurnSettings {
    let mut settings = TurnSettings::default();
    patch.apply(&mut settings);
    settings
}

fn new_takeover(patch: TakeoverPatch) -> TakeoverSettings {
    let mut settings = TakeoverSettings::default();
    patch.apply(&mut settings);
    settings
}

fn new_groups(patch: GroupPatch) -> GroupSettings {
    let mut settings = GroupSettings::default();
    patch.apply(&mut settings);
    settings
}

/// Evolution knows the instance by our name when no other is given, as the older system had it.
fn new_whatsapp(
    fields: &mut Fields,
    patch: WhatsappPatch,
    fallback: &EvolutionFallback,
    name: &InstanceName,
) -> WhatsappSettings {
    let shared = fallback.url.as_deref().filter(|_| patch.evolution_url.is_none()).map(service_url).transpose();
    let shared = shared.unwrap_or_else(|problem| {
        fields.wrong::<()>("evolution_url", format!("is not given, and EVOLUTION_API_URL {problem}"));
        None
    });
    let url = patch.evolution_url.or(shared);
    let key = patch.evolution_key.or_else(|| fallback.key.clone());
    WhatsappSettings {
        evolution_url: fields.require("evolution_url", url),
        evolution_key: Secret::read(fields.require("evolution_key", key.map(|key| key.stored().to_string()))),
        whatsapp_instance: patch.whatsapp_instance.flatten().unwrap_or_else(|| name.to_string()),
        webhook_base64: patch.webhook_base64.unwrap_or(true),
        webhook_secret: patch.webhook_secret.flatten(),
        webhook_secret_previous: None,
        webhook_url: None,
        watch: AccountWatch {
            catch_up_minutes: patch.catch_up_minutes.unwrap_or(AccountWatch::default().catch_up_minutes),
            restart_when_silent: patch.restart_when_silent.unwrap_or_default(),
        },
    }
}

fn new_discord(patch: DiscordPatch) -> DiscordSettings {
    DiscordSettings {
        bot_token: patch.bot_token.flatten(),
        client_id: patch.client_id.flatten(),
        guild_id: patch.guild_id.flatten(),
        default_channel_id: patch.default_channel_id.flatten(),
    }
}

fn new_slack(patch: SlackPatch) -> SlackSettings {
    SlackSettings {
        bot_token: patch.bot_token.flatten(),
        signing_secret: patch.signing_secret.flatten(),
        workspace_id: patch.workspace_id.flatten(),
    }
}

/// Fields of the older system that mean nothing here: they must be of their type, and are not kept.
fn ignored(fields: &mut Fields) -> Vec<String> {
    let mut remarks = Vec::new();
    let _ = fields.flag("auto_qr");
    let _ = fields.text("integration").check(fields, "integration", |word| match word.as_str() {
        "WHATSAPP-BAILEYS" => Ok(word),
        _ => Err("must be WHATSAPP-BAILEYS: make another kind of account at Evolution, and name it here"),
    });
    if matches!(fields.text("phone_number"), Given::Value(_)) {
        remarks.push("phone_number is not kept here: Evolution is told when it makes the account, and then the phone that is paired counts".to_owned());
    }
    remarks
}
