//! A consumer's own endpoint over HTTP.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use intake_pipeline::clock::Clock;
use intake_pipeline::envelope::WrittenEnvelope;
use intake_pipeline::receiver::{Answer, MAX_CALL_TIME, Receiver};
use intake_pipeline::secrets::Secrets;
use intake_providers::retry_after;
use reqwest::{Client, Response};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use tokio::time::timeout;

use crate::http_client::{Limits, NoClient, http_client};
use crate::receiver_url::ReceiverUrl;
use crate::signing_secrets::SigningSecrets;

/// Timeout of a connection, TLS included.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(5);

/// Media type of an envelope (CloudEvents HTTP binding, "Structured content mode").
const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// How much of an answer's body is read, in bytes, so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Time for it. The event was taken or not, whether the body ends or doesn't.
const MAX_BODY_TIME: Duration = Duration::from_secs(1);

/// A consumer's own endpoint. Each envelope is posted in structured mode and signed as the Standard Webhooks specification says.
///
/// The secrets are fetched for each post, so that a rotation counts at once; they should be near.
#[derive(Clone, Debug)]
pub struct HttpReceiver<S, C> {
    client: Client,
    url: ReceiverUrl,
    secrets: S,
    clock: C,
}

impl<S: Secrets, C: Clock> HttpReceiver<S, C> {
    /// The receiver at this URL. The text of `secrets` is a document as [`SigningSecrets::read`] reads it.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(url: ReceiverUrl, secrets: S, clock: C) -> Result<Self, NoClient> {
        Self::within(Limits { connect: MAX_CONNECT_TIME, call: MAX_CALL_TIME }, url, secrets, clock)
    }

    fn within(limits: Limits, url: ReceiverUrl, secrets: S, clock: C) -> Result<Self, NoClient> {
        let client = http_client(url.url(), limits)?;
        Ok(Self { client, url, secrets, clock })
    }
}

impl<S: Secrets, C: Clock> Receiver for HttpReceiver<S, C> {
    async fn post(&self, envelope: &WrittenEnvelope) -> Answer {
        let again = |reason: String| Answer::RetryLater { reason, wait: None };
        let document = match self.secrets.fetch().await {
            Ok(document) => document,
            Err(error) => return again(error.to_string()),
        };
        let message_id = envelope.message_id();
        let unix_seconds = self.clock.now().unix_seconds();
        let signed = SigningSecrets::read(document.reveal())
            .and_then(|secrets| secrets.sign(&message_id, unix_seconds, &envelope.text));
        let signature = match signed {
            Ok(signature) => signature,
            Err(error) => return again(error.to_string()),
        };
        let request = self
            .client
            .post(self.url.url().clone())
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(HEADER_WEBHOOK_ID, message_id)
            .header(HEADER_WEBHOOK_TIMESTAMP, unix_seconds)
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(envelope.text.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Unreachable { reason: failure(&error).to_owned() },
        };
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = retry_after.and_then(|text| retry_after::wait(text, self.clock.now()));
        let answer = Answer::of_status(response.status(), wait);
        let _ = timeout(MAX_BODY_TIME, read_some(response)).await;
        answer
    }
}

/// Why there is no answer, without the URL.
fn failure(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "nobody answers there"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke before there was an answer"
    }
}

/// Reads the body of an answer up to a limit and drops it: the status says all.
async fn read_some(mut response: Response) {
    let mut read = 0;
    while read < MAX_ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read += chunk.len();
    }
}

#[cfg(test)]
mod tests;
