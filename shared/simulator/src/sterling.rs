//! Sterling, imitated: its deliveries carry an access token, which it gets from the token endpoint that we host.

use std::time::Duration;

use bytes::Bytes;
use intake_pipeline::intake::IntakeSettings;
use intake_pipeline::ledger::Outcome;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::json_place::JsonPlace;
use intake_providers::oauth::TOKEN_PATH;
use intake_providers::oauth::access_token::{self, LEEWAY};
use intake_providers::oauth::authority::{Authority, ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};
use intake_providers::oauth::client_id::ClientId;
use intake_providers::sterling::Sterling;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook as _;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::error::SimulatorError;
use crate::examples::{ExampleDelivery, recorded};
use crate::imitation::{ImitatedWebhook, Imitation};
use crate::key_files::{KeyFiles, KeyName, KeyPurpose, NewKeyFile};
use crate::made_up::{json_body, json_file, random_hex};
use crate::owed::{ExpectedAnswer, Redelivery, Situation, TestKey};
use crate::samples::{HOST, QueuedSample, SampleRequest, Samples, arrival};
use crate::scenario::{Expected, Sent, Step};
use crate::send::{KeyOption, OptionSpec, OptionValues, Order, Outgoing};
use crate::signed_delivery::SignedDelivery;
use crate::token::{ClientCredentials, TokenDelivery, TokenRequest, tampered_token};

/// The authority holds the private keys, and the verification document is derived from it.
const AUTHORITY: KeyName = KeyName::other("sterling-authority.json");
const VERIFICATION: KeyName = KeyName::secret("sterling.json", "sterling-verification.json");
const CLIENT: KeyName = KeyName::other("sterling-client.json");

/// The client with which test deliveries get their tokens.
const TEST_CLIENT_ID: &str = "demo";

/// When the samples' token and its key were made: so long ago that every clock takes it.
const SAMPLE_TOKEN_ISSUED_AT: &str = "2025-01-01T00:00:00.000Z";

/// How long the samples' token is valid: fifty years, so that they stay genuine.
const SAMPLE_TOKEN_LIFETIME: Duration = Duration::from_secs(50 * 365 * 24 * 60 * 60);

/// Sterling, imitated.
pub struct Imitated;

#[derive(Serialize)]
struct Body<'a> {
    eventbatch: Vec<Batch<'a>>,
}

#[derive(Clone, Serialize)]
struct Batch<'a> {
    channel: &'a str,
    identifiers: [&'a str; 0],
    events: &'a [Event],
}

/// An event: the supply of an item has changed.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    timestamp: Timestamp,
    attributes: Vec<Attribute>,
}

#[derive(Clone, Debug, Serialize)]
struct Attribute {
    name: &'static str,
    r#type: &'static str,
    value: String,
}

impl Event {
    /// This quantity of an item is there now.
    #[must_use]
    pub fn supply_change(item_id: &str, quantity: u32, timestamp: Timestamp) -> Self {
        let attribute = |name, r#type, value: &str| Attribute { name, r#type, value: value.to_owned() };
        Self {
            code: Some("supplyChange"),
            timestamp,
            attributes: vec![
                attribute("tenantId", "String", "tenant1"),
                attribute("itemId", "String", item_id),
                attribute("unitOfMeasure", "String", "EACH"),
                attribute("shipNode", "String", "DC-01"),
                attribute("quantity", "Number", &format!("{quantity}.0")),
            ],
        }
    }

    /// The same without its code, which makes it malformed.
    fn without_code(self) -> Self {
        Self { code: None, ..self }
    }
}

/// A delivery: one batch with these events.
#[must_use]
pub fn body(events: &[Event]) -> Bytes {
    batches([events])
}

/// A delivery: several batches with these events.
fn batches<const BATCHES: usize>(batches: [&[Event]; BATCHES]) -> Bytes {
    let batch = |events| Batch { channel: "Order Management", identifiers: [], events };
    json_body(&Body { eventbatch: batches.map(batch).to_vec() })
}

/// Reads the authority, if there is one.
fn authority(keys: &KeyFiles) -> Result<Option<Authority>, SimulatorError> {
    let Some(text) = keys.text(AUTHORITY).filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| SimulatorError::Malformed {
        path: keys.path(AUTHORITY),
        what: "an authority's document",
        stopped_at: JsonPlace::from(&error),
    })
}

fn needed_authority(keys: &KeyFiles) -> Result<Authority, SimulatorError> {
    authority(keys)?.ok_or_else(|| SimulatorError::Missing {
        what: "key to sign with",
        path: keys.path(AUTHORITY),
        advice: "run `demo` once to make test keys",
    })
}

