//! Sample invocations of the functions, genuinely signed with test keys. The same keys give the same samples, to the byte.

use std::collections::BTreeMap;

use bytes::Bytes;
use intake_pipeline::payloads::{PayloadKey, PayloadReader, Payloads};
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue_message::QueueMessage;
use intake_providers::ProviderName;
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook;
use serde::Serialize;

use crate::IMITATIONS;
use crate::error::SimulatorError;
use crate::key_files::KeyFiles;
use crate::made_up::base64;
use crate::signed_delivery::SignedDelivery;
use crate::token::TokenRequest;

/// When every sample is said to have arrived, in the three ways in which AWS writes a time.
const ARRIVAL: &str = "2026-11-21T09:30:00.000Z";
const ARRIVAL_IN_LOG_FORMAT: &str = "21/Nov/2026:09:30:00 +0000";

pub(crate) const HOST: &str = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
/// An address of those set aside for documentation (RFC 5737).
const SENDER: &str = "192.0.2.10";

/// When every sample is said to have arrived.
pub(crate) fn arrival() -> Timestamp {
    // A fixed text that is a time.
    Timestamp::parse(ARRIVAL).unwrap_or(Timestamp::EPOCH)
}

/// Why the samples could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// A key can't be used.
    #[error("the keys in the samples' folder cannot sign; make new ones with --new-keys")]
    Keys(#[source] SimulatorError),
    /// What was signed isn't verified.
    #[error(
        "the secret and the signing key of {0} in the samples' folder do not belong together; make new ones with --new-keys"
    )]
    Mismatched(ProviderName),
    /// A queue message could not be written.
    #[error("a queue message could not be written")]
    Document(#[from] PortError),
    /// A sample could not be written as JSON.
    #[error("a sample could not be written as json")]
    Json(#[from] serde_json::Error),
}

impl From<SimulatorError> for SamplesError {
    fn from(error: SimulatorError) -> Self {
        match error {
            SimulatorError::Mismatched(provider) => Self::Mismatched(provider),
            error => Self::Keys(error),
        }
    }
}

/// One provider's samples.
#[derive(Debug, Default)]
pub struct Samples {
    /// Its requests, each in a file of its own.
    pub requests: Vec<SampleRequest>,
    /// Its messages in the processor's batch.
    pub queued: Vec<QueuedSample>,
}

/// A request in a file of its own.
#[derive(Debug)]
pub struct SampleRequest {
    file: &'static str,
    request: HttpApiRequest,
}

/// A delivery in the processor's batch.
#[derive(Debug)]
pub struct QueuedSample {
    /// Its place in the batch, and what its ids are made of. It stays when other samples come and go.
    number: u8,
    delivery: VerifiedDelivery,
}

impl SampleRequest {
    /// A delivery to a webhook.
    #[must_use]
    pub(crate) fn delivery<W: Webhook>(file: &'static str, delivery: &SignedDelivery) -> Self {
        let request =
            http_request(&W::ROUTE.pattern(), &delivery.path(W::ROUTE.path()), delivery.headers(), &delivery.body);
        let path_parameters = delivery.path_secret().map(|secret| ("secret", secret.to_owned())).into_iter().collect();
        Self { file, request: HttpApiRequest { path_parameters, ..request } }
    }

    /// A request for an access token.
    #[must_use]
    pub(crate) fn token(file: &'static str, request: &TokenRequest) -> Self {
        let (path, body) = (TokenRequest::PATH, TokenRequest::BODY.as_bytes());
        Self { file, request: http_request(path, path, request.headers(), body) }
    }
}

impl QueuedSample {
    /// A delivery that this secret verifies.
    ///
    /// # Errors
    /// When the secret is missing or does not verify it.
    pub(crate) fn new<W: Webhook>(
        number: u8,
        secret: Option<&str>,
        delivery: &SignedDelivery,
    ) -> Result<Self, SimulatorError> {
        let secret = secret.ok_or(SimulatorError::Mismatched(W::NAME))?;
        let id = DeliveryId::new(arrival(), [number; 10]);
        Ok(Self { number, delivery: delivery.verified::<W>(secret, id, arrival())? })
    }
}

/// Makes every provider's samples and the processor's batch of them: each a file name and its text.
///
/// # Errors
/// [`SamplesError`].
pub async fn make(keys: &KeyFiles) -> Result<Vec<(&'static str, String)>, SamplesError> {
    let mut files = Vec::new();
    let mut queued = Vec::new();
    for imitation in IMITATIONS {
        let samples = imitation.samples(keys)?;
        for SampleRequest { file, request } in samples.requests {
            files.push((file, json(&request)?));
        }
        queued.extend(samples.queued);
    }
    queued.sort_by_key(|sample| sample.number);
    let mut records = Vec::new();
    for QueuedSample { number, delivery } in &queued {
        records.push(SqsRecord::new(*number, &QueueMessage::prepare(delivery, &NoPayloads).await?));
    }
    files.push(("processor.json", json(&QueueBatch { records })?));
    Ok(files)
}

/// Samples are small enough for the queue.
struct NoPayloads;

impl PayloadReader for NoPayloads {
    async fn get(&self, _: &PayloadKey) -> Result<Bytes, PortError> {
        Err(PortError::of("get payload", "samples have none"))
    }
}

impl Payloads for NoPayloads {
    async fn put(&self, _: &PayloadKey, _: Bytes) -> Result<(), PortError> {
        Err(PortError::of("put payload", "a sample is larger than the queue takes"))
    }
}

/// A request as an HTTP API hands it to a function, payload format 2.0.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpApiRequest {
    version: &'static str,
    route_key: String,
    raw_path: String,
    raw_query_string: &'static str,
    headers: BTreeMap<&'static str, String>,
    request_context: RequestContext,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: BTreeMap<&'static str, String>,
    is_base64_encoded: bool,
}

