//! Accredit, imitated: RSA with SHA-256 and PKCS#1 v1.5 padding over the body, in base64.

use bytes::Bytes;
use intake_pipeline::ledger::Outcome;
use intake_providers::ProviderName;
use intake_providers::accredit::Accredit;
use intake_providers::timestamp::Timestamp;
use rsa::PrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::TEST_ACCOUNT;
use crate::error::SimulatorError;
use crate::examples::{ExampleDelivery, recorded};
use crate::imitation::{ImitatedWebhook, Imitation};
use crate::key_files::{KeyFiles, KeyName, KeyPurpose, NewKeyFile};
use crate::made_up::{base64, json_body, json_file, random_hex, random_uuid};
use crate::owed::{ExpectedAnswer, Redelivery, Situation, TestKey};
use crate::samples::{QueuedSample, SampleRequest, Samples, arrival};
use crate::scenario::{Expected, Step};
use crate::send::{KeyOption, OptionSpec, OptionValues, Order, Outgoing};
use crate::signed_delivery::SignedDelivery;

const SECRET: KeyName = KeyName::secret("accredit.json", "accredit-secret.json");
const PRIVATE_KEY: KeyName = KeyName::other("accredit-private.pem");

/// The size of a test key, the least that is accepted.
const TEST_KEY_BITS: usize = 2048;

/// Accredit, imitated.
pub struct Imitated;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    event: &'a str,
    timestamp: Timestamp,
    badge_export_zip_file_id: &'a str,
}

/// The published event, about the file with this UUID.
#[must_use]
pub fn body(file_id: &str, timestamp: Timestamp) -> Bytes {
    json_body(&Body { event: "BadgeExportZipFile.Created", timestamp, badge_export_zip_file_id: file_id })
}

/// A private key.
pub struct Key(SigningKey<Sha256>);

impl Key {
    /// Reads a private key in PEM.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(text: &str) -> Result<Self, SimulatorError> {
        let key = PrivateKey::from_pkcs8_pem(text).or_else(|_| PrivateKey::from_pkcs1_pem(text)).map_err(|_| {
            SimulatorError::UnusableKey(
                "this is not an rsa private key in pem (PKCS#8 or PKCS#1) without a passphrase; accredit's deliveries are \
                     signed with one, such as accredit-private.pem in the data directory's keys",
            )
        })?;
        Ok(Self(SigningKey::new(key)))
    }

    fn of_files(keys: &KeyFiles) -> Result<Self, SimulatorError> {
        Self::read(keys.text(PRIVATE_KEY).ok_or_else(|| SimulatorError::Missing {
            what: "key to sign with",
            path: keys.path(PRIVATE_KEY),
            advice: "run `demo` once to make test keys, or name a key file with --key",
        })?)
    }

    /// Signs a body, to be sent as this job and attempt.
    ///
    /// # Errors
    /// When the key is too small to sign.
    pub fn sign(&self, body: Bytes, job_id: &str, attempt: &str) -> Result<SignedDelivery, SimulatorError> {
        let signature = self.0.try_sign(&body).map_err(SimulatorError::failed("the body could not be signed"))?;
        let headers = vec![("x-jobid", job_id.to_owned()), ("x-jobattempt", attempt.to_owned())];
        Ok(SignedDelivery::with_header("x-signature", base64(signature.to_bytes()), body, headers))
    }
}

#[derive(Serialize)]
struct SecretDocument<'a> {
    keys: [SecretEntry<'a>; 1],
}

#[derive(Serialize)]
struct SecretEntry<'a> {
    account: &'a str,
    public_key: &'a str,
    padding: &'a str,
}

struct NewKey {
    secret: String,
    private_key: SecretString,
}

fn new_key() -> Result<NewKey, SimulatorError> {
    let key = PrivateKey::new(&mut getrandom::SysRng, TEST_KEY_BITS)
        .map_err(SimulatorError::failed("no test key could be made"))?;
    let public_key = key
        .to_public_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(SimulatorError::failed("the public test key could not be written as pem"))?;
    let private_key = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(SimulatorError::failed("the test key could not be written as pem"))?
        .as_str()
        .into();
    let entry = SecretEntry { account: TEST_ACCOUNT, public_key: &public_key, padding: "pkcs1-v1.5" };
    Ok(NewKey { secret: json_file(&SecretDocument { keys: [entry] })?, private_key })
}

impl Imitation for Imitated {
    fn name(&self) -> ProviderName {
        ProviderName::Accredit
    }