/// Reads the client, if there is one.
fn client(keys: &KeyFiles) -> Option<ClientCredentials> {
    serde_json::from_str(keys.text(CLIENT)?).ok()
}

fn needed_client(keys: &KeyFiles) -> Result<ClientCredentials, SimulatorError> {
    client(keys).ok_or_else(|| SimulatorError::Missing {
        what: "client to get a token with",
        path: keys.path(CLIENT),
        advice: "run `demo` once to make one, or name one with --client-id and --client-secret-file",
    })
}

fn is_unset(verification: &str) -> bool {
    verification.trim().is_empty() || Sterling::read_keys(verification).is_ok_and(|read| Sterling::is_unset(&read.keys))
}

/// A new authority of a server that is reached here.
fn new_authority(
    base_url: &str,
    token_lifetime: Duration,
    secret_refresh: Duration,
    now: Timestamp,
) -> Result<Authority, SimulatorError> {
    let key = NewSigningKey::generate().ok_or(SimulatorError::NoRandomness)?;
    Authority::new(
        format!("{base_url}{TOKEN_PATH}"),
        format!("{base_url}{}", ProviderName::Sterling.source_path()),
        token_lifetime,
        false,
        secret_refresh,
        key,
        now,
    )
    .map_err(SimulatorError::failed("no authority could be made"))
}

/// Adds a client with a new secret, in place of the one of this id.
fn add_client(authority: &mut Authority, client_id: &str) -> Result<ClientCredentials, SimulatorError> {
    let secret = ClientSecret::generate().ok_or(SimulatorError::NoRandomness)?;
    // The secret that it may have had is lost.
    let _ = authority.remove_client(client_id);
    authority
        .add_client_secret(client_id, None, &secret)
        .map_err(SimulatorError::failed("the test client could not be added"))?;
    Ok(ClientCredentials { client_id: client_id.to_owned(), client_secret: secret.reveal().into() })
}

fn verification_text(authority: &Authority) -> Result<String, SimulatorError> {
    json_file(&authority.verification().map_err(SimulatorError::failed("the authority's keys cannot be used"))?)
}

fn issue(authority: &Authority, client_id: &str, id: DeliveryId, at: Timestamp) -> Result<String, SimulatorError> {
    let client_id = ClientId::new(client_id).map_err(SimulatorError::failed("the client cannot be used"))?;
    let token = access_token::issue(authority, &client_id, id, at)
        .map_err(SimulatorError::failed("the authority cannot sign"))?;
    Ok(token.reveal().to_owned())
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_milliseconds(now.unix_milliseconds().saturating_sub(milliseconds)).unwrap_or(Timestamp::EPOCH)
}

fn sample_token_issued_at() -> Timestamp {
    // A fixed text that is a time.
    Timestamp::parse(SAMPLE_TOKEN_ISSUED_AT).unwrap_or(Timestamp::EPOCH)
}

impl Imitation for Imitated {
    fn name(&self) -> ProviderName {
        ProviderName::Sterling
    }

