//! The active keys of a secret, each with its account.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::account::{AccountName, NAMED_TWICE, is_named_twice};
use crate::json_object;
use crate::json_place::JsonPlace;
use crate::signature::KeyFingerprint;

/// Maximum number of keys that may be active at once.
pub const MAX_ACTIVE_KEYS: usize = 8;

/// The key that verified a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedKey {
    /// The account that the key belongs to.
    pub account: AccountName,
    /// Identifies the key without revealing it.
    pub fingerprint: KeyFingerprint,
}

/// The active keys of one kind.
#[derive(Debug)]
pub struct ActiveKeys<K>(Vec<(AccountName, K)>);

impl<K> ActiveKeys<K> {
    /// Whether no key is active.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of active keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The first key that confirms the credential.
    pub(crate) fn matching(
        &self,
        confirms: impl Fn(&K) -> bool,
        fingerprint: impl Fn(&K) -> &KeyFingerprint,
    ) -> Option<MatchedKey> {
        let (account, key) = self.iter().find(|(_, key)| confirms(key))?;
        Some(MatchedKey { account: account.clone(), fingerprint: fingerprint(key).clone() })
    }

    /// The keys with their accounts, in the order of the secret.
    pub fn iter(&self) -> impl Iterator<Item = (&AccountName, &K)> {
        self.0.iter().map(|(account, key)| (account, key))
    }
}

/// The result of reading a secret.
#[derive(Debug)]
pub struct ReadKeySet<S> {
    /// The usable keys.
    pub keys: S,
    /// One problem per unusable key; such a key verifies nothing.
    pub problems: Vec<KeyProblem>,
}

/// Why one key of the list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {position} of the secret is not used: {reason}")]
pub struct KeyProblem {
    /// Position in the list, counted from 1.
    pub position: usize,
    /// What is wrong and what to do; never the key.
    pub reason: String,
}

/// Why a secret as a whole cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON of the expected form. serde's message is left out because it quotes the input.
    #[error("the secret is not JSON of the form {form} ({place}); see the provider's page")]
    Malformed {
        /// The expected form.
        form: &'static str,
        /// Where reading stopped.
        place: JsonPlace,
    },
    /// A well-formed document with unusable contents.
    #[error("the secret cannot be used: {0}")]
    Refused(String),
    /// The secret holds more than [`MAX_ACTIVE_KEYS`] keys.
    #[error("the secret holds {found} keys; at most {MAX_ACTIVE_KEYS} can be active, so take old ones out")]
    TooMany {
        /// Number of keys in the secret.
        found: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySetDocument<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// Reads `{"keys": [entry, …]}`; `read` converts each entry. An entry names its account in `account`; its alias is `label`,
/// which the provider's entry has to declare.
///
/// # Errors
/// When the document as a whole cannot be used.
pub(crate) fn read_key_set<E: DeserializeOwned, K>(
    secret: &str,
    form: &str,
    read: impl Fn(E) -> Result<(AccountName, K), String>,
) -> Result<ReadKeySet<ActiveKeys<K>>, KeySetError> {
    let document: KeySetDocument<'_> = json_object::read(secret)
        .map_err(|error| KeySetError::Malformed { form: r#"{"keys": [...]}"#, place: JsonPlace::from(&error) })?;
    if document.keys.len() > MAX_ACTIVE_KEYS {
        return Err(KeySetError::TooMany { found: document.keys.len() });
    }
    let mut keys = Vec::new();
    let mut problems = Vec::new();
    for (index, entry) in document.keys.into_iter().enumerate() {
        let entry = match json_object::read(entry.get()) {
            Ok(entry) => read(entry),
            Err(_) if is_named_twice(entry.get()) => Err(NAMED_TWICE.to_owned()),
            Err(_) => Err(format!("it is not of the form {form}")),
        };
        match entry {
            Ok(key) => keys.push(key),
            Err(reason) => problems.push(KeyProblem { position: index + 1, reason }),
        }
    }
    Ok(ReadKeySet { keys: ActiveKeys(keys), problems })
}
