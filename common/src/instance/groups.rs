//! How an instance behaves in groups: when it answers, and what a conversation is there.

use serde::{Deserialize, Serialize};

/// When the bot answers in a group (`group_trigger`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupTrigger {
    /// Never.
    Never,
    /// When it is mentioned, or one of its messages is replied to.
    #[default]
    Mention,
    /// The same, and when a message has one of the instance's keywords.
    Keyword,
    /// Whatever is said.
    Always,
}

impl GroupTrigger {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Never, Self::Mention, Self::Keyword, Self::Always];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Mention => "mention",
            Self::Keyword => "keyword",
            Self::Always => "always",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }
}

/// What one conversation is in a group (`group_session`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSession {
    /// The group: everybody in it talks with the bot in one conversation, one turn after the other.
    #[default]
    Group,
    /// Each member's messages: `{instance}_{group}_{phone}`.
    User,
}

impl GroupSession {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Group, Self::User];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::User => "user",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|session| session.as_str() == word)
    }
}

/// How an instance behaves in groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// When it answers.
    pub trigger: GroupTrigger,
    /// The words of [`GroupTrigger::Keyword`].
    pub keywords: Vec<String>,
    /// What a conversation is.
    pub session: GroupSession,
}

impl GroupSettings {
    /// How many keywords there may be.
    pub const MOST_KEYWORDS: usize = 50;
    /// How many characters one may have.
    pub const LONGEST_KEYWORD: usize = 100;

    /// Whether a text has one of the keywords, as words of their own and in any case.
    #[must_use]
    pub fn has_keyword(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.keywords.iter().any(|keyword| has_word(&text, &keyword.to_lowercase()))
    }
}

/// Whether `word` stands in `text` with no letter or digit beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    !word.is_empty()
        && text.match_indices(word).any(|(start, found)| {
            let (before, after) = (&text[..start], &text[start + found.len()..]);
            let begins = !is_word(before.chars().next_back()) || !is_word(word.chars().next());
            let ends = !is_word(after.chars().next()) || !is_word(word.chars().next_back());
            begins && ends
        })
}

/// A change of [`GroupSettings`]; `None` keeps.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `GroupSettings`, described there")]
pub struct GroupPatch {
    pub trigger: Option<GroupTrigger>,
    pub keywords: Option<Vec<String>>,
    pub session: Option<GroupSession>,
}

impl GroupPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut GroupSettings) {
        settings.trigger = self.trigger.unwrap_or(settings.trigger);
        settings.session = self.session.unwrap_or(settings.session);
        if let Some(keywords) = self.keywords {
            settings.keywords = keywords;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_a_word_of_its_own_in_any_case() {
        let with = |keywords: &[&str]| GroupSettings {
            keywords: keywords.iter().map(|&word| word.to_owned()).collect(),
            ..GroupSettings::default()
        };
        for (keyword, text, expected) in [
            ("preço", "Qual o PREÇO?", true),
            ("bot", "robots", false),
            ("bot", "hey,bot!", true),
            ("!bot", "please !bot help", true),
            ("!bot", "x!bot", true),
            ("!bot", "!bots", false),
            ("bom dia", "Bom dia a todos", true),
            ("ok", "okok ok", true),
            ("é", "né", false),
        ] {
            assert_eq!(with(&[keyword]).has_keyword(text), expected, "{keyword} in {text}");
        }
        assert!(!with(&[]).has_keyword("anything"));
        assert!(with(&["a", "b"]).has_keyword("b"));
    }

    #[test]
    fn words_are_read_back() {
        assert_eq!(GroupTrigger::ALL.map(|one| GroupTrigger::parse(one.as_str())), GroupTrigger::ALL.map(Some));
        assert_eq!(GroupSession::ALL.map(|one| GroupSession::parse(one.as_str())), GroupSession::ALL.map(Some));
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name() {
        let mut settings = GroupSettings { keywords: vec!["bot".into()], ..GroupSettings::default() };
        GroupPatch { trigger: Some(GroupTrigger::Keyword), ..GroupPatch::default() }.apply(&mut settings);
        assert_eq!((settings.trigger, settings.keywords.len()), (GroupTrigger::Keyword, 1));
        GroupPatch { keywords: Some(Vec::new()), ..GroupPatch::default() }.apply(&mut settings);
        assert_eq!((settings.trigger, settings.keywords.len()), (GroupTrigger::Keyword, 0));
    }
}
