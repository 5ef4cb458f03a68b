//! Values on the command line of `omnihub instance`, and how they come into a body.

use std::convert::Infallible;

use omnihub_common::secret::Secret;
use serde_json::{Map, Value};

use super::arguments::CLEARABLE;

/// The API's name of a field that may be empty.
pub(super) fn clearable(text: &str) -> Result<String, String> {
    let field = text.replace('-', "_");
    match CLEARABLE.contains(&field.as_str()) {
        true => Ok(field),
        false => Err(format!("these can be emptied: {}", CLEARABLE.join(", "))),
    }
}

/// Puts a secret into a body, if there is one.
pub(super) fn put(body: &mut Map<String, Value>, name: &str, value: Option<&Secret>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.expose().into());
    }
}

/// JSON as it stands on the command line.
pub(super) fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// A secret, whatever it looks like.
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
