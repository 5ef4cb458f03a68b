//! Settings as a row has them.

use super::RowError;
use crate::instance::{OnEdit, Overlap, TakeoverSettings, TurnSettings, entity::Model};

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
