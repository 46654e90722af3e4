//! Sample invocations of the functions, genuinely signed with test keys. The same keys give the same samples, to the byte.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use intake_pipeline::intake::IntakeSettings;
use intake_pipeline::payloads::{PayloadKey, Payloads};
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue_message::QueueMessage;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::accredit::Accredit;
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use intake_providers::machnet::Machnet;
use intake_providers::nurturecloud::NurtureCloud;
use intake_providers::oauth::access_token::{self, NoSigningKey};
use intake_providers::oauth::authority::{Authority, ClientSecret};
use intake_providers::oauth::client_id::{ClientId, InvalidClientId};
use intake_providers::request::UnverifiedRequest;
use intake_providers::sterling::Sterling;
use intake_providers::timestamp::{InvalidTimestamp, Timestamp};
use intake_providers::webhook::Webhook;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::authority_store::StoreError;
use crate::client::{TOKEN_REQUEST_BODY, token_request_headers};
use crate::key_files::{
    ClientCredentials, NewAuthority, TEST_ACCOUNT, TestKeyError, new_accredit_key, new_machnet_key,
};
use crate::path_secrets::{self, PathSecretError, PathSecrets};
use crate::sample_bodies::{
    NurtureCloudEntity, SterlingEvent, accredit_body, machnet_body, nurturecloud_array_body, nurturecloud_body,
    sterling_body,
};
use crate::signing::{SignedDelivery, Signer, SignerError};
use intake_providers::oauth::TOKEN_PATH;

/// When every sample is said to have arrived, in the three ways in which AWS writes a time.
const ARRIVAL: &str = "2026-11-21T09:30:00.000Z";
const ARRIVAL_IN_LOG_FORMAT: &str = "21/Nov/2026:09:30:00 +0000";

/// When the sample's token and its key were made: so long ago that every clock takes it.
const TOKEN_ISSUED_AT: &str = "2025-01-01T00:00:00.000Z";

/// The entities of NurtureCloud's samples.
const AGENT: &str = "00000000-0000-0000-0000-0000000000a1";
const CONTACT: &str = "00000000-0000-0000-0000-0000000000c1";
const OTHER_CONTACT: &str = "00000000-0000-0000-0000-0000000000c2";

const HOST: &str = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
/// An address of those set aside for documentation (RFC 5737).
const SENDER: &str = "192.0.2.10";

/// The keys that sign the samples, and the secrets that verify them.
#[derive(Debug)]
pub struct SampleKeys {
    /// Accredit's active keys, in the form of the secret on AWS.
    pub accredit_secret: String,
    /// The private key that belongs to them, as PEM.
    pub accredit_private_key: String,
    /// Machnet's active keys, in the form of the secret on AWS.
    pub machnet_secret: String,
    /// NurtureCloud's active secrets as hashes, in the form of the secret on AWS.
    pub nurturecloud_secret: String,
    /// The secret that ends the URL.
    pub nurturecloud_path_secret: String,
    /// Sterling's whole authority.
    pub sterling_authority: String,
    /// What the webhook needs of it.
    pub sterling_verification: String,
    /// A client of the authority.
    pub sterling_client: String,
}

