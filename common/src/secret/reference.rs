//! A secret that is kept somewhere else: what is stored and shown is where.

use std::{fmt, path::PathBuf};

/// The forms, as people write them.
const VAULT: &str = "vault://";
const ENVIRONMENT: &str = "env:";
const FILE: &str = "file:";

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `vault://mount/path#key`: a field of a secret in a key-value store (version 2) of Vault.
    Vault {
        /// Where the store is mounted: the first word of the path.
        mount: String,
        /// The secret's path in the store.
        path: String,
        /// The field.
        key: String,
    },
    /// `env:NAME`: a setting of the process that needs it.
    Environment(String),
    /// `file:/path`: a file on the machine of the process that needs it.
    File(PathBuf),
}

/// A text that looks like a reference and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not of Vault's form.
    #[error("a reference to Vault is vault://mount/path#key")]
    Vault,
    /// Not the name of a setting.
    #[error("a reference to the environment is env:NAME")]
    Environment,
    /// Not a path.
    #[error("a reference to a file is file: and a path that begins with /")]
    File,
}

impl Reference {
    /// Reads a text; `None` when it is no reference but a secret itself.
    ///
    /// # Errors
    /// When it begins like a reference and does not go on like one.
    pub fn parse(text: &str) -> Option<Result<Self, ReferenceError>> {
        if let Some(rest) = text.strip_prefix(VAULT) {
            return Some(vault(rest).ok_or(ReferenceError::Vault));
        }
        if let Some(name) = text.strip_prefix(ENVIRONMENT) {
            let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let good = !name.is_empty() && name.chars().all(known) && !name.starts_with(|c: char| c.is_ascii_digit());
            return Some(good.then(|| Self::Environment(name.to_owned())).ok_or(ReferenceError::Environment));
        }
        let path = text.strip_prefix(FILE)?;
        let good = path.len() > 1 && path.starts_with('/') && !path.contains(char::is_control);
        Some(good.then(|| Self::File(path.into())).ok_or(ReferenceError::File))
    }

    /// Whether it lies with the process itself: its environment or its machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Vault { .. } => false,
            Self::Environment(_) | Self::File(_) => true,
        }
    }
}

/// No segment is empty or climbs: a path is what it looks like, also to whoever may use only a part
/// of a store.
fn vault(rest: &str) -> Option<Reference> {
    let (place, key) = rest.split_once('#')?;
    let (mount, path) = place.split_once('/')?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '@' | ':' | '+');
    let is_word = |word: &str| !matches!(word, "" | "." | "..") && word.chars().all(known);
    let good = is_word(mount) && path.split('/').all(is_word) && !key.is_empty() && !key.contains(char::is_control);
    good.then(|| Reference::Vault { mount: mount.to_owned(), path: path.to_owned(), key: key.to_owned() })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault { mount, path, key } => write!(f, "{VAULT}{mount}/{path}#{key}"),
            Self::Environment(name) => write!(f, "{ENVIRONMENT}{name}"),
            Self::File(path) => write!(f, "{FILE}{}", path.display()),
        }
    }
}

/// Which references somebody may give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MayRefer {
    /// Any: whoever acts on the hub as a whole.
    Anywhere,
    /// To Vault, below this `mount/path`.
    Below(String),
    /// None.
    Nowhere,
}

impl MayRefer {
    /// Whether this one is among them.
    #[must_use]
    pub fn allows(&self, reference: &Reference) -> bool {
        match (self, reference) {
            (Self::Anywhere, _) => true,
            (Self::Below(folder), Reference::Vault { mount, path, .. }) => {
                format!("{mount}/{path}").strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
            }
            (Self::Below(_) | Self::Nowhere, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Reference {
        Reference::parse(text).unwrap().unwrap()
    }

    #[test]
    fn references_are_read_and_written_back() {
        for text in
            ["vault://secret/acme/evolution#api.key", "vault://kv-2/a#k k", "env:_NAME_1", "file:/run/secrets/a b"]
        {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert!(parsed("env:A").is_local() && parsed("file:/a").is_local() && !parsed("vault://a/b#c").is_local());
        for secret in ["", "plain", "vault:/a/b#c", "Env:A", "https://vault", " env:A", "filed"] {
            assert_eq!(Reference::parse(secret), None, "{secret}");
        }
    }

    #[test]
    fn what_only_begins_like_one_is_refused() {
        for text in [
            "vault://",
            "vault://a#k",
            "vault://a/#k",
            "vault://a/b",
            "vault://a/b#",
            "vault:///b#k",
            "vault://a//b#k",
            "vault://a/../b#k",
            "vault://a/./b#k",
            "vault://a/b?version=1#k",
            "vault://a/%2e%2e/b#k",
            "vault://a/b/#k",
        ] {
            assert_eq!(Reference::parse(text), Some(Err(ReferenceError::Vault)), "{text}");
        }
        for text in ["env:", "env:1A", "env:A B", "env:A=B"] {
            assert_eq!(Reference::parse(text), Some(Err(ReferenceError::Environment)), "{text}");
        }
        for text in ["file:", "file:/", "file:a", "file://a\n", "file:~/a"] {
            assert_eq!(Reference::parse(text), Some(Err(ReferenceError::File)), "{text}");
        }
    }

    #[test]
    fn a_tenant_stays_in_its_folder() {
        let below = MayRefer::Below("secret/tenants/acme".to_owned());
        assert!(below.allows(&parsed("vault://secret/tenants/acme/evolution#key")));
        for other in [
            "vault://secret/tenants/acme#key",
            "vault://secret/tenants/acme2/a#key",
            "vault://secret/tenants/b/a#k",
            "vault://other/secret/tenants/acme/a#k",
            "env:A",
            "file:/a",
        ] {
            assert!(!below.allows(&parsed(other)), "{other}");
            assert!(MayRefer::Anywhere.allows(&parsed(other)) && !MayRefer::Nowhere.allows(&parsed(other)));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_as_it_was(text in "(vault://|env:|file:)[ -~]{0,24}") {
            if let Some(Ok(reference)) = Reference::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
