//! The resume point of the resync in a file.

use std::io;
use std::path::PathBuf;

use intake_pipeline::port_error::PortError;
use intake_pipeline::resync::{ResumePoints, Saved};
use intake_providers::account::AccountName;

use crate::data_directory::DataDirectory;
use crate::private_file::{FileLock, LockError, read_if_present, remove_if_present, replace_private_file};

/// The resume point of an account in a data directory, held by one run at a time.
#[derive(Debug)]
pub struct ResumeFile {
    path: PathBuf,
    _lock: FileLock,
}

/// Why the resume point cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResumeFileError {
    /// Another run holds it.
    #[error("another resync is running with {}; wait for its end, or choose another --data-directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{} cannot be written; give yourself the right to, or choose another --data-directory", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ResumeFile {
    /// The resume point of this account in the data directory.
    ///
    /// # Errors
    /// When another run holds it.
    pub fn open(directory: &DataDirectory, account: &AccountName) -> Result<Self, ResumeFileError> {
        let path = directory.resync_resume_point(account);
        let lock_path = path.with_extension("lock");
        match FileLock::take(&lock_path) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(LockError::Held) => Err(ResumeFileError::InUse { path }),
            Err(LockError::File(source)) => Err(ResumeFileError::Unwritable { path: lock_path, source }),
        }
    }

    /// Discards the progress.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self) -> Result<(), ResumeFileError> {
        remove_if_present(&self.path).map_err(|source| ResumeFileError::Unwritable { path: self.path.clone(), source })
    }

    fn read(&self) -> Result<Option<String>, PortError> {
        read_if_present(&self.path).map_err(|error| self.failed("read resume point", &error))
    }

    fn failed(&self, operation: &'static str, error: &io::Error) -> PortError {
        PortError::of(operation, format!("{}: {error}", self.path.display()))
    }
}

impl ResumePoints for ResumeFile {
    async fn load(&self) -> Result<Option<String>, PortError> {
        self.read()
    }

    async fn save(&self, seen: Option<&str>, document: &str) -> Result<Saved, PortError> {
        // The lock excludes other runs, but not an editor.
        let found = self.read()?;
        if found.as_deref() != seen && found.as_deref() != Some(document) {
            return Ok(Saved::ChangedMeanwhile);
        }
        replace_private_file(&self.path, document).map_err(|error| self.failed("save resume point", &error))?;
        Ok(Saved::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountName {
        AccountName::new(name).unwrap()
    }

    #[tokio::test]
    async fn a_document_replaces_only_the_one_that_was_read() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        let file = ResumeFile::open(&directory, &account("main")).unwrap();
        assert_eq!(file.load().await.unwrap(), None);
        assert_eq!(file.save(None, "first").await.unwrap(), Saved::Done);
        assert_eq!(file.save(Some("first"), "second").await.unwrap(), Saved::Done);
        assert_eq!(file.save(Some("first"), "second").await.unwrap(), Saved::Done, "it is there already");
        assert_eq!(file.save(Some("first"), "third").await.unwrap(), Saved::ChangedMeanwhile);
        assert_eq!(file.load().await.unwrap().as_deref(), Some("second"));
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.save(Some("second"), "third").await.unwrap(), Saved::ChangedMeanwhile);
        assert_eq!(file.load().await.unwrap(), None);
    }

    #[test]
    fn only_one_run_at_a_time_holds_it() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        let file = ResumeFile::open(&directory, &account("main")).unwrap();
        let error = ResumeFile::open(&directory, &account("main")).unwrap_err().to_string();
        assert!(error.starts_with("another resync is running with"), "{error}");
        drop(file);
        ResumeFile::open(&directory, &account("main")).unwrap();
    }
}
