//! Where the authority is kept, and how its two documents are changed.
//!
//! The authority's document holds the private keys; the webhook reads the verification document, which is always derived from
//! it. What is added becomes known to the verification document first, and what is removed leaves the authority first, so a
//! crash between the two leaves a webhook that knows more than is in use, never less. The next command sets it right.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::io;
use std::path::PathBuf;

use pipeline::ports::{PortError, SecretText};
use providers::delivery::Sha256Digest;
use providers::oauth::authority::{Authority, AuthorityError};
use providers::provider::Provider;
use serde_json::Value;

use crate::data_directory::{DataDirectory, replace_private_file};

#[cfg(feature = "aws")]
mod deployed;

#[cfg(feature = "aws")]
pub use deployed::SecretsManagerStore;

/// One of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The whole authority, for the token endpoint.
    Authority,
    /// What the webhook needs.
    Verification,
}

/// Which of the two documents is written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// For what is added: it verifies before it is used.
    Verification,
    /// For what is removed: it is used no more before it stops to verify. Also for an authority that is new, since nobody has a
    /// token of it.
    Authority,
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

/// A place for the two documents.
pub trait AuthorityStore: Send + Sync {
    /// What the document is called there.
    fn name(&self, document: Document) -> String;

    /// Reads a document.
    fn read(&self, document: Document) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Replaces a document, unless it was changed since it was read.
    fn replace(
        &self,
        document: Document,
        text: &SecretText,
        seen: &Version,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why the authority can't be read or changed. Nothing in here repeats a document.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no authority.
    #[error("there is no authority in {place} yet; `client add <CLIENT-ID>` makes one")]
    NoAuthority {
        /// Where it was looked for.
        place: String,
    },
    /// There is one, and a setting for a new one was given.
    #[error("the authority in {place} is there already, and {option} is for a new one; leave the option out")]
    AuthorityExists {
        /// Where it is.
        place: String,
        /// The option.
        option: &'static str,
    },
    /// An option without which no authority can be made.
    #[error("there is no authority in {place} yet; say with {option} {meaning}")]
    OptionNeeded {
        /// Where it is to be made.
        place: String,
        /// The option.
        option: &'static str,
        /// What it means.
        meaning: &'static str,
    },
    /// A document that isn't one.
    #[error(
        "{place} is no authority's document (line {line}, column {column}); put back the text that the commands have written"
    )]
    Unusable {
        /// Where it is.
        place: String,
        /// The line where reading stopped.
        line: usize,
        /// The column where reading stopped.
        column: usize,
    },
    /// Keys that verify the tokens of another authority.
    #[error(
        "{verification} verifies the tokens of another authority, which is not in {authority}; put it there, or choose \
         another place"
    )]
    AnotherAuthority {
        /// The verification document.
        verification: String,
        /// Where the authority was looked for.
        authority: String,
    },
    /// Somebody else was quicker.
    #[error("{place} was changed since it was read, and is left as it is; run the command again")]
    ChangedMeanwhile {
        /// The document.
        place: String,
    },
    /// Another command is changing it.
    #[error("another command is changing the authority in {place}; run this one again when that is done")]
    InUse {
        /// The file that is locked.
        place: String,
    },
    /// A step that isn't possible, or not yet.
    #[error(transparent)]
    Step(#[from] AuthorityError),
    /// No key could be made.
    #[error("the operating system gave no randomness for a key or a secret; try again")]
    NoRandomness,
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
    /// A document could not be written as JSON.
    #[error("the authority could not be written as json")]
    Json(#[from] serde_json::Error),
}

/// Reads the authority, if there is one.
///
/// # Errors
/// When what is there is no authority.
pub async fn read(store: &impl AuthorityStore) -> Result<Option<Authority>, StoreError> {
    let found = store.read(Document::Authority).await?;
    parse(found.text.as_ref(), || store.name(Document::Authority))
}

/// Changes the authority and derives the verification document from it. `edit` gets the authority, if there is one, and returns
/// it as it should be. When `edit` refuses, nothing changes, but the verification document is set right if need be.
///
/// # Errors
/// What `edit` says; or when a document can't be read or written, or was changed meanwhile.
pub async fn change<T>(
    store: &impl AuthorityStore,
    first: First,
    edit: impl FnOnce(Option<Authority>) -> Result<(Authority, T), StoreError>,
) -> Result<T, StoreError> {
    let authority = store.read(Document::Authority).await?;
    let verification = store.read(Document::Verification).await?;
    let current = parse(authority.text.as_ref(), || store.name(Document::Authority))?;
    let derived = current.as_ref().map(verification_text).transpose()?;
    let is_new = current.is_none();
    if is_new && verification.text.as_ref().is_some_and(|text| !is_unset(text.reveal())) {
        return Err(StoreError::AnotherAuthority {
            verification: store.name(Document::Verification),
            authority: store.name(Document::Authority),
        });
    }
    let is_stale =
        |wanted: &SecretText| verification.text.as_ref().is_none_or(|found| found.reveal() != wanted.reveal());

    let (changed, told) = match edit(current) {
        Ok(changed) => changed,
        Err(error) => {
            if let Some(derived) = derived.filter(is_stale) {
                store.replace(Document::Verification, &derived, &verification.version).await?;
            }
            return Err(error);
        }
    };
    let derived = Some(verification_text(&changed)?).filter(is_stale);
    let text = SecretText::new(serde_json::to_string_pretty(&changed)? + "\n");
    let verification_first = first == First::Verification && !is_new;
    if let Some(derived) = derived.as_ref().filter(|_| verification_first) {
        store.replace(Document::Verification, derived, &verification.version).await?;
    }
    store.replace(Document::Authority, &text, &authority.version).await?;
    if let Some(derived) = derived.as_ref().filter(|_| !verification_first) {
        store.replace(Document::Verification, derived, &verification.version).await?;
    }
    Ok(told)
}

fn verification_text(authority: &Authority) -> Result<SecretText, StoreError> {
    Ok(SecretText::new(serde_json::to_string_pretty(&authority.verification()?)? + "\n"))
}

fn parse(text: Option<&SecretText>, name: impl Fn() -> String) -> Result<Option<Authority>, StoreError> {
    let Some(text) = text.map(SecretText::reveal).filter(|text| !is_unset(text)) else { return Ok(None) };
    // serde's own words are not passed on, for they quote what they read.
    serde_json::from_str(text).map(Some).map_err(|error| StoreError::Unusable {
        place: name(),
        line: error.line(),
        column: error.column(),
    })
}

/// Whether this is what a stack has in a secret before anything was put into it: nothing, or neither keys nor clients.
fn is_unset(text: &str) -> bool {
    let is_empty = |value: Option<&Value>| value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
    text.trim().is_empty()
        || serde_json::from_str::<Value>(text)
            .is_ok_and(|value| value.is_object() && is_empty(value.get("keys")) && is_empty(value.get("clients")))
}

/// The two documents as files in a data directory. Only one store at a time has them.
#[derive(Debug)]
pub struct FileStore {
    directory: DataDirectory,
    _lock: File,
}

impl FileStore {
    /// The files of this data directory.
    ///
    /// # Errors
    /// When another store has them.
    pub fn open(directory: &DataDirectory) -> Result<Self, StoreError> {
        let path = directory.sterling_authority().with_extension("lock");
        let failed = |source| StoreError::File { path: path.clone(), source };
        let lock = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.clone(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(StoreError::InUse { place: directory.sterling_authority().display().to_string() })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn path(&self, document: Document) -> PathBuf {
        match document {
            Document::Authority => self.directory.sterling_authority(),
            Document::Verification => self.directory.keys(Provider::Sterling),
        }
    }

    fn found(&self, document: Document) -> Result<Found, StoreError> {
        let path = self.path(document);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(SecretText::new(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StoreError::File { path, source }),
        };
        let version =
            text.as_ref().map_or_else(String::new, |text| Sha256Digest::of(text.reveal().as_bytes()).to_string());
        Ok(Found { text, version: Version(version) })
    }
}

impl AuthorityStore for FileStore {
    fn name(&self, document: Document) -> String {
        self.path(document).display().to_string()
    }

    async fn read(&self, document: Document) -> Result<Found, StoreError> {
        self.found(document)
    }

    async fn replace(&self, document: Document, text: &SecretText, seen: &Version) -> Result<(), StoreError> {
        // The lock keeps other commands out, but not an editor.
        if self.found(document)?.version != *seen {
            return Err(StoreError::ChangedMeanwhile { place: self.name(document) });
        }
        let path = self.path(document);
        replace_private_file(&path, text.reveal()).map_err(|source| StoreError::File { path, source })
    }
}

#[cfg(test)]
mod tests;
