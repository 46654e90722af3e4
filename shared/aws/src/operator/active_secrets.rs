//! The secrets by which a deployed stack verifies.

use intake_pipeline::secrets::{SecretText, Secrets as _};
use intake_providers::ProviderName;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::SecretsManagerSecrets;

/// The logical ids under which the template may have the secret that verifies a provider. Sterling has two secrets, of which the
/// webhook reads the one that only verifies.
fn logical_ids(provider: ProviderName) -> [String; 2] {
    [format!("{provider:?}VerificationSecret"), format!("{provider:?}Secret")]
}

impl Stack {
    /// The secret with which the stack verifies a provider; `None` if that is disabled. It needs the permission to read the secret.
    ///
    /// # Errors
    /// When the secret can't be read.
    pub async fn active_secret(&self, provider: ProviderName) -> Result<Option<SecretText>, StackError> {
        let ids = logical_ids(provider);
        let Some(secret_id) = ids.iter().find_map(|id| self.find_resource(id)) else { return Ok(None) };
        let client = aws_sdk_secretsmanager::Client::new(self.config());
        Ok(Some(SecretsManagerSecrets::new(client, secret_id.to_owned()).fetch().await?))
    }
}

#[cfg(test)]
mod tests {
    use intake_providers::registry::webhook_route;

    use super::*;

    #[test]
    fn the_template_has_the_secret_of_each_webhook() {
        let template = include_str!("../../../../template.yaml");
        for provider in ProviderName::ALL.iter().filter(|provider| webhook_route(**provider).is_some()) {
            let is_there = |id: &String| template.contains(&format!("SECRET_ID: !GetAtt {id}.Id"));
            assert!(logical_ids(*provider).iter().any(is_there), "{provider}");
        }
    }
}
