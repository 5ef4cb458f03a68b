//! What is said of the fields of an instance in the OpenAPI document.

use omnihub_common::{
    instance::{
        AccountWatch, AgentKind, AgentOptions, AgentProtocol, AgentSettings, BudgetSettings, FallbackAgent,
        GroupSession, GroupSettings, GroupTrigger, MediaDelivery, MentionInGroups, OnAgentFailure, OnEdit,
        OpeningHours, Overlap, QuoteReplies, ReplySettings, TakeoverSettings, TurnSettings, WEEKDAYS,
    },
    trace::RETENTION_DAYS,
};
use serde_json::{Value, json};

use super::{SUPPORTED_CHANNELS, manners::MAX_SPLIT_OVER};
use crate::admin::openapi::{
    Doc,
    field::{Field, Kind, PRINTABLE, field, flag, text},
};

/// A secret that must be there.
const SECRET: Kind = Kind::Like("^[!-~]([ -~]*[!-~])?$");

/// The fields of an instance; the required ones are those without which none can be made.
pub(super) fn fields() -> Vec<Field> {
    let mut fields = vec![
        text("name", "Its name, once and for all.").required(),
        field("channel_type", Kind::OneOf(&SUPPORTED_CHANNELS), "The channel; `whatsapp` unless said."),
        field("agent_api_url", Kind::Url, "Where the agent is.").required(),
        field("agent_api_key", SECRET, "What the agent is shown; a secret, or a reference to one.").required(),
        text("phone_number", "WhatsApp: the number of the phone that the account is meant for; Evolution keeps it."),
        field("integration", Kind::OneOf(&["WHATSAPP-BAILEYS"]), "WhatsApp: the kind of account that is made."),
    ];
    fields.extend(others().into_iter().chain(manners()).chain(media()).chain(switches()).chain(evolution()));
    fields
}

/// The same where an instance is changed: none is required.
pub(super) fn changes() -> Vec<Field> {
    let mut fields = vec![
        field("agent_api_url", Kind::Url, "Where the agent is.").kept(),
        field("agent_api_key", SECRET, "What the agent is shown; a secret, or a reference to one.").kept(),
    ];
    fields.extend(
        others()
            .into_iter()
            .chain(manners())
            .chain(media())
            .chain(switches().into_iter().chain(evolution()).map(Field::kept)),
    );
    fields
}

fn switches() -> [Field; 2] {
    [
        flag("is_active", "Whether it answers anybody."),
        flag("is_default", "Whether it is meant where no instance is named."),
    ]
}

fn evolution() -> [Field; 2] {
    [
        field("evolution_url", Kind::Url, "WhatsApp: where Evolution is."),
        field("evolution_key", PRINTABLE, "WhatsApp: the key there; a secret, or a reference to one."),
    ]
}

fn protocols() -> Value {
    json!({"type": "string", "enum": AgentProtocol::ALL.map(AgentProtocol::as_str)})
}

fn agent_kinds() -> Value {
    json!({"type": "string", "enum": AgentKind::ALL.map(AgentKind::as_str)})
}

fn failures() -> Value {
    json!({"type": "string", "enum": OnAgentFailure::ALL.map(OnAgentFailure::as_str)})
}

/// An agent beside the instance's own: its fields are those of an agent.
fn fallbacks() -> Value {
    let whole = |range: std::ops::RangeInclusive<u64>| json!({"type": ["integer", "null"], "minimum": range.start(), "maximum": range.end()});
    let word = |values: Value| json!({"type": ["string", "null"], "enum": values});
    let text = json!({"type": ["string", "null"]});
    let mut protocols = json!(AgentProtocol::ALL.map(AgentProtocol::as_str));
    let mut kinds = json!(AgentKind::ALL.map(AgentKind::as_str));
    for words in [&mut protocols, &mut kinds].into_iter().filter_map(Value::as_array_mut) {
        words.push(Value::Null);
    }
    let name = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "not": {"const": FallbackAgent::OWN}});
    let fields = json!({
        "name": name, "rank": whole(FallbackAgent::RANKS), "agent_api_url": {"type": "string", "format": "uri"},
        "agent_api_key": {"type": "string"}, "agent_id": text, "default_agent": text,
        "agent_timeout": whole(AgentSettings::TIMEOUT_SECONDS), "agent_instance_type": word(protocols),
        "agent_type": word(kinds), "agent_stream_mode": {"type": ["boolean", "null"]}, "agent_system_prompt": text,
        "late_answer_minutes": whole(AgentOptions::LATE_ANSWER_MINUTES),
        "agent_history_turns": whole(AgentOptions::HISTORY_TURNS), "agent_webhook_secret": text,
        "agent_webhook_secret_previous": text,
    });
    let agent = json!({"type": "object", "properties": fields, "required": ["name"], "additionalProperties": false});
    json!({"type": "array", "maxItems": FallbackAgent::MOST, "items": agent})
}

fn overlaps() -> Value {
    json!({"type": "string", "enum": Overlap::ALL.map(Overlap::as_str)})
}

