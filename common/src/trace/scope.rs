//! Whose traces a reader may see.
//!
//! Every read names its scope, so that a query cannot forget its tenant: the compiler asks for
//! one where a `WHERE` clause would only be missed.

use crate::instance::InstanceName;

/// Proof that the reader may see every tenant.
///
/// Only the admin API makes one, at the one place where it has checked the admin key; nothing
/// else in the hub has a reason to.
#[derive(Clone, Copy, Debug)]
pub struct Everyone(());

impl Everyone {
    /// For a caller who has shown the admin key. Search for this name to review who may see all.
    #[must_use]
    pub fn for_admin() -> Self {
        Self(())
    }
}

/// The tenants that a read is limited to.
#[derive(Clone, Debug)]
pub enum Scope {
    /// One instance: the rows of others do not exist for this reader.
    One(InstanceName),
    /// All of them.
    Everyone(Everyone),
}
