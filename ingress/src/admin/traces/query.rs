//! The queries of traces, in the older system's names and ours.

use std::collections::HashMap;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use omnihub_common::trace::{
    DEFAULT_LIMIT, DEFAULT_RETENTION_DAYS, MAX_LIMIT, Outcome, RETENTION_DAYS, TraceFilter, TraceStatus, kept_since,
};

use super::field;
use crate::{
    admin::openapi::field::{Field, INSTANCE_NAME, Kind, field as parameter, flag as yes_or_no, text},
    problem::FieldError,
};

/// The parameters, and what is wrong with them so far. An empty one counts as absent.
struct Given<'a> {
    parameters: &'a HashMap<String, String>,
    errors: Vec<FieldError>,
}

/// The words of an outcome.
pub(in crate::admin) const OUTCOMES: [&str; 4] = ["answered", "ignored", "handed_off", "dead"];
/// The words of a status, the older system's two last.
const STATUSES: [&str; 9] = [
    "webhook_received",
    "processing",
    "agent_called",
    "agent_success",
    "formatted",
    "completed",
    "error",
    "received",
    "failed",
];

/// What [`filter`] reads.
pub(super) fn parameters() -> [Field; 19] {
    [
        INSTANCE_NAME,
        text("phone", "Only of this person."),
        text("sender_phone", "The older system's name of `phone`."),
        text("session_name", "Only of this conversation."),
        text("session_id", "Only of this session of the agent."),
        text("agent_session_id", "The older system's name of `session_id`."),
        parameter("status", Kind::OneOf(&STATUSES), "Only those that have come so far."),
        parameter("trace_status", Kind::OneOf(&STATUSES), "The older system's name of `status`."),
        parameter("outcome", Kind::OneOf(&OUTCOMES), "Only those that ended so."),
        text("outcome_reason", "Only those that ended for this reason."),
        text("error_stage", "Only those that failed there."),
        text("message_type", "Only messages of this type."),
        yes_or_no("has_media", "Only those with, or without, a file."),
        parameter("start_date", Kind::TimeOrDay, "Only since then."),
        parameter("end_date", Kind::TimeOrDay, "Only until then."),
        yes_or_no("all_time", "Whatever the dates say."),
        parameter("limit", Kind::Whole(1, MAX_LIMIT), "How many to answer; 50 when nothing is said."),
        parameter("offset", Kind::Whole(0, i64::MAX.unsigned_abs()), "How many to pass over; not beside `cursor`."),
        parameter("cursor", Kind::Like(r"^[0-9]{1,17}\.[0-9a-f]{32}$"), "`x-next-cursor` of the page before."),
    ]
}

/// What [`cleanup`] reads.
pub(super) const CLEANUP: [Field; 3] = [
    parameter(
        "days_old",
        Kind::Whole(*RETENTION_DAYS.start(), *RETENTION_DAYS.end()),
        "Only those that are older; 30 days unless said.",
    ),
    yes_or_no("dry_run", "Whether only to count; true unless said."),
    INSTANCE_NAME,
];

/// Reads the filter: `limit` (1 to [`MAX_LIMIT`]), `offset` or `cursor`, `instance_name`, `phone` or
/// `sender_phone`, `session_name`, `session_id` or `agent_session_id`, `status` or `trace_status`,
/// `outcome`, `outcome_reason`, `error_stage`, `message_type`, `has_media`, `start_date`,
/// `end_date`, and `all_time`, which beats the dates. Other parameters are ignored.
///
/// # Errors
/// Every parameter that cannot be read, at once.
pub(super) fn filter(parameters: &HashMap<String, String>) -> Result<TraceFilter, Vec<FieldError>> {
    let mut given = Given::new(parameters);
    let all_time = given.read(&["all_time"], "true or false", boolean).unwrap_or(false);
    let dates = "an RFC 3339 time, e.g. 2026-01-31T09:00:00Z";
    let filter = TraceFilter {
        instance_name: given.text(&["instance_name"]),
        phone: given.text(&["phone", "sender_phone"]),
        session_name: given.text(&["session_name"]),
        session_id: given.text(&["session_id", "agent_session_id"]),
        status: given.read(&["status", "trace_status"], STATUS_WORDS, status),
        outcome: given.read(&["outcome"], "answered, ignored, handed_off or dead", Outcome::parse),
        outcome_reason: given.text(&["outcome_reason"]),
        error_stage: given.text(&["error_stage"]),
        message_type: given.text(&["message_type"]),
        has_media: given.read(&["has_media"], "true or false", boolean),
        from: given.read(&["start_date"], dates, |text| moment(text, NaiveTime::MIN)).filter(|_| !all_time),
        to: given.read(&["end_date"], dates, |text| moment(text, END_OF_DAY)).filter(|_| !all_time),
        limit: given.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT),
        // As far as a database's bigint goes.
        offset: given.number("offset", 0, i64::MAX.unsigned_abs()).unwrap_or(0),
        after: given.read(&["cursor"], "the x-next-cursor of an earlier answer", |text| text.parse().ok()),
    };
    if filter.after.is_some() && filter.offset > 0 {
        given.errors.push(field("offset", "expected none beside a cursor, which is a place already"));
    }
    given.end(filter)
}

/// Reads the filter of a summary: as [`filter`], but without a date it is of the last 24 hours, and
/// one date makes the other: what begins goes on until now, what ends began a day before.
///
/// # Errors
/// Every parameter that cannot be read, at once.
pub(super) fn period(parameters: &HashMap<String, String>, now: DateTime<Utc>) -> Result<TraceFilter, Vec<FieldError>> {
    let filter = filter(parameters)?;
    if Given::new(parameters).read(&["all_time"], "", boolean) == Some(true) {
        return Ok(filter);
    }
    let to = filter.to.unwrap_or(now);
    let from = filter.from.unwrap_or(to - TimeDelta::days(1));
    Ok(TraceFilter { from: Some(from), to: Some(to), ..filter })
}

