//! What an operator does with a provider's keys: list them, add one, take one out.
//!
//! A [`KeyRing`] knows the documents in which a provider's keys are kept, which texts it accepts as a key, and what is to be done
//! at the provider next. It is pure: it gets the documents' texts and returns the texts that replace them, in the order in which
//! they must be written. What it says never repeats a secret, except one that it has just made.

pub mod change;
pub mod error;
pub mod guide;
pub mod key_id;
pub(crate) mod key_list;
pub mod listing;
pub mod new_key;

use change::{Change, Circumstances, Removal, Write};
use error::KeyRingError;
use guide::Guide;
use listing::{KeyListing, ListedKey};
use new_key::NewKey;

/// A document that holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDocument {
    /// Name of its file among the keys of a data directory.
    pub file: &'static str,
    /// Logical id of its secret in a deployed stack.
    pub secret: &'static str,
}

/// The texts of a provider's documents, in the order of [`KeyRing::documents`]; `None` for one that does not exist.
#[derive(Clone, Copy)]
pub struct Documents<'a>(&'a [Option<&'a str>]);

impl<'a> Documents<'a> {
    /// The texts, in that order.
    #[must_use]
    pub const fn new(texts: &'a [Option<&'a str>]) -> Self {
        Self(texts)
    }

    /// The text of a document, unless it is missing or blank.
    #[must_use]
    pub fn text(&self, document: usize) -> Option<&'a str> {
        self.0.get(document).copied().flatten().filter(|text| !text.trim().is_empty())
    }
}

/// A provider's keys, for the operator.
pub trait KeyRing: Send + Sync {
    /// The documents, the one with the most authority first.
    fn documents(&self) -> &'static [KeyDocument];

    /// The document by which the provider's deliveries are verified: the last one, which those before it vouch for.
    fn verifying_document(&self) -> Option<&'static KeyDocument> {
        self.documents().last()
    }

    /// The document of an authority of ours that the provider gets its credentials from, if there is one.
    fn authority_document(&self) -> Option<&'static KeyDocument> {
        self.documents().split_last().and_then(|(_, before)| before.first())
    }

    /// Name of the stack's output with the URL of the provider's webhook, if it has one.
    fn webhook_output(&self) -> Option<&'static str>;

    /// What is needed to add a key.
    fn guide(&self) -> Guide;

    /// The keys, and what is wrong with the documents.
    fn list(&self, documents: Documents<'_>) -> KeyListing;

    /// Adds a key.
    ///
    /// # Errors
    /// [`KeyRingError`], when the key is not accepted or the documents cannot be read.
    fn add(
        &self,
        documents: Documents<'_>,
        new: &NewKey,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError>;

    /// Takes a listed key out.
    ///
    /// # Errors
    /// [`KeyRingError`], when it is the last one and that is not meant, or too early.
    fn remove(
        &self,
        documents: Documents<'_>,
        key: &ListedKey,
        removal: Removal,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError>;

    /// Whether a key that was added is put to use by [`Self::activate`], later.
    fn has_activation(&self) -> bool {
        false
    }

    /// Puts the key to use that was added last.
    ///
    /// # Errors
    /// [`KeyRingError`], when there is none or it is too early.
    fn activate(&self, _documents: Documents<'_>, _circumstances: &Circumstances) -> Result<Change, KeyRingError> {
        Err(KeyRingError::NoActivation)
    }

    /// The writes that make documents fit from which others are derived; none if they do.
    ///
    /// # Errors
    /// [`KeyRingError`], when they cannot be read or were not derived from one another.
    fn repair(&self, _documents: Documents<'_>) -> Result<Vec<Write>, KeyRingError> {
        Ok(Vec::new())
    }
}
