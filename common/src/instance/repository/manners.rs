//! The columns of what an instance may spend, when it answers, and how.

use super::{super::entity::Model, error::RowError};
use crate::instance::{BudgetSettings, MentionInGroups, OfficeSettings, OpeningHours, QuoteReplies, ReplySettings};

pub(super) fn budget(row: &Model) -> Result<BudgetSettings, RowError> {
    let number = |column: &'static str, value: Option<i32>| {
        value.map(|value| u32::try_from(value).map_err(|_| RowError::Column(column))).transpose()
    };
    Ok(BudgetSettings {
        turns_per_minute: number("budget_turns_per_minute", row.budget_turns_per_minute)?,
        turns_per_day: number("budget_turns_per_day", row.budget_turns_per_day)?,
        tokens_per_day: number("budget_tokens_per_day", row.budget_tokens_per_day)?,
    })
}

/// A budget as its column has it.
pub(super) fn limit(value: Option<u32>) -> Option<i32> {
    value.map(|value| i32::try_from(value).unwrap_or(i32::MAX))
}

pub(super) fn office(row: &Model) -> Result<OfficeSettings, RowError> {
    let read = |text: &String| {
        let value = serde_json::from_str(text).map_err(|_| RowError::Column("opening_hours"))?;
        OpeningHours::read(&value).map_err(|_| RowError::Column("opening_hours"))
    };
    let hours = row.opening_hours.as_ref().map(read).transpose()?;
    Ok(OfficeSettings { hours, message: row.out_of_office_message.clone() })
}

pub(super) fn reply(row: &Model) -> Result<ReplySettings, RowError> {
    Ok(ReplySettings {
        enable_auto_split: row.enable_auto_split,
        split_over: usize::try_from(row.split_over).map_err(|_| RowError::Column("split_over"))?,
        quote: QuoteReplies::parse(&row.quote_replies).ok_or(RowError::Column("quote_replies"))?,
        mention: MentionInGroups::parse(&row.mention_in_groups).ok_or(RowError::Column("mention_in_groups"))?,
        mark_read: row.mark_read,
        typing_speed: u32::try_from(row.typing_speed).map_err(|_| RowError::Column("typing_speed"))?,
        sends_per_minute: u32::try_from(row.sends_per_minute).map_err(|_| RowError::Column("sends_per_minute"))?,
        stream: row.stream_replies,
    })
}
