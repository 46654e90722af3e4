//! A provider's active keys in a file.

use std::path::PathBuf;

use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::{SecretText, Secrets};

/// A provider's active keys in a file. It is read again whenever the keys are refreshed, so editing it is a rotation.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// The keys in this file.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Secrets for KeyFile {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        let path = self.0.clone();
        match tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await {
            Ok(Ok(text)) => Ok(SecretText::new(text)),
            Ok(Err(error)) => Err(PortError::of("read key file", format!("{}: {error}", self.0.display()))),
            Err(error) => Err(PortError::new("read key file", &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_key_file_is_named() {
        let error = KeyFile::new("/nowhere/machnet.json".into()).fetch().await.unwrap_err().to_string();
        assert!(error.starts_with("read key file failed: /nowhere/machnet.json: "), "{error}");
    }
}
