//! Reading a JSON body or a query field by field, so that one answer names everything that is wrong.

use std::{collections::BTreeSet, fmt::Display, ops::RangeInclusive};

use axum::http::{HeaderValue, StatusCode, header};
use omnihub_common::secret::{MayRefer, Reference, Secret};
use serde_json::{Map, Value};

use super::{beside::Beside, body::Body};
use crate::problem::{FieldError, Problem};

/// How many rows a page holds when nobody says.
const DEFAULT_LIMIT: u64 = 100;
/// How many it holds at most.
const MAX_LIMIT: u64 = 500;

/// Characters that a text may have: far more than any sensible one.
const MAX_TEXT: usize = 4096;

/// Unknown fields that are named, and characters of each.
const NAMED: usize = 10;
const MAX_NAME: usize = 64;

/// A field of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    /// Not there, or wrong (which is noted).
    Absent,
    /// There, and empty: `null`, or a text of nothing but white space.
    Null,
    /// There.
    Value(T),
}

impl<T> Given<T> {
    /// For a field that may be emptied: `Some(None)` empties it.
    pub(super) fn clearable(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// For a field that goes back to a value of ours when it is emptied.
    pub(super) fn or_default(self, default: T) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Null => Some(default),
            Self::Value(value) => Some(value),
        }
    }

    /// The same with the value read further; a wrong one is noted under the field's name.
    pub(super) fn check<U, E: Display>(
        self,
        fields: &mut Fields,
        name: &str,
        read: impl FnOnce(T) -> Result<U, E>,
    ) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => match read(value) {
                Ok(value) => Given::Value(value),
                Err(problem) => fields.wrong(name, problem),
            },
        }
    }
}

/// A body being read, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Fields {
    body: Map<String, Value>,
    /// What was looked for.
    known: BTreeSet<String>,
    errors: Vec<FieldError>,
    beside: Beside,
}

impl Fields {
    /// Reads a JSON object. What of it nobody looked for when the reading ends is named beside the
    /// answer (`Warning`).
    pub(super) fn read(body: Body) -> Result<Self, Problem> {
        match body.json()? {
            Value::Object(object) => Ok(Self { beside: body.beside(), ..Self::of(object) }),
            _ => {
                Err(invalid(vec![FieldError { field: "body".to_owned(), message: "must be a JSON object".to_owned() }]))
            }
        }
    }

    /// Reads an object that is a part of a body.
    pub(super) fn of(body: Map<String, Value>) -> Self {
        Self { body, known: BTreeSet::new(), errors: Vec::new(), beside: Beside::default() }
    }

    /// A field, known from now on.
    fn look(&mut self, name: &str) -> Option<&Value> {
        if !self.known.contains(name) {
            self.known.insert(name.to_owned());
        }
        self.body.get(name)
    }

    /// Makes fields known that are read only while none before them is there.
    pub(super) fn know(&mut self, names: &[&str]) {
        self.known.extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// The fields that nobody has looked for.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        self.body.keys().map(String::as_str).filter(|name| !self.known.contains(*name))
    }

    /// What is wrong, under the path of the part that was read.
    pub(super) fn errors_under(self, path: &str) -> Vec<FieldError> {
        let under = |error: FieldError| FieldError { field: format!("{path}.{}", error.field), ..error };
        self.errors.into_iter().map(under).collect()
    }

