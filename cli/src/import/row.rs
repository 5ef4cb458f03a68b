//! A row of the other database: every value as text, whatever its column's type there.
//!
//! The same column is a number in one schema and a text in another, and SQLite keeps in any column
//! whatever somebody wrote. So each value is read for what it is meant to be, and one that is not
//! that names its column.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use omnihub_common::trace::without_nul;

/// Why a row, or what it describes, is not taken; for people, and without the value.
pub(super) type Problem = String;

/// A row: the columns that were asked for and that the table has.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Which one it is, for the page behind it.
    pub(super) place: String,
    values: BTreeMap<&'static str, Result<Option<String>, Damage>>,
}

/// Why a value cannot be read whole.
#[derive(Debug)]
pub(super) enum Damage {
    /// It is in no encoding of text.
    NotText,
    /// It is longer than any field; its beginning.
    TooLong(String),
}

impl Row {
    /// A row in its place, without values yet.
    pub(super) fn at(place: String) -> Self {
        Self { place, values: BTreeMap::new() }
    }

    /// Adds a value.
    pub(super) fn put(&mut self, column: &'static str, value: Result<Option<String>, Damage>) {
        self.values.insert(column, value);
    }

    /// The text as it is, without U+0000, which no column of ours takes; `None` when it is null or
    /// blank, or when the table has no such column.
    pub(super) fn text(&self, column: &'static str) -> Result<Option<String>, Problem> {
        match self.values.get(column) {
            None | Some(Ok(None)) => Ok(None),
            Some(Ok(Some(text))) => Ok(said(text)),
            Some(Err(Damage::NotText)) => Err(format!("column {column} is not text")),
            Some(Err(Damage::TooLong(_))) => Err(format!("column {column} is longer than any field")),
        }
    }

    /// A text that is only shown, or the beginning of one that is too long; one that cannot be read
    /// counts as null.
    pub(super) fn excerpt(&self, column: &'static str) -> Option<String> {
        match self.values.get(column) {
            Some(Ok(Some(text)) | Err(Damage::TooLong(text))) => said(text),
            _ => None,
        }
    }

    /// The text of a column that only helps to understand the row: one that cannot be read counts
    /// as null.
    pub(super) fn hint(&self, column: &'static str) -> Option<String> {
        self.text(column).ok().flatten()
    }

    /// A text that must be there.
    pub(super) fn required(&self, column: &'static str) -> Result<String, Problem> {
        self.text(column)?.ok_or_else(|| format!("{column} is missing"))
    }

    /// A truth value, as SQLite, PostgreSQL or a person writes it.
    pub(super) fn flag(&self, column: &'static str) -> Result<Option<bool>, Problem> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" => Ok(Some(true)),
            "0" | "false" | "f" => Ok(Some(false)),
            _ => Err(format!("column {column} is neither true nor false")),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, column: &'static str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("column {column} is not a whole number"))
    }

    /// A number that a column of ours can hold; another one counts as unknown.
    pub(super) fn small(&self, column: &'static str) -> Option<i32> {
        self.number(column).ok().flatten().and_then(|number| i32::try_from(number).ok())
    }

    /// A moment that both databases can hold. The Python hub wrote UTC, and did not say so.
    pub(super) fn moment(&self, column: &'static str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        let sane = |at: &DateTime<Utc>| (1970..10_000).contains(&at.year());
        moment(&text).filter(sane).map(Some).ok_or_else(|| format!("column {column} is not a time"))
    }

    /// A moment in milliseconds since 1970; one that cannot be read counts as unknown.
    pub(super) fn ms(&self, column: &'static str) -> Option<i64> {
        self.moment(column).ok().flatten().map(|at| at.timestamp_millis())
    }
}

fn said(text: &str) -> Option<String> {
    Some(without_nul(text.trim()).into_owned()).filter(|text| !text.is_empty())
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.replacen('T', " ", 1);
    let with_zone = DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_str(&text, "%F %T%.f%#z"));
    let naive = || NaiveDateTime::parse_from_str(&text, "%F %T%.f").ok().map(|naive| naive.and_utc());
    with_zone.ok().map(|at| at.with_timezone(&Utc)).or_else(naive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> Row {
        let mut row = Row::default();
        row.put("c", Ok(Some(value.to_owned())));
        row
    }

    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        for text in [
            "2025-11-27 10:11:12.500000",
            "2025-11-27T10:11:12.5",
            "2025-11-27 10:11:12.5+00",
            "2025-11-27T10:11:12.5Z",
            "2025-11-27 07:11:12.5-03:00",
        ] {
            assert_eq!(row(text).ms("c"), Some(1_764_238_272_500), "{text}");
        }
        for text in ["yesterday", "-10000-01-01 00:00:00", "+200000-01-01 00:00:00", "0001-01-01 00:00:00"] {
            assert!(row(text).moment("c").is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_read_for_what_they_are_meant_to_be() {
        assert_eq!((row("1").flag("c"), row("f").flag("c")), (Ok(Some(true)), Ok(Some(false))));
        assert!(row("maybe").flag("c").unwrap_err().contains("column c") && row("1.5").number("c").is_err());
        assert_eq!((row(" a\0b ").text("c"), row("  ").text("c")), (Ok(Some("ab".to_owned())), Ok(None)));
        assert_eq!((row("x").text("d"), row("x").required("d").is_err()), (Ok(None), true));
        assert_eq!((row("4294967296").small("c"), row("-7").small("c")), (None, Some(-7)));
        let mut damaged = Row::default();
        damaged.put("c", Err(Damage::NotText));
        assert!(damaged.text("c").is_err() && damaged.hint("c").is_none() && damaged.excerpt("c").is_none());
        damaged.put("c", Err(Damage::TooLong("beginning".to_owned())));
        assert!(damaged.text("c").unwrap_err().contains("longer") && damaged.hint("c").is_none());
        assert_eq!(damaged.excerpt("c").as_deref(), Some("beginning"));
    }
}
