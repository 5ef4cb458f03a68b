//! One `omnihub up` per data folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use omnihub_common::config::DataFolder;

/// Held while the hub runs. The operating system gives it back however the process ends.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// The folder cannot be locked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// Another hub has it.
    #[error(
        "another `omnihub up` (process {pid}) uses the data folder {}; stop it, or set OMNIHUB_DATA_DIR to a folder of \
         its own",
        folder.display()
    )]
    Taken { pid: String, folder: PathBuf },
    /// The file system refuses.
    #[error("the data folder {} cannot be locked: check its permissions, and set OMNIHUB_DATA_DIR to a local disk", folder.display())]
    Refused {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl FolderLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(data: &DataFolder) -> Result<Self, LockError> {
        let refused = |source| LockError::Refused { folder: data.0.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data.join("omnihub.lock"))
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(refused(source)),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The pid is a courtesy: without it the message is still true.
                let _ = file.read_to_string(&mut pid);
                return Err(LockError::Taken { pid: pid.trim().to_owned(), folder: data.0.clone() });
            }
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(refused)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_hub_is_told_who_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder(folder.path().to_owned());
        let lock = FolderLock::take(&data).unwrap();
        let error = FolderLock::take(&data).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        FolderLock::take(&data).unwrap();
    }
}
