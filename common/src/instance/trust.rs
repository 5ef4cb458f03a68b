//! How long an answer of the directory may be given again: decisions without I/O.
//!
//! Everything that happens gets a number. An answer carries the number that stood when its read
//! began, so that a change that came while it was being read makes it outdated too.

use std::{collections::HashMap, sync::Arc};

use super::{Instance, Lookup};

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Something in it has changed since.
    Nothing,
    /// Nobody would have told of a change.
    Briefly,
    /// A change would have been told.
    Long,
}

/// What is known of changes, and whether they are being told.
#[derive(Debug, Default)]
pub(super) struct Trust {
    now: u64,
    watched_since: Option<u64>,
    changed: HashMap<i64, u64>,
    last_change: u64,
}

impl Trust {
    /// The number for a read that begins now.
    pub(super) fn stamp(&self) -> u64 {
        self.now
    }

    /// From here on every change is told.
    pub(super) fn watching(&mut self) {
        self.now += 1;
        self.watched_since = Some(self.now);
        // Whatever is older is outdated by that alone.
        self.changed.clear();
    }

    /// From here on a change may go unnoticed.
    pub(super) fn blind(&mut self) {
        self.watched_since = None;
    }

    /// Whether changes are being told.
    pub(super) fn is_watching(&self) -> bool {
        self.watched_since.is_some()
    }

    /// An instance was made, changed or deleted.
    pub(super) fn changed(&mut self, instance: i64) {
        self.now += 1;
        self.changed.insert(instance, self.now);
        self.last_change = self.now;
    }

    /// What something else is worth that belongs to one instance (or, under a row id that none has,
    /// to the whole hub) and was read under `stamp`.
    pub(super) fn worth_of(&self, instance: i64, stamp: u64) -> Worth {
        let unwatched = self.watched_since.is_some_and(|since| stamp < since);
        if unwatched || self.changed.get(&instance).is_some_and(|at| *at > stamp) {
            return Worth::Nothing;
        }
        if self.is_watching() { Worth::Long } else { Worth::Briefly }
    }

    /// What an answer is worth that was read under `stamp`.
    pub(super) fn worth(&self, lookup: &Lookup, found: &[Arc<Instance>], stamp: u64) -> Worth {
        if self.watched_since.is_some_and(|since| stamp < since) {
            // It may have changed before anybody told.
            return Worth::Nothing;
        }
        let outdated = match lookup {
            // Any instance may have become the default, or be one more of a name.
            Lookup::Default | Lookup::WhatsappInstance(_) => self.last_change > stamp,
            // What was not there may have been made.
            Lookup::Name(_) | Lookup::Id(_) if found.is_empty() => self.last_change > stamp,
            Lookup::Name(_) | Lookup::Id(_) => {
                found.iter().any(|instance| self.changed.get(&instance.id).is_some_and(|at| *at > stamp))
            }
        };
        if outdated {
            return Worth::Nothing;
        }
        // Strangers can ask for any number of names, and nobody announces what does not exist.
        if self.is_watching() && !found.is_empty() { Worth::Long } else { Worth::Briefly }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::testing::instance;

    fn of(id: i64) -> Vec<Arc<Instance>> {
        vec![Arc::new(Instance { id, ..instance("a") })]
    }

    #[test]
    fn only_what_was_read_while_watching_is_trusted_for_long() {
        let mut trust = Trust::default();
        let (lookup, found) = (Lookup::Id(1), of(1));
        let before = trust.stamp();
        assert_eq!(trust.worth(&lookup, &found, before), Worth::Briefly);
        trust.watching();
        assert_eq!(trust.worth(&lookup, &found, before), Worth::Nothing, "read before the watch began");
        let during = trust.stamp();
        assert_eq!(trust.worth(&lookup, &found, during), Worth::Long);
        trust.blind();
        assert_eq!(trust.worth(&lookup, &found, during), Worth::Briefly);
        trust.watching();
        assert_eq!(trust.worth(&lookup, &found, during), Worth::Nothing, "the watch was broken in between");
    }

    #[test]
    fn a_change_outdates_its_instance_and_what_any_instance_could_answer() {
        let mut trust = Trust::default();
        trust.watching();
        let stamp = trust.stamp();
        trust.changed(1);
        let name = |name: &str| Lookup::Name(name.to_owned());
        assert_eq!(trust.worth(&name("a"), &of(1), stamp), Worth::Nothing);
        assert_eq!(trust.worth(&Lookup::Id(1), &of(1), stamp), Worth::Nothing);
        assert_eq!(trust.worth(&Lookup::Id(2), &of(2), stamp), Worth::Long, "of another instance");
        assert_eq!(trust.worth(&Lookup::Default, &of(2), stamp), Worth::Nothing);
        assert_eq!(trust.worth(&Lookup::WhatsappInstance("w".to_owned()), &of(2), stamp), Worth::Nothing);
        assert_eq!(trust.worth(&name("b"), &[], stamp), Worth::Nothing, "it may have been made");
        let after = trust.stamp();
        assert_eq!(trust.worth(&Lookup::Id(1), &of(1), after), Worth::Long);
        assert_eq!(trust.worth(&name("b"), &[], after), Worth::Briefly, "what is not there is asked for again");
    }

    #[test]
    fn a_read_that_a_change_overtook_is_outdated() {
        let mut trust = Trust::default();
        trust.watching();
        let begun = trust.stamp();
        trust.changed(7);
        trust.changed(8);
        assert_eq!(trust.worth(&Lookup::Id(7), &of(7), begun), Worth::Nothing);
    }
}
