//! Key files: readable by their owner only, made whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use zeroize::Zeroizing;

use super::Secret;

/// Read and write for the owner, nothing for anyone else.
const OWNER_ONLY: u32 = 0o600;
/// The same for a folder.
const OWNER_ONLY_FOLDER: u32 = 0o700;

/// Reads a key file, trimmed; `None` when there is none.
///
/// A file that others can read is closed to them first, with a warning: its key may be known.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<Secret>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    close_to_others(path)?;
    if text.trim().is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(Some(Secret::new(text.trim())))
}

/// Reads a key file, or makes it with this content. The answer says whether it was made.
///
/// Two processes may try at once: the content is written beside the place and linked into it, so
/// that one wins, and nobody ever reads half a key.
pub(crate) fn read_or_create(path: &Path, content: &Secret) -> io::Result<(Secret, bool)> {
    if let Some(found) = read_private(path)? {
        return Ok((found, false));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(OWNER_ONLY_FOLDER).create(folder)?;
    let draft = folder.join(format!(".{:016x}.draft", rand::random::<u64>()));
    let linked = write_draft(&draft, content).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            removed?;
            // The name must survive a power cut as well as the content: what is encrypted with
            // a key that is gone is gone too.
            File::open(folder)?.sync_all()?;
            Ok((content.clone(), true))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = read_private(path)?.ok_or(error)?;
            Ok((found, false))
        }
        Err(error) => Err(error),
    }
}

fn write_draft(draft: &Path, content: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(draft)?;
    file.write_all(content.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn close_to_others(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let closed = fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY));
    tracing::warn!(
        file.path = %path.display(),
        file.closed = closed.is_ok(),
        "a key file was readable by others; consider a new key"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn made_once_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/a.key");
        assert!(read_private(&path).unwrap().is_none());
        let (made, created) = read_or_create(&path, &Secret::new("one")).unwrap();
        assert_eq!((made.expose(), created), ("one", true));
        let (found, created) = read_or_create(&path, &Secret::new("two")).unwrap();
        assert_eq!((found.expose(), created), ("one", false));
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn all_who_race_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        let found: Vec<(Secret, bool)> = std::thread::scope(|scope| {
            let path = &path;
            let threads: Vec<_> = (0..8)
                .map(|n| scope.spawn(move || read_or_create(path, &Secret::new(format!("key {n}"))).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(found.iter().filter(|(_, created)| *created).count(), 1);
        assert!(found.iter().all(|(key, _)| key == &found[0].0));
    }

    #[test]
    fn open_files_are_closed_and_empty_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        fs::write(&path, "one\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_private(&path).unwrap().unwrap().expose(), "one");
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, " \n").unwrap();
        assert!(read_private(&path).is_err());
    }
}
