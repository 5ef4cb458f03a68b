//! How an instance's messages become turns: gathering, overlap, and how many may wait.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

/// What happens to messages that arrive while a turn of their conversation runs (`overlap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// They wait and get a turn each (or one per gathered prefix).
    #[default]
    Queue,
    /// The next turn takes all that waited.
    Merge,
    /// While the agent is being asked, the question is withdrawn and asked again with the new
    /// messages, for at most `debounce_max_ms` after the first; once bubbles go out it is
    /// [`Overlap::Queue`].
    Supersede,
}

impl Overlap {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Merge, Self::Supersede];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Merge => "merge",
            Self::Supersede => "supersede",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|overlap| overlap.as_str() == word)
    }
}

/// What an edit does that comes when its message is no longer waited for (`on_edit`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEdit {
    /// Nothing.
    #[default]
    Ignore,
    /// It is answered like a new message.
    NewTurn,
}

impl OnEdit {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ignore, Self::NewTurn];

    /// The word used in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::NewTurn => "new_turn",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on_edit| on_edit.as_str() == word)
    }
}

/// How messages become turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnSettings {
    /// Messages of a conversation that follow each other within this many milliseconds become one
    /// turn; 0 = each message is one.
    pub debounce_ms: u32,
    /// No message waits longer than this many milliseconds for others to follow. A smaller number
    /// than `debounce_ms` counts as `debounce_ms`.
    pub debounce_max_ms: u32,
    /// What happens to messages that arrive while a turn runs.
    pub overlap: Overlap,
    /// How many accepted messages of the instance may wait; beyond it its webhooks get 503. Unset
    /// = the hub's `OMNIHUB_INSTANCE_BACKLOG`.
    pub max_backlog: Option<u32>,
    /// How many turns a conversation gets for the messages of a minute; beyond it they are ignored,
    /// so that two bots cannot answer each other for ever. 0 = no limit.
    pub turns_per_minute: u32,
    /// What an edit does that comes too late to change the question.
    pub on_edit: OnEdit,
}

impl TurnSettings {
    /// What `debounce_ms` may be.
    pub const DEBOUNCE_MS: RangeInclusive<u64> = 0..=120_000;
    /// What `debounce_max_ms` may be.
    pub const DEBOUNCE_MAX_MS: RangeInclusive<u64> = 0..=600_000;
    /// What `max_backlog` may be.
    pub const MAX_BACKLOG: RangeInclusive<u64> = 1..=10_000_000;
    /// What `turns_per_minute` may be.
    pub const TURNS_PER_MINUTE: RangeInclusive<u64> = 0..=1_000;

    /// How long a message waits for the next one.
    #[must_use]
    pub fn debounce(&self) -> Duration {
        Duration::from_millis(self.debounce_ms.into())
    }

    /// How long the first of several waits at most.
    #[must_use]
    pub fn debounce_max(&self) -> Duration {
        Duration::from_millis(self.debounce_max_ms.max(self.debounce_ms).into())
    }
}

impl Default for TurnSettings {
    /// Each message is a turn of its own.
    fn default() -> Self {
        Self {
            debounce_ms: 0,
            debounce_max_ms: 10_000,
            overlap: Overlap::Queue,
            max_backlog: None,
            turns_per_minute: 20,
            on_edit: OnEdit::Ignore,
        }
    }
}

/// A change of [`TurnSettings`]; `None` keeps.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `TurnSettings`, described there")]
pub struct TurnPatch {
    pub debounce_ms: Option<u32>,
    pub debounce_max_ms: Option<u32>,
    pub overlap: Option<Overlap>,
    pub max_backlog: Option<Option<u32>>,
    pub turns_per_minute: Option<u32>,
    pub on_edit: Option<OnEdit>,
}

impl TurnPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut TurnSettings) {
        settings.debounce_ms = self.debounce_ms.unwrap_or(settings.debounce_ms);
        settings.debounce_max_ms = self.debounce_max_ms.unwrap_or(settings.debounce_max_ms);
        settings.overlap = self.overlap.unwrap_or(settings.overlap);
        settings.max_backlog = self.max_backlog.unwrap_or(settings.max_backlog);
        settings.turns_per_minute = self.turns_per_minute.unwrap_or(settings.turns_per_minute);
        settings.on_edit = self.on_edit.unwrap_or(settings.on_edit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_keeps_what_it_does_not_name_and_the_longest_wait_is_never_the_shorter_one() {
        let mut settings = TurnSettings { max_backlog: Some(5), ..TurnSettings::default() };
        TurnPatch { debounce_ms: Some(20_000), ..TurnPatch::default() }.apply(&mut settings);
        assert_eq!((settings.debounce_ms, settings.max_backlog), (20_000, Some(5)));
        assert_eq!(settings.debounce_max(), Duration::from_secs(20));
        TurnPatch { max_backlog: Some(None), overlap: Some(Overlap::Merge), ..TurnPatch::default() }
            .apply(&mut settings);
        assert_eq!((settings.overlap, settings.max_backlog), (Overlap::Merge, None));
        assert_eq!(Overlap::ALL.map(|overlap| Overlap::parse(overlap.as_str())), Overlap::ALL.map(Some));
    }
}
