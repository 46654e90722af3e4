//! Files that only their owner may read, and locks on files.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// An exclusive lock on a file. The operating system releases it however the process ends.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another part of this one, holds the lock.
    #[error("the file is locked by another process")]
    Held,
    /// The file cannot be opened or locked.
    #[error(transparent)]
    File(#[from] io::Error),
}

impl FileLock {
    /// Locks a file without waiting, and creates it if it is missing.
    ///
    /// # Errors
    /// [`LockError`] when the lock is held, or the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let file = File::options().create(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Creates a directory and its parents, accessible to their owner only.
///
/// # Errors
/// When it cannot be created.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a new file that only its owner may read.
///
/// # Errors
/// When it exists already, or cannot be written.
pub fn create_private_file(path: &Path, text: &str) -> io::Result<()> {
    write_new(path, text).map(drop)
}

/// Writes a file that only its owner may read, and atomically replaces an existing one. Even after a crash a reader
/// finds either the old or the new content, and only the new one after this returns.
///
/// # Errors
/// When it cannot be written.
pub fn replace_private_file(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    remove_if_present(&new)?;
    write_new(&new, text)?.sync_all()?;
    std::fs::rename(&new, path)?;
    // A rename is durable once the directory is synced. Windows has no handle on a directory, and needs none.
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })?.sync_all()?;
    }
    Ok(())
}

/// Removes a file if it exists.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn remove_if_present(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Reads a file if it exists.
///
/// # Errors
/// When it exists and cannot be read.
pub fn read_if_present(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_lock_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        let first = FileLock::take(&path).unwrap();
        assert!(matches!(FileLock::take(&path), Err(LockError::Held)));
        drop(first);
        FileLock::take(&path).unwrap();
        assert!(matches!(FileLock::take(&directory.path().join("missing/a.lock")), Err(LockError::File(_))));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_even_after_an_interrupted_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        assert_eq!(read_if_present(&path).unwrap(), None);
        create_private_file(&path, "{}").unwrap();
        assert!(create_private_file(&path, "[]").is_err());
        std::fs::write(path.with_extension("new"), "half").unwrap();
        replace_private_file(&path, "[]").unwrap();
        assert_eq!(read_if_present(&path).unwrap().as_deref(), Some("[]"));
        remove_if_present(&path).unwrap();
        remove_if_present(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_has_access() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("keys");
        create_private_directory(&directory).unwrap();
        let path = directory.join("machnet.json");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        create_private_file(&path, "{}").unwrap();
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        replace_private_file(&path, "[]").unwrap();
        assert_eq!(mode(&path), 0o600);
    }
}
