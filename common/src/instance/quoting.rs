//! Which answers quote the message that they answer.

use serde::{Deserialize, Serialize};

/// Whether the first bubble of an answer quotes the message that it answers (`quote_replies`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteReplies {
    /// Nowhere.
    #[default]
    Never,
    /// In groups, where others may have written meanwhile.
    Groups,
    /// Everywhere.
    Always,
}

impl QuoteReplies {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Never, Self::Groups, Self::Always];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Groups => "groups",
            Self::Always => "always",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quoting| quoting.as_str() == word)
    }

    /// Whether an answer in a group, or to one person, quotes.
    #[must_use]
    pub fn applies(self, is_group: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Groups => is_group,
            Self::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_back_and_says_where() {
        assert_eq!(QuoteReplies::ALL.map(|quoting| QuoteReplies::parse(quoting.as_str())), QuoteReplies::ALL.map(Some));
        let where_to = QuoteReplies::ALL.map(|quoting| (quoting.applies(false), quoting.applies(true)));
        assert_eq!(where_to, [(false, false), (false, true), (true, true)]);
    }
}