fn edits() -> Value {
    json!({"type": "string", "enum": OnEdit::ALL.map(OnEdit::as_str)})
}

fn triggers() -> Value {
    json!({"type": "string", "enum": GroupTrigger::ALL.map(GroupTrigger::as_str)})
}

fn keywords() -> Value {
    let word = json!({"type": "string", "minLength": 1, "maxLength": GroupSettings::LONGEST_KEYWORD, "pattern": r"\S"});
    json!({"type": "array", "maxItems": GroupSettings::MOST_KEYWORDS, "items": word})
}

fn sessions() -> Value {
    json!({"type": "string", "enum": GroupSession::ALL.map(GroupSession::as_str)})
}

fn quotings() -> Value {
    json!({"type": "string", "enum": QuoteReplies::ALL.map(QuoteReplies::as_str)})
}

fn mentionings() -> Value {
    json!({"type": "string", "enum": MentionInGroups::ALL.map(MentionInGroups::as_str)})
}

fn opening_hours() -> Value {
    let clock = r"^\s*([01][0-9]|2[0-4]):[0-5][0-9]\s*-\s*([01][0-9]|2[0-4]):[0-5][0-9]\s*$";
    let interval = json!({"type": "string", "pattern": clock});
    let day = json!({"type": "array", "maxItems": OpeningHours::MOST_INTERVALS, "items": interval});
    let mut fields: serde_json::Map<String, Value> =
        WEEKDAYS.iter().map(|name| ((*name).to_owned(), day.clone())).collect();
    fields.insert("time_zone".to_owned(), json!({"type": "string"}));
    json!({"type": "object", "properties": fields, "required": ["time_zone"], "additionalProperties": false})
}

fn whole(range: std::ops::RangeInclusive<u64>) -> Kind {
    Kind::Whole(*range.start(), *range.end())
}

/// Every field but the few that stand apart.
fn others() -> impl IntoIterator<Item = Field> {
    agent().into_iter().chain(behaviour()).chain(account())
}

/// Which agent answers, and how it is asked.
fn agent() -> Vec<Field> {
    vec![
        text("default_agent", "The agent's name, where it has several."),
        text("agent_id", "The agent's id, where it has several."),
        field("agent_timeout", whole(AgentSettings::TIMEOUT_SECONDS), "Seconds that the agent may take."),
        field("agent_instance_type", Kind::Such(protocols), "The protocol that the agent speaks."),
        text("agent_error_message", "What a person is told when the agent fails; nothing unless said."),
        field("agent_type", Kind::Such(agent_kinds), "`hive`: whether an agent or a team answers."),
        flag("agent_stream_mode", "`hive`, `openai`: whether the answer comes piece by piece."),
        text("agent_system_prompt", "`openai`: what the model is told before anything else."),
        field(
            "agent_history_turns",
            whole(AgentOptions::HISTORY_TURNS),
            "`openai`: earlier turns that are told again.",
        ),
        field(
            "agent_webhook_secret",
            PRINTABLE,
            "`webhook`: what calls are signed with; `whsec_` and Base64, or a reference.",
        ),
        field("agent_webhook_secret_previous", PRINTABLE, "`webhook`: the one before; null forgets it."),
        field(
            "late_answer_minutes",
            whole(AgentOptions::LATE_ANSWER_MINUTES),
            "`webhook`: how long an answer is waited for that comes later.",
        ),
        field("fallback_agents", Kind::Such(fallbacks), "Who is asked, by `rank`, when the agent does not answer."),
        field("on_agent_failure", Kind::Such(failures), "What becomes of a question that no agent has answered."),
    ]
}

/// How messages become turns, and answers messages.
fn behaviour() -> Vec<Field> {
    let days = Kind::Whole(*RETENTION_DAYS.start(), *RETENTION_DAYS.end());
    vec![
        text("session_id_prefix", "What the names of its conversations begin with."),
        flag("enable_auto_split", "Whether an answer is cut into messages at blank lines."),
        field(
            "split_over",
            Kind::Whole(0, MAX_SPLIT_OVER),
            "Characters over which a message is cut; 0 cuts at every blank line.",
        ),
        field("debounce_ms", whole(TurnSettings::DEBOUNCE_MS), "How long to wait for a further message."),
        field("debounce_max_ms", whole(TurnSettings::DEBOUNCE_MAX_MS), "How long to wait at most."),
        field("overlap", Kind::Such(overlaps), "What becomes of messages that come while an answer is made."),
        field("max_backlog", whole(TurnSettings::MAX_BACKLOG), "Messages that may wait; null is as many as for all."),
        field(
            "turns_per_minute",
            whole(TurnSettings::TURNS_PER_MINUTE),
            "Turns of a conversation within a minute; 0 is any number.",
        ),
        field(
            "takeover_minutes",
            whole(TakeoverSettings::MINUTES),
            "WhatsApp: how long the bot is silent after somebody wrote on the phone; 0 is not at all.",
        ),
        text("resume_keyword", "WhatsApp: written on the phone, it lets the bot answer again."),
        field("on_edit", Kind::Such(edits), "What an edit does that comes too late to change the question."),
        field("group_trigger", Kind::Such(triggers), "When it answers in a group; `mention` unless said."),
        field("group_keywords", Kind::Such(keywords), "The words that it answers to with `group_trigger` `keyword`."),
        field("group_session", Kind::Such(sessions), "What a conversation is in a group; `group` unless said."),
        field("trace_retention_days", days, "Days that its traces are kept; null is as long as for all."),
    ]
}

