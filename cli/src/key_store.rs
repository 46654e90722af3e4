//! The documents with a provider's keys, where they are kept.

use intake_pipeline::secrets::SecretText;
use intake_providers::key_ring::change::Write;
use intake_providers::key_ring::{Documents, KeyRing};
use intake_sqlite::DataDirectory;
use intake_sqlite::private_file::FileLock;
use secrecy::ExposeSecret as _;

use crate::stored_document::{self, DocumentError, Found, StoredDocument};

/// Whether documents are only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They are read.
    Read,
    /// They are changed, by one command at a time.
    Change,
}

/// The documents of one provider.
#[derive(Debug)]
pub struct KeyStore {
    documents: Vec<StoredDocument>,
    _lock: Option<FileLock>,
}

/// The documents as they were found.
#[derive(Debug)]
pub struct FoundDocuments(Vec<Found>);

impl FoundDocuments {
    /// Uses the texts.
    pub fn with<T>(&self, read: impl FnOnce(Documents<'_>) -> T) -> T {
        let texts: Vec<_> = self.0.iter().map(|found| found.text.as_ref().map(SecretText::reveal)).collect();
        read(Documents::new(&texts))
    }
}

impl KeyStore {
    /// The files of a data directory.
    ///
    /// # Errors
    /// When another command is changing them.
    pub fn of_directory(directory: &DataDirectory, ring: &dyn KeyRing, access: Access) -> Result<Self, DocumentError> {
        let folder = directory.key_folder();
        let files: Vec<_> = ring.documents().iter().map(|document| folder.join(document.file)).collect();
        let lock = match files.first() {
            Some(first) if access == Access::Change && folder.exists() => Some(stored_document::lock(first)?),
            _ => None,
        };
        Ok(Self { documents: files.into_iter().map(StoredDocument::File).collect(), _lock: lock })
    }

    /// These documents, in the order in which the provider names them.
    #[must_use]
    pub const fn of(documents: Vec<StoredDocument>) -> Self {
        Self { documents, _lock: None }
    }

    /// Where the keys are, in words.
    #[must_use]
    pub fn name(&self) -> String {
        self.documents.iter().map(StoredDocument::name).collect::<Vec<_>>().join(" and ")
    }

    /// Reads the documents.
    ///
    /// # Errors
    /// When one can't be read; that there is none is no error.
    pub async fn read(&self) -> Result<FoundDocuments, DocumentError> {
        let mut found = Vec::new();
        for document in &self.documents {
            found.push(document.read().await?);
        }
        Ok(FoundDocuments(found))
    }

    /// Writes documents, one after the other.
    ///
    /// # Errors
    /// When one can't be written, or was changed since it was read; those before it are written.
    pub async fn write(&self, found: &FoundDocuments, writes: &[Write]) -> Result<(), DocumentError> {
        for write in writes {
            if let (Some(document), Some(found)) = (self.documents.get(write.document), found.0.get(write.document)) {
                let text = SecretText::new(write.text.expose_secret().to_owned());
                document.replace(&text, &found.version).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use intake_providers::ProviderName;
    use intake_providers::registry::key_ring;

    use super::*;

    fn write(document: usize, text: &str) -> Write {
        Write { document, text: text.to_owned().into() }
    }

    #[test]
    fn the_keys_of_a_provider_are_the_files_that_the_server_reads() {
        let directory = DataDirectory::at(std::path::Path::new("data"));
        for provider in ProviderName::ALL {
            let documents = key_ring(*provider).documents();
            let last = documents.last().map(|document| directory.key_folder().join(document.file));
            assert_eq!(last, Some(directory.keys(*provider)));
        }
        let [authority, _] = key_ring(ProviderName::Sterling).documents() else { panic!("two documents") };
        assert_eq!(directory.key_folder().join(authority.file), directory.sterling_authority());
    }

    #[test]
    fn two_commands_do_not_change_the_files_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        let ring = key_ring(ProviderName::Sterling);
        let first = KeyStore::of_directory(&directory, ring, Access::Change).unwrap();
        let error = KeyStore::of_directory(&directory, ring, Access::Change).unwrap_err().to_string();
        assert!(error.starts_with("another command is changing "), "{error}");
        KeyStore::of_directory(&directory, ring, Access::Read).unwrap();
        drop(first);
        KeyStore::of_directory(&directory, ring, Access::Change).unwrap();
    }

    #[tokio::test]
    async fn a_document_that_was_changed_since_it_was_read_ends_the_writes() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        let store = KeyStore::of_directory(&directory, key_ring(ProviderName::Sterling), Access::Change).unwrap();
        let found = store.read().await.unwrap();
        std::fs::write(directory.keys(ProviderName::Sterling), "edited").unwrap();
        let writes = [write(1, "verification"), write(0, "authority")];
        let error = store.write(&found, &writes).await.unwrap_err().to_string();
        assert!(error.contains("sterling.json was changed since it was read"), "{error}");
        assert!(!directory.sterling_authority().exists());
    }
}
