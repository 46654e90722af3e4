//! Accredit: event accreditation and badging.
//!
//! `X-Signature` is the base64 of an RSA signature with SHA-256. We take it to be over the raw body (their signature guide is
//! not public). Only the body is signed, so `X-JobId` and `X-JobAttempt` can be forged around a captured body: the identity
//! of an event is the digest of its body, and the job id is only a hint.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account::AccountName;
use crate::active_keys::{ActiveKeys, KeySetError, ReadKeySet, read_key_set};
use crate::answer::{Answer, Rejection};
use crate::authentic::Authentic;
use crate::canonical_json::{MAX_TEXT_BYTES, Object, canonical};
use crate::delivery::Delivery;
use crate::event::{CloudEvent, Event, EventKind};
use crate::event_form::{DataForm, EventForm};
use crate::explain::case::Case;
use crate::explain::finding::Finding;
use crate::explain::mistake::Encoding;
use crate::explain::rsa_key::rsa_keys;
use crate::explain::search::SignedHeader;
use crate::identity::{Alias, Identity};
use crate::kept_headers::HeaderPolicy;
use crate::malformed::Malformed;
use crate::provider::Provider;
use crate::registry::name::ProviderName;
use crate::request::UnverifiedRequest;
use crate::signature::rsa_padding::Padding;
use crate::signature::rsa_sha256::RsaPublicKey;
use crate::split::Events;
use crate::timestamp::Timestamp;
use crate::webhook::{KeyFreshness, VerifyError, Webhook, signature_header};

mod keys;

const SIGNATURE_HEADER: &str = "x-signature";
const SIGNATURE_FORM: &str = "the base64 of an RSA signature of 2048 to 8192 bits";
const SIGNED_HEADER: SignedHeader =
    SignedHeader { name: SIGNATURE_HEADER, encoding: Encoding::Base64, expected: SIGNATURE_FORM };
const JOB_ID_HEADER: &str = "x-jobid";
const JOB_ATTEMPT_HEADER: &str = "x-jobattempt";
const OWN_HEADERS: [&str; 5] = ["content-type", JOB_ATTEMPT_HEADER, JOB_ID_HEADER, SIGNATURE_HEADER, "user-agent"];

/// How long a job id is remembered for the hint. Accredit retries at most five times; its interval is not published.
const JOB_HINT_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Maximum length of a job id that is looked up, in bytes. The header is unsigned, so anybody can choose its size.
const MAX_JOB_ID_BYTES: usize = 256;

/// Accredit's webhook.
#[derive(Clone, Copy, Debug)]
pub struct Accredit;

/// A signature, decoded from its header: 256 to 1024 bytes, the sizes of 2048 to 8192-bit keys.
#[derive(Debug)]
pub struct RsaSignature(Vec<u8>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    #[serde(alias = "label")]
    account: String,
    public_key: String,
    #[serde(default)]
    padding: Padding,
}

impl Webhook for Accredit {
    type Keys = ActiveKeys<RsaPublicKey>;
    type Credential = RsaSignature;

    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError> {
        let form = r#"{"account": "...", "public_key": "...", "padding": "pkcs1-v1.5" or "pss" (may be left out)}"#;
        read_key_set(secret, form, |entry: KeyEntry| {
            let account = AccountName::new(&entry.account).map_err(|error| error.to_string())?;
            let key = RsaPublicKey::parse(&entry.public_key, entry.padding).map_err(|error| error.to_string())?;
            Ok((account, key))
        })
    }

    fn is_unset(keys: &Self::Keys) -> bool {
        keys.is_empty()
    }

    fn credential(_path: &str, headers: &HeaderMap) -> Result<Self::Credential, Rejection> {
        let value = signature_header(headers, SIGNATURE_HEADER)?;
        STANDARD
            .decode(value.trim_ascii())
            .ok()
            .filter(|signature| (256..=1024).contains(&signature.len()))
            .map(RsaSignature)
            .ok_or(Rejection::SignatureMalformed { header: SIGNATURE_HEADER, expected: SIGNATURE_FORM })
    }

