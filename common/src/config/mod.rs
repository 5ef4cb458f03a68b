//! Settings: read through a map-shaped trait, one section per room, errors that name the
//! setting and never its value.
//!
//! The cast: [`ProcessSettings`] is the real environment over `.env`; [`DataFolder`] is where an
//! installation keeps what it makes; one section per room ([`DatabaseSettings`],
//! [`NatsSettings`], [`HttpSettings`], [`LogSettings`]) reads what that room needs and nothing
//! else.
//!
//! What is absent: no section knows another one, and nothing here is a global.

mod data_folder;
mod database;
mod dotenv;
mod http;
mod log;
mod nats;

use std::{collections::HashMap, ops::RangeInclusive, str::FromStr};

pub use data_folder::{DataFolder, replace_private, write_private};
pub use database::DatabaseSettings;
pub use dotenv::ProcessSettings;
pub use http::HttpSettings;
pub use log::{LogFormat, LogSettings};
pub use nats::{NatsLogin, NatsSettings};

/// Where settings come from: the process environment over `.env`, or a map in a test.
pub trait Settings: Send + Sync {
    /// The value of a setting; an empty or blank one counts as unset.
    fn get(&self, name: &str) -> Option<String>;
}

impl Settings for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).filter(|value| !value.trim().is_empty()).cloned()
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The setting has a value that cannot be read.
    #[error("setting {name}: {problem}")]
    Bad {
        /// The setting's name.
        name: &'static str,
        /// What is expected, without the value.
        problem: String,
    },
    /// The setting is needed and absent.
    #[error("setting {name} is missing: {remedy}")]
    Missing {
        /// The setting's name.
        name: &'static str,
        /// What to do.
        remedy: String,
    },
}

impl ConfigError {
    /// A [`ConfigError::Bad`].
    pub fn bad(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Bad { name, problem: problem.into() }
    }
}

/// Reads a whole number within a range, or its default when the setting is unset.
///
/// # Errors
/// When the setting is set and is no such number.
pub fn number_or(
    settings: &dyn Settings,
    name: &'static str,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, ConfigError> {
    let expected = format!("a number from {} to {}", range.start(), range.end());
    let number = parse_or(settings, name, default, &expected)?;
    if range.contains(&number) { Ok(number) } else { Err(ConfigError::bad(name, format!("expected {expected}"))) }
}

/// Reads a number (or anything else that parses), or its default when the setting is unset.
///
/// `expected` completes the sentence "expected ...", e.g. `a port from 0 to 65535`.
///
/// # Errors
/// When the setting is set and does not parse.
pub fn parse_or<T: FromStr>(
    settings: &dyn Settings,
    name: &'static str,
    default: T,
    expected: &str,
) -> Result<T, ConfigError> {
    match settings.get(name) {
        None => Ok(default),
        Some(value) => value.trim().parse().map_err(|_| ConfigError::bad(name, format!("expected {expected}"))),
    }
}
