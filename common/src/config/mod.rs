//! Settings: read through a map-shaped trait, one section per room, errors that name the
//! setting and never its value.

mod dotenv;
mod section;

use std::collections::HashMap;

pub use dotenv::ProcessSettings;
pub use section::{DataFolder, DatabaseSettings, HttpSettings, LogFormat, LogSettings, NatsSettings};

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
