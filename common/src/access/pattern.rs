//! Whom a rule means.

use std::fmt;

/// Characters that people write into phone numbers and that mean nothing.
const SEPARATORS: [char; 6] = [' ', '-', '(', ')', '.', '/'];
/// Characters of a pattern: more than any phone number or id of a channel has.
const MAX_LENGTH: usize = 128;

/// Whom a rule means: one phone number or id of a channel, or all numbers that begin with some
/// digits. Its text (`5511987654321`, `5511*`, `*`, `123@lid`) is what is stored and compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

/// Words that mean nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing is there.
    #[error("must be a phone number; * at its end stands for any more digits")]
    Empty,
    /// A star in the middle, or a letter in a number.
    #[error("must be digits with an optional + before and * behind, or a whole id of a channel such as 123@lid")]
    NotANumber,
    /// More than anybody has.
    #[error("must have at most {MAX_LENGTH} characters")]
    TooLong,
}

impl Pattern {
    /// Reads what somebody wrote: `+55 (11) 98765-4321`, `+5511*`, `*`, `123@lid`.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(written: &str) -> Result<Self, PatternError> {
        let written = written.trim();
        if written.chars().count() > MAX_LENGTH {
            return Err(PatternError::TooLong);
        }
        if written.contains('@') {
            return Self::of_id(written);
        }
        let (number, is_prefix) = match written.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (written, false),
        };
        let number = number.trim().trim_start_matches('+');
        let text: String = number.chars().filter(|c| !SEPARATORS.contains(c)).collect();
        if text.is_empty() && !is_prefix {
            return Err(PatternError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PatternError::NotANumber);
        }
        Ok(Self { text, is_prefix })
    }

    /// The bare star.
    #[must_use]
    pub fn everybody() -> Self {
        Self { text: String::new(), is_prefix: true }
    }

    fn of_id(id: &str) -> Result<Self, PatternError> {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '*';
        if id.chars().all(plain) {
            Ok(Self { text: id.to_owned(), is_prefix: false })
        } else {
            Err(PatternError::NotANumber)
        }
    }

    /// The digits or the id, without the star.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether more digits may follow.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether this name of a person is meant. Only numbers have beginnings: ids of channels are
    /// not counted up, so that two which begin alike have nothing in common.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.is_prefix {
            true => self.text.is_empty() || (is_number(name) && name.starts_with(&self.text)),
            false => self.text == name,
        }
    }
}

/// Whether a name is a number, of which a beginning means something.
pub(super) fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(written: &str) -> String {
        Pattern::parse(written).map_or_else(|error| format!("{error:?}"), |pattern| pattern.to_string())
    }

    #[test]
    fn one_number_has_many_spellings() {
        for written in ["5511987654321", "+5511987654321", " +55 (11) 98765-4321 ", "55.11.98765/4321"] {
            assert_eq!(pattern(written), "5511987654321");
        }
        assert_eq!(pattern("+55 11*"), "5511*");
        assert_eq!(pattern("*"), "*");
        assert_eq!(pattern("123456@lid"), "123456@lid");
    }

    #[test]
    fn what_means_nobody_is_refused() {
        for (written, why) in [
            ("", "Empty"),
            (" + ", "Empty"),
            ("55*11", "NotANumber"),
            ("**", "NotANumber"),
            ("maria", "NotANumber"),
            ("١٢٣", "NotANumber"),
            ("12*@lid", "NotANumber"),
            ("1\u{0}2@lid", "NotANumber"),
        ] {
            assert_eq!(pattern(written), why, "{written:?}");
        }
        assert_eq!(pattern(&"1".repeat(129)), "TooLong");
    }

    #[test]
    fn only_numbers_have_beginnings() {
        let matches = |written: &str, name: &str| Pattern::parse(written).unwrap().matches(name);
        assert!(matches("5511*", "5511987654321") && matches("5511*", "5511") && !matches("5511*", "551"));
        assert!(!matches("5511", "55119"));
        assert!(!matches("5511*", "5511@lid") && matches("5511@lid", "5511@lid"));
        assert!(matches("*", "5511@lid") && matches("*", ""));
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_back(written in "\\PC{0,40}|[+0-9 ()*@a-z.-]{0,20}") {
            if let Ok(read) = Pattern::parse(&written) {
                prop_assert_eq!(Pattern::parse(&read.to_string()), Ok(read));
            }
        }
    }
}