    fn verify(
        request: UnverifiedRequest,
        credential: &Self::Credential,
        keys: &Self::Keys,
        _now: Timestamp,
    ) -> Result<Authentic, VerifyError> {
        let matched = keys.matching(|key| key.verify(request.body(), &credential.0), RsaPublicKey::fingerprint);
        match matched {
            Some(key) => Ok(request.verified(Self::NAME, key, &HeaderPolicy::signed(&OWN_HEADERS))),
            None => Err(VerifyError::NoKeyMatches(request)),
        }
    }

    fn no_key_matches(_: KeyFreshness) -> Answer {
        Answer::Rejected(Rejection::SignatureMismatch { header: SIGNATURE_HEADER })
    }

    fn explain(case: &Case<'_>) -> Vec<Finding> {
        let bare =
            |text: &str| KeyEntry { account: String::new(), public_key: text.to_owned(), padding: Padding::default() };
        let keys = case.keys::<Self, KeyEntry, _>(bare, |tried, entry| {
            rsa_keys(tried, &entry.account, &entry.public_key, entry.padding)
        });
        case.search(SIGNED_HEADER, &keys)
    }

    /// 200 acknowledges; 400 is the documented trigger of a retry. A signature that does not match is answered 400 as well: if
    /// it is genuine and our key is outdated, it will be redelivered.
    fn status(answer: &Answer) -> StatusCode {
        match answer {
            Answer::Accepted => StatusCode::OK,
            Answer::Rejected(Rejection::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Rejected(Rejection::BodyTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Rejected(_) | Answer::RetryLater(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Provider for Accredit {
    const NAME: ProviderName = ProviderName::Accredit;

    const EVENTS: EventForm =
        EventForm { type_pattern: ".+", always: &[], data: DataForm::Object(&["Event", "Timestamp"]), extensions: &[] };

    type Settings = ();

    fn split<'a>(delivery: &'a Delivery, (): &'a ()) -> Result<Events<'a>, Malformed> {
        event(delivery).map(Events::one)
    }
}

/// The one event of a delivery.
fn event(delivery: &Delivery) -> Result<Event, Malformed> {
    let content = Object::read(&delivery.body)?;
    // The identity is the bytes themselves; this only checks that the JSON is unambiguous.
    content.canonical(|_| true)?;
    let name = content.text("Event")?;
    let timestamp = content.text("Timestamp")?;

    let mut attributes = BTreeMap::from([("timestamp".to_owned(), timestamp.clone())]);
    let job_id = delivery.header_text(JOB_ID_HEADER).filter(|job_id| !job_id.is_empty());
    if let Some(job_id) = job_id {
        attributes.insert("job_id".to_owned(), job_id.to_owned());
    }
    if let Some(attempt) = delivery.header_text(JOB_ATTEMPT_HEADER) {
        attributes.insert("job_attempt".to_owned(), attempt.to_owned());
    }

    Ok(Event {
        provider: delivery.provider,
        identity: Identity::new(
            delivery.provider,
            delivery.account(),
            [b"event".as_slice(), delivery.sha256.as_bytes()],
        ),
        cloud_event: CloudEvent {
            id: delivery.sha256.to_string(),
            source: delivery.source(),
            event_type: format!("accredit.{name}"),
            subject: subject(&content, &name),
            time: Timestamp::parse(&timestamp).is_ok().then_some(timestamp),
            datacontenttype: "application/json".to_owned(),
        },
        data: delivery.body.clone(),
        envelope: None,
        digest: delivery.sha256,
        attributes,
        kind: EventKind::Fact {
            repeat_alias: None,
            job_hint: job_id.filter(|job_id| job_id.len() <= MAX_JOB_ID_BYTES).map(|job_id| Alias {
                name: Identity::new(delivery.provider, delivery.account(), [b"job".as_slice(), job_id.as_bytes()]),
                lifetime: JOB_HINT_LIFETIME,
            }),
        },
    })
}

/// `BadgeExportZipFile.Created` comes with a `BadgeExportZipFileId`: the entity in the event's name, if its id is present.
fn subject(content: &Object<'_>, event_name: &str) -> Option<String> {
    let (entity, _) = event_name.split_once('.')?;
    let id = content.get(&format!("{entity}Id"))?;
    match id.to_text() {
        Some(text) => Some(text).filter(|text| !text.is_empty()),
        None => canonical(id).ok(),
    }
    .filter(|subject| subject.len() <= MAX_TEXT_BYTES)
}

#[cfg(test)]
mod tests;
