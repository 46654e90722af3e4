//! The secrets of a deployed stack. Reading one needs the permission to.

use intake_pipeline::secrets::{SecretText, Secrets as _};
use intake_providers::ProviderName;
use intake_providers::registry::key_ring;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::SecretsManagerSecrets;

impl Stack {
    /// The secret with which the stack verifies a provider; `None` if that is disabled.
    ///
    /// # Errors
    /// When the secret can't be read.
    pub async fn active_secret(&self, provider: ProviderName) -> Result<Option<SecretText>, StackError> {
        let Some(document) = key_ring(provider).verifying_document() else { return Ok(None) };
        self.secret_text(document.secret).await
    }

    /// The current text of a secret; `None` if the stack has none of this logical id.
    ///
    /// # Errors
    /// When the secret can't be read.
    pub async fn secret_text(&self, logical_id: &str) -> Result<Option<SecretText>, StackError> {
        let Some(secret_id) = self.find_resource(logical_id) else { return Ok(None) };
        let client = aws_sdk_secretsmanager::Client::new(self.config());
        Ok(Some(SecretsManagerSecrets::new(client, secret_id.to_owned()).fetch().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_every_secret_with_keys_and_each_provider_reads_the_one_that_verifies() {
        let template = include_str!("../../../../template.yaml");
        for provider in ProviderName::ALL {
            let documents = key_ring(*provider).documents();
            for document in documents {
                assert!(
                    template.contains(&format!("\n  {}:\n    Type: AWS::SecretsManager::Secret\n", document.secret))
                );
            }
            let (_, function) = template.split_once(&format!("\n  {provider:?}Function:")).unwrap();
            let (function, _) = function.split_once("\n\n").unwrap();
            let verifying = key_ring(*provider).verifying_document().unwrap();
            assert!(function.contains(&format!("SECRET_ID: !GetAtt {}.Id", verifying.secret)), "{provider}");
        }
    }
}
