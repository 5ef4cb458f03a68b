//! The admin key.
