//! The fields of what an instance may spend, when it answers, and how.

use omnihub_common::instance::{
    BudgetPatch, BudgetSettings, OfficePatch, OfficeSettings, OpeningHours, QuoteReplies, ReplyPatch, ReplySettings,
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
    let split_over = fields.number("split_over", 0..=MAX_SPLIT_OVER).check(fields, "split_over", usize::try_from);
    ReplyPatch {
        enable_auto_split: fields.flag("enable_auto_split").or_default(default.enable_auto_split),
        split_over: split_over.or_default(default.split_over),
        quote: quote.or_default(default.quote),
        mark_read: fields.flag("mark_read").or_default(default.mark_read),
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
