//! The key of the hub's owner: who shows it may do everything.
//!
//! There is always one. The API is never open: when nobody has chosen a key, a random one is made
//! and shown once.

use std::{fmt, path::PathBuf};

use subtle::ConstantTimeEq;

use super::generate;
use crate::{
    config::{ConfigError, DataFolder, Settings},
    secret::{Secret, read_or_create},
};

/// The setting, and the older system's name for it.
const SETTINGS: [&str; 2] = ["OMNIHUB_API_KEY", "AUTOMAGIK_OMNI_API_KEY"];
/// Where a key that the hub made is kept, in the data folder.
const FILE: &str = "admin.key";
/// The admin key, as its hash: enough to check one, nothing to leak.
#[derive(Clone)]
pub struct AdminKey(blake3::Hash);

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey([hidden])")
    }
}

/// Whether loading the key made it.
#[derive(Clone, Debug)]
pub enum Created {
    /// Just now: show it, this once.
    Now(Secret),
    /// It was there, or somebody chose it.
    Before,
}

impl AdminKey {
    /// A key that somebody chose.
    #[must_use]
    pub fn new(key: &Secret) -> Self {
        Self(blake3::hash(key.expose().as_bytes()))
    }

    /// The key of this hub: the setting, else the file in the data folder, else a new one that is
    /// kept in that file.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn load(settings: &dyn Settings, data: &DataFolder) -> Result<(Self, Created), ConfigError> {
        if let Some(key) = SETTINGS.iter().find_map(|name| settings.get(name)) {
            return Ok((Self::new(&Secret::new(key.trim())), Created::Before));
        }
        let path = admin_key_file(data);
        let (key, created) = read_or_create(&path, &generate()).map_err(|error| ConfigError::Bad {
            name: SETTINGS[0],
            problem: format!("it is not set, and the file {} cannot be used: {error}", path.display()),
        })?;
        let hash = Self::new(&key);
        Ok((hash, if created { Created::Now(key) } else { Created::Before }))
    }

    /// Whether this is the key, in a time that tells nothing of it.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        blake3::hash(candidate.as_bytes()).as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

/// Where [`AdminKey::load`] keeps a key that it made: programs on the same machine read it there.
#[must_use]
pub fn admin_key_file(data: &DataFolder) -> PathBuf {
    data.0.join(FILE)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{
        super::{KEY_BYTES, PREFIX},
        *,
    };

    #[test]
    fn a_chosen_key_wins_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().to_owned());
        for name in SETTINGS {
            let settings = HashMap::from([(name.to_owned(), " chosen ".to_owned())]);
            let (key, created) = AdminKey::load(&settings, &data).unwrap();
            assert!(matches!(created, Created::Before));
            assert!(key.matches("chosen") && !key.matches("chosen ") && !key.matches(""));
        }
        assert!(!admin_key_file(&data).exists());
    }

    #[test]
    fn a_made_key_is_shown_once_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().to_owned());
        let (first, created) = AdminKey::load(&HashMap::new(), &data).unwrap();
        let Created::Now(key) = created else { panic!("it was made now") };
        assert!(key.expose().starts_with(PREFIX) && key.expose().len() == PREFIX.len() + (KEY_BYTES * 4).div_ceil(3));
        assert!(first.matches(key.expose()));
        let (second, created) = AdminKey::load(&HashMap::new(), &data).unwrap();
        assert!(matches!(created, Created::Before) && second.matches(key.expose()));
        assert!(!format!("{first:?}").contains(key.expose()));
    }
}
