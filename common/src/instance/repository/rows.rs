//! Settings as a row has them.

use super::RowError;
use crate::instance::{
    GroupSession, GroupSettings, GroupTrigger, OnEdit, Overlap, TakeoverSettings, TurnSettings, entity::Model,
};

/// How messages become turns.
pub(super) fn turns(row: &Model) -> Result<TurnSettings, RowError> {
    let number = |column: &'static str, value: i32| u32::try_from(value).map_err(|_| RowError::Column(column));
    Ok(TurnSettings {
        debounce_ms: number("debounce_ms", row.debounce_ms)?,
        debounce_max_ms: number("debounce_max_ms", row.debounce_max_ms)?,
        overlap: Overlap::parse(&row.overlap).ok_or(RowError::Column("overlap"))?,
        max_backlog: row.max_backlog.map(|limit| number("max_backlog", limit)).transpose()?,
        turns_per_minute: number("turns_per_minute", row.turns_per_minute)?,
        on_edit: OnEdit::parse(&row.on_edit).ok_or(RowError::Column("on_edit"))?,
    })
}

/// What a message from the paired phone does.
pub(super) fn takeover(row: &Model) -> Result<TakeoverSettings, RowError> {
    let minutes = u32::try_from(row.takeover_minutes).map_err(|_| RowError::Column("takeover_minutes"))?;
    Ok(TakeoverSettings { minutes, resume_keyword: row.resume_keyword.clone() })
}

/// How it behaves in groups.
pub(super) fn groups(row: &Model) -> Result<GroupSettings, RowError> {
    Ok(GroupSettings {
        trigger: GroupTrigger::parse(&row.group_trigger).ok_or(RowError::Column("group_trigger"))?,
        keywords: serde_json::from_str(&row.group_keywords).map_err(|_| RowError::Column("group_keywords"))?,
        session: GroupSession::parse(&row.group_session).ok_or(RowError::Column("group_session"))?,
    })
}

/// For how many days traces are kept.
pub(super) fn days(value: Option<i32>) -> Result<Option<u32>, RowError> {
    value.map(|days| u32::try_from(days).map_err(|_| RowError::Column("trace_retention_days"))).transpose()
}

/// A number as its column has it.
pub(super) fn integer(number: impl TryInto<i32>, column: &'static str) -> Result<i32, RowError> {
    number.try_into().map_err(|_| RowError::Column(column))
}
