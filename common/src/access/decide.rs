//! Whether somebody is answered: pure.

use std::{collections::HashMap, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Pattern, pattern::is_number};
use crate::channel::Person;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Who is meant is answered.
    Allow,
    /// Who is meant is not.
    Block,
}

impl Action {
    /// The word in rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }
}

/// A word that is no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be allow or block")]
pub struct NotAnAction;

impl FromStr for Action {
    type Err = NotAnAction;

    fn from_str(word: &str) -> Result<Self, NotAnAction> {
        [Self::Allow, Self::Block].into_iter().find(|action| action.as_str() == word).ok_or(NotAnAction)
    }
}

/// A rule as it is weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Its row id.
    pub rule: i64,
    /// What it does.
    pub action: Action,
    /// How much of the name it spells out.
    pub length: usize,
}

impl Weight {
    /// The longer one; of two as long, the one that allows, and of two alike the older one.
    fn or(self, other: Self) -> Self {
        let rank = |weight: &Self| (weight.length, weight.action == Action::Allow, std::cmp::Reverse(weight.rule));
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// The rules of one instance, or those for all, in an order in which they are found at once: a
/// name is looked up whole and by its beginnings, however many rules there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    whole: HashMap<String, Weight>,
    beginnings: HashMap<String, Weight>,
}

impl RuleSet {
    /// Adds a rule.
    pub fn add(&mut self, rule: i64, pattern: &Pattern, action: Action) {
        let weight = Weight { rule, action, length: pattern.text().len() };
        let place = if pattern.is_prefix() { &mut self.beginnings } else { &mut self.whole };
        place.entry(pattern.text().to_owned()).and_modify(|present| *present = present.or(weight)).or_insert(weight);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty()
    }

    /// The rule that says most about somebody with these names.
    #[must_use]
    pub fn heaviest(&self, names: &[&str]) -> Option<Weight> {
        // The bare star means everybody, also those without a name.
        let mut found = self.beginnings.get("").copied();
        let mut weigh = |weight: Option<&Weight>| {
            if let Some(weight) = weight {
                found = Some(found.map_or(*weight, |best| best.or(*weight)));
            }
        };
        for name in names {
            weigh(self.whole.get(*name));
            if is_number(name) {
                // Digits are one byte each.
                (1..=name.len()).for_each(|end| weigh(self.beginnings.get(&name[..end])));
            }
        }
        found
    }
}

/// What the rules say of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether they are answered.
    pub action: Action,
    /// The rule that says so; none when there is none about them.
    pub by: Option<Weight>,
    /// Whether that is a rule for all instances.
    pub global: bool,
}

impl Decision {
    /// Whether they meet silence.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.action == Action::Block
    }
}

/// Decides about somebody: a rule of the instance before one for all, no rule allows.
#[must_use]
pub fn decide(own: &RuleSet, global: &RuleSet, names: &[&str]) -> Decision {
    let found = own.heaviest(names).map(|weight| (weight, false));
    match found.or_else(|| global.heaviest(names).map(|weight| (weight, true))) {
        Some((weight, global)) => Decision { action: weight.action, by: Some(weight), global },
        None => Decision { action: Action::Allow, by: None, global: false },
    }
}

