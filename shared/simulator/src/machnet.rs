//! Machnet, imitated: HMAC-SHA256 over the body, in hex digits. The document that verifies signs as well.

use bytes::Bytes;
use intake_pipeline::ledger::Outcome;
use intake_providers::ProviderName;
use intake_providers::machnet::Machnet;
use intake_providers::signature::hmac_sha256::HmacSecret;
use intake_providers::timestamp::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use crate::TEST_ACCOUNT;
use crate::error::SimulatorError;
use crate::examples::{ExampleDelivery, recorded};
use crate::imitation::{ImitatedWebhook, Imitation};
use crate::key_files::{KeyFiles, KeyName, KeyPurpose, NewKeyFile};
use crate::made_up::{json_body, json_file, random_hex, secret_bytes};
use crate::owed::{ExpectedAnswer, Redelivery, Situation, TestKey};
use crate::samples::{QueuedSample, SampleRequest, Samples, arrival};
use crate::scenario::{Expected, Step};
use crate::send::{KeyOption, OptionSpec, Order, Outgoing};
use crate::signed_delivery::SignedDelivery;

const SECRET: KeyName = KeyName::secret("machnet.json", "machnet-secret.json");

const EVENT_NAME: &str = "transaction_completed";

/// Machnet, imitated.
pub struct Imitated;

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    event_name: &'a str,
    resource_id: &'a str,
    user_id: &'a str,
    subscription_id: &'a str,
    payload: [&'a str; 0],
    timestamp: String,
}

/// A completed transaction.
#[must_use]
pub fn body(id: &str, resource_id: &str, timestamp: Timestamp) -> Bytes {
    json_body(&Body {
        id,
        event_name: EVENT_NAME,
        resource_id,
        user_id: "usr_5f0c2a7be1",
        subscription_id: "sub_9d41c7",
        payload: [],
        // Machnet writes no zone.
        timestamp: timestamp.to_string().trim_end_matches('Z').to_owned(),
    })
}

#[derive(Serialize, Deserialize)]
struct SecretDocument {
    keys: Vec<SecretEntry>,
}

#[derive(Serialize, Deserialize)]
struct SecretEntry {
    #[serde(default)]
    account: String,
    secret: String,
}

/// The secret's text with these keys, each an account and its secret.
///
/// # Errors
/// Never in practice: its members are plain text.
pub fn secret_text(keys: &[(&str, &str)]) -> Result<String, SimulatorError> {
    let entry = |(account, secret): &(&str, &str)| SecretEntry { account: (*account).into(), secret: (*secret).into() };
    json_file(&SecretDocument { keys: keys.iter().map(entry).collect() })
}

/// A shared secret.
pub struct Key(HmacSecret);

impl Key {
    /// Reads the secret's text; the first key of it signs.
    ///
    /// # Errors
    /// When it is not one, or the first key is weak.
    pub fn read(text: &str) -> Result<Self, SimulatorError> {
        let malformed = SimulatorError::UnusableKey(
            "this is not json of the form {\"keys\": [{\"account\": \"...\", \"secret\": \"...\"}]} with at least one key, such \
             as machnet.json in the data directory's keys",
        );
        let document: Option<SecretDocument> = serde_json::from_str(text).ok();
        let Some(entry) = document.as_ref().and_then(|document| document.keys.first()) else { return Err(malformed) };
        Self::new(&entry.secret)
    }

    /// A key of this secret.
    ///
    /// # Errors
    /// When it is weak.
    pub fn new(secret: &str) -> Result<Self, SimulatorError> {
        HmacSecret::new(secret).map(Self).map_err(SimulatorError::failed("the first key cannot sign"))
    }

    fn of_files(keys: &KeyFiles) -> Result<Self, SimulatorError> {
        Self::read(keys.text(SECRET).ok_or_else(|| SimulatorError::Missing {
            what: "key to sign with",
            path: keys.path(SECRET),
            advice: "run `demo` once to make test keys, or name a key file with --key",
        })?)
    }

