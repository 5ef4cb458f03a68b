//! Secrets: a type that never prints itself, and the keyring that encrypts it at rest.
//!
//! A secret may be kept somewhere else: then a [`Reference`] is stored and shown in its place, and the
//! [`SecretSource`] gets the value for whoever needs it.

mod keyring;
mod private_file;
mod reference;
mod source;

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use keyring::{ENCRYPTION_KEYS_FILE, Keyring, Place, SealError, key_id};
pub(crate) use private_file::{read_or_create, read_private};
pub use reference::{MayRefer, Reference, ReferenceError};
pub use source::{SecretSource, SourceError};

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
#[derive(Clone)]
pub struct Secret {
    value: Zeroizing<String>,
    /// Where it is kept, when not by the hub itself.
    reference: Option<Box<Reference>>,
}

impl Secret {
    /// Wraps a value, whatever it looks like.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: Zeroizing::new(value.into()), reference: None }
    }

    /// Wraps what somebody gave or what was stored: a value, or a reference to one.
    ///
    /// A reference has no value yet: until [`SecretSource::resolve`] gets it, its value is a random
    /// one, which opens nothing and matches nothing.
    pub fn read(text: impl Into<String>) -> Self {
        let text = text.into();
        match Reference::parse(&text) {
            Some(Ok(reference)) => {
                let nothing = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
                Self { value: Zeroizing::new(nothing), reference: Some(Box::new(reference)) }
            }
            // What only looks like one was stored before there were any.
            Some(Err(_)) | None => Self::new(text),
        }
    }

    /// The same, with the value that stands where it refers to.
    fn resolved(&self, value: &str) -> Self {
        Self { value: Zeroizing::new(value.to_owned()), reference: self.reference.clone() }
    }

    /// Where it is kept, when not by the hub itself.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_deref()
    }

    /// A new one of 256 random bits, in characters that fit headers and URLs.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut_slice());
        Self::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// The value itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// What is stored of it: the value, or where it is kept.
    #[must_use]
    pub fn stored(&self) -> Zeroizing<String> {
        match &self.reference {
            Some(reference) => Zeroizing::new(reference.to_string()),
            None => self.value.clone(),
        }
    }

    /// What an answer shows instead: a reference as it is, else `****` and the last four
    /// characters, only the stars when the secret is shorter than twelve characters.
    #[must_use]
    pub fn mask(&self) -> String {
        if let Some(reference) = &self.reference {
            return reference.to_string();
        }
        let length = self.value.chars().count();
        if length < 12 {
            return "****".to_owned();
        }
        let tail: String = self.value.chars().skip(length - 4).collect();
        format!("****{tail}")
    }

    /// Compares in a time that does not depend on where the two differ.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.value.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

/// Equal when the same is stored: what a reference leads to changes with time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reference == other.reference && (self.reference.is_some() || self.value == other.value)
    }
}

impl Eq for Secret {}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_shown_and_opens_nothing_before_it_is_resolved() {
        let text = "vault://secret/acme#key";
        let secret = Secret::read(text);
        assert_eq!((secret.mask().as_str(), secret.stored().as_str()), (text, text));
        assert!(!secret.matches(text) && !secret.matches("") && secret.expose() != Secret::read(text).expose());
        let resolved = secret.resolved("planted-value-1234");
        assert_eq!(
            (resolved.expose(), resolved.mask().as_str(), resolved.stored().as_str()),
            ("planted-value-1234", text, text)
        );
        assert_eq!(resolved, secret);
        assert_eq!(format!("{resolved:?}"), "[hidden]");
        assert_ne!(Secret::read("env:A"), Secret::read("env:B"));
    }

    #[test]
    fn what_is_no_reference_is_the_secret_itself() {
        for text in ["plain", "env:", "vault://a", "****", ""] {
            let secret = Secret::read(text);
            assert_eq!((secret.expose(), secret.reference()), (text, None));
        }
        assert_eq!(Secret::new("env:A").expose(), "env:A", "whoever says so means the text");
        assert_eq!(Secret::new("planted-value-1234").mask(), "****1234");
    }
}