impl std::fmt::Debug for HttpApiRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpApiRequest({})", self.route_key)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    account_id: &'static str,
    api_id: &'static str,
    domain_name: &'static str,
    domain_prefix: &'static str,
    http: HttpContext,
    request_id: &'static str,
    route_key: String,
    stage: &'static str,
    time: &'static str,
    time_epoch: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpContext {
    method: &'static str,
    path: String,
    protocol: &'static str,
    source_ip: &'static str,
    user_agent: &'static str,
}

fn http_request<'a>(
    route: &str,
    path: &str,
    own_headers: impl Iterator<Item = (&'static str, &'a str)>,
    body: &[u8],
) -> HttpApiRequest {
    let user_agent = "webhook-intake-sample/1.0";
    let mut headers = BTreeMap::from([
        ("accept", "*/*".to_owned()),
        ("content-length", body.len().to_string()),
        ("host", HOST.to_owned()),
        ("user-agent", user_agent.to_owned()),
        ("x-amzn-trace-id", "Root=1-6a201c58-0123456789abcdef01234567".to_owned()),
        ("x-forwarded-for", SENDER.to_owned()),
        ("x-forwarded-port", "443".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
    ]);
    headers.extend(own_headers.map(|(name, value)| (name, value.to_owned())));
    // An HTTP API passes on every body that is not text, JSON or XML in base64.
    let is_text = headers.get("content-type").is_some_and(|kind| kind == "application/json");
    HttpApiRequest {
        version: "2.0",
        route_key: format!("POST {route}"),
        raw_path: path.to_owned(),
        raw_query_string: "",
        headers,
        request_context: RequestContext {
            account_id: "123456789012",
            api_id: "a1b2c3d4e5",
            domain_name: HOST,
            domain_prefix: "a1b2c3d4e5",
            http: HttpContext {
                method: "POST",
                path: path.to_owned(),
                protocol: "HTTP/1.1",
                source_ip: SENDER,
                user_agent,
            },
            request_id: "JKJaXmPLvHcESHA=",
            route_key: format!("POST {route}"),
            stage: "$default",
            time: ARRIVAL_IN_LOG_FORMAT,
            time_epoch: arrival().unix_milliseconds(),
        },
        body: if is_text { String::from_utf8_lossy(body).into_owned() } else { base64(body) },
        path_parameters: BTreeMap::new(),
        is_base64_encoded: !is_text,
    }
}

/// A batch as SQS's event source mapping hands it to a function.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueueBatch {
    records: Vec<SqsRecord>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    receipt_handle: String,
    body: String,
    attributes: QueueAttributes,
    message_attributes: BTreeMap<String, String>,
    event_source: &'static str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'static str,
    aws_region: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueueAttributes {
    approximate_first_receive_timestamp: String,
    approximate_receive_count: &'static str,
    message_group_id: &'static str,
    sender_id: &'static str,
    sent_timestamp: String,
}

impl SqsRecord {
    fn new(number: u8, message: &QueueMessage) -> Self {
        Self {
            message_id: format!("5fea7756-0ea4-451a-a703-a558b933e2{:02x}", 0x70 + number),
            receipt_handle: format!("sample-receipt-handle-{number}"),
            body: message.text().to_owned(),
            attributes: QueueAttributes {
                approximate_first_receive_timestamp: (arrival().unix_milliseconds() + 40).to_string(),
                approximate_receive_count: "1",
                message_group_id: message.group(),
                sender_id: "AROAEXAMPLE:intake",
                sent_timestamp: (arrival().unix_milliseconds() + 20).to_string(),
            },
            message_attributes: BTreeMap::new(),
            event_source: "aws:sqs",
            event_source_arn: "arn:aws:sqs:us-east-1:123456789012:webhook-intake-deliveries",
            aws_region: "us-east-1",
        }
    }
}

fn json(sample: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(sample)? + "\n")
}

#[cfg(test)]
mod tests;
