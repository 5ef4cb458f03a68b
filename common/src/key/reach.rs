//! On which instances somebody may act.
//!
//! Every read and write that could meet several tenants names its reach, so that a query cannot
//! forget its tenant: the compiler asks for one where a `WHERE` clause would only be missed.

use std::collections::BTreeSet;

/// Proof that the whole hub is meant and may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Everyone(());

impl Everyone {
    /// For a caller who has shown a key that reaches every instance, and for the hub's own work.
    /// Search for this name to review who may see all.
    #[must_use]
    pub fn for_admin() -> Self {
        Self(())
    }
}

/// The instances that somebody may see and change. To them there are no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All, and the hub itself.
    Everyone(Everyone),
    /// These, by name. Whoever keeps such names lets them go with their instance, so that another
    /// instance of the same name is not meant.
    Only(BTreeSet<String>),
}

impl Reach {
    /// One instance.
    pub fn one(instance: impl Into<String>) -> Self {
        Self::Only(BTreeSet::from([instance.into()]))
    }

    /// Whether an instance is among them.
    #[must_use]
    pub fn includes(&self, instance: &str) -> bool {
        match self {
            Self::Everyone(_) => true,
            Self::Only(names) => names.contains(instance),
        }
    }

    /// The names, when not everyone is meant: what a query is narrowed to.
    #[must_use]
    pub fn names(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Everyone(_) => None,
            Self::Only(names) => Some(names),
        }
    }
}
