//! The fields of what an instance may spend, when it answers, and how.

use omnihub_common::instance::{
    BudgetPatch, BudgetSettings, MentionInGroups, OfficePatch, OfficeSettings, OpeningHours, QuoteReplies, ReplyPatch,
    ReplySettings,
};
use serde_json::Value;

use super::body::number;
use crate::admin::fields::{Fields, Given};

/// Characters that `split_over` may go up to: more than any channel takes.
pub(super) const MAX_SPLIT_OVER: u64 = 1_000_000;

/// What it may spend.
pub(super) fn budget(fields: &mut Fields) -> BudgetPatch {
    let mut limit = |name: &str| number(fields, name, BudgetSettings::RANGE).clearable();
    BudgetPatch {
        turns_per_minute: limit("budget_turns_per_minute"),
        turns_per_day: limit("budget_turns_per_day"),
        tokens_per_day: limit("budget_tokens_per_day"),
    }
}

/// When it answers by itself.
pub(super) fn office(fields: &mut Fields) -> OfficePatch {
    OfficePatch { hours: opening_hours(fields).clearable(), message: fields.text("out_of_office_message").clearable() }
}

fn opening_hours(fields: &mut Fields) -> Given<OpeningHours> {
    let name = "opening_hours";
    let value = match fields.value(name) {
        None => return Given::Absent,
        Some(Value::Null) => return Given::Null,
        Some(Value::String(text)) if text.trim().is_empty() => return Given::Null,
        Some(value) => value,
    };
    match OpeningHours::read(&value) {
        Ok(hours) => Given::Value(hours),
        Err(flaws) => {
            for flaw in flaws {
                fields.wrong::<()>(&format!("{name}{}", flaw.path), flaw.message);
            }
            Given::Absent
        }
    }
}

/// How answers are sent.
pub(super) fn reply(fields: &mut Fields) -> ReplyPatch {
    let default = ReplySettings::default();
    let quote = fields.text("quote_replies").check(fields, "quote_replies", |word| {
        let words = QuoteReplies::ALL.map(QuoteReplies::as_str).join(", ");
        QuoteReplies::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let mention = fields.text("mention_in_groups").check(fields, "mention_in_groups", |word| {
        let words = MentionInGroups::ALL.map(MentionInGroups::as_str).join(", ");
        MentionInGroups::parse(&word).ok_or_else(|| format!("must be one of: {words}"))
    });
    let split_over = fields.number("split_over", 0..=MAX_SPLIT_OVER).check(fields, "split_over", usize::try_from);
    let (name, range) = ("typing_speed", ReplySettings::TYPING_SPEED);
    let typing_speed = fields.number(name, range).check(fields, name, u32::try_from);
    let (name, range) = ("sends_per_minute", ReplySettings::SENDS_PER_MINUTE);
    let sends_per_minute = fields.number(name, range).check(fields, name, u32::try_from);
    ReplyPatch {
        enable_auto_split: fields.flag("enable_auto_split").or_default(default.enable_auto_split),
        split_over: split_over.or_default(default.split_over),
        quote: quote.or_default(default.quote),
        mention: mention.or_default(default.mention),
        mark_read: fields.flag("mark_read").or_default(default.mark_read),
        typing_speed: typing_speed.or_default(default.typing_speed),
        sends_per_minute: sends_per_minute.or_default(default.sends_per_minute),
        stream: fields.flag("stream_replies").or_default(default.stream),
    }
}

pub(super) fn new_budget(patch: BudgetPatch) -> BudgetSettings {
    let mut settings = BudgetSettings::default();
    patch.apply(&mut settings);
    settings
}

pub(super) fn new_office(patch: OfficePatch) -> OfficeSettings {
    let mut settings = OfficeSettings::default();
    patch.apply(&mut settings);
    settings
}

pub(super) fn new_reply(patch: ReplyPatch) -> ReplySettings {
    let mut settings = ReplySettings::default();
    patch.apply(&mut settings);
    settings
}
