//! NurtureCloud's active path secrets: a document with the hash of each, which commands change.

use intake_pipeline::secrets::SecretText;
use intake_providers::account::{AccountName, InvalidAccountName};
use intake_providers::active_keys::MAX_ACTIVE_KEYS;
use intake_providers::digest::Sha256Digest;
use intake_providers::json_place::JsonPlace;
use intake_providers::path_secret::{PathSecret, PathSecretHash};
use intake_providers::signature::KeyFingerprint;
use serde::{Deserialize, Serialize};

use crate::stored_document::{DocumentError, StoredDocument};

/// The active secrets, as they are written down.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathSecrets {
    keys: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(alias = "label")]
    account: AccountName,
    secret_sha256: Sha256Digest,
}

impl Entry {
    fn hash(&self) -> PathSecretHash {
        PathSecretHash::from_recorded(self.secret_sha256)
    }
}

/// Why the active secrets can't be read or changed. Nothing in here repeats what was given: a secret may have been pasted.
#[derive(Debug, thiserror::Error)]
pub enum PathSecretError {
    /// No more can be added.
    #[error(
        "{found} secrets are active in {place}, and at most {MAX_ACTIVE_KEYS} can be; take one out first with \
         `nurturecloud-url --remove <FINGERPRINT>`, and `--list` shows them"
    )]
    TooMany {
        /// Where they are.
        place: String,
        /// How many there are.
        found: usize,
    },
    /// Nothing to remove.
    #[error("no active secret in {place} has this fingerprint; `nurturecloud-url --list` shows those that are there")]
    UnknownFingerprint {
        /// Where it was looked for.
        place: String,
    },
    /// Nothing would be left.
    #[error(
        "this is the last active secret in {place}, and without one no delivery is taken; make a new url first, or say \
         --even-the-last"
    )]
    TheLast {
        /// Where it is.
        place: String,
    },
    /// A document that isn't one. serde's own words are not passed on, for they quote what they read.
    #[error(
        "{place} is not json of the form {{\"keys\": [{{\"account\": \"...\", \"secret_sha256\": \"64 hex digits\"}}]}} \
         ({stopped_at}), where `label` means `account` and one of the two is enough; mend it, or put back the text that the \
         command has written"
    )]
    Unusable {
        /// Where it is.
        place: String,
        /// Where reading stopped.
        stopped_at: JsonPlace,
    },
    /// An account's name that can't be one.
    #[error(transparent)]
    Account(#[from] InvalidAccountName),
    /// No secret could be made.
    #[error("the operating system gave no randomness for a secret; try again")]
    NoRandomness,
    /// The document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document could not be written as JSON.
    #[error("the active secrets could not be written as json")]
    Json(#[from] serde_json::Error),
}

/// Makes a new secret.
///
/// # Errors
/// When the operating system has no randomness.
pub fn generate() -> Result<PathSecret, PathSecretError> {
    PathSecret::generate().ok_or(PathSecretError::NoRandomness)
}

/// Reads the active secrets; none if there is no document yet.
///
/// # Errors
/// When the document is not of that form.
pub async fn read(document: &StoredDocument) -> Result<PathSecrets, PathSecretError> {
    parse(document.read().await?.text.as_ref(), document)
}

/// Makes a secret active.
///
/// # Errors
/// When as many are active as can be, or the document can't be read or written, or was changed meanwhile.
pub async fn add(document: &StoredDocument, account: &AccountName, secret: &PathSecret) -> Result<(), PathSecretError> {
    let found = document.read().await?;
    let mut secrets = parse(found.text.as_ref(), document)?;
    if secrets.keys.len() >= MAX_ACTIVE_KEYS {
        return Err(PathSecretError::TooMany { place: document.name(), found: secrets.keys.len() });
    }
    secrets.keys.push(Entry { account: account.clone(), secret_sha256: secret.hash().digest() });
    Ok(document.replace(&secrets.text()?, &found.version).await?)
}

/// Takes the secret with this fingerprint out, and returns its account.
///
/// # Errors
/// When there is none, or no other one is left and that isn't meant; or when the document can't be read or written, or was
/// changed meanwhile.
pub async fn remove(
    document: &StoredDocument,
    fingerprint: &str,
    even_the_last: bool,
) -> Result<AccountName, PathSecretError> {
    let found = document.read().await?;
    let secrets = parse(found.text.as_ref(), document)?;
    let is_meant = |entry: &Entry| entry.hash().fingerprint().as_str().eq_ignore_ascii_case(fingerprint);
    let (removed, keys): (Vec<_>, Vec<_>) = secrets.keys.into_iter().partition(is_meant);
    let place = document.name();
    let Some(removed) = removed.into_iter().next() else { return Err(PathSecretError::UnknownFingerprint { place }) };
    if keys.is_empty() && !even_the_last {
        return Err(PathSecretError::TheLast { place });
    }
    document.replace(&PathSecrets { keys }.text()?, &found.version).await?;
    Ok(removed.account)
}

impl PathSecrets {
    /// Accounts and fingerprints, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&AccountName, KeyFingerprint)> {
        self.keys.iter().map(|entry| (&entry.account, entry.hash().fingerprint()))
    }

    /// Whether this secret is active.
    #[must_use]
    pub fn hold(&self, secret: &str) -> bool {
        PathSecretHash::of_path(&format!("/{secret}"))
            .is_some_and(|offered| self.keys.iter().any(|entry| entry.hash().is_of_the_same_secret(&offered)))
    }

    /// The document's text.
    ///
    /// # Errors
    /// Never in practice: its members are plain text.
    pub fn text(&self) -> Result<SecretText, serde_json::Error> {
        Ok(SecretText::new(serde_json::to_string_pretty(self)? + "\n"))
    }
}

fn parse(text: Option<&SecretText>, document: &StoredDocument) -> Result<PathSecrets, PathSecretError> {
    let Some(text) = text.map(SecretText::reveal).filter(|text| !text.trim().is_empty()) else {
        return Ok(PathSecrets::default());
    };
    serde_json::from_str(text)
        .map_err(|error| PathSecretError::Unusable { place: document.name(), stopped_at: JsonPlace::from(&error) })
}

#[cfg(test)]
mod tests;