    /// Signs a body, to be sent with this name of the event beside it.
    #[must_use]
    pub fn sign(&self, body: Bytes, event_header: Option<&str>) -> SignedDelivery {
        let headers = event_header.map(|name| ("x-raas-event", name.to_owned())).into_iter().collect();
        let signature = hex::encode(self.0.sign(&body));
        SignedDelivery::with_header("x-raas-webhook-signature", signature, body, headers)
    }
}

fn new_secret() -> Result<String, SimulatorError> {
    secret_text(&[(TEST_ACCOUNT, &hex::encode(secret_bytes()?))])
}

fn event_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        event_name: String,
    }
    serde_json::from_slice(body).ok().map(|Named { event_name }| event_name)
}

impl Imitation for Imitated {
    fn name(&self) -> ProviderName {
        ProviderName::Machnet
    }

    fn key_names(&self) -> &'static [KeyName] {
        &[SECRET]
    }

    fn test_keys(&self, found: &KeyFiles, _purpose: &KeyPurpose) -> Result<Vec<NewKeyFile>, SimulatorError> {
        Ok(match found.text(SECRET) {
            Some(_) => Vec::new(),
            None => vec![NewKeyFile::new(SECRET, new_secret()?)],
        })
    }

    fn samples(&self, keys: &KeyFiles) -> Result<Samples, SimulatorError> {
        let key = Key::of_files(keys)?;
        let delivery = |id, transaction| key.sign(body(id, transaction, arrival()), Some(EVENT_NAME));
        let request = delivery("5f8a2c19d0e34b6fa7c1e2d3", "8c1d2e3f4a5b6c7d8e9f0a1b");
        let queued = |number, id, transaction| {
            QueuedSample::new::<Machnet>(number, keys.text(SECRET), &delivery(id, transaction))
        };
        Ok(Samples {
            requests: vec![SampleRequest::delivery::<Machnet>("machnet.json", &request)],
            queued: vec![
                queued(2, "5f8a2c19d0e34b6fa7c1e2d4", "0b1a9f8e7d6c5b4a3f2e1d0c")?,
                queued(3, "5f8a2c19d0e34b6fa7c1e2d5", "1c2b0a9f8e7d6c5b4a3f2e1d")?,
            ],
        })
    }

    fn demo(&self, keys: &KeyFiles, first: usize, now: Timestamp) -> Result<Vec<Step>, SimulatorError> {
        let key = Key::of_files(keys)?;
        let later = now.plus(std::time::Duration::from_secs(60 * 60));
        let sign = |body: Bytes| key.sign(body, Some(EVENT_NAME));
        let (id, transaction) = (random_hex(12), random_hex(12));
        let event = body(&id, &transaction, now);
        let repeat = body(&random_hex(12), &transaction, later);
        let conflict = body(&id, &random_hex(12), later);
        let malformed = format!(r#"{{"event_name":"{EVENT_NAME}","resource_id":"{}"}}"#, random_hex(12)).into();
        let step = |what: String, body, outcome| Step::delivery(what, sign(body), Expected::recorded(outcome));
        Ok(vec![
            step("a new event".to_owned(), event.clone(), Outcome::Stored),
            step(format!("no. {first} again, as a retry"), event.clone(), Outcome::Duplicate),
            step(format!("no. {first}'s state under a new id and time"), repeat, Outcome::Repeat),
            step(format!("other content under the id of no. {first}"), conflict, Outcome::Conflict),
            step("an event without an id, signed".to_owned(), malformed, Outcome::Quarantined),
            Step::delivery("a body changed after signing", sign(event.clone()).tampered(), Expected::refused(409)),
            Step::delivery("no signature", sign(event).unsigned(), Expected::refused(401)),
        ])
    }

    fn examples(&self) -> Vec<ExampleDelivery> {
        let body = recorded!("machnet-current");
        vec![
            ExampleDelivery::of_one(&["stored"], body),
            ExampleDelivery::of_one(&["repeat"], body.replace("3f0d6c1e", "4a1e7d2f")),
            ExampleDelivery::of_one(&["conflict"], body.replace("9c1b2a70", "1d2c3b4a")),
        ]
    }

    fn webhook(&self) -> Option<&dyn ImitatedWebhook> {
        Some(self)
    }
}