    fn key_names(&self) -> &'static [KeyName] {
        &[SECRET, PRIVATE_KEY]
    }

    fn test_keys(&self, found: &KeyFiles, _purpose: &KeyPurpose) -> Result<Vec<NewKeyFile>, SimulatorError> {
        match (found.text(SECRET), found.text(PRIVATE_KEY)) {
            (Some(_), Some(_)) => Ok(Vec::new()),
            (Some(_), None) => {
                Err(SimulatorError::NotForTests { keys: found.path(SECRET), private_key: found.path(PRIVATE_KEY) })
            }
            // A private key without its public half is what a run that was cut short left.
            (None, _) => {
                let made = new_key()?;
                Ok(vec![NewKeyFile::new(PRIVATE_KEY, made.private_key), NewKeyFile::new(SECRET, made.secret)])
            }
        }
    }

    fn samples(&self, keys: &KeyFiles) -> Result<Samples, SimulatorError> {
        let key = Key::of_files(keys)?;
        let delivery = |file_id, job_id| key.sign(body(file_id, arrival()), job_id, "0");
        let request = delivery("6b8e64f2-c1d9-4a5c-8f3e-0a7d5b219c40", "48213")?;
        let queued = delivery("d2417f0b-93c8-4e6f-a1b5-8c7e60392f1a", "48214")?;
        Ok(Samples {
            requests: vec![SampleRequest::delivery::<Accredit>("accredit.json", &request)],
            queued: vec![QueuedSample::new::<Accredit>(1, keys.text(SECRET), &queued)?],
        })
    }

    fn demo(&self, keys: &KeyFiles, first: usize, now: Timestamp) -> Result<Vec<Step>, SimulatorError> {
        let key = Key::of_files(keys)?;
        let (job, forged_job) = (random_hex(8), random_hex(8));
        let sign = |body: &Bytes, job: &str, attempt: &str| key.sign(body.clone(), job, attempt);
        let event = body(&random_uuid(), now);
        let other = body(&random_uuid(), now);
        let malformed = Bytes::from_static(br#"{"Event":"BadgeExportZipFile.Created","#);
        let (stored, duplicate) = (Expected::recorded(Outcome::Stored), Expected::recorded(Outcome::Duplicate));
        Ok(vec![
            Step::delivery("a new event", sign(&event, &job, "0")?, stored.clone()),
            Step::delivery(format!("no. {first} again, as a retry"), sign(&event, &job, "1")?, duplicate.clone()),
            Step::delivery(
                format!("no. {first} replayed under a forged job id"),
                sign(&event, &forged_job, "0")?,
                duplicate,
            ),
            Step::delivery(format!("another event under no. {first}'s job id"), sign(&other, &job, "0")?, stored),
            Step::delivery(
                "cut-off JSON, signed",
                sign(&malformed, &random_hex(8), "0")?,
                Expected::recorded(Outcome::Quarantined),
            ),
            Step::delivery("a body changed after signing", sign(&event, &job, "0")?.tampered(), Expected::refused(400)),
            Step::delivery("no signature", sign(&event, &job, "0")?.unsigned(), Expected::refused(400)),
        ])
    }

    fn examples(&self) -> Vec<ExampleDelivery> {
        vec![ExampleDelivery::of_one(&["stored"], recorded!("accredit-badge-export"))]
    }

    fn webhook(&self) -> Option<&dyn ImitatedWebhook> {
        Some(self)
    }
}

impl ImitatedWebhook for Imitated {
    fn key_option(&self) -> KeyOption {
        KeyOption::Takes("a private key in PEM")
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[
            OptionSpec::text("job-id", "ID", "the X-JobId header. [default: made up]"),
            OptionSpec::text("job-attempt", "NUMBER", "the X-JobAttempt header; 0 is the first try. [default: 0]")
                .taking(OptionValues::Number),
        ];
        OPTIONS
    }

    fn deliver(&self, keys: &KeyFiles, order: Order<'_>) -> Result<Outgoing, SimulatorError> {
        let key = match &order.key {
            Some(key) => Key::read(key.expose_secret())?,
            None => Key::of_files(keys)?,
        };
        let body = order.body.unwrap_or_else(|| self.body(order.now));
        let job_id = order.options.get("job-id").map_or_else(|| random_hex(8), str::to_owned);
        let delivery = key.sign(body, &job_id, order.options.get("job-attempt").unwrap_or("0"))?;
        Ok(Outgoing::Ready(if order.tamper { delivery.tampered() } else { delivery }))
    }

    fn body(&self, now: Timestamp) -> Bytes {
        body(&random_uuid(), now)
    }

    fn new_key(&self, _now: Timestamp) -> Result<TestKey, SimulatorError> {
        let made = new_key()?;
        let key = Key::read(made.private_key.expose_secret())?;
        Ok(TestKey::new(made.secret, move |body| key.sign(body, &random_hex(8), "0")))
    }

    fn malformed(&self, delivery: &SignedDelivery) -> Vec<SignedDelivery> {
        let too_short = base64([7; 255]);
        ["", "not base64!", &too_short].map(|value| delivery.clone().with_credential(value)).to_vec()
    }

    fn unset_secrets(&self) -> &'static [&'static str] {
        &[r#"{"keys": []}"#]
    }

    /// Accredit's page knows 200 and 400, and 400 is what triggers a retry. A wrong signature is answered 400 too, so that a
    /// genuine delivery is not lost while our key lags behind theirs.
    fn expected(&self, situation: Situation) -> Option<ExpectedAnswer> {
        Some(match situation {
            Situation::Accepted => ExpectedAnswer::new(200, Redelivery::No),
            Situation::CredentialMissing
            | Situation::CredentialRepeated
            | Situation::CredentialMalformed
            | Situation::WrongKey
            | Situation::NoActiveKey
            | Situation::SecretMalformed
            | Situation::SecretsAway
            | Situation::QueueAway
            | Situation::DeadlineExceeded
            | Situation::Panic
            | Situation::EventUnreadable => ExpectedAnswer::new(400, Redelivery::Yes),
            Situation::WrongMethod => ExpectedAnswer::new(405, Redelivery::Undocumented),
            Situation::BodyTooLarge => ExpectedAnswer::new(413, Redelivery::Undocumented),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_looks_like_the_published_one() {
        let time = Timestamp::parse("2026-11-21T09:30:00.250Z").unwrap();
        assert_eq!(
            body("00112233-4455-6677-8899-aabbccddeeff", time),
            r#"{"Event":"BadgeExportZipFile.Created","Timestamp":"2026-11-21T09:30:00.250Z","BadgeExportZipFileId":"00112233-4455-6677-8899-aabbccddeeff"}"#
        );
    }
}
