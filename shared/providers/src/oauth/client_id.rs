//! The ids of the token endpoint's clients.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::account::{AccountName, is_name};

/// A client's id: 1 to 64 ASCII letters, digits, dots, hyphens and underscores, like an account's name.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientId(String);

/// Not a valid client id. The text is not repeated: a secret may have been pasted in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client id is 1 to 64 letters, digits, dots, hyphens and underscores")]
pub struct InvalidClientId;

impl ClientId {
    /// Checks an id: 1 to 64 ASCII letters, digits, dots, hyphens and underscores.
    ///
    /// # Errors
    /// When the text is empty, too long or contains another character.
    pub fn new(text: &str) -> Result<Self, InvalidClientId> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidClientId) }
    }

    /// The default account of the client; it has the client's own name.
    #[must_use]
    pub fn own_account(&self) -> AccountName {
        AccountName::of_name(self.0.clone())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
