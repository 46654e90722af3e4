//! Secrets and their text.

use std::fmt;
use std::future::Future;

use crate::port_error::PortError;

/// The secret that holds a provider's active keys.
pub trait Secrets: Send + Sync + 'static {
    /// Fetches the current text.
    fn fetch(&self) -> impl Future<Output = Result<SecretText, PortError>> + Send;
}

/// A secret's text. It is wiped when dropped, and `Debug` doesn't show it.
pub struct SecretText(zeroize::Zeroizing<String>);

impl SecretText {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}
