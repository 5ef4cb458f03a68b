//! Access rules: who is answered, and who meets silence.
//!
//! The cast: a [`Pattern`] says whom a rule means, a [`RuleSet`] finds the rules about somebody,
//! [`decide`] weighs them; [`AccessRules`] is the table, and the [`Gate`] is what a worker
//! asks on every message.
//!
//! Rules of the instance come before those of the whole hub. Within one of the two the longest
//! match wins, and where two are as long, the one that allows. Nobody is blocked without a rule.
//!
//! What this is not for: who may use the admin API is told by [`crate::key`].

mod decide;
mod entity;
mod gate;
mod pattern;
mod repository;

pub use decide::{Action, Decision, RuleSet, Weight, decide, names_of};
pub use gate::{Gate, Passage};
pub use pattern::{Pattern, PatternError};
pub use repository::{AccessError, AccessRules, Imported, NewRule, Rule, RuleFilter, RulePatch};