    fn key_names(&self) -> &'static [KeyName] {
        &[AUTHORITY, VERIFICATION, CLIENT]
    }

    /// An authority that is there stays, with its keys and its other clients.
    fn test_keys(&self, found: &KeyFiles, purpose: &KeyPurpose) -> Result<Vec<NewKeyFile>, SimulatorError> {
        let existing = authority(found)?;
        if let (Some(authority), Some(client)) = (&existing, client(found)) {
            let secret = ClientSecret::new(client.client_secret.expose_secret().to_owned());
            if authority.authenticate(&client.client_id, &secret).is_some() {
                return Ok(Vec::new());
            }
        }
        if existing.is_none() && found.text(VERIFICATION).is_some_and(|text| !is_unset(text)) {
            return Err(SimulatorError::NotForTests {
                keys: found.path(VERIFICATION),
                private_key: found.path(AUTHORITY),
            });
        }
        let is_new = existing.is_none();
        let mut authority = match (existing, purpose) {
            (Some(authority), _) => authority,
            (None, KeyPurpose::Server { base_url, secret_refresh, now }) => {
                new_authority(base_url, DEFAULT_TOKEN_LIFETIME, *secret_refresh, *now)?
            }
            (None, KeyPurpose::Samples) => new_authority(
                &format!("https://{HOST}"),
                SAMPLE_TOKEN_LIFETIME,
                IntakeSettings::default().secret_refresh,
                sample_token_issued_at(),
            )?,
        };
        let client_id = match purpose {
            KeyPurpose::Server { .. } => TEST_CLIENT_ID,
            KeyPurpose::Samples => "sample",
        };
        let client = NewKeyFile::new(CLIENT, json_file(&add_client(&mut authority, client_id)?)?);
        let verification = NewKeyFile::new(VERIFICATION, verification_text(&authority)?);
        let authority = NewKeyFile::new(AUTHORITY, json_file(&authority)?);
        // A client that is added is verified before it gets tokens. Of a new authority nobody has a token yet.
        Ok(if is_new { vec![authority, verification, client] } else { vec![verification, authority, client] })
    }

    fn samples(&self, keys: &KeyFiles) -> Result<Samples, SimulatorError> {
        let mismatched = || SimulatorError::Mismatched(ProviderName::Sterling);
        let client = client(keys).ok_or_else(mismatched)?;
        let authority = authority(keys).ok().flatten().ok_or_else(mismatched)?;
        let issued_at = sample_token_issued_at();
        // Always the same token.
        let token = issue(&authority, &client.client_id, DeliveryId::new(issued_at, [0; 10]), issued_at)?;
        let delivery = |item: &str| {
            let event = |suffix, quantity| Event::supply_change(&format!("item-{item}-{suffix}"), quantity, arrival());
            SignedDelivery::with_bearer_token(&token, body(&[event("a", 5), event("b", 12)]))
        };
        Ok(Samples {
            requests: vec![
                SampleRequest::delivery::<Sterling>("sterling.json", &delivery("8d3c51")),
                SampleRequest::token("sterling-token.json", &TokenRequest::of(&client)),
            ],
            queued: vec![QueuedSample::new::<Sterling>(4, keys.text(VERIFICATION), &delivery("4f07ba"))?],
        })
    }

    fn demo(&self, keys: &KeyFiles, first: usize, now: Timestamp) -> Result<Vec<Step>, SimulatorError> {
        let authority = needed_authority(keys)?;
        let client = needed_client(keys)?;
        let issue = |client_id: &str, at: Timestamp| issue(&authority, client_id, DeliveryId::random(at), at);
        let long_ago = earlier(now, authority.token_lifetime() + LEEWAY + Duration::from_secs(1));
        let expired = issue(&client.client_id, long_ago)?;
        let of_unknown_client = issue("removed", now)?;
        let tampered = tampered_token(&issue(&client.client_id, now)?);

        let event = |quantity| Event::supply_change(&random_hex(6), quantity, now);
        let (one, two, three, four) = (event(5), event(12), event(0), event(40));
        let batch = body(&[one.clone(), two.clone()]);
        let recut = batches([&[two], &[one]]);
        let mixed = body(&[three, event(7).without_code()]);
        let late = body(&[four]);
        let with = |token: &str, body: &Bytes| SignedDelivery::with_bearer_token(token, body.clone());
        let request = |what: &str| Step {
            what: what.to_owned(),
            sent: Sent::TokenRequest(TokenRequest::of(&client)),
            expected: Expected::token(),
        };
        let (batch_number, expired_number) = (first + 1, first + 5);
        Ok(vec![
            request("a request for a token"),
            Step::with_token(
                "a batch of two events, with the token",
                batch.clone(),
                Expected::all_recorded([Outcome::Stored, Outcome::Stored]),
            ),
            Step::with_token(
                format!("no. {batch_number} re-ordered, as two batches"),
                recut,
                Expected::all_recorded([Outcome::Duplicate, Outcome::Duplicate]),
            ),
            Step::with_token(
                "two events, of which one is malformed",
                mixed,
                Expected::all_recorded([Outcome::Stored, Outcome::Quarantined]),
            ),
            Step::with_token("a batch without events", body(&[]), Expected::recorded(Outcome::Quarantined)),
            Step::delivery("a new event with an expired token", with(&expired, &late), Expected::refused(401)),
            request("a request for a new token"),
            Step::with_token(
                format!("no. {expired_number} again with the new token"),
                late,
                Expected::recorded(Outcome::Stored),
            ),
            Step::delivery("a token changed after signing", with(&tampered, &batch), Expected::refused(401)),
            Step::delivery(
                "a token of a client that is not known",
                with(&of_unknown_client, &batch),
                Expected::refused(401),
            ),
            Step::delivery("no token", with("", &batch).unsigned(), Expected::refused(401)),
        ])
    }

    fn examples(&self) -> Vec<ExampleDelivery> {
        let body = recorded!("sterling-eventbatch").into();
        vec![ExampleDelivery { names: &["stored", "second-of-batch"], headers: Vec::new(), body }]
    }

    fn webhook(&self) -> Option<&dyn ImitatedWebhook> {
        Some(self)
    }
}

