//! The admin API under `/api/v1`.

pub mod access;
pub mod instances;
pub mod traces;
