//! What a caller asks for: which letters, how many, and whether only to count them.
//!
//! A name that nobody knows is an error here: a misspelled filter would mean more letters than its
//! author had in mind.

use axum::http::StatusCode;
use chrono::{NaiveTime, TimeDelta, Utc};
use omnihub_common::{
    key::Reach,
    queue::{
        PersonTracks,
        dead::{DeadFilter, Stretch},
    },
};
use serde_json::{Value, json};

use crate::{
    admin::{
        body::Body,
        openapi::field::{Field, INSTANCE_NAME, Kind, PHONE, field, flag, text},
        traces::{END_OF_DAY, moment},
    },
    problem::{FieldError, Problem},
};

/// How many letters a page holds when nobody says.
const DEFAULT_LIMIT: usize = 50;
/// How many it holds at most.
const MAX_LIMIT: usize = 500;

/// The parameters of a filter.
const FILTER: [&str; 6] = ["instance_name", "reason", "phone", "session_name", "since", "until"];

/// The same with what they mean.
pub(super) const FIELDS: [Field; 6] = [
    INSTANCE_NAME,
    text("reason", "Only those that died for this reason."),
    field("phone", PHONE, "Only messages of this person."),
    text("session_name", "Only messages of this conversation."),
    field("since", MOMENT, "Only those that died since then: a time, a day, or an age as 90m, 24h or 7d."),
    field("until", MOMENT, "Only those that died until then."),
];
const MOMENT: Kind = Kind::Such(|| {
    json!({"anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^([0-9]{1,9}[mh]|[0-9]{1,4}d)$"},
    ]})
});
/// What a list takes beside the filter.
pub(super) const PAGE: [Field; 2] = [
    field("limit", Kind::Whole(1, MAX_LIMIT as u64), "How many to answer; 50 when nothing is said."),
    field("cursor", Kind::Like("^[0-9]{1,19}$"), "`next_cursor` of the page before."),
];

/// What work takes.
pub(super) fn work() -> Vec<Field> {
    let more = [
        flag("all", "Must be true where nothing narrows what is meant."),
        flag("dry_run", "Whether only to count."),
        field("cursor", Kind::Like("^[0-9]{1,19}-[0-9]{1,19}$"), "`next_cursor` of the call before."),
    ];
    FIELDS.into_iter().chain(more).collect()
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) filter: DeadFilter,
    pub(super) limit: usize,
    /// A list goes on before this place.
    pub(super) before: Option<u64>,
    /// Work goes on in this part of the stream.
    pub(super) stretch: Stretch,
    pub(super) dry_run: bool,
}

impl Asked {
    /// The same, of the letters that somebody may see.
    pub(super) fn within(mut self, reach: &Reach) -> Self {
        self.filter.within = reach.names().cloned();
        self
    }

    /// All letters of a person.
    pub(super) fn of_person(person: PersonTracks) -> Self {
        let (instance_name, person) = (Some(person.instance_name.clone()), Some(person));
        let filter = DeadFilter { instance_name, person, ..DeadFilter::default() };
        Self { filter, limit: 0, before: None, stretch: Stretch::ALL, dry_run: false }
    }

    /// `limit`, `cursor` and the filter.
    pub(super) fn for_a_list(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut given = Given::new(pairs, &["limit", "cursor"]);
        let filter = given.filter();
        let limits = format!("a whole number from 1 to {MAX_LIMIT}");
        let limit = given.read("limit", &limits, |text| text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n)));
        let before = given.read("cursor", "the next_cursor of an earlier answer", |text| text.parse().ok());
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        given.end(Self { filter, limit, before, stretch: Stretch::ALL, dry_run: false })
    }

    /// `all`, `dry_run`, `cursor` and the filter, which may be empty only with `all`.
    pub(super) fn for_work(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut given = Given::new(pairs, &["all", "dry_run", "cursor"]);
        let filter = given.filter();
        let all = given.read("all", "true or false", boolean).unwrap_or(false);
        let dry_run = given.read("dry_run", "true or false", boolean).unwrap_or(false);
        let stretch = given.read("cursor", "the next_cursor of an earlier answer", Stretch::of_cursor);
        if filter.is_empty() && !all {
            let message = format!("name at least one of {}, or say all: true to mean every letter", FILTER.join(", "));
            given.wrong("all", message);
        }
        given.end(Self { filter, limit: 0, before: None, stretch: stretch.unwrap_or(Stretch::ALL), dry_run })
    }
}

/// A JSON body as pairs; an empty one has none.
pub(in crate::admin) fn body(body: Body) -> Result<Vec<(String, String)>, Problem> {
    if body.is_blank() {
        return Ok(Vec::new());
    }
    let Value::Object(fields) = body.json()? else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_json", "The body must be a JSON object."));
    };
    let (mut pairs, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => pairs.push((name, text)),
            Value::Bool(_) | Value::Number(_) => pairs.push((name, value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                errors.push(FieldError { field: name, message: "must be one value".to_owned() });
            }
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(invalid(errors)) }
}

/// The parameters, and what is wrong with them so far. An empty one counts as absent.
struct Given<'a> {
    pairs: &'a [(String, String)],
    errors: Vec<FieldError>,
}