impl ImitatedWebhook for Imitated {
    fn key_option(&self) -> KeyOption {
        KeyOption::Refuses("whose deliveries carry a token; use --client-id and --client-secret-file")
    }

    fn tampers_with(&self) -> Option<&'static str> {
        Some("token")
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[
            OptionSpec::text(
                "token-url",
                "URL",
                "where tokens come from. Without a path, the token endpoint is meant. [default: the server of --url]",
            ),
            OptionSpec::text(
                "client-id",
                "ID",
                "the client that asks for the token. [default: the test client in the data directory]",
            )
            .with("client-secret-file"),
            OptionSpec::text("client-secret-file", "FILE", "the file with the client's secret, on one line")
                .taking(OptionValues::File)
                .with("client-id"),
        ];
        OPTIONS
    }

    fn deliver(&self, keys: &KeyFiles, order: Order<'_>) -> Result<Outgoing, SimulatorError> {
        let client = match (order.options.get("client-id"), order.options.get("client-secret-file")) {
            (Some(client_id), Some(secret)) => {
                ClientCredentials { client_id: client_id.to_owned(), client_secret: secret.trim().into() }
            }
            _ => needed_client(keys)?,
        };
        Ok(Outgoing::NeedsToken(TokenDelivery {
            token_url: order.options.get("token-url").map(str::to_owned),
            request: TokenRequest::of(&client),
            body: order.body.unwrap_or_else(|| self.body(order.now)),
            tamper: order.tamper,
        }))
    }

    fn body(&self, now: Timestamp) -> Bytes {
        body(&[Event::supply_change(&random_hex(6), 5, now)])
    }

    /// Its tokens are issued now.
    fn new_key(&self, now: Timestamp) -> Result<TestKey, SimulatorError> {
        let mut authority = new_authority(
            &format!("https://{HOST}"),
            DEFAULT_TOKEN_LIFETIME,
            IntakeSettings::default().secret_refresh,
            now,
        )?;
        let client = add_client(&mut authority, TEST_CLIENT_ID)?;
        let verification = verification_text(&authority)?;
        let token = issue(&authority, &client.client_id, DeliveryId::random(now), now)?;
        Ok(TestKey::new(verification, move |body| Ok(SignedDelivery::with_bearer_token(&token, body))))
    }

    fn malformed(&self, delivery: &SignedDelivery) -> Vec<SignedDelivery> {
        ["", "Bearer", "Bearer ", "Bearer two tokens", "Basic dXNlcjpwYXNzd29yZA=="]
            .map(|value| delivery.clone().with_credential(value))
            .to_vec()
    }

    fn unset_secrets(&self) -> &'static [&'static str] {
        &[r#"{"issuer": "", "audience": "", "keys": [], "clients": []}"#]
    }

    /// IBM's pages: only 200 acknowledges; after 401 a new token is fetched and the delivery sent once more (403 would not do
    /// that); what fails is retried and then becomes a failed event. RFC 6750, section 3, asks for the challenge.
    fn expected(&self, situation: Situation) -> Option<ExpectedAnswer> {
        Some(match situation {
            Situation::Accepted => ExpectedAnswer::new(200, Redelivery::No),
            Situation::CredentialMissing
            | Situation::CredentialRepeated
            | Situation::CredentialMalformed
            | Situation::WrongKey => ExpectedAnswer::new(401, Redelivery::Yes).with_challenge(),
            Situation::NoActiveKey
            | Situation::SecretMalformed
            | Situation::SecretsAway
            | Situation::QueueAway
            | Situation::DeadlineExceeded
            | Situation::Panic
            | Situation::EventUnreadable => ExpectedAnswer::new(503, Redelivery::Yes),
            Situation::WrongMethod => ExpectedAnswer::new(405, Redelivery::Yes),
            Situation::BodyTooLarge => ExpectedAnswer::new(413, Redelivery::Yes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_looks_like_the_published_one() {
        let time = Timestamp::parse("2026-11-21T09:30:00.250Z").unwrap();
        let body = String::from_utf8(body(&[Event::supply_change("item-1", 5, time)]).to_vec()).unwrap();
        let start = r#"{"eventbatch":[{"channel":"Order Management","identifiers":[],"events":[{"code":"supplyChange","timestamp":"2026-11-21T09:30:00.250Z","attributes":[{"name":"tenantId","type":"String","value":"tenant1"},"#;
        assert!(body.starts_with(start), "{body}");
        assert!(body.ends_with(r#"{"name":"quantity","type":"Number","value":"5.0"}]}]}]}"#), "{body}");
    }
}
