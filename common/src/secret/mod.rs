//! Secrets: a type that never prints itself, and the keyring that encrypts it at rest.

mod keyring;
mod private_file;

use std::fmt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use keyring::{ENCRYPTION_KEYS_FILE, Keyring, Place, SealError, key_id};
pub(crate) use private_file::{read_or_create, read_private};

/// Whether a missing key file may be made. Only the all-in-one program makes one: parts that each
/// made their own could not read what the others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMissing {
    /// Make it.
    Yes,
    /// Refuse to start and name the remedy.
    No,
}

/// A value that must not reach a log, a trace, an error or an answer.
///
/// `Debug` prints `[hidden]`; there is no `Display` and no `Serialize`, so a secret leaves only
/// through [`Secret::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What an answer shows instead: `****` and the last four characters, only the stars when
    /// the secret is shorter than twelve characters.
    #[must_use]
    pub fn mask(&self) -> String {
        let length = self.0.chars().count();
        if length < 12 {
            return "****".to_owned();
        }
        let tail: String = self.0.chars().skip(length - 4).collect();
        format!("****{tail}")
    }

    /// Compares in a time that does not depend on where the two differ.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