/// Every name that a rule may call a person by: the phone in digits, and the channel's ids.
#[must_use]
pub fn names_of(person: &Person) -> Vec<&str> {
    let names = [person.phone.as_deref(), Some(person.id.as_str()), person.alt_id.as_deref()];
    names.into_iter().flatten().filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Written<'a> = &'a [(&'a str, Action)];
    use Action::{Allow, Block};

    fn set(rules: Written<'_>) -> RuleSet {
        let mut set = RuleSet::default();
        for (id, (pattern, action)) in rules.iter().enumerate() {
            set.add(id as i64, &Pattern::parse(pattern).unwrap(), *action);
        }
        set
    }

    fn says(own: Written<'_>, global: Written<'_>, names: &[&str]) -> Action {
        decide(&set(own), &set(global), names).action
    }

    #[test]
    fn nobody_is_blocked_without_a_rule() {
        assert_eq!(says(&[], &[], &["5511"]), Allow);
        assert_eq!(says(&[("4422", Block)], &[("1*", Block)], &["5511"]), Allow);
    }

    #[test]
    fn the_instance_comes_before_the_hub_however_short_its_match() {
        assert_eq!(says(&[("*", Allow)], &[("5511", Block)], &["5511"]), Allow);
        assert_eq!(says(&[("*", Block)], &[("5511", Allow)], &["5511"]), Block);
        assert_eq!(says(&[("4*", Allow)], &[("5511", Block)], &["5511"]), Block);
    }

    #[test]
    fn the_longest_match_wins_and_ties_allow() {
        assert_eq!(says(&[("55*", Block), ("5511*", Allow)], &[], &["551199"]), Allow);
        assert_eq!(says(&[("55*", Block), ("5511*", Allow)], &[], &["552199"]), Block);
        assert_eq!(says(&[("*", Block), ("5511987654321", Allow)], &[], &["5511987654321"]), Allow);
        for rules in [[("5511", Block), ("5511*", Allow)], [("5511*", Block), ("5511", Allow)]] {
            assert_eq!(says(&rules, &[], &["5511"]), Allow);
        }
    }

    #[test]
    fn a_person_is_found_by_any_of_their_names() {
        let person = Person { id: "9@lid".into(), phone: Some("5511".into()), ..Person::default() };
        assert_eq!(names_of(&person), ["5511", "9@lid"]);
        assert_eq!(says(&[("9@lid", Block)], &[], &names_of(&person)), Block);
        assert_eq!(says(&[("55*", Block)], &[], &names_of(&person)), Block);
        assert_eq!(says(&[("*", Block)], &[], &[]), Block, "somebody without a name");
        assert_eq!(says(&[("9*", Block)], &[], &["9@lid"]), Allow);
    }

    /// The same, rule by rule, as one would say it.
    fn slowly(rules: &[(String, Action)], names: &[&str]) -> Option<Action> {
        let patterns = rules.iter().map(|(written, action)| (Pattern::parse(written).unwrap(), *action));
        let hits: Vec<(usize, Action)> = patterns
            .filter(|(pattern, _)| names.iter().any(|name| pattern.matches(name)) || pattern.to_string() == "*")
            .map(|(pattern, action)| (pattern.text().len(), action))
            .collect();
        let longest = hits.iter().map(|(length, _)| *length).max()?;
        let allowed = hits.contains(&(longest, Allow));
        Some(if allowed { Allow } else { Block })
    }

    fn rules() -> impl Strategy<Value = Vec<(String, Action)>> {
        let action = prop_oneof![Just(Allow), Just(Block)];
        proptest::collection::vec(("[12]{0,4}\\*|[12]{1,4}|[12]{1,2}@lid", action), 0..8)
    }

    proptest! {
        #[test]
        fn it_is_what_weighing_each_rule_gives(
            own in rules(),
            global in rules(),
            names in proptest::collection::vec("[12]{1,5}|[12]{1,2}@lid", 0..3),
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let written = |rules: &[(String, Action)]| {
                let rules: Vec<(&str, Action)> = rules.iter().map(|(text, action)| (text.as_str(), *action)).collect();
                set(&rules)
            };
            let expected = slowly(&own, &names).or_else(|| slowly(&global, &names)).unwrap_or(Allow);
            let decided = decide(&written(&own), &written(&global), &names);
            prop_assert_eq!(decided.action, expected);
            // The order in which rules were made says nothing.
            let turned: Vec<_> = own.iter().rev().cloned().collect();
            prop_assert_eq!(decide(&written(&turned), &written(&global), &names).action, expected);
        }
    }
}