/// The account at its channel.
fn account() -> Vec<Field> {
    vec![
        text("whatsapp_instance", "WhatsApp: the account's name there; this one's unless said."),
        flag("webhook_base64", "WhatsApp: whether files come within webhooks."),
        field("webhook_secret", PRINTABLE, "WhatsApp: what webhooks must prove; a secret, or a reference to one."),
        field("webhook_secret_previous", PRINTABLE, "WhatsApp: the one before; null forgets it."),
        field(
            "catch_up_minutes",
            whole(AccountWatch::CATCH_UP_MINUTES),
            "WhatsApp: how old messages may be that were missed in an outage and are fetched; 0 fetches none.",
        ),
        flag(
            "restart_when_silent",
            "WhatsApp: whether an account that is open and strangely silent is connected anew.",
        ),
        field("discord_bot_token", PRINTABLE, "Discord: the bot's token; a secret, or a reference to one."),
        text("discord_client_id", "Discord: the application's id."),
        text("discord_guild_id", "Discord: the server's id."),
        text("discord_default_channel_id", "Discord: the channel's id."),
        field("slack_bot_token", PRINTABLE, "Slack: the bot's token; a secret, or a reference to one."),
        field("slack_signing_secret", PRINTABLE, "Slack: what its requests are signed with; as the token."),
        text("slack_workspace_id", "Slack: the workspace's id."),
        flag("provision", "WhatsApp: whether Evolution is told; true for a new one, else where it concerns Evolution."),
    ]
}

/// What it may spend, when it answers, and how.
fn manners() -> [Field; 11] {
    let budget = || whole(BudgetSettings::RANGE);
    [
        field("budget_turns_per_minute", budget(), "Turns that may begin within a minute."),
        field("budget_turns_per_day", budget(), "Turns that may begin on a day, in UTC."),
        field("budget_tokens_per_day", budget(), "Tokens that its agent may use on a day, in UTC."),
        field("opening_hours", Kind::Such(opening_hours), "When its agent is asked; always unless said."),
        text("out_of_office_message", "What a person is told outside of `opening_hours`, once a day."),
        field("quote_replies", Kind::Such(quotings), "Where an answer quotes what it answers; `never` unless said."),
        field("mention_in_groups", Kind::Such(mentionings), "Whom an answer in a group mentions; `off` unless said."),
        flag("mark_read", "WhatsApp: whether messages are marked as read when their turn begins."),
        field(
            "typing_speed",
            whole(ReplySettings::TYPING_SPEED),
            "Characters a second at which the bubbles behind the first are typed; 0 is at once.",
        ),
        field(
            "sends_per_minute",
            whole(ReplySettings::SENDS_PER_MINUTE),
            "Messages a minute over its account; 0 is no limit.",
        ),
        flag("stream_replies", "With `agent_stream_mode`: whether each paragraph goes out as soon as it has ended."),
    ]
}

fn language() -> Value {
    json!({"type": "string", "pattern": r"^\s*[a-z]{2,3}\s*$"})
}

fn deliveries() -> Value {
    json!({"type": "string", "enum": MediaDelivery::ALL.map(MediaDelivery::as_str)})
}

/// What becomes of files.
fn media() -> [Field; 5] {
    [
        field("transcript_api_url", Kind::Url, "Who writes down what is said in voice messages; nobody unless said."),
        field("transcript_api_key", PRINTABLE, "What they are shown; a secret, or a reference to one."),
        text("transcript_model", "The model that they are to use; `whisper-1` unless said."),
        field("transcript_language", Kind::Such(language), "What is spoken, as ISO 639-1; they find out unless said."),
        field(
            "media_delivery",
            Kind::Such(deliveries),
            "How agents get files: in the question, or as links to the hub.",
        ),
    ]
}

/// What a route adds that asks Evolution for something.
pub(super) fn by_evolution(doc: Doc) -> Doc {
    doc.problem(409, "It cannot be done as things stand at Evolution, or a secret cannot be had; `code` says which.")
        .problem(502, "Evolution did not do its part; `detail` says how things stand.")
}

/// An instance to make.
pub(super) fn example() -> Value {
    json!({
        "name": "acme",
        "channel_type": "whatsapp",
        "evolution_url": "http://evolution:8080",
        "evolution_key": "the-key-of-the-account",
        "agent_api_url": "http://agent:8000",
        "agent_api_key": "the-key-of-the-agent",
        "default_agent": "receptionist",
    })
}
