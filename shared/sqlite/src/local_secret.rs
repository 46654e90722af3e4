//! A secret on this machine.

use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::{SecretText, Secrets};

use crate::key_file::KeyFile;

/// A secret on this machine.
#[derive(Debug)]
pub enum LocalSecret {
    /// In a file, in the form of the secret on AWS.
    File(KeyFile),
    /// The text that was passed to the command.
    Given(SecretText),
}

impl Secrets for LocalSecret {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        match self {
            Self::File(file) => file.fetch().await,
            Self::Given(text) => Ok(SecretText::new(text.reveal().to_owned())),
        }
    }
}
