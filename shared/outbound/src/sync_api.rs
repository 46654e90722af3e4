//! NurtureCloud's Data API over HTTP.

use std::time::Duration;

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER};
use intake_pipeline::port_error::PortError;
use intake_pipeline::resync::{MAX_CALL_TIME, SyncApi};
use intake_providers::nurturecloud::resync::{BaseUrl, Credentials, SyncAnswer, SyncCall};
use reqwest::Client;

use crate::http_client::{Limits, NoClient, http_client};

/// Timeout of a connection, TLS included.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(3);

/// NurtureCloud's Data API. `Debug` doesn't show the credentials.
#[derive(Clone, Debug)]
pub struct HttpSyncApi {
    client: Client,
    base_url: BaseUrl,
    authorization: HeaderValue,
}

impl HttpSyncApi {
    /// A client of the API at this URL, with these credentials.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(base_url: BaseUrl, credentials: &Credentials) -> Result<Self, NoClient> {
        Self::within(Limits { connect: MAX_CONNECT_TIME, call: MAX_CALL_TIME }, base_url, credentials)
    }

    fn within(limits: Limits, base_url: BaseUrl, credentials: &Credentials) -> Result<Self, NoClient> {
        let client = http_client(&base_url, limits)?;
        Ok(Self { client, base_url, authorization: credentials.authorization().clone() })
    }
}

impl SyncApi for HttpSyncApi {
    async fn call(&self, call: &SyncCall) -> Result<SyncAnswer, PortError> {
        let request = self
            .client
            .post(call.url(&self.base_url))
            .header(AUTHORIZATION, self.authorization.clone())
            // Some servers answer a POST without a length with 411.
            .header(CONTENT_LENGTH, 0);
        let response = request.send().await.map_err(|error| failed(call, error))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        // The body is dropped unread.
        Ok(SyncAnswer { status: response.status(), retry_after: retry_after.map(str::to_owned) })
    }
}

/// The error without the URL, which contains ids.
fn failed(call: &SyncCall, error: reqwest::Error) -> PortError {
    let was_sent = !error.is_connect() && !error.is_builder();
    let error = PortError::new(call.operation(), &error.without_url());
    if was_sent { error.undecided() } else { error }
}

#[cfg(test)]
mod tests;
