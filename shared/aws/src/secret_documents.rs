//! Secrets that a command reads, changes and writes back.
//!
//! Secrets Manager has no conditional write. The version is therefore read once more right before the write, and the write is
//! refused when it isn't the one that was changed. Two commands that write within the same moment can still both succeed, and
//! then the later one counts, so changes are for one person at a time.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_http_client::{Builder, tls};
use pipeline::ports::{PortError, SecretText};

use crate::port_error::port_error;
use crate::timeouts::PROCESSOR;

const READ: &str = "secretsmanager GetSecretValue";
const WRITE: &str = "secretsmanager PutSecretValue";

/// A secret that can be replaced.
#[derive(Clone, Debug)]
pub struct SecretDocument {
    client: Client,
    secret_id: String,
}

/// Why a secret was not replaced.
#[derive(Debug)]
pub enum ReplaceError {
    /// It is another version than the one that was read.
    ChangedMeanwhile,
    /// The service.
    Port(PortError),
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChangedMeanwhile => f.write_str("the secret was changed since it was read; read it again"),
            Self::Port(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReplaceError {}

impl From<PortError> for ReplaceError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl SecretDocument {
    /// The secret of this name or ARN, with region and credentials from the environment.
    pub async fn connect(secret_id: &str) -> Self {
        let http_client =
            Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc)).build_https();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client)
            .timeout_config(PROCESSOR.timeout_config())
            .retry_config(PROCESSOR.retry_config())
            .load()
            .await;
        Self::with(&config, secret_id)
    }

    fn with(config: &SdkConfig, secret_id: &str) -> Self {
        Self { client: Client::new(config), secret_id: secret_id.to_owned() }
    }

    /// Its name or ARN.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// Its current text and version; no text and no version when it never had a value.
    ///
    /// # Errors
    /// When the service doesn't tell, or the secret holds no text.
    pub async fn read(&self) -> Result<(Option<SecretText>, String), PortError> {
        let secret = match self.client.get_secret_value().secret_id(&self.secret_id).send().await {
            Ok(secret) => secret,
            Err(error) if has_no_value(&error) => {
                // The same error is given for a secret that doesn't exist.
                self.client
                    .describe_secret()
                    .secret_id(&self.secret_id)
                    .send()
                    .await
                    .map_err(|error| port_error("secretsmanager DescribeSecret", &error))?;
                return Ok((None, String::new()));
            }
            Err(error) => return Err(port_error(READ, &error)),
        };
        let version = secret.version_id.unwrap_or_default();
        let text = secret.secret_string.map(SecretText::new).ok_or_else(|| {
            PortError::of(READ, format!("the secret {} holds no text; store its JSON as SecretString", self.secret_id))
        })?;
        Ok((Some(text), version))
    }

    /// Replaces its text, unless its version is no longer the one that was read.
    ///
    /// # Errors
    /// When the version differs, or the service doesn't take the text.
    pub async fn replace(&self, text: &SecretText, seen_version: &str) -> Result<(), ReplaceError> {
        let (_, version) = self.read().await?;
        if version != seen_version {
            return Err(ReplaceError::ChangedMeanwhile);
        }
        self.client
            .put_secret_value()
            .secret_id(&self.secret_id)
            .secret_string(text.reveal())
            .send()
            .await
            .map_err(|error| port_error(WRITE, &error))?;
        Ok(())
    }
}

fn has_no_value(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}
