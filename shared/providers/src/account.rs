//! Accounts: what tells two of a user's accounts at one provider apart.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The longest name of an account, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What a user calls an account at a provider: 1 to 64 ASCII letters, digits, dots, hyphens and underscores. Case counts.
///
/// It is part of the CloudEvents `source` and of the identity of every event that one of the account's keys proves: the same id
/// under two accounts is two events. All keys of an account carry its name, so an event keeps its identity while a key is
/// replaced; under another name every event is new.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AccountName(String);

/// A text that cannot be an account's name. It is not repeated: a secret may have been pasted in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an account's name is 1 to 64 letters, digits, dots, hyphens and underscores")]
pub struct InvalidAccountName;

impl AccountName {
    /// Reads a name.
    ///
    /// # Errors
    /// When the text is empty, too long or holds another character.
    pub fn new(text: &str) -> Result<Self, InvalidAccountName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidAccountName) }
    }

    /// A text that is a name.
    pub(crate) const fn of_name(name: String) -> Self {
        Self(name)
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this is 1 to 64 ASCII letters, digits, dots, hyphens and underscores.
pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(is_allowed)
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for AccountName {
    type Err = InvalidAccountName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for AccountName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What is wrong with an entry that names its account twice.
pub(crate) const NAMED_TWICE: &str = "it holds both account and label, which mean the same; leave label out";

/// Whether an entry of a secret holds `account` and its alias `label` as well.
pub(crate) fn is_named_twice(entry: &str) -> bool {
    #[derive(Deserialize)]
    struct Names {
        account: Option<IgnoredAny>,
        label: Option<IgnoredAny>,
    }
    serde_json::from_str(entry).is_ok_and(|names: Names| names.account.is_some() && names.label.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_64_letters_digits_dots_hyphens_and_underscores() {
        for text in ["main", "a", "Ray_White.north-2", &"a".repeat(64)] {
            assert_eq!(AccountName::new(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a/b", "a#b", "n\u{e4}me", &"a".repeat(65)] {
            assert_eq!(AccountName::new(text), Err(InvalidAccountName), "{text:?}");
            assert!(serde_json::from_value::<AccountName>(text.into()).is_err(), "{text:?}");
        }
    }
}
