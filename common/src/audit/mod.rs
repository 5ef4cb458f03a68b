//! Who changed what: one line per change, written in the transaction that makes it.
//!
//! A line keeps what was before and after, with every secret masked. Lines are never changed, but
//! for a person who is erased, whom they forget; they stay when the key or the instance that they
//! name is gone.

mod entity;
mod log;

pub(crate) use log::forget;
pub use log::{AuditFilter, AuditLog, Change, Entry, record};
