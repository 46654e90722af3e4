//! Secrets and their text.

use std::future::Future;

use secrecy::{ExposeSecret as _, SecretString};

use crate::port_error::PortError;

/// The secret that holds a provider's active keys.
pub trait Secrets: Send + Sync + 'static {
    /// Fetches the current text.
    fn fetch(&self) -> impl Future<Output = Result<SecretText, PortError>> + Send;
}

/// A secret's text. It is wiped when dropped, and `Debug` doesn't show it.
#[derive(Debug)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}
