//! The process environment over a `.env` file.

use std::collections::HashMap;

use super::Settings;

/// The real environment, and below it the `.env` file of the working folder.
#[derive(Clone, Debug, Default)]
pub struct ProcessSettings {
    file: HashMap<String, String>,
}

impl Settings for ProcessSettings {
    fn get(&self, name: &str) -> Option<String> {
        let real = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        real.or_else(|| Settings::get(&self.file, name))
    }
}