/// Why a sample could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// A key can't sign.
    #[error("the keys in the samples' folder cannot sign; make new ones with --new-keys")]
    Signer(#[from] SignerError),
    /// The authority can't sign.
    #[error("the authority in the samples' folder cannot sign; make a new one with --new-keys")]
    NoSigningKey(#[from] NoSigningKey),
    /// The client's id can't be one.
    #[error("the client in the samples' folder cannot be used; make a new one with --new-keys")]
    Client(#[from] InvalidClientId),
    /// What was signed isn't verified.
    #[error(
        "the secret and the signing key of {0} in the samples' folder do not belong together; make new ones with --new-keys"
    )]
    Mismatched(ProviderName),
    /// A document could not be written.
    #[error("a queue document could not be written")]
    Document(#[from] PortError),
    /// A fixed time is none.
    #[error("the samples' fixed time cannot be used")]
    Time(#[from] InvalidTimestamp),
    /// A sample could not be written as JSON.
    #[error("a sample could not be written as json")]
    Json(#[from] serde_json::Error),
}

impl SampleKeys {
    /// Makes new keys. Sterling's tokens are valid for fifty years, so that its samples stay genuine.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, TestKeyError> {
        // A fixed text that is a time.
        let issued_at = Timestamp::parse(TOKEN_ISSUED_AT).unwrap_or(Timestamp::EPOCH);
        let url = |path: &str| format!("https://{HOST}{path}");
        let settings = NewAuthority {
            issuer: url(TOKEN_PATH),
            audience: url(ProviderName::Sterling.source_path()),
            token_lifetime: Duration::from_secs(50 * 365 * 24 * 60 * 60),
            secret_refresh: IntakeSettings::default().secret_refresh,
            ..NewAuthority::default()
        };
        let mut authority = settings.make(issued_at)?;
        let secret = ClientSecret::generate().ok_or(StoreError::NoRandomness)?;
        let client = ClientCredentials { client_id: "sample".to_owned(), client_secret: secret.reveal().into() };
        authority.add_client_secret(&client.client_id, None, &secret).map_err(StoreError::from)?;
        let verification = authority.verification().map_err(StoreError::from)?;
        let accredit = new_accredit_key()?;
        let path_secret = path_secrets::generate()?;
        let account = AccountName::new(TEST_ACCOUNT).map_err(PathSecretError::from)?;
        Ok(Self {
            accredit_secret: accredit.secret,
            accredit_private_key: accredit.private_key.expose_secret().to_owned(),
            machnet_secret: new_machnet_key()?,
            nurturecloud_secret: json(&PathSecrets::only(account, &path_secret))?,
            nurturecloud_path_secret: format!("{}\n", path_secret.reveal()),
            sterling_authority: json(&authority)?,
            sterling_verification: json(&verification)?,
            sterling_client: json(&client)?,
        })
    }
}

/// Makes every sample: its file name and its text.
///
/// # Errors
/// [`SamplesError`].
pub async fn make(keys: &SampleKeys) -> Result<[(&'static str, String); 7], SamplesError> {
    let arrival = Timestamp::parse(ARRIVAL)?;
    let accredit = Signer::read(ProviderName::Accredit, &keys.accredit_private_key)?;
    let machnet = Signer::read(ProviderName::Machnet, &keys.machnet_secret)?;

    let accredit_request = accredit_delivery(&accredit, "6b8e64f2-c1d9-4a5c-8f3e-0a7d5b219c40", "48213", arrival)?;
    let machnet_request = machnet_delivery(&machnet, "5f8a2c19d0e34b6fa7c1e2d3", "8c1d2e3f4a5b6c7d8e9f0a1b", arrival)?;

    let contacts = [NurtureCloudEntity::named(CONTACT, "Ada"), NurtureCloudEntity::named(OTHER_CONTACT, "Grace")];
    let contacts_request = nurturecloud_delivery(keys, nurturecloud_array_body("contacts", "Updated", &contacts));
    let merged = NurtureCloudEntity::merged(OTHER_CONTACT, CONTACT);
    let merged_request = nurturecloud_delivery(keys, nurturecloud_body("contact", "Deleted", &merged));

    let mismatched = || SamplesError::Mismatched(ProviderName::Sterling);
    let client: ClientCredentials = serde_json::from_str(&keys.sterling_client).map_err(|_| mismatched())?;
    let authority: Authority = serde_json::from_str(&keys.sterling_authority).map_err(|_| mismatched())?;
    let token = sample_token(&authority, &client)?;
    let sterling_request = sterling_delivery(&token, "8d3c51", arrival);

    let batch = [
        document::<Accredit>(
            &keys.accredit_secret,
            accredit_delivery(&accredit, "d2417f0b-93c8-4e6f-a1b5-8c7e60392f1a", "48214", arrival)?,
            arrival,
            1,
        )
        .await?,
        document::<Machnet>(
            &keys.machnet_secret,
            machnet_delivery(&machnet, "5f8a2c19d0e34b6fa7c1e2d4", "0b1a9f8e7d6c5b4a3f2e1d0c", arrival)?,
            arrival,
            2,
        )
        .await?,
        document::<Machnet>(
            &keys.machnet_secret,
            machnet_delivery(&machnet, "5f8a2c19d0e34b6fa7c1e2d5", "1c2b0a9f8e7d6c5b4a3f2e1d", arrival)?,
            arrival,
            3,
        )
        .await?,
        document::<Sterling>(&keys.sterling_verification, sterling_delivery(&token, "4f07ba", arrival), arrival, 4)
            .await?,
        document::<NurtureCloud>(
            &keys.nurturecloud_secret,
            nurturecloud_delivery(
                keys,
                nurturecloud_body("agent", "Created", &NurtureCloudEntity::named(AGENT, "Edsger")),
            ),
            arrival,
            5,
        )
        .await?,
    ];

    Ok([
        ("accredit.json", json(&delivery_request(ProviderName::Accredit, &accredit_request, arrival))?),
        ("machnet.json", json(&delivery_request(ProviderName::Machnet, &machnet_request, arrival))?),
        ("nurturecloud.json", json(&delivery_request(ProviderName::NurtureCloud, &contacts_request, arrival))?),
        ("nurturecloud-merged.json", json(&delivery_request(ProviderName::NurtureCloud, &merged_request, arrival))?),
        ("sterling.json", json(&delivery_request(ProviderName::Sterling, &sterling_request, arrival))?),
        ("sterling-token.json", json(&token_request(&client, arrival))?),
        ("processor.json", json(&queue_batch(&batch, arrival))?),
    ])
}

fn accredit_delivery(
    signer: &Signer,
    file_id: &str,
    job_id: &str,
    arrival: Timestamp,
) -> Result<SignedDelivery, SignerError> {
    let headers = vec![("x-jobid", job_id.to_owned()), ("x-jobattempt", "0".to_owned())];
    SignedDelivery::new(signer, accredit_body(file_id, arrival), headers)
}

fn machnet_delivery(
    signer: &Signer,
    id: &str,
    transaction: &str,
    arrival: Timestamp,
) -> Result<SignedDelivery, SignerError> {
    let name = "transaction_completed";
    SignedDelivery::new(signer, machnet_body(id, transaction, name, arrival), vec![("x-raas-event", name.to_owned())])
}

fn nurturecloud_delivery(keys: &SampleKeys, body: Bytes) -> SignedDelivery {
    SignedDelivery::with_path_secret(keys.nurturecloud_path_secret.trim(), body)
}

/// A token of the client, always the same.
fn sample_token(authority: &Authority, client: &ClientCredentials) -> Result<String, SamplesError> {
    let issued_at = Timestamp::parse(TOKEN_ISSUED_AT)?;
    let client_id = ClientId::new(&client.client_id)?;
    let token = access_token::issue(authority, &client_id, DeliveryId::new(issued_at, [0; 10]), issued_at)?;
    Ok(token.reveal().to_owned())
}

fn sterling_delivery(token: &str, item: &str, arrival: Timestamp) -> SignedDelivery {
    let event = |suffix, quantity| SterlingEvent::supply_change(&format!("item-{item}-{suffix}"), quantity, arrival);
    SignedDelivery::with_bearer_token(token, sterling_body(&[event("a", 5), event("b", 12)]))
}

/// The queue document of a delivery, made by the same steps as in the intake.
async fn document<W: Webhook>(
    secret: &str,
    delivery: SignedDelivery,
    arrival: Timestamp,
    number: u8,
) -> Result<QueueMessage, SamplesError> {
    let mismatched = || SamplesError::Mismatched(W::NAME);
    let keys = W::read_keys(secret).map_err(|_| mismatched())?.keys;
    let mut headers = HeaderMap::new();
    for (name, value) in delivery.headers() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).map_err(|_| mismatched())?);
    }
    let path = delivery.path(W::NAME.source_path());
    let proof = W::credential(&path, &headers).map_err(|_| mismatched())?;
    let request =
        W::verify(UnverifiedRequest::new(headers, delivery.body), &proof, &keys, arrival).map_err(|_| mismatched())?;
    let delivery = VerifiedDelivery::new(request, DeliveryId::new(arrival, [number; 10]), arrival);
    Ok(QueueMessage::prepare(&delivery, &NoPayloads).await?)
}

