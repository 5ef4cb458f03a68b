//! Which answers mention the person who asked.

use serde::{Deserialize, Serialize};

/// Whom the first bubble of an answer in a group mentions (`mention_in_groups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MentionInGroups {
    /// Nobody.
    #[default]
    Off,
    /// Whoever wrote the message that it answers.
    Sender,
}

impl MentionInGroups {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Off, Self::Sender];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Sender => "sender",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|whom| whom.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_back() {
        let words = MentionInGroups::ALL.map(MentionInGroups::as_str);
        assert_eq!(words.map(MentionInGroups::parse), MentionInGroups::ALL.map(Some));
        assert_eq!(MentionInGroups::parse("everybody"), None);
    }
}
