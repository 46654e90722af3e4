//! The two documents as secrets of a deployed stack.

use aws::{ReplaceError, SecretDocument};
use pipeline::ports::SecretText;

use super::{AuthorityStore, Document, Found, StoreError, Version};

/// The two documents in Secrets Manager.
#[derive(Debug)]
pub struct SecretsManagerStore {
    authority: SecretDocument,
    verification: SecretDocument,
}

impl SecretsManagerStore {
    /// The secrets with these names or ARNs. Region and credentials are those of the environment.
    pub async fn connect(authority_secret: &str, verification_secret: &str) -> Self {
        Self {
            authority: SecretDocument::connect(authority_secret).await,
            verification: SecretDocument::connect(verification_secret).await,
        }
    }

    const fn document(&self, document: Document) -> &SecretDocument {
        match document {
            Document::Authority => &self.authority,
            Document::Verification => &self.verification,
        }
    }
}

impl AuthorityStore for SecretsManagerStore {
    fn name(&self, document: Document) -> String {
        format!("the secret {}", self.document(document).secret_id())
    }

    async fn read(&self, document: Document) -> Result<Found, StoreError> {
        let (text, version) = self.document(document).read().await?;
        Ok(Found { text, version: Version(version) })
    }

    async fn replace(&self, document: Document, text: &SecretText, seen: &Version) -> Result<(), StoreError> {
        self.document(document).replace(text, &seen.0).await.map_err(|error| match error {
            ReplaceError::ChangedMeanwhile => StoreError::ChangedMeanwhile { place: self.name(document) },
            ReplaceError::Port(error) => error.into(),
        })
    }
}
