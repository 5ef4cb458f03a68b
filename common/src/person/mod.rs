//! The people who write to an instance: what the hub and its operators know of them.
//!
//! [`People`] is the table `users`, one row per instance and phone number, with the other names
//! that a person goes by (`user_external_ids`). The recorder writes a row when somebody is first
//! answered; operators add what the agent should know. [`Profiles`] is what a worker asks before it
//! asks the agent. [`erase`] forgets somebody.
//!
//! What this is not for: who is answered at all is told by [`crate::access`].

mod answered;
mod entity;
mod erasure;
mod import;
mod people;
mod profile;

pub(crate) use answered::note_answered;
pub use erasure::{Erased, Whom, erase, masked, tracks};
pub use import::{ImportCounts, ImportMode, NewPerson};
pub use people::{ExternalId, LinkError, People, PersonFilter, PersonPatch, User};
pub use profile::{Profile, Profiles};

/// A phone number as `users` keeps it: with its plus.
pub(crate) fn with_plus(phone: &str) -> String {
    format!("+{}", crate::trace::bare_phone(phone))
}
