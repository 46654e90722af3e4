//! Secrets that a command reads, changes and writes back.
//!
//! Secrets Manager has no conditional write. The version is therefore read again right before the write, and the write fails
//! if it is not the one that was changed. Two commands that write at the same moment can still both succeed, and then the last
//! write wins, so only one person should make changes at a time.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_http_client::{Builder, tls};
use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::SecretText;

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
    /// The secret was changed after it was read.
    ChangedMeanwhile,
    /// Secrets Manager failed or did not answer.
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

    /// The secret of this name or ARN, with clients of this configuration.
    #[must_use]
    pub(crate) fn with(config: &SdkConfig, secret_id: &str) -> Self {
        Self { client: Client::new(config), secret_id: secret_id.to_owned() }
    }

    /// The secret's name or ARN.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The current text and version; neither if the secret never had a value.
    ///
    /// # Errors
    /// When the service doesn't answer, or the secret is binary.
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

    /// Replaces the text, unless the secret was changed after it was read.
    ///
    /// # Errors
    /// When the version differs, or the service rejects the text.
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

#[cfg(test)]
mod tests {
    use aws_config::retry::RetryConfig;
    use aws_sdk_secretsmanager::config::{Credentials, Region, SharedCredentialsProvider};
    use serde_json::{Value, json};

    use super::*;

    /// A service that returns one answer per request, and a channel with the requests.
    fn document(answers: &[(u16, Value)]) -> (SecretDocument, std::sync::mpsc::Receiver<(String, Value)>) {
        use std::io::{BufRead as _, BufReader, Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = std::sync::mpsc::channel();
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            for (status, answer) in answers {
                let mut stream = listener.accept().unwrap().0;
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut operation, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    match line.trim().split_once(": ") {
                        Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                            value.clone_into(&mut operation)
                        }
                        Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                            length = value.parse().unwrap();
                        }
                        None if line.trim().is_empty() => break,
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                sender.send((operation, serde_json::from_slice(&body).unwrap())).unwrap();
                let text = answer.to_string();
                let head =
                    format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
                stream.write_all((head + &text).as_bytes()).unwrap();
            }
        });
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "test")))
            .http_client(Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .endpoint_url(endpoint)
            .build();
        (SecretDocument::with(&config, "the-secret"), requests)
    }

    fn found(version: &str) -> (u16, Value) {
        (200, json!({"SecretString": "old", "VersionId": version}))
    }

    #[tokio::test]
    async fn a_secret_is_replaced_if_its_version_is_the_one_that_was_read() {
        let (document, requests) = document(&[found("v1"), found("v1"), (200, json!({}))]);
        let (text, version) = document.read().await.unwrap();
        assert_eq!((text.unwrap().reveal(), version.as_str()), ("old", "v1"));
        document.replace(&SecretText::new("new".to_owned()), &version).await.unwrap();
        let (operation, request) = requests.iter().nth(2).unwrap();
        assert_eq!(operation, "secretsmanager.PutSecretValue");
        assert_eq!((&request["SecretId"], &request["SecretString"]), (&json!("the-secret"), &json!("new")));
    }

    #[tokio::test]
    async fn a_secret_that_was_changed_meanwhile_is_not_written() {
        let (document, requests) = document(&[found("v1"), found("v2")]);
        let (_, version) = document.read().await.unwrap();
        let refused = document.replace(&SecretText::new("new".to_owned()), &version).await;
        assert!(matches!(refused, Err(ReplaceError::ChangedMeanwhile)), "{refused:?}");
        assert!(requests.iter().all(|(operation, _)| operation == "secretsmanager.GetSecretValue"));
    }

    #[tokio::test]
    async fn a_secret_without_a_value_is_not_an_error_but_a_missing_secret_is() {
        let missing = || (400, json!({"__type": "ResourceNotFoundException", "Message": "no value"}));
        let (empty, _requests) = document(&[missing(), (200, json!({"Name": "the-secret"}))]);
        let (text, version) = empty.read().await.unwrap();
        assert!(text.is_none() && version.is_empty());
        let (absent, _requests) = document(&[missing(), missing()]);
        let error = absent.read().await.unwrap_err().to_string();
        assert!(error.contains("ResourceNotFoundException"), "{error}");
    }
}
