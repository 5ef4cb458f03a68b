//! The folder where an installation keeps what it makes: database, queue store, keys.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{ConfigError, Settings};

/// The setting that names the folder.
const NAME: &str = "OMNIHUB_DATA_DIR";

/// What a folder that is ours holds; the sign that narrowing its mode breaks nobody else.
const OURS: [&str; 7] = ["admin.key", "bin", "encryption.keys", "nats", "omnihub.db", "omnihub.lock", "worker.id"];

/// `OMNIHUB_DATA_DIR` (default `data`): 0700, its files 0600.
#[derive(Clone, Debug)]
pub struct DataFolder(pub PathBuf);

impl DataFolder {
    /// Makes the folder when it is missing, and closes it to others when it is open to them.
    ///
    /// # Errors
    /// When it cannot be made or read, or when it is open to others and plainly not ours to
    /// close (it holds files, and none that we make).
    pub fn open(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let folder = Self::locate(settings)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder.0)
            .map_err(|error| ConfigError::bad(NAME, format!("the folder cannot be made ({error})")))?;
        folder.close_to_others()?;
        folder.close_files();
        Ok(folder)
    }

    /// The same for the parts of a scaled deployment, which may need no folder at all: one that
    /// is missing is not made.
    ///
    /// # Errors
    /// As [`DataFolder::open`].
    pub fn open_if_present(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let folder = Self::locate(settings)?;
        if folder.0.exists() {
            folder.close_to_others()?;
            folder.close_files();
        }
        Ok(folder)
    }

    /// A path inside the folder.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    fn locate(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let path = settings.get(NAME).unwrap_or_else(|| "data".to_owned());
        // Absolute, because nats-server is told these paths and a reader of a log sees them.
        let path = std::path::absolute(path.trim())
            .map_err(|error| ConfigError::bad(NAME, format!("not a usable path ({error})")))?;
        Ok(Self(path))
    }

    fn close_to_others(&self) -> Result<(), ConfigError> {
        let unreadable = |error: io::Error| ConfigError::bad(NAME, format!("the folder cannot be read ({error})"));
        if !is_open(&self.0).map_err(unreadable)? {
            return Ok(());
        }
        let mut names = fs::read_dir(&self.0).map_err(unreadable)?.filter_map(|entry| Some(entry.ok()?.file_name()));
        let first = names.next();
        let is_ours =
            first.is_none() || first.into_iter().chain(names).any(|name| OURS.iter().any(|ours| name == *ours));
        if !is_ours {
            let problem = "others can read the folder, and it holds files that are not Omnihub's: \
                           name a folder of its own, or close this one with chmod 700";
            return Err(ConfigError::bad(NAME, problem));
        }
        fs::set_permissions(&self.0, Permissions::from_mode(0o700)).map_err(|error| {
            ConfigError::bad(NAME, format!("others can read the folder, and chmod 700 failed ({error})"))
        })?;
        tracing::warn!(folder.path = %self.0.display(), "others could read the data folder; it is closed now");
        Ok(())
    }

    /// Closes our own files, which a restored backup may have opened. The folder is closed, so
    /// one that cannot be changed is said and stops nothing.
    fn close_files(&self) {
        for path in OURS.map(|name| self.join(name)) {
            if !path.is_file() || !is_open(&path).unwrap_or(false) {
                continue;
            }
            match fs::set_permissions(&path, Permissions::from_mode(0o600)) {
                Ok(()) => {
                    tracing::warn!(file.path = %path.display(), "the file had rights for others; it is private now")
                }
                Err(error) => {
                    tracing::warn!(file.path = %path.display(), error.message = %error, "the file has rights for others");
                }
            }
        }
    }
}

/// Whether group or others have any right on it.
fn is_open(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

/// Writes a file that only its owner can read, and that was not there before.
///
/// # Errors
/// `AlreadyExists` when the file is there; else what the file system says. A file that could not
/// be written whole is removed.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Writes a file that only its owner can read, in one step in place of an older one: a reader
/// sees the old content or the new, never half of it.
///
/// # Errors
/// What the file system says; the older file is then untouched.
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let _ = fs::remove_file(&beside);
    write_private(&beside, content)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn settings(path: &Path) -> HashMap<String, String> {
        HashMap::from([(NAME.to_owned(), path.display().to_string())])
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_is_closed_and_files_in_it_are_private() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&settings(&root.path().join("a/data"))).unwrap();
        assert_eq!(mode(&folder.0), 0o700);
        let file = folder.join("key");
        write_private(&file, b"one").unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(write_private(&file, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        replace_private(&file, b"three").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"three".to_vec(), 0o600));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn our_open_folder_is_mended_and_a_foreign_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let open_to_all = || fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(&path).unwrap();
        open_to_all();
        DataFolder::open(&settings(&path)).unwrap();
        assert_eq!(mode(&path), 0o700);

        fs::write(path.join("thesis.txt"), "").unwrap();
        open_to_all();
        let error = DataFolder::open(&settings(&path)).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
        assert_eq!(mode(&path), 0o755);

        fs::write(path.join("omnihub.db"), "").unwrap();
        DataFolder::open_if_present(&settings(&path)).unwrap();
        assert_eq!((mode(&path), mode(&path.join("omnihub.db"))), (0o700, 0o600));
        assert_eq!(mode(&path.join("thesis.txt")) & 0o044, 0o044);
    }

    #[test]
    fn a_part_makes_no_folder() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        DataFolder::open_if_present(&settings(&path)).unwrap();
        assert!(!path.exists());
    }
}
