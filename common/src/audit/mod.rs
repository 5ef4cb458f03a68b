//! Who changed what: one line per change, written in the transaction that makes it.
//!
//! A line keeps what was before and after, with every secret masked. Lines are never changed, and
//! stay when the key or the instance that they name is gone.

mod entity;
mod log;

pub use log::{AuditFilter, AuditLog, Change, Entry, record};
