//! Opening hours: when an instance's agent is asked, and what a person is told outside of them.
//!
//! ```json
//! {"time_zone": "America/Sao_Paulo", "monday": ["09:00-12:00", "13:00-18:00"], "saturday": ["09:00-13:00"]}
//! ```
//!
//! A weekday that is not named is closed. What is open past midnight is two intervals: until `24:00`,
//! and on the next day from `00:00`.

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

/// The weekdays, from Monday on.
pub const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// The field that names the time zone.
const ZONE: &str = "time_zone";
/// The minute at which a day ends.
const MIDNIGHT: u32 = 24 * 60;

/// When an instance answers by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfficeSettings {
    /// Its opening hours; unset = always.
    pub hours: Option<OpeningHours>,
    /// What a person is told outside of them, once per conversation and day; unset = nothing.
    pub message: Option<String>,
}

/// A change of [`OfficeSettings`]; `None` keeps.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `OfficeSettings`, described there")]
pub struct OfficePatch {
    pub hours: Option<Option<OpeningHours>>,
    pub message: Option<Option<String>>,
}

impl OfficePatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut OfficeSettings) {
        if let Some(hours) = self.hours {
            settings.hours = hours;
        }
        if let Some(message) = self.message {
            settings.message = message;
        }
    }
}

/// Opening hours in a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningHours {
    zone: Tz,
    /// The intervals of each weekday, in order.
    days: [Vec<Interval>; 7],
}

/// A part of a day, in minutes since it began; `to` is outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from: u32,
    to: u32,
}

/// Something that is wrong with opening hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where, from the hours on, as `.monday[1]`; empty for the whole.
    pub path: String,
    /// What.
    pub message: String,
}

impl Flaw {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl OpeningHours {
    /// How many intervals a weekday may have.
    pub const MOST_INTERVALS: usize = 10;

    /// Reads the JSON form.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn read(value: &Value) -> Result<Self, Vec<Flaw>> {
        let Value::Object(fields) = value else { return Err(vec![Flaw::new("", "must be an object")]) };
        let mut flaws = Vec::new();
        for name in fields.keys().filter(|name| *name != ZONE && !WEEKDAYS.contains(&name.as_str())) {
            let name: String = name.chars().take(64).collect();
            flaws.push(Flaw::new(format!(".{name}"), "must be time_zone or a weekday in English"));
        }
        let zone = zone(fields).map_err(|flaw| flaws.push(flaw)).ok();
        let days = WEEKDAYS.map(|day| intervals(day, fields.get(day), &mut flaws));
        if flaws.is_empty() && days.iter().all(Vec::is_empty) {
            flaws.push(Flaw::new("", "must be open on at least one weekday"));
        }
        match zone {
            Some(zone) if flaws.is_empty() => Ok(Self { zone, days }),
            _ => Err(flaws),
        }
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert(ZONE.to_owned(), self.zone.name().into());
        for (name, intervals) in WEEKDAYS.iter().zip(&self.days).filter(|(_, intervals)| !intervals.is_empty()) {
            let intervals: Vec<String> = intervals.iter().map(Interval::text).collect();
            fields.insert((*name).to_owned(), json!(intervals));
        }
        Value::Object(fields)
    }

    /// Whether it is open at a moment, in milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, at: i64) -> bool {
        let Some(local) = self.local(at) else { return true };
        let minute = local.hour() * 60 + local.minute();
        let today = local.weekday().num_days_from_monday() as usize;
        self.days[today].iter().any(|interval| (interval.from..interval.to).contains(&minute))
    }

    /// The day there at a moment.
    #[must_use]
    pub fn day(&self, at: i64) -> Option<NaiveDate> {
        self.local(at).map(|local| local.date_naive())
    }

    fn local(&self, at: i64) -> Option<DateTime<Tz>> {
        DateTime::from_timestamp_millis(at).map(|at| at.with_timezone(&self.zone))
    }
}

impl Interval {
    fn text(&self) -> String {
        let Self { from, to } = self;
        format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }

    /// Reads `09:00-18:00`.
    fn read(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from.trim())?, minute(to.trim())?);
        (from < to).then_some(Self { from, to })
    }
}

/// The minute of a day that `09:00` means.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| match digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        true => digits.parse::<u32>().ok(),
        false => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
    Some(hours * 60 + minutes).filter(|minute| *minute <= MIDNIGHT)
}

