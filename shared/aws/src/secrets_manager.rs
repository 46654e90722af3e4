//! A secret in Secrets Manager.

use aws_sdk_secretsmanager::Client;
use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::{SecretText, Secrets};

use crate::port_error::port_error;

const OPERATION: &str = "secretsmanager GetSecretValue";

/// A secret of Secrets Manager in its version AWSCURRENT. AWSPREVIOUS is never read, so a key that was removed from the secret
/// is no longer accepted.
#[derive(Clone, Debug)]
pub struct SecretsManagerSecrets {
    client: Client,
    secret_id: String,
}

impl SecretsManagerSecrets {
    pub(crate) const fn new(client: Client, secret_id: String) -> Self {
        Self { client, secret_id }
    }
}

impl Secrets for SecretsManagerSecrets {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        let secret = self
            .client
            .get_secret_value()
            .secret_id(&self.secret_id)
            .send()
            .await
            .map_err(|error| port_error(OPERATION, &error))?;
        secret.secret_string.map(SecretText::new).ok_or_else(|| {
            PortError::of(
                OPERATION,
                format!("the secret {} holds no text; store its JSON as SecretString", self.secret_id),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_service::{Reply, TestService};

    async fn fetch_from(service: &TestService) -> Result<SecretText, PortError> {
        service.clients().secrets("keys/machnet".to_owned()).fetch().await
    }

    #[tokio::test]
    async fn the_current_text_is_fetched_and_no_version_is_named() {
        let service = TestService::replying(&[Reply::json(200, &json!({"SecretString": "the text"}))]);
        assert_eq!(fetch_from(&service).await.unwrap().reveal(), "the text");
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        assert_eq!(request.json(), json!({"SecretId": "keys/machnet"}));
    }

    #[tokio::test]
    async fn a_binary_secret_is_an_error_that_says_what_to_do() {
        let service = TestService::replying(&[Reply::json(200, &json!({"SecretBinary": "c2VjcmV0"}))]);
        let error = fetch_from(&service).await.unwrap_err().to_string();
        assert!(error.contains("the secret keys/machnet holds no text; store its JSON as SecretString"), "{error}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_permission_is_named() {
        let message =
            "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: secretsmanager:GetSecretValue";
        let denied = json!({"__type": "AccessDeniedException", "Message": message});
        let error = fetch_from(&TestService::replying(&[Reply::json(400, &denied)])).await.unwrap_err().to_string();
        assert!(
            error.contains("AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/f is not authorized"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_does_not_show_the_secret() {
        let body = r#"{"SecretString": "nobody else", "Name": nobody else"#.to_owned();
        let service = TestService::replying(&[Reply::Answer { status: 200, body }]);
        let error = fetch_from(&service).await.unwrap_err().to_string();
        assert!(!error.contains("nobody"), "{error}");
    }
}
