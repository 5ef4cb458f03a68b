//! A place in the list of traces: where one page ended and the next begins.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike as _, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use uuid::Uuid;

use super::entity::message_trace::{Column, Entity, Model};

/// The place behind a trace. What arrives later is newer, so it moves nothing behind this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceCursor {
    received_at: DateTime<Utc>,
    trace_id: Uuid,
}

/// The text is not one that [`TraceCursor`] was shown as.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct NoCursor;

impl TraceCursor {
    /// Behind this row.
    pub(super) fn of(row: &Model) -> Self {
        Self { received_at: row.received_at, trace_id: row.trace_id }
    }

    /// The rows behind it. Compared as a pair, so that the index on the time finds the place.
    pub(super) fn behind(self) -> Expr {
        let column = |column: Column| Expr::col((Entity, column));
        let place = Expr::tuple([Expr::val(self.received_at), Expr::val(self.trace_id)]);
        Expr::tuple([column(Column::ReceivedAt), column(Column::TraceId)]).lt(place)
    }
}

impl fmt::Display for TraceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.received_at.timestamp_micros(), self.trace_id.simple())
    }
}

impl FromStr for TraceCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (micros, id) = text.split_once('.').ok_or(NoCursor)?;
        let received_at = DateTime::from_timestamp_micros(micros.parse().map_err(|_| NoCursor)?);
        // What both databases can compare.
        let received_at = received_at.filter(|at| (1970..=9999).contains(&at.year())).ok_or(NoCursor)?;
        let trace_id = Uuid::try_parse(id).map_err(|_| NoCursor)?;
        Ok(Self { received_at, trace_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_shown() {
        let received_at = DateTime::from_timestamp_micros(1_760_000_000_001_000).unwrap();
        let cursor = TraceCursor { received_at, trace_id: Uuid::from_u128(7) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", ".", "1", "1.x", "x.00000000000000000000000000000007", "9223372036854775807.0", "-1."] {
            assert_eq!(wrong.parse::<TraceCursor>(), Err(NoCursor), "{wrong}");
        }
        let far = format!("{}.{}", i64::MAX, Uuid::nil().simple());
        assert_eq!(far.parse::<TraceCursor>(), Err(NoCursor));
    }
}
