//! The query of `GET /api/v1/traces`, in the older system's names and ours.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use omnihub_common::trace::{DEFAULT_LIMIT, MAX_LIMIT, Outcome, TraceFilter, TraceStatus};

use super::field;
use crate::problem::FieldError;

/// The parameters, and what is wrong with them so far. An empty one counts as absent.
struct Given<'a> {
    parameters: &'a HashMap<String, String>,
    errors: Vec<FieldError>,
}

/// Reads the filter: `limit` (1 to [`MAX_LIMIT`]), `offset`, `instance_name`, `phone` or
/// `sender_phone`, `session_name`, `session_id` or `agent_session_id`, `status` or `trace_status`,
/// `outcome`, `message_type`, `has_media`, `start_date`, `end_date`, and `all_time`, which beats
/// the dates. Other parameters are ignored.
///
/// # Errors
/// Every parameter that cannot be read, at once.
pub(super) fn filter(parameters: &HashMap<String, String>) -> Result<TraceFilter, Vec<FieldError>> {
    let mut given = Given { parameters, errors: Vec::new() };
    let all_time = given.read(&["all_time"], "true or false", boolean).unwrap_or(false);
    let dates = "an RFC 3339 time, e.g. 2026-01-31T09:00:00Z";
    let filter = TraceFilter {
        instance_name: given.text(&["instance_name"]),
        phone: given.text(&["phone", "sender_phone"]),
        session_name: given.text(&["session_name"]),
        session_id: given.text(&["session_id", "agent_session_id"]),
        status: given.read(&["status", "trace_status"], STATUS_WORDS, status),
        outcome: given.read(&["outcome"], "answered, ignored, handed_off or dead", Outcome::parse),
        message_type: given.text(&["message_type"]),
        has_media: given.read(&["has_media"], "true or false", boolean),
        from: given.read(&["start_date"], dates, |text| moment(text, NaiveTime::MIN)).filter(|_| !all_time),
        to: given.read(&["end_date"], dates, |text| moment(text, END_OF_DAY)).filter(|_| !all_time),
        limit: given.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT),
        // As far as a database's bigint goes.
        offset: given.number("offset", 0, i64::MAX.unsigned_abs()).unwrap_or(0),
    };
    if given.errors.is_empty() { Ok(filter) } else { Err(given.errors) }
}

impl Given<'_> {
    /// The first of these parameters that is there, with its name.
    fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, String)> {
        let named = |name: &&'n str| self.parameters.get(*name).map(|text| (*name, text.trim().to_owned()));
        names.iter().filter_map(named).find(|(_, text)| !text.is_empty())
    }

    /// U+0000 is in no row, and PostgreSQL refuses to look for it.
    fn text(&mut self, names: &[&str]) -> Option<String> {
        self.read(names, "text without U+0000", |text| (!text.contains('\0')).then(|| text.to_owned()))
    }

    fn read<T>(&mut self, names: &[&str], expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (name, text) = self.first(names)?;
        let value = read(&text);
        if value.is_none() {
            self.errors.push(field(name, format!("expected {expected}")));
        }
        value
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let expected = format!("a number from {least} to {most}");
        self.read(&[name], &expected, |text| text.parse().ok().filter(|number| (least..=most).contains(number)))
    }
}

const STATUS_WORDS: &str = "webhook_received, processing, agent_called, agent_success, formatted, completed or error";

/// The guide's words, and the older system's two that differ.
fn status(word: &str) -> Option<TraceStatus> {
    match word {
        "received" => Some(TraceStatus::WebhookReceived),
        "failed" => Some(TraceStatus::Error),
        word => TraceStatus::parse(word),
    }
}

fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// The last moment that a whole day as `end_date` takes in.
pub(in crate::admin) const END_OF_DAY: NaiveTime = match NaiveTime::from_hms_milli_opt(23, 59, 59, 999) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

/// RFC 3339; without an offset it is UTC, as the older system's times are; a day alone stands for
/// its first or its last moment. A `+` that nobody encoded arrives as a space.
pub(in crate::admin) fn moment(text: &str, time_of_day: NaiveTime) -> Option<DateTime<Utc>> {
    let mended = text.replace(' ', if text.contains('T') { "+" } else { "T" });
    if let Ok(moment) = DateTime::parse_from_rfc3339(&mended) {
        return Some(moment.to_utc());
    }
    let naive = mended.parse::<NaiveDateTime>().ok();
    naive.or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(time_of_day))).map(|naive| naive.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<TraceFilter, Vec<String>> {
        let parameters = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        filter(&parameters).map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn nothing_asked_is_the_newest_fifty() {
        assert_eq!(read(&[]), Ok(TraceFilter::default()));
        assert_eq!(read(&[("instance_name", ""), ("limit", " "), ("unheard_of", "1")]), Ok(TraceFilter::default()));
    }

    #[test]
    fn the_older_names_and_words_mean_the_same() {
        let ours = read(&[("status", "error"), ("phone", "+5511"), ("session_id", "s")]);
        assert!(ours.is_ok());
        assert_eq!(read(&[("trace_status", "failed"), ("sender_phone", "+5511"), ("agent_session_id", "s")]), ours);
        assert_eq!(read(&[("status", "received")]).unwrap().status, Some(TraceStatus::WebhookReceived));
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let wrong = read(&[
            ("limit", "501"),
            ("offset", "-1"),
            ("status", "lost"),
            ("outcome", "x"),
            ("has_media", "maybe"),
            ("start_date", "yesterday"),
            ("end_date", "2026-13-01T00:00:00Z"),
            ("phone", "55\u{0}11"),
            ("all_time", "7"),
        ]);
        let mut fields = wrong.unwrap_err();
        fields.sort();
        let expected =
            ["all_time", "end_date", "has_media", "limit", "offset", "outcome", "phone", "start_date", "status"];
        assert_eq!(fields, expected);
        assert!(read(&[("limit", "0")]).is_err());
        assert!(read(&[("offset", "9223372036854775808")]).is_err());
    }

    #[test]
    fn times_are_read_in_the_forms_that_clients_send() {
        let nine = "2026-01-31T09:00:00Z".parse().ok();
        let forms = [
            "2026-01-31T09:00:00Z",
            "2026-01-31T06:00:00-03:00",
            "2026-01-31T10:00:00 01:00",
            "2026-01-31T09:00:00.000",
            "2026-01-31 09:00:00",
        ];
        for form in forms {
            assert_eq!(read(&[("start_date", form)]).unwrap().from, nine, "{form}");
        }
        let day = read(&[("start_date", "2026-01-31"), ("end_date", "2026-01-31")]).unwrap();
        assert_eq!(day.from, "2026-01-31T00:00:00Z".parse().ok());
        assert_eq!(day.to, "2026-01-31T23:59:59.999Z".parse().ok());
        let all = read(&[("start_date", "2026-01-31"), ("all_time", "true")]).unwrap();
        assert_eq!(all.from, None);
    }
}
