//! When a person answers from the paired phone: for how long the bot is silent, and how it comes back.

use std::ops::RangeInclusive;

/// What a message does that somebody wrote on the paired phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeoverSettings {
    /// The bot is silent in the conversation for so many minutes after it; 0 = such messages change
    /// nothing.
    pub minutes: u32,
    /// Written on the phone, alone in a message, it lets the bot answer again.
    pub resume_keyword: Option<String>,
}

impl TakeoverSettings {
    /// What `takeover_minutes` may be: up to a week.
    pub const MINUTES: RangeInclusive<u64> = 0..=10_080;

    /// Whether messages from the phone matter at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.minutes > 0
    }

    /// Whether a text is the word that ends a takeover, in whatever case.
    #[must_use]
    pub fn is_resume(&self, text: &str) -> bool {
        let keyword = self.resume_keyword.as_deref().map(str::trim).filter(|keyword| !keyword.is_empty());
        keyword.is_some_and(|keyword| keyword.to_lowercase() == text.trim().to_lowercase())
    }
}

impl Default for TakeoverSettings {
    /// Half an hour, and no word that ends it.
    fn default() -> Self {
        Self { minutes: 30, resume_keyword: None }
    }
}

/// A change of [`TakeoverSettings`]; `None` keeps.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `TakeoverSettings`, described there")]
pub struct TakeoverPatch {
    pub minutes: Option<u32>,
    pub resume_keyword: Option<Option<String>>,
}

impl TakeoverPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut TakeoverSettings) {
        settings.minutes = self.minutes.unwrap_or(settings.minutes);
        if let Some(keyword) = self.resume_keyword {
            settings.resume_keyword = keyword;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_alone_resumes_and_a_blank_one_is_none() {
        let with = |keyword: &str| TakeoverSettings {
            resume_keyword: Some(keyword.to_owned()),
            ..TakeoverSettings::default()
        };
        assert!(with("#Bot").is_resume(" #bOT\n") && with("ÇA VA").is_resume("ça va"));
        assert!(!with("#bot").is_resume("ask the #bot"));
        assert!(!with(" ").is_resume(" ") && !TakeoverSettings::default().is_resume(""));
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name() {
        let mut settings = TakeoverSettings::default();
        TakeoverPatch { resume_keyword: Some(Some("#bot".to_owned())), minutes: None }.apply(&mut settings);
        assert_eq!((settings.minutes, settings.resume_keyword.as_deref()), (30, Some("#bot")));
        TakeoverPatch { minutes: Some(0), resume_keyword: Some(None) }.apply(&mut settings);
        assert!(!settings.is_on() && settings.resume_keyword.is_none());
    }
}
