//! The database connection.
