//! Values of arguments, and how they come into a body.

use std::convert::Infallible;

use omnihub_common::secret::Secret;
use serde_json::{Map, Value};

/// Puts a secret into a body, if there is one.
pub(super) fn put(body: &mut Map<String, Value>, name: &str, value: Option<&Secret>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.expose().into());
    }
}

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// Reads a secret.
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