/// What is to be cleaned up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleanup {
    pub(super) days_old: u32,
    pub(super) than: DateTime<Utc>,
    pub(super) instance_name: Option<String>,
    pub(super) dry_run: bool,
}

/// Reads `days_old` (30 unless given), `instance_name` and `dry_run`, which must be said to be
/// false. A name that nobody knows is an error here: a misspelled one would mean more traces than
/// its author had in mind.
///
/// # Errors
/// Every parameter that cannot be read, at once.
pub(super) fn cleanup(parameters: &HashMap<String, String>, now: DateTime<Utc>) -> Result<Cleanup, Vec<FieldError>> {
    const KNOWN: [&str; 3] = ["days_old", "dry_run", "instance_name"];
    let mut given = Given::new(parameters);
    for name in parameters.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        given.errors.push(field(name, format!("expected one of {}", KNOWN.join(", "))));
    }
    let days = given.number("days_old", *RETENTION_DAYS.start(), *RETENTION_DAYS.end());
    let days_old = days.and_then(|days| u32::try_from(days).ok()).unwrap_or(DEFAULT_RETENTION_DAYS);
    let instance_name = given.text(&["instance_name"]);
    let dry_run = given.read(&["dry_run"], "true or false", boolean).unwrap_or(true);
    given.end(Cleanup { days_old, than: kept_since(now, days_old), instance_name, dry_run })
}

/// Reads a parameter that is true or false.
///
/// # Errors
/// When it is there and neither.
pub(super) fn flag(parameters: &HashMap<String, String>, name: &str) -> Result<Option<bool>, Vec<FieldError>> {
    let mut given = Given::new(parameters);
    let flag = given.read(&[name], "true or false", boolean);
    given.end(flag)
}

impl<'a> Given<'a> {
    fn new(parameters: &'a HashMap<String, String>) -> Self {
        Self { parameters, errors: Vec::new() }
    }

    fn end<T>(self, read: T) -> Result<T, Vec<FieldError>> {
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }

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
    let zoned = DateTime::parse_from_rfc3339(&mended).map(|moment| moment.to_utc());
    let naive = || mended.parse::<NaiveDateTime>().ok();
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(time_of_day));
    let moment = zoned.ok().or_else(|| Some(naive().or_else(day)?.and_utc()))?;
    // Years that both databases can compare.
    (1..=9999).contains(&moment.year()).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = "1760000000000000.00000000000000000000000000000007";

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn names(errors: Vec<FieldError>) -> Vec<String> {
        errors.into_iter().map(|error| error.field).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Result<TraceFilter, Vec<String>> {
        filter(&map(pairs)).map_err(names)
    }

    #[test]
    fn a_summary_is_of_a_day_unless_told() {
        let now: DateTime<Utc> = "2026-01-31T09:00:00Z".parse().unwrap();
        let of = |pairs: &[(&str, &str)]| {
            let filter = period(&map(pairs), now).unwrap();
            let shown = |moment: Option<DateTime<Utc>>| moment.map(|at| at.format("%d %H").to_string());
            (shown(filter.from), shown(filter.to))
        };
        let between = |from: &str, to: &str| (Some(from.to_owned()), Some(to.to_owned()));
        assert_eq!(of(&[]), between("30 09", "31 09"));
        assert_eq!(of(&[("start_date", "2026-01-10")]), between("10 00", "31 09"));
        assert_eq!(of(&[("end_date", "2026-01-10T12:00:00Z")]), between("09 12", "10 12"));
        assert_eq!(of(&[("end_date", "2026-01-10"), ("all_time", "true")]), (None, None));
    }

    #[test]
    fn a_cleanup_is_dry_unless_told_and_takes_no_unknown_name() {
        let now: DateTime<Utc> = "2026-01-31T09:00:00Z".parse().unwrap();
        let asked = cleanup(&map(&[]), now).unwrap();
        assert_eq!((asked.days_old, asked.dry_run, asked.than), (30, true, "2026-01-01T09:00:00Z".parse().unwrap()));
        let asked = cleanup(&map(&[("days_old", "7"), ("dry_run", "false"), ("instance_name", "a")]), now).unwrap();
        assert_eq!((asked.days_old, asked.dry_run, asked.instance_name.as_deref()), (7, false, Some("a")));
        let wrong = cleanup(&map(&[("days_old", "0"), ("dry_run", "no"), ("instance", "a")]), now).map_err(names);
        assert_eq!(wrong.unwrap_err(), ["instance", "days_old", "dry_run"]);
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
            ("limit", "1001"),
            ("offset", "-1"),
            ("status", "lost"),
            ("outcome", "x"),
            ("has_media", "maybe"),
            ("start_date", "yesterday"),
            ("end_date", "2026-13-01T00:00:00Z"),
            ("phone", "55\u{0}11"),
            ("all_time", "7"),
            ("cursor", "7"),
        ]);
        let mut fields = wrong.unwrap_err();
        fields.sort();
        let expected = [
            "all_time",
            "cursor",
            "end_date",
            "has_media",
            "limit",
            "offset",
            "outcome",
            "phone",
            "start_date",
            "status",
        ];
        assert_eq!(fields, expected);
        assert_eq!(read(&[("cursor", CURSOR), ("offset", "1")]).unwrap_err(), ["offset"]);
        assert!(read(&[("cursor", CURSOR), ("offset", "0")]).unwrap().after.is_some());
        assert!(read(&[("start_date", "+10000-01-01")]).is_err() && read(&[("end_date", "-0001-01-01")]).is_err());
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