impl ImitatedWebhook for Imitated {
    fn key_option(&self) -> KeyOption {
        KeyOption::Takes("the secret as it is stored, {\"keys\":[{\"account\":\"main\",\"secret\":\"...\"}]}")
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] =
            &[OptionSpec::text("event-header", "NAME", "the x-raas-event header. [default: the body's event_name]")];
        OPTIONS
    }

    fn deliver(&self, keys: &KeyFiles, order: Order<'_>) -> Result<Outgoing, SimulatorError> {
        let key = match &order.key {
            Some(key) => Key::read(key.expose_secret())?,
            None => Key::of_files(keys)?,
        };
        let body = order.body.unwrap_or_else(|| self.body(order.now));
        let event_header = order.options.get("event-header").map(str::to_owned).or_else(|| event_name(&body));
        let delivery = key.sign(body, event_header.as_deref());
        Ok(Outgoing::Ready(if order.tamper { delivery.tampered() } else { delivery }))
    }

    fn body(&self, now: Timestamp) -> Bytes {
        body(&random_hex(12), &random_hex(12), now)
    }

    fn new_key(&self, _now: Timestamp) -> Result<TestKey, SimulatorError> {
        let secret = new_secret()?;
        let key = Key::read(&secret)?;
        Ok(TestKey::new(secret, move |body| Ok(key.sign(body, Some(EVENT_NAME)))))
    }

    fn malformed(&self, delivery: &SignedDelivery) -> Vec<SignedDelivery> {
        let (too_short, not_hex) = ("0".repeat(63), "g".repeat(64));
        ["", "abc", &too_short, &not_hex].map(|value| delivery.clone().with_credential(value)).to_vec()
    }

    fn unset_secrets(&self) -> &'static [&'static str] {
        &[r#"{"keys": []}"#, r#"{"keys": [{"account": "main", "secret": "REPLACE-ME-REPLACE-ME-REPLACE-ME"}]}"#]
    }

    /// Machnet's page: any 2xx acknowledges, 409 is repeated at a fixed interval, and every other answer is a failure;
    /// consecutive failures pause the subscription. So what may be genuine is answered 409, a wrong signature included.
    fn expected(&self, situation: Situation) -> Option<ExpectedAnswer> {
        Some(match situation {
            Situation::Accepted => ExpectedAnswer::new(200, Redelivery::No),
            Situation::WrongKey
            | Situation::NoActiveKey
            | Situation::SecretMalformed
            | Situation::SecretsAway
            | Situation::QueueAway
            | Situation::DeadlineExceeded
            | Situation::Panic
            | Situation::EventUnreadable => ExpectedAnswer::new(409, Redelivery::Yes),
            Situation::CredentialMissing | Situation::CredentialRepeated | Situation::CredentialMalformed => {
                ExpectedAnswer::new(401, Redelivery::Undocumented)
            }
            Situation::WrongMethod => ExpectedAnswer::new(405, Redelivery::Undocumented),
            Situation::BodyTooLarge => ExpectedAnswer::new(413, Redelivery::Undocumented),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_a_time_without_a_zone() {
        let time = Timestamp::parse("2026-11-21T09:30:00.250Z").unwrap();
        let body = String::from_utf8(body("1", "2", time).to_vec()).unwrap();
        assert!(body.contains(r#""timestamp":"2026-11-21T09:30:00.250""#), "{body}");
    }
}
