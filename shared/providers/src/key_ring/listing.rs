//! The keys that are there.

use super::error::KeyRingError;
use super::key_id::KeyId;
use crate::account::AccountName;
use crate::signature::KeyFingerprint;

/// Minimum number of characters by which a key may be named if it has a fingerprint.
const MIN_PREFIX_CHARACTERS: usize = 4;

/// The keys of a provider, and what is wrong with their documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyListing {
    /// The keys, in the order of the documents.
    pub keys: Vec<ListedKey>,
    /// What is wrong with the documents as a whole, and what to do.
    pub problems: Vec<String>,
}

/// A key, or what is in the place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The account that it belongs to; `None` for a key of all accounts, or for one that cannot be read.
    pub account: Option<AccountName>,
    /// How it is called.
    pub id: KeyId,
    /// Its place in a document of several keys, counted from 1.
    pub position: Option<usize>,
    /// What it is, and how strong.
    pub kind: String,
    /// Whether it is of use.
    pub state: KeyState,
    /// How it is known in the records of deliveries.
    pub recorded_as: Option<RecordedAs>,
}

/// Whether a key is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In use.
    Active,
    /// Known, and not in use yet; with what comes next.
    Waiting(String),
    /// In use for what was made with it before; with what comes next.
    Superseded(String),
    /// Of no use; with what is wrong and what to do.
    Unusable(String),
}

impl KeyState {
    /// The state in a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Waiting(_) => "waiting",
            Self::Superseded(_) => "superseded",
            Self::Unusable(_) => "unusable",
        }
    }

    /// What else is to be said.
    #[must_use]
    pub fn remark(&self) -> Option<&str> {
        match self {
            Self::Active => None,
            Self::Waiting(remark) | Self::Superseded(remark) | Self::Unusable(remark) => Some(remark),
        }
    }
}

/// How a key is known in the records of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedAs {
    /// The account of the deliveries; any if there is none.
    pub account: Option<AccountName>,
    /// The fingerprint of the key that verified them; any if there is none.
    pub fingerprint: Option<KeyFingerprint>,
}

impl RecordedAs {
    /// The deliveries that a key verified for its account.
    pub(crate) fn of(account: &AccountName, fingerprint: &KeyFingerprint) -> Option<Self> {
        Some(Self { account: Some(account.clone()), fingerprint: Some(fingerprint.clone()) })
    }
}

impl ListedKey {
    /// An active key with a fingerprint, which its deliveries name.
    pub(crate) fn active(account: &AccountName, fingerprint: &KeyFingerprint, kind: String) -> Self {
        Self {
            account: Some(account.clone()),
            id: KeyId::Fingerprint(fingerprint.clone()),
            position: None,
            kind,
            state: KeyState::Active,
            recorded_as: RecordedAs::of(account, fingerprint),
        }
    }

    /// Whether it is of use.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        !matches!(self.state, KeyState::Unusable(_))
    }

    fn is_called(&self, name: &str) -> bool {
        match &self.id {
            KeyId::Fingerprint(fingerprint) => fingerprint.as_str().eq_ignore_ascii_case(name),
            id => id.to_string() == name,
        }
    }

    fn begins_with(&self, name: &str) -> bool {
        match &self.id {
            KeyId::Fingerprint(fingerprint) if name.len() >= MIN_PREFIX_CHARACTERS => {
                fingerprint.as_str().to_ascii_lowercase().starts_with(&name.to_ascii_lowercase())
            }
            _ => false,
        }
    }
}

impl KeyListing {
    /// A listing without keys, and with what is wrong.
    pub(crate) fn of_problem(problem: String) -> Self {
        Self { keys: Vec::new(), problems: vec![problem] }
    }

    /// Whether nothing was ever put in, or everything was taken out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.problems.is_empty()
    }

    /// The one key that is called so: by its whole fingerprint or name, by at least four digits that no other fingerprint begins
    /// with, or by `entry-` and its place.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub fn find(&self, name: &str) -> Result<&ListedKey, KeyRingError> {
        let place = name.strip_prefix("entry-").and_then(|place| place.parse::<usize>().ok());
        if let Some(key) = self.keys.iter().find(|key| place.is_some() && key.position == place) {
            return Ok(key);
        }
        let called: Vec<_> = self.keys.iter().filter(|key| key.is_called(name)).collect();
        let begun: Vec<_> = self.keys.iter().filter(|key| key.begins_with(name)).collect();
        match (called.as_slice(), begun.as_slice()) {
            ([key], _) | ([], [key]) => Ok(key),
            ([], []) => Err(KeyRingError::Unknown),
            ([], several) => {
                Err(KeyRingError::Ambiguous { candidates: several.iter().map(|key| key.id.clone()).collect() })
            }
            // The same key twice: only their places differ.
            (several, _) => {
                let place = |key: &&ListedKey| key.position.map_or_else(|| key.id.clone(), KeyId::Position);
                Err(KeyRingError::Ambiguous { candidates: several.iter().map(place).collect() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> KeyListing {
        let account = AccountName::new("main").unwrap();
        let key = |fingerprint: &str| {
            ListedKey::active(&account, &KeyFingerprint::from_recorded(fingerprint.to_owned()), String::new())
        };
        let mut keys = vec![key("abcd1234"), key("abcd5678"), key("abcd5678"), key("00ff00ff")];
        keys.push(ListedKey { id: KeyId::Name("ibm".to_owned()), ..key("99999999") });
        for (key, position) in keys.iter_mut().zip(1..) {
            key.position = Some(position);
        }
        KeyListing { keys, problems: Vec::new() }
    }

    #[test]
    fn a_key_is_found_by_its_whole_name_or_by_four_digits_that_are_its_own() {
        let listing = listing();
        for (name, position) in
            [("abcd1234", 1), ("ABCD1", 1), ("00ff", 4), ("00FF00FF", 4), ("ibm", 5), ("entry-3", 3)]
        {
            assert_eq!(listing.find(name).unwrap().position, Some(position), "{name}");
        }
        for name in ["00f", "", "ib", "ibm-2", "entry-6", "entry-"] {
            assert_eq!(listing.find(name), Err(KeyRingError::Unknown), "{name}");
        }
    }

    #[test]
    fn a_key_is_recorded_by_its_account_and_its_fingerprint() {
        let recorded_as = listing().keys[0].recorded_as.clone().unwrap();
        assert_eq!(recorded_as.account.unwrap().as_str(), "main");
        assert_eq!(recorded_as.fingerprint.unwrap().as_str(), "abcd1234");
    }

    #[test]
    fn a_listing_is_empty_if_it_has_neither_a_key_nor_a_problem() {
        assert!(KeyListing::default().is_empty());
        assert!(!listing().is_empty() && !KeyListing::of_problem("unreadable".to_owned()).is_empty());
    }

    #[test]
    fn where_several_keys_are_meant_each_is_named() {
        let listing = listing();
        let error = listing.find("abcd").unwrap_err().to_string();
        assert!(error.ends_with("abcd1234, abcd5678, abcd5678"), "{error}");
        let twins = listing.find("abcd5678").unwrap_err().to_string();
        assert!(twins.ends_with("entry-2, entry-3"), "{twins}");
    }
}
