//! On which instances a key may be used.

use std::collections::BTreeSet;

/// The instances that somebody may see and change. To them there are no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All, and the hub itself.
    Everyone,
    /// These, by name; rows go with their instance, so a name here is always the instance it was
    /// given for.
    Only(BTreeSet<String>),
}

impl Reach {
    /// Whether an instance is among them.
    #[must_use]
    pub fn includes(&self, instance: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(names) => names.contains(instance),
        }
    }

    /// The names, when not everyone is meant: what a query is narrowed to.
    #[must_use]
    pub fn names(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Everyone => None,
            Self::Only(names) => Some(names),
        }
    }
}
