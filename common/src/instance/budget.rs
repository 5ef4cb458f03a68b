//! What an instance may spend: turns per minute and per day, and tokens per day.
//!
//! Pure: [`Usage`] is what was spent, and decides. What was spent is kept in a table, see
//! [`Budgets`](super::Budgets). Minutes and days are those of UTC.

use std::ops::RangeInclusive;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The budgets of an instance; unset = any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetSettings {
    /// How many turns may begin within a minute.
    pub turns_per_minute: Option<u32>,
    /// How many turns may begin on a day.
    pub turns_per_day: Option<u32>,
    /// How many tokens may be used on a day, as far as the agents name them.
    pub tokens_per_day: Option<u32>,
}

impl BudgetSettings {
    /// What each of them may be.
    pub const RANGE: RangeInclusive<u64> = 1..=2_000_000_000;

    /// Whether anything is limited.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// A change of [`BudgetSettings`]; `None` keeps.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of `BudgetSettings`, described there")]
pub struct BudgetPatch {
    pub turns_per_minute: Option<Option<u32>>,
    pub turns_per_day: Option<Option<u32>>,
    pub tokens_per_day: Option<Option<u32>>,
}

impl BudgetPatch {
    /// Changes the settings.
    pub fn apply(self, settings: &mut BudgetSettings) {
        settings.turns_per_minute = self.turns_per_minute.unwrap_or(settings.turns_per_minute);
        settings.turns_per_day = self.turns_per_day.unwrap_or(settings.turns_per_day);
        settings.tokens_per_day = self.tokens_per_day.unwrap_or(settings.tokens_per_day);
    }
}

/// A budget that is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The minute's turns.
    TurnsOfMinute,
    /// The day's turns.
    TurnsOfDay,
    /// The day's tokens.
    TokensOfDay,
}

impl Spent {
    /// The reason of a message that gets no answer for it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TurnsOfMinute => "turn_budget_minute",
            Self::TurnsOfDay => "turn_budget_day",
            Self::TokensOfDay => "token_budget_day",
        }
    }
}

/// What an instance has spent, in the minute and on the day of which it was counted last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Minutes since 1970.
    pub(super) minute: i64,
    pub(super) minute_turns: i64,
    /// Days since 1970.
    pub(super) day: i64,
    pub(super) day_turns: i64,
    pub(super) day_tokens: i64,
}

impl Usage {
    /// The same at a moment, in milliseconds since 1970: a new minute and a new day begin with
    /// nothing. A clock that is a little behind the one that counted last counts in its minute.
    pub(super) fn at(mut self, now: i64) -> Self {
        let (minute, day) = (now.div_euclid(MINUTE_MS), now.div_euclid(DAY_MS));
        if minute > self.minute {
            (self.minute, self.minute_turns) = (minute, 0);
        }
        if day > self.day {
            (self.day, self.day_turns, self.day_tokens) = (day, 0, 0);
        }
        self
    }

    /// With one turn more, where the budgets have room for it.
    pub(super) fn with_turn(self, budgets: &BudgetSettings) -> Result<Self, Spent> {
        let is_spent = |budget: Option<u32>, used: i64| budget.is_some_and(|budget| used >= i64::from(budget));
        if is_spent(budgets.turns_per_day, self.day_turns) {
            return Err(Spent::TurnsOfDay);
        }
        if is_spent(budgets.tokens_per_day, self.day_tokens) {
            return Err(Spent::TokensOfDay);
        }
        if is_spent(budgets.turns_per_minute, self.minute_turns) {
            return Err(Spent::TurnsOfMinute);
        }
        Ok(Self { minute_turns: self.minute_turns + 1, day_turns: self.day_turns + 1, ..self })
    }

    /// With so many tokens more.
    pub(super) fn with_tokens(self, tokens: i64) -> Self {
        Self { day_tokens: self.day_tokens.saturating_add(tokens.max(0)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_is_whole_again_with_the_next_minute_and_day() {
        let budgets = BudgetSettings { turns_per_minute: Some(2), turns_per_day: Some(3), tokens_per_day: None };
        let turn = |usage: Usage, now| usage.at(now).with_turn(&budgets);
        let two = turn(turn(Usage::default(), 0).unwrap(), MINUTE_MS - 1).unwrap();
        assert_eq!(turn(two, MINUTE_MS - 1), Err(Spent::TurnsOfMinute));
        let three = turn(two, MINUTE_MS).unwrap();
        assert_eq!((three.minute_turns, three.day_turns), (1, 3));
        assert_eq!(turn(three, MINUTE_MS), Err(Spent::TurnsOfDay));
        assert_eq!(turn(three, DAY_MS).unwrap().day_turns, 1);
        assert_eq!(turn(three, 0), Err(Spent::TurnsOfDay), "a clock that is behind begins no new day");
    }

    #[test]
    fn tokens_count_once_they_are_used() {
        let budgets = BudgetSettings { tokens_per_day: Some(100), ..BudgetSettings::default() };
        let used = Usage::default().with_turn(&budgets).unwrap().with_tokens(99).with_tokens(-5);
        assert!(used.with_turn(&budgets).is_ok(), "one token is left");
        assert_eq!(used.with_tokens(1).with_turn(&budgets), Err(Spent::TokensOfDay));
        assert!(used.with_tokens(1).at(DAY_MS).with_turn(&budgets).is_ok());
        assert!(budgets.is_any() && !BudgetSettings::default().is_any());
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name() {
        let mut settings = BudgetSettings { turns_per_day: Some(5), ..BudgetSettings::default() };
        BudgetPatch { tokens_per_day: Some(Some(9)), ..BudgetPatch::default() }.apply(&mut settings);
        BudgetPatch { turns_per_minute: Some(None), ..BudgetPatch::default() }.apply(&mut settings);
        let expected = BudgetSettings { turns_per_minute: None, turns_per_day: Some(5), tokens_per_day: Some(9) };
        assert_eq!(settings, expected);
    }
}