    /// Takes empty fields for absent ones: whoever makes something has nothing to empty.
    pub(super) fn without_empty(mut self) -> Self {
        self.body.retain(|_, value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            _ => true,
        });
        self
    }

    /// Notes what is wrong with a field.
    pub(super) fn wrong<T>(&mut self, name: &str, problem: impl Display) -> Given<T> {
        self.errors.push(FieldError { field: name.to_owned(), message: problem.to_string() });
        Given::Absent
    }

    /// A text, without white space around it.
    pub(super) fn text(&mut self, name: &str) -> Given<String> {
        let text = match self.look(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Null,
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(_) => return self.wrong(name, "must be a text"),
        };
        if text.is_empty() {
            Given::Null
        } else if text.chars().count() > MAX_TEXT {
            self.wrong(name, format!("must have at most {MAX_TEXT} characters"))
        } else if text.contains('\0') {
            self.wrong(name, "must not contain U+0000")
        } else {
            Given::Value(text)
        }
    }

    /// A text exactly as it was given.
    pub(super) fn verbatim(&mut self, name: &str) -> Given<String> {
        match self.look(name) {
            Some(Value::String(text)) => Given::Value(text.clone()),
            _ => self.text(name),
        }
    }

    /// A field as it stands.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.look(name).cloned()
    }

    /// Reads an object that stands within this body; what is wrong with it is noted under its path.
    pub(super) fn within<T: Default>(&mut self, path: &str, object: Value, read: impl FnOnce(&mut Self) -> T) -> T {
        let Value::Object(body) = object else {
            self.wrong::<()>(path, "must be an object");
            return T::default();
        };
        let mut inner = Self::of(body);
        let read = read(&mut inner);
        let named = |error: FieldError| FieldError { field: format!("{path}.{}", error.field), ..error };
        self.errors.extend(inner.errors.into_iter().map(named));
        read
    }

    /// Whether something was noted about a field.
    pub(super) fn is_wrong(&self, name: &str) -> bool {
        self.errors.iter().any(|error| error.field == name)
    }

    /// Whether a field is there, whatever it holds.
    pub(super) fn has(&mut self, name: &str) -> bool {
        self.look(name).is_some()
    }

    /// Whether a field is exactly this text.
    pub(super) fn is_text(&mut self, name: &str, text: &str) -> bool {
        self.look(name).and_then(Value::as_str).is_some_and(|given| given.trim() == text)
    }

    /// Whether any of these fields is there.
    pub(super) fn names_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.body.contains_key(*name))
    }

    /// A list of texts, without white space around them.
    pub(super) fn texts(&mut self, name: &str) -> Given<Vec<String>> {
        let list = match self.look(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Null,
            Some(Value::Array(list)) => list,
            Some(_) => return self.wrong(name, "must be a list of texts"),
        };
        let texts: Option<Vec<String>> = list.iter().map(|text| Some(text.as_str()?.trim().to_owned())).collect();
        match texts {
            Some(texts) if texts.iter().any(|text| text.contains('\0')) => self.wrong(name, "must not contain U+0000"),
            Some(texts) => Given::Value(texts),
            None => self.wrong(name, "must be a list of texts"),
        }
    }

    /// An object of the caller's own words.
    pub(super) fn object(&mut self, name: &str) -> Given<Map<String, Value>> {
        match self.look(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(Value::Object(object)) => Given::Value(object.clone()),
            Some(_) => self.wrong(name, "must be an object"),
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &str) -> Given<bool> {
        match self.look(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(Value::Bool(flag)) => Given::Value(*flag),
            Some(_) => self.wrong(name, "must be true or false"),
        }
    }

    /// A whole number; JSON knows no other, so that 3.0 is 3.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Given<u64> {
        let number = match self.look(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Null,
            Some(value) => value.as_u64().or_else(|| whole(value.as_f64()?)),
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Given::Value(number),
            None => self.wrong(name, format!("must be a whole number from {} to {}", range.start(), range.end())),
        }
    }

    /// A secret, or a reference to one that the caller may give. Its own mask stands for itself, and
    /// so does the reference that is there; another mask is no secret.
    pub(super) fn secret(&mut self, name: &str, current: Option<&Secret>, may: &MayRefer) -> Given<Secret> {
        self.text(name).check(self, name, |text| {
            let own_mask = current.is_some_and(|current| current.mask() == text);
            match Reference::parse(&text) {
                Some(Err(problem)) => return Err(problem.to_string()),
                Some(Ok(reference)) if !own_mask && !may.allows(&reference) => return Err(refusal(may)),
                Some(Ok(_)) | None => {}
            }
            if text.starts_with("****") && text.chars().count() <= 8 && !own_mask {
                Err("is the mask of a secret, not the secret".to_owned())
            } else if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                Err("must be printable ASCII, since it travels in a header".to_owned())
            } else {
                Ok(Secret::read(text))
            }
        })
    }

    /// The value of a field that must be there, or the default of its type with a note.
    pub(super) fn require<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        if value.is_none() && !self.is_wrong(name) {
            self.wrong::<T>(name, "is required");
        }
        value.unwrap_or_default()
    }

    /// A field that may be changed, not emptied.
    pub(super) fn kept<T>(&mut self, name: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Absent => None,
            Given::Null => {
                self.wrong::<T>(name, "must not be empty");
                None
            }
            Given::Value(value) => Some(value),
        }
    }

    /// Ends the reading: everything that is wrong, at once.
    pub(super) fn finish(self) -> Result<(), Problem> {
        warn_of_unknown(&self.beside, self.unknown());
        if self.errors.is_empty() { Ok(()) } else { Err(invalid(self.errors)) }
    }
}

/// Names beside the answer the fields that were ignored, as far as a header can say them.
pub(super) fn warn_of_unknown<'a>(beside: &Beside, names: impl Iterator<Item = &'a str>) {
    let spelled = |name: &str| -> String {
        let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',') { c } else { '?' };
        name.chars().take(MAX_NAME).map(plain).collect()
    };
    let mut names: Vec<String> = names.map(spelled).collect();
    if names.is_empty() {
        return;
    }
    if names.len() > NAMED {
        let more = names.len() - NAMED;
        names.truncate(NAMED);
        names.push(format!("and {more} more"));
    }
    let warning = format!("299 omnihub \"unknown fields were ignored: {}\"", names.join(", "));
    if let Ok(warning) = HeaderValue::try_from(warning) {
        beside.say(header::WARNING, warning);
    }
}

/// A number without a fraction that was written with one, as far as each of them is exact.
fn whole(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    is_whole.then_some(number as u64)
}

/// Why a reference may not be given.
fn refusal(may: &MayRefer) -> String {
    match may {
        MayRefer::Below(folder) => format!("may refer only to vault://{folder}/... with a key for some instances"),
        MayRefer::Anywhere | MayRefer::Nowhere => {
            "may be a reference only with a key that reaches every instance".to_owned()
        }
    }
}

/// The answer to a body or a query with wrong fields.
pub(super) fn invalid(errors: Vec<FieldError>) -> Problem {
    let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    let detail = format!("Not valid: {}.", names.join(", "));
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", detail).with_errors(errors)
}

/// `skip` and `limit`; other parameters are ignored, as the older system did.
pub(super) fn page(pairs: &[(String, String)]) -> Result<(u64, u64), Problem> {
    let mut errors = Vec::new();
    let mut number = |name: &str, default: u64, range: std::ops::RangeInclusive<u64>| {
        let Some((_, text)) = pairs.iter().rev().find(|(given, _)| given == name) else { return default };
        text.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
            let message = format!("must be a whole number from {} to {}", range.start(), range.end());
            errors.push(FieldError { field: name.to_owned(), message });
            default
        })
    };
    let skip = number("skip", 0, 0..=u64::from(u32::MAX));
    let limit = number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT);
    if errors.is_empty() { Ok((skip, limit)) } else { Err(invalid(errors)) }
}