/// Samples are small enough for the queue.
struct NoPayloads;

impl Payloads for NoPayloads {
    async fn put(&self, _: &PayloadKey, _: Bytes) -> Result<(), PortError> {
        Err(PortError::of("put payload", "a sample is larger than the queue takes"))
    }

    async fn get(&self, _: &PayloadKey) -> Result<Bytes, PortError> {
        Err(PortError::of("get payload", "samples have none"))
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

fn delivery_request(provider: ProviderName, delivery: &SignedDelivery, arrival: Timestamp) -> HttpApiRequest {
    // The samples' bodies are JSON, which is text.
    let body = String::from_utf8_lossy(&delivery.body).into_owned();
    let webhook_path = provider.source_path();
    let path = delivery.path(webhook_path);
    let secret = path.strip_prefix(webhook_path).and_then(|rest| rest.strip_prefix('/'));
    let route = if secret.is_some() { format!("{webhook_path}/{{secret}}") } else { webhook_path.to_owned() };
    let request = http_request(&route, &path, delivery.headers(), delivery.body.len(), arrival);
    let path_parameters = secret.map(|secret| ("secret", secret.to_owned())).into_iter().collect();
    HttpApiRequest { body, path_parameters, ..request }
}

fn token_request(client: &ClientCredentials, arrival: Timestamp) -> HttpApiRequest {
    let headers = token_request_headers(client);
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let request = http_request(TOKEN_PATH, TOKEN_PATH, headers, TOKEN_REQUEST_BODY.len(), arrival);
    // An HTTP API hands every body that is no text, JSON or XML on in base64.
    HttpApiRequest { body: STANDARD.encode(TOKEN_REQUEST_BODY), is_base64_encoded: true, ..request }
}

/// The request without its body.
fn http_request<'a>(
    route: &str,
    path: &str,
    own_headers: impl Iterator<Item = (&'static str, &'a str)>,
    body_bytes: usize,
    arrival: Timestamp,
) -> HttpApiRequest {
    let user_agent = "webhook-intake-sample/1.0";
    let mut headers = BTreeMap::from([
        ("accept", "*/*".to_owned()),
        ("content-length", body_bytes.to_string()),
        ("host", HOST.to_owned()),
        ("user-agent", user_agent.to_owned()),
        ("x-amzn-trace-id", "Root=1-6a201c58-0123456789abcdef01234567".to_owned()),
        ("x-forwarded-for", SENDER.to_owned()),
        ("x-forwarded-port", "443".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
    ]);
    headers.extend(own_headers.map(|(name, value)| (name, value.to_owned())));
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
            time_epoch: arrival.unix_milliseconds(),
        },
        body: String::new(),
        path_parameters: BTreeMap::new(),
        is_base64_encoded: false,
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
    message_group_id: ProviderName,
    sender_id: &'static str,
    sent_timestamp: String,
}

fn queue_batch(documents: &[QueueMessage], arrival: Timestamp) -> QueueBatch {
    let message = |(document, number): (&QueueMessage, u32)| SqsRecord {
        message_id: format!("5fea7756-0ea4-451a-a703-a558b933e27{number}"),
        receipt_handle: format!("sample-receipt-handle-{number}"),
        body: document.text().to_owned(),
        attributes: QueueAttributes {
            approximate_first_receive_timestamp: (arrival.unix_milliseconds() + 40).to_string(),
            approximate_receive_count: "1",
            message_group_id: document.provider(),
            sender_id: "AROAEXAMPLE:intake",
            sent_timestamp: (arrival.unix_milliseconds() + 20).to_string(),
        },
        message_attributes: BTreeMap::new(),
        event_source: "aws:sqs",
        event_source_arn: "arn:aws:sqs:us-east-1:123456789012:webhook-intake-deliveries",
        aws_region: "us-east-1",
    };
    QueueBatch { records: documents.iter().zip(1..).map(message).collect() }
}

fn json(sample: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(sample)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_keys_make_the_same_samples_and_foreign_keys_are_noticed() {
        let mut keys = SampleKeys::generate().unwrap();
        let samples = make(&keys).await.unwrap();
        assert_eq!(make(&keys).await.unwrap(), samples);
        let verification =
            std::mem::replace(&mut keys.sterling_verification, SampleKeys::generate().unwrap().sterling_verification);
        assert!(matches!(make(&keys).await, Err(SamplesError::Mismatched(ProviderName::Sterling))));
        keys.sterling_verification = verification;
        keys.accredit_secret = new_accredit_key().unwrap().secret;
        assert!(matches!(make(&keys).await, Err(SamplesError::Mismatched(ProviderName::Accredit))));
        let mut keys = SampleKeys::generate().unwrap();
        keys.nurturecloud_path_secret = SampleKeys::generate().unwrap().nurturecloud_path_secret;
        assert!(matches!(make(&keys).await, Err(SamplesError::Mismatched(ProviderName::NurtureCloud))));
    }

    #[tokio::test]
    async fn the_secret_of_a_path_is_where_an_http_api_puts_it_and_nowhere_else() {
        let keys = SampleKeys::generate().unwrap();
        let secret = keys.nurturecloud_path_secret.trim();
        let path = format!("/webhooks/nurturecloud/{secret}");
        for (name, sample) in make(&keys).await.unwrap() {
            let sample: serde_json::Value = serde_json::from_str(&sample).unwrap();
            if name.starts_with("nurturecloud") {
                assert_eq!(sample["routeKey"], "POST /webhooks/nurturecloud/{secret}");
                assert_eq!(sample["requestContext"]["routeKey"], sample["routeKey"]);
                assert_eq!(sample["rawPath"], path);
                assert_eq!(sample["requestContext"]["http"]["path"], path);
                assert_eq!(sample["pathParameters"]["secret"], secret);
                assert_eq!(sample.to_string().matches(secret).count(), 3, "{name}");
            } else {
                assert!(!sample.to_string().contains(secret), "{name}");
                assert_eq!(sample.get("pathParameters"), None, "{name}");
            }
        }
    }

    #[test]
    fn the_fixed_time_is_the_same_in_both_spellings() {
        let arrival = Timestamp::parse(ARRIVAL).unwrap().to_string();
        let [day, month, rest] = ARRIVAL_IN_LOG_FORMAT.splitn(3, '/').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(month, "Nov");
        let (year, time) = rest.split_once(':').unwrap();
        assert_eq!(arrival, format!("{year}-11-{day}T{}.000Z", time.trim_end_matches(" +0000")));
    }
}
