//! Sends a signed delivery over HTTP, as a provider would.

use std::time::Duration;

use intake_outbound::{Limits, NoClient, http_client};
use intake_simulator::signed_delivery::SignedDelivery;
use intake_simulator::token::TokenRequest;
use reqwest::{Client, RequestBuilder, Url};
use secrecy::SecretString;
use serde::Deserialize;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// A token, as the token endpoint gives it. `Debug` doesn't show it.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// The token itself.
    pub access_token: SecretString,
    /// How long it is valid, in seconds.
    pub expires_in: u64,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No URL. What was given is not repeated: NurtureCloud's holds a secret.
    #[error("this is not an http or https url; write one such as http://127.0.0.1:8080/webhooks/machnet")]
    InvalidUrl,
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] NoClient),
    /// Nobody there.
    #[error("nobody answers at {url}; start the server with `serve` or `demo`, or choose another --url")]
    Unreachable {
        /// The URL.
        url: Url,
        /// The cause.
        source: reqwest::Error,
    },
    /// The exchange broke.
    #[error("no whole answer came from {url}; whether it has the delivery is not known, and sending again is safe")]
    Broken {
        /// The URL.
        url: Url,
        /// The cause.
        source: reqwest::Error,
    },
    /// The token endpoint gave none.
    #[error(
        "no token came from {url}, but status {status}{}; check client id, secret and --token-url",
        with_code(error)
    )]
    NoToken {
        /// The URL.
        url: Url,
        /// The status code.
        status: u16,
        /// RFC 6749's error code, if there was one.
        error: Option<String>,
    },
}

fn with_code(error: &Option<String>) -> String {
    error.as_ref().map(|error| format!(" and error {error:?}")).unwrap_or_default()
}

/// Reads a URL; one without a path gets the given one.
///
/// # Errors
/// When it is none, or not of http or https.
pub fn webhook_url(text: &str, path: &str) -> Result<Url, SendError> {
    let mut url = Url::parse(text).map_err(|_| SendError::InvalidUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(SendError::InvalidUrl);
    }
    if url.path() == "/" {
        url.set_path(path);
    }
    Ok(url)
}

/// Posts deliveries.
#[derive(Clone, Debug)]
pub struct Sender(Client);

impl Sender {
    /// A sender for this URL. This machine is reached directly, whatever proxy is set, and plain HTTP needs no certificates.
    ///
    /// # Errors
    /// When the HTTP client can't be made.
    pub fn new(url: &Url) -> Result<Self, SendError> {
        Ok(Self(http_client(url, Limits { connect: TIMEOUT, call: TIMEOUT })?))
    }

    /// Posts a delivery and returns the answer, whatever its status. A secret that the URL has to end with is the delivery's,
    /// and no part of `url`, which errors name.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn post(&self, url: &Url, delivery: &SignedDelivery) -> Result<Reply, SendError> {
        let mut whole_url = url.clone();
        whole_url.set_path(&delivery.path(url.path()));
        let mut request = self.0.post(whole_url).body(delivery.body.clone());
        for (name, value) in delivery.headers() {
            request = request.header(name, value);
        }
        exchange(url, request).await
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// When no whole answer came, or one without a token.
    pub async fn token(&self, url: &Url, token_request: &TokenRequest) -> Result<Token, SendError> {
        #[derive(Deserialize)]
        struct Refused {
            error: String,
        }
        let mut request = self.0.post(url.clone()).body(TokenRequest::BODY);
        for (name, value) in token_request.headers() {
            request = request.header(name, value);
        }
        let Reply { status, body } = exchange(url, request).await?;
        match serde_json::from_str(&body) {
            Ok(token) if status == 200 => Ok(token),
            _ => {
                let error = serde_json::from_str(&body).ok().map(|Refused { error }| error);
                Err(SendError::NoToken { url: url.clone(), status, error })
            }
        }
    }
}

async fn exchange(url: &Url, request: RequestBuilder) -> Result<Reply, SendError> {
    let failed = |source: reqwest::Error| {
        let (url, source) = (url.clone(), source.without_url());
        if source.is_connect() { SendError::Unreachable { url, source } } else { SendError::Broken { url, source } }
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(failed)?;
    Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_means_the_providers_webhook() {
        let path = "/webhooks/machnet";
        let read = |text| webhook_url(text, path).map(String::from);
        assert_eq!(read("http://127.0.0.1:9000").unwrap(), "http://127.0.0.1:9000/webhooks/machnet");
        assert_eq!(read("https://hooks.example.com/other").unwrap(), "https://hooks.example.com/other");
        for text in ["", "localhost:8080", "ftp://example.com/", "127.0.0.1"] {
            assert!(read(text).unwrap_err().to_string().contains("is not an http or https url"), "{text}");
        }
    }
}
