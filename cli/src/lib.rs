//! The `omnihub` program: the hub in one process, its parts, and the commands of an operator.
//!
//! What is absent: management commands speak to the admin API, as any other client does; they
//! know neither SQL nor NATS.

pub mod api;
pub mod instance;