fn zone(fields: &Map<String, Value>) -> Result<Tz, Flaw> {
    let path = format!(".{ZONE}");
    let Some(name) = fields.get(ZONE) else { return Err(Flaw::new(path, "is required")) };
    let zone = name.as_str().and_then(|name| name.trim().parse().ok());
    zone.ok_or_else(|| Flaw::new(path, "must be a name of the IANA time zone database, as America/Sao_Paulo"))
}

/// The intervals of a weekday; what is wrong is noted.
fn intervals(day: &str, value: Option<&Value>, flaws: &mut Vec<Flaw>) -> Vec<Interval> {
    let (path, most) = (format!(".{day}"), OpeningHours::MOST_INTERVALS);
    let texts = match value {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(texts)) if texts.len() <= most => texts,
        Some(_) => {
            flaws.push(Flaw::new(path, format!("must be a list of at most {most} intervals as 09:00-18:00")));
            return Vec::new();
        }
    };
    let mut intervals: Vec<Interval> = Vec::new();
    for (nth, text) in texts.iter().enumerate() {
        let here = format!("{path}[{nth}]");
        match text.as_str().and_then(Interval::read) {
            Some(next) if intervals.last().is_some_and(|last| last.to > next.from) => {
                flaws.push(Flaw::new(here, "must begin after the one before it has ended"));
            }
            Some(next) => intervals.push(next),
            None => {
                flaws.push(Flaw::new(here, "must be an interval as 09:00-18:00, between 00:00 and 24:00 of the day"))
            }
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(value: Value) -> OpeningHours {
        OpeningHours::read(&value).unwrap()
    }

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn it_is_open_by_the_clock_of_its_place() {
        let office = hours(json!({"time_zone": "America/Sao_Paulo", "monday": ["09:00-12:00", "13:00-18:00"],
            "friday": ["22:00-24:00"]}));
        // 2026-11-23 is a Monday; it is three hours earlier there than in UTC.
        for (moment, open) in [
            ("2026-11-23T11:59:59Z", false),
            ("2026-11-23T12:00:00Z", true),
            ("2026-11-23T15:00:00Z", false),
            ("2026-11-23T16:00:00Z", true),
            ("2026-11-23T20:59:59Z", true),
            ("2026-11-23T21:00:00Z", false),
            ("2026-11-24T12:00:00Z", false),
            ("2026-11-28T02:59:59Z", true),
            ("2026-11-28T03:00:00Z", false),
        ] {
            assert_eq!(office.is_open(at(moment)), open, "{moment}");
        }
        assert_eq!(office.day(at("2026-11-28T02:59:59Z")), NaiveDate::from_ymd_opt(2026, 11, 27));
    }

    #[test]
    fn summer_time_moves_the_hours_with_it() {
        let office = hours(json!({"time_zone": "Europe/Berlin", "sunday": ["09:00-10:00"]}));
        assert!(office.is_open(at("2026-03-22T08:30:00Z")) && !office.is_open(at("2026-03-22T07:30:00Z")));
        assert!(office.is_open(at("2026-03-29T07:30:00Z")) && !office.is_open(at("2026-03-29T08:30:00Z")));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({"time_zone": "UTC", "tuesday": ["00:00-24:00"], "sunday": ["09:05-09:06", "09:06-10:00"]});
        assert_eq!(hours(value.clone()).to_json(), value);
        let closed = json!({"time_zone": "UTC", "monday": [], "tuesday": null, "sunday": [" 09:00 - 10:00 "]});
        assert_eq!(hours(closed).to_json(), json!({"time_zone": "UTC", "sunday": ["09:00-10:00"]}));
    }

    #[test]
    fn each_flaw_is_named_with_its_path() {
        let flawed = |value: Value| -> Vec<String> {
            OpeningHours::read(&value).unwrap_err().into_iter().map(|flaw| flaw.path).collect()
        };
        let all = json!({"time_zone": "Mars/Olympus", "monday": "09:00-10:00", "feiertag": [],
            "friday": ["09:00-10:00", "9-10", "09:30-11:00", "18:00-09:00", "23:00-24:01", 7, "+9:00-10:00"]});
        let friday = (1..7).map(|nth| format!(".friday[{nth}]"));
        let expected: Vec<String> =
            [".feiertag", ".time_zone", ".monday"].map(str::to_owned).into_iter().chain(friday).collect();
        assert_eq!(flawed(all), expected);
        assert_eq!(flawed(json!({"monday": ["09:00-10:00"]})), [".time_zone"]);
        assert_eq!(flawed(json!({"time_zone": "UTC", "monday": vec!["09:00-10:00"; 11]})), [".monday"]);
        assert_eq!(flawed(json!({"time_zone": "UTC"})), [""]);
        assert_eq!(flawed(json!("always")), [""]);
    }
}
