//! A document with keys that a command reads, changes and writes back: a file in the data directory, or a secret of a deployed
//! stack.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(feature = "aws")]
use intake_aws::{ReplaceError, SecretDocument};
use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::SecretText;
use intake_providers::digest::Sha256Digest;
use intake_sqlite::private_file::{FileLock, LockError, read_if_present, replace_private_file};

/// Where a document is.
#[derive(Debug)]
pub enum StoredDocument {
    /// In a file that only its owner may read.
    File(PathBuf),
    /// In Secrets Manager.
    #[cfg(feature = "aws")]
    Secret(SecretDocument),
}

/// A document's state, by which a change made meanwhile is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(crate) String);

/// A document as it was found.
#[derive(Debug)]
pub struct Found {
    /// The text, unless there is none.
    pub text: Option<SecretText>,
    /// Its state.
    pub version: Version,
}

/// Why a document can't be read or replaced. Nothing in here repeats it.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Somebody else was quicker.
    #[error("{place} was changed since it was read, and is left as it is; run the command again")]
    ChangedMeanwhile {
        /// The document.
        place: String,
    },
    /// Another command is changing it.
    #[error("another command is changing {place}; run this one again when that is done")]
    InUse {
        /// The document.
        place: String,
    },
    /// A file.
    #[error("{} cannot be read or written; give yourself the right to, or choose another --data-directory", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another service.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl StoredDocument {
    /// What the document is called there.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            #[cfg(feature = "aws")]
            Self::Secret(secret) => format!("the secret {}", secret.secret_id()),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it can't be read; that there is none is no error.
    pub async fn read(&self) -> Result<Found, DocumentError> {
        match self {
            Self::File(path) => read_file(path),
            #[cfg(feature = "aws")]
            Self::Secret(secret) => {
                let (text, version) = secret.read().await?;
                Ok(Found { text, version: Version(version) })
            }
        }
    }

    /// Replaces it, unless it was changed since it was read.
    ///
    /// # Errors
    /// When it was, or can't be written.
    pub async fn replace(&self, text: &SecretText, seen: &Version) -> Result<(), DocumentError> {
        match self {
            Self::File(path) => {
                // A lock keeps other commands out, but not an editor.
                if read_file(path)?.version != *seen {
                    return Err(DocumentError::ChangedMeanwhile { place: self.name() });
                }
                replace_private_file(path, text.reveal())
                    .map_err(|source| DocumentError::File { path: path.clone(), source })
            }
            #[cfg(feature = "aws")]
            Self::Secret(secret) => secret.replace(text, &seen.0).await.map_err(|error| match error {
                ReplaceError::ChangedMeanwhile => DocumentError::ChangedMeanwhile { place: self.name() },
                ReplaceError::Port(error) => error.into(),
            }),
        }
    }
}

fn read_file(path: &Path) -> Result<Found, DocumentError> {
    let text = read_if_present(path).map_err(|source| DocumentError::File { path: path.to_owned(), source })?;
    let text = text.map(SecretText::new);
    let version = text.as_ref().map_or_else(String::new, |text| Sha256Digest::of(text.reveal().as_bytes()).to_string());
    Ok(Found { text, version: Version(version) })
}

/// Keeps other commands from changing this file while the lock is held.
///
/// # Errors
/// When another command is changing it.
pub fn lock(document: &Path) -> Result<FileLock, DocumentError> {
    let path = document.with_extension("lock");
    FileLock::take(&path).map_err(|error| match error {
        LockError::Held => DocumentError::InUse { place: document.display().to_string() },
        LockError::File(source) => DocumentError::File { path, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_was_changed_or_made_since_it_was_read_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let document = StoredDocument::File(path.clone());
        let new = SecretText::new("new".to_owned());
        for edited in ["made", "changed"] {
            let seen = document.read().await.unwrap().version;
            std::fs::write(&path, edited).unwrap();
            let error = document.replace(&new, &seen).await.unwrap_err().to_string();
            assert!(error.contains("keys.json was changed since it was read"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), edited);
        }
        let seen = document.read().await.unwrap().version;
        document.replace(&new, &seen).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn two_commands_do_not_change_one_file_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let first = lock(&path).unwrap();
        let error = lock(&path).unwrap_err().to_string();
        assert!(error.starts_with("another command is changing") && error.contains("keys.json"), "{error}");
        drop(first);
        lock(&path).unwrap();
    }
}
