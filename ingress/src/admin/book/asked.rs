//! What the query of a list asks for; everything that is wrong is named at once.

use omnihub_common::channel::ChannelType;

use crate::{
    admin::fields::invalid,
    problem::{FieldError, Problem},
};

/// Rows of a page.
const DEFAULT_SIZE: u64 = 50;
/// Rows of a page at most.
pub(super) const LARGEST_PAGE: u64 = 500;
/// Rows from the first one on to the last one of a page: so many are held for it.
pub(super) const DEEPEST: u64 = 20_000;
/// Characters of a text.
const LONGEST: usize = 256;

/// A query being read. What it has beside what is read is ignored, as is what is empty.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

/// Which page, of instances on which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) page: u64,
    pub(super) page_size: u64,
    pub(super) channel: Option<ChannelType>,
}

impl Paging {
    /// Rows before the page.
    pub(super) fn skip(&self) -> u64 {
        (self.page - 1) * self.page_size
    }
}

impl Query {
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
        Self { pairs, errors: Vec::new() }
    }

    /// `page`, `page_size` and `channel_type`.
    pub(super) fn paging(&mut self) -> Paging {
        let page = self.number("page", 1, u64::from(u32::MAX)).unwrap_or(1);
        let page_size = self.number("page_size", 1, LARGEST_PAGE).unwrap_or(DEFAULT_SIZE);
        if page * page_size > DEEPEST {
            self.wrong("page", format!("must end within the first {DEEPEST} rows: narrow the list instead"));
        }
        Paging { page, page_size, channel: self.channel() }
    }

    /// `channel_type`.
    pub(super) fn channel(&mut self) -> Option<ChannelType> {
        self.one_of("channel_type", &["whatsapp", "discord", "slack"]).and_then(ChannelType::parse)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.given(name)?.to_owned();
        if text.chars().count() > LONGEST {
            self.wrong(name, format!("must have at most {LONGEST} characters"));
        }
        Some(text)
    }

    /// A text that is one of these words.
    pub(super) fn one_of(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.given(name)?;
        let known = words.iter().copied().find(|word| *word == text);
        if known.is_none() {
            self.wrong(name, format!("must be one of {}", words.join(", ")));
        }
        known
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.given(name)?.to_ascii_lowercase().as_str() {
            "true" | "1" => return Some(true),
            "false" | "0" => return Some(false),
            _ => self.wrong(name, "must be true or false".to_owned()),
        }
        None
    }

    /// Ends the reading.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(invalid(self.errors)) }
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let number = self.given(name)?.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(name, format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    /// Of one that is given twice the last.
    fn given(&self, name: &str) -> Option<&str> {
        let text = self.pairs.iter().rev().find(|(given, _)| given == name)?.1.trim();
        (!text.is_empty()).then_some(text)
    }

    fn wrong(&mut self, name: &str, message: String) {
        self.errors.push(FieldError { field: name.to_owned(), message });
    }
}