impl<'a> Given<'a> {
    fn new(pairs: &'a [(String, String)], more: &[&str]) -> Self {
        let mut given = Self { pairs, errors: Vec::new() };
        for (name, _) in pairs {
            if !FILTER.contains(&name.as_str()) && !more.contains(&name.as_str()) {
                let known: Vec<_> = FILTER.iter().chain(more).copied().collect();
                given.wrong(name, format!("is not known here; known are {}", known.join(", ")));
            }
        }
        given
    }

    fn filter(&mut self) -> DeadFilter {
        let text = |text: &str| Some(text.to_owned());
        let times = "an RFC 3339 time, a day, or an age as 90m, 24h or 7d";
        DeadFilter {
            instance_name: self.read("instance_name", "a name", text),
            reason: self.read("reason", "a word", text),
            phone: self.read("phone", "a phone number", |given| {
                given.bytes().any(|byte| byte.is_ascii_digit()).then(|| given.to_owned())
            }),
            session_name: self.read("session_name", "a name", text),
            since: self.read("since", times, |text| time(text, NaiveTime::MIN)),
            until: self.read("until", times, |text| time(text, END_OF_DAY)),
            person: None,
            within: None,
        }
    }

    fn read<T>(&mut self, name: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.pairs.iter().rev().find(|(given, _)| given == name).map(|(_, text)| text.trim())?;
        if text.is_empty() {
            return None;
        }
        let value = read(text);
        if value.is_none() {
            self.wrong(name, format!("expected {expected}"));
        }
        value
    }

    fn wrong(&mut self, field: &str, message: String) {
        self.errors.push(FieldError { field: field.to_owned(), message });
    }

    fn end(self, asked: Asked) -> Result<Asked, Problem> {
        if self.errors.is_empty() { Ok(asked) } else { Err(invalid(self.errors)) }
    }
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    let named: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_parameter", named.join("; ")).with_errors(errors)
}

fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A moment, in milliseconds since 1970: as traces take it, or an age.
fn time(text: &str, time_of_day: NaiveTime) -> Option<i64> {
    match age(text) {
        Some(age) => Some((Utc::now() - age).timestamp_millis()),
        None => moment(text, time_of_day).map(|moment| moment.timestamp_millis()),
    }
}

/// `90m`, `24h`, `7d`.
fn age(text: &str) -> Option<TimeDelta> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    match unit {
        "m" => TimeDelta::try_minutes(number.into()),
        "h" => TimeDelta::try_hours(number.into()),
        "d" => TimeDelta::try_days(number.into()).filter(|_| number <= 36_500),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn wrong(asked: Result<Asked, Problem>) -> Vec<String> {
        asked.unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn work_without_a_filter_must_say_that_it_means_all() {
        for empty in [&[][..], &[("dry_run", "true")], &[("instance_name", " ")], &[("all", "false")]] {
            assert_eq!(wrong(Asked::for_work(&pairs(empty))), ["all"], "{empty:?}");
        }
        assert!(Asked::for_work(&pairs(&[("all", "true")])).unwrap().filter.is_empty());
        let asked = Asked::for_work(&pairs(&[("reason", "too_old"), ("dry_run", "1"), ("cursor", "3-9")])).unwrap();
        assert_eq!((asked.dry_run, asked.stretch), (true, Stretch { after: 3, upto: 9 }));
    }

    #[test]
    fn what_is_misspelled_is_not_taken_for_more() {
        assert_eq!(wrong(Asked::for_work(&pairs(&[("all", "true"), ("instance", "acme")]))), ["instance"]);
        let list = [("limit", "0"), ("cursor", "x"), ("since", "soon"), ("until", "5w"), ("phone", "+"), ("all", "1")];
        assert_eq!(wrong(Asked::for_a_list(&pairs(&list))), ["all", "phone", "since", "until", "limit", "cursor"]);
    }

    #[test]
    fn times_are_moments_days_or_ages() {
        let asked = |since| Asked::for_a_list(&pairs(&[("since", since)])).unwrap().filter.since.unwrap();
        assert_eq!(asked("1970-01-01T00:00:01Z"), 1_000);
        assert_eq!(asked("1970-01-02"), 86_400_000);
        let ago = (Utc::now().timestamp_millis() - asked("24h")) as f64 / 3_600_000.0;
        assert!((23.9..24.1).contains(&ago), "{ago}");
        for text in ["", "h", "-1h", "9999999999d", "é"] {
            assert_eq!(age(text), None, "{text}");
        }
    }

    #[test]
    fn a_body_is_read_whatever_its_values_are_written_as() {
        let read = |text| body(crate::admin::body::tests::body(text));
        assert_eq!(read(" \n").unwrap(), []);
        assert_eq!(read(r#"{"all": true, "reason": null}"#).unwrap(), pairs(&[("all", "true")]));
        assert_eq!(read("[]").unwrap_err().code, "invalid_json");
        assert_eq!(read("{").unwrap_err().code, "invalid_json");
        assert_eq!(read(r#"{"reason": ["a"]}"#).unwrap_err().errors[0].field, "reason");
    }
}
