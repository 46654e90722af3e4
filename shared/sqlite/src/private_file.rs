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
    /// Another process, or another part of this one, has it.
    #[error("the file is locked by another process")]
    Held,
    /// The file can't be opened or locked.
    #[error(transparent)]
    File(#[from] io::Error),
}

impl FileLock {
    /// Locks this file, and makes it if it isn't there.
    ///
    /// # Errors
    /// [`LockError`]; it is not waited for.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let file = File::options().create(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Makes a directory, with those above it, that only its owner may look into.
///
/// # Errors
/// When it can't be made.
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
/// When it is there already, or can't be written.
pub fn create_private_file(path: &Path, text: &str) -> io::Result<()> {
    write_new(path, text).map(drop)
}

/// Writes a file that only its owner may read, in place of the one that may be there. A reader finds the one or the other, also
/// after a crash, and once this returns only the new one.
///
/// # Errors
/// When it can't be written.
pub fn replace_private_file(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    remove_if_present(&new)?;
    write_new(&new, text)?.sync_all()?;
    std::fs::rename(&new, path)?;
    // A rename is durable once its directory is. Windows has no handle on a directory, and needs none.
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })?.sync_all()?;
    }
    Ok(())
}

/// Removes a file, unless it isn't there.
///
/// # Errors
/// When it is there and can't be removed.
pub fn remove_if_present(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Reads a file, unless it isn't there.
///
/// # Errors
/// When it is there and can't be read.
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
    fn a_file_is_replaced_whole_and_what_an_interrupted_write_left_is_no_obstacle() {
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
    fn only_the_owner_may_look_inside() {
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
