//! Where the authority is kept, and how its two documents are changed.
//!
//! The authority's document holds the private keys; the webhook reads the verification document, which is always derived from
//! it. What is added becomes known to the verification document first, and what is removed leaves the authority first, so a
//! crash between the two leaves a webhook that knows more than is in use, never less. The next command sets it right.

use std::future::Future;

#[cfg(feature = "aws")]
use intake_aws::SecretDocument;
use intake_pipeline::secrets::SecretText;
use intake_providers::ProviderName;
use intake_providers::json_place::JsonPlace;
use intake_providers::oauth::authority::{Authority, AuthorityError};
use serde_json::Value;

use crate::stored_document::{self, DocumentError, Found, StoredDocument, Version};
use intake_sqlite::DataDirectory;
use intake_sqlite::private_file::FileLock;

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
    #[error("{place} is not an authority's document ({stopped_at}); put back the text that the commands have written")]
    Unusable {
        /// Where it is.
        place: String,
        /// Where reading stopped.
        stopped_at: JsonPlace,
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
    /// A step that isn't possible, or not yet.
    #[error(transparent)]
    Step(#[from] AuthorityError),
    /// No key could be made.
    #[error("the operating system gave no randomness for a key or a secret; try again")]
    NoRandomness,
    /// A document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A document could not be written as JSON.
    #[error("the authority could not be written as json")]
    Json(#[from] serde_json::Error),
}

/// Reads the authority, if there is one.
///
/// # Errors
/// When the document is not an authority.
pub async fn read(store: &impl AuthorityStore) -> Result<Option<Authority>, StoreError> {
    let found = store.read(Document::Authority).await?;
    parse(found.text.as_ref(), || store.name(Document::Authority))
}

/// Changes the authority and derives the verification document from it. `edit` gets the authority, if there is one, and returns
/// it as it should be. When `edit` refuses, nothing changes, but the verification document is derived again where it is stale.
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

    let (changed, result) = match edit(current) {
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
    Ok(result)
}

fn verification_text(authority: &Authority) -> Result<SecretText, StoreError> {
    Ok(SecretText::new(serde_json::to_string_pretty(&authority.verification()?)? + "\n"))
}

fn parse(text: Option<&SecretText>, name: impl Fn() -> String) -> Result<Option<Authority>, StoreError> {
    let Some(text) = text.map(SecretText::reveal).filter(|text| !is_unset(text)) else { return Ok(None) };
    // serde's own words are not passed on, for they quote what they read.
    serde_json::from_str(text)
        .map(Some)
        .map_err(|error| StoreError::Unusable { place: name(), stopped_at: JsonPlace::from(&error) })
}

/// Whether this is what a stack has in a secret before anything was put into it: nothing, or neither keys nor clients.
fn is_unset(text: &str) -> bool {
    let is_empty = |value: Option<&Value>| value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
    text.trim().is_empty()
        || serde_json::from_str::<Value>(text)
            .is_ok_and(|value| value.is_object() && is_empty(value.get("keys")) && is_empty(value.get("clients")))
}

/// The two documents where they are kept. Only one command at a time has those of a data directory.
#[derive(Debug)]
pub struct StoredAuthority {
    authority: StoredDocument,
    verification: StoredDocument,
    _lock: Option<FileLock>,
}

impl StoredAuthority {
    /// The files of this data directory.
    ///
    /// # Errors
    /// When another command has them.
    pub fn of_directory(directory: &DataDirectory) -> Result<Self, StoreError> {
        let authority = directory.sterling_authority();
        let lock = stored_document::lock(&authority)?;
        Ok(Self {
            authority: StoredDocument::File(authority),
            verification: StoredDocument::File(directory.keys(ProviderName::Sterling)),
            _lock: Some(lock),
        })
    }

    /// The secrets of a deployed stack with these names or ARNs. Region and credentials are those of the environment.
    #[cfg(feature = "aws")]
    pub async fn of_stack(authority_secret: &str, verification_secret: &str) -> Self {
        Self {
            authority: StoredDocument::Secret(SecretDocument::connect(authority_secret).await),
            verification: StoredDocument::Secret(SecretDocument::connect(verification_secret).await),
            _lock: None,
        }
    }

    const fn document(&self, document: Document) -> &StoredDocument {
        match document {
            Document::Authority => &self.authority,
            Document::Verification => &self.verification,
        }
    }
}

impl AuthorityStore for StoredAuthority {
    fn name(&self, document: Document) -> String {
        self.document(document).name()
    }

    async fn read(&self, document: Document) -> Result<Found, StoreError> {
        Ok(self.document(document).read().await?)
    }

    async fn replace(&self, document: Document, text: &SecretText, seen: &Version) -> Result<(), StoreError> {
        Ok(self.document(document).replace(text, seen).await?)
    }
}

#[cfg(test)]
mod tests;
