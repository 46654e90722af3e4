//! Machnet RaaS and PaaS: remittances and payments.
//!
//! `x-raas-webhook-signature` is the HMAC-SHA256 of the raw body in hex, under the secret that was given to their Subscription
//! API. Two generations of field names are in use, and recorded deliveries mix them. A retry may carry a new id and a new
//! timestamp, so an event is also deduplicated by the state that it reports.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account::AccountName;
use crate::active_keys::{ActiveKeys, KeySetError, ReadKeySet, read_key_set};
use crate::answer::{Answer, Rejection};
use crate::authentic::Authentic;
use crate::canonical_json::Object;
use crate::delivery::Delivery;
use crate::digest::Sha256Digest;
use crate::event::{CloudEvent, Event, EventKind};
use crate::event_form::{DataForm, EventForm};
use crate::explain::case::Case;
use crate::explain::finding::Finding;
use crate::explain::mistake::Encoding;
use crate::explain::search::SignedHeader;
use crate::explain::secret_text::hmac_keys;
use crate::identity::{Alias, Identity};
use crate::kept_headers::HeaderPolicy;
use crate::malformed::Malformed;
use crate::provider::Provider;
use crate::registry::name::ProviderName;
use crate::request::UnverifiedRequest;
use crate::settings::Reader;
use crate::signature::hmac_sha256::HmacSecret;
use crate::split::Events;
use crate::timestamp::Timestamp;
use crate::webhook::{KeyFreshness, VerifyError, Webhook, signature_header};

mod keys;

const SIGNATURE_HEADER: &str = "x-raas-webhook-signature";
const SIGNATURE_FORM: &str = "64 hex digits";
const SIGNED_HEADER: SignedHeader =
    SignedHeader { name: SIGNATURE_HEADER, encoding: Encoding::Hex, expected: SIGNATURE_FORM };
const EVENT_HEADER: &str = "x-raas-event";
const OWN_HEADERS: [&str; 4] = ["content-type", "user-agent", EVENT_HEADER, SIGNATURE_HEADER];

/// Names of the event's id: the current one, and the one in the older RaaS documentation.
const ID_MEMBERS: [&str; 2] = ["id", "persisted_object_id"];

/// Members that together identify one reported state of one resource.
const STATE_MEMBERS: [&str; 7] =
    ["event_name", "resource_id", "user_id", "sender_id", "receiver_id", "subscription_id", "payload"];

/// Machnet's webhook.
#[derive(Clone, Copy, Debug)]
pub struct Machnet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    #[serde(alias = "label")]
    account: String,
    secret: String,
}

impl Webhook for Machnet {
    type Keys = ActiveKeys<HmacSecret>;
    type Credential = [u8; 32];

    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError> {
        read_key_set(secret, r#"{"account": "...", "secret": "..."}"#, |entry: KeyEntry| {
            let account = AccountName::new(&entry.account).map_err(|error| error.to_string())?;
            let secret = HmacSecret::new(&entry.secret).map_err(|error| error.to_string())?;
            Ok((account, secret))
        })
    }

    fn is_unset(keys: &Self::Keys) -> bool {
        keys.is_empty()
    }

    fn credential(_path: &str, headers: &HeaderMap) -> Result<Self::Credential, Rejection> {
        let value = signature_header(headers, SIGNATURE_HEADER)?;
        let mut tag = [0; 32];
        hex::decode_to_slice(value, &mut tag)
            .map_err(|_| Rejection::SignatureMalformed { header: SIGNATURE_HEADER, expected: SIGNATURE_FORM })?;
        Ok(tag)
    }

    fn verify(
        request: UnverifiedRequest,
        credential: &Self::Credential,
        keys: &Self::Keys,
        _now: Timestamp,
    ) -> Result<Authentic, VerifyError> {
        let matched = keys.matching(|secret| secret.verify(request.body(), credential), HmacSecret::fingerprint);
        match matched {
            Some(key) => Ok(request.verified(Self::NAME, key, &HeaderPolicy::signed(&OWN_HEADERS))),
            None => Err(VerifyError::NoKeyMatches(request)),
        }
    }

    fn no_key_matches(_: KeyFreshness) -> Answer {
        Answer::Rejected(Rejection::SignatureMismatch { header: SIGNATURE_HEADER })
    }

    fn explain(case: &Case<'_>) -> Vec<Finding> {
        let bare = |text: &str| KeyEntry { account: String::new(), secret: text.to_owned() };
        let keys = case.keys::<Self, KeyEntry, _>(bare, |tried, entry| hmac_keys(tried, &entry.account, &entry.secret));
        case.search(SIGNED_HEADER, &keys)
    }

    /// Any 2xx acknowledges, 409 is repeated at a fixed interval, and everything else counts towards pausing the subscription.
    /// A well-formed signature that does not match is answered 409, so that a genuine delivery is redelivered until our
    /// secret is up to date.
    fn status(answer: &Answer) -> StatusCode {
        match answer {
            Answer::Accepted => StatusCode::OK,
            Answer::RetryLater(_) | Answer::Rejected(Rejection::SignatureMismatch { .. }) => StatusCode::CONFLICT,
            Answer::Rejected(
                Rejection::SignatureMissing { .. }
                | Rejection::SignatureRepeated { .. }
                | Rejection::SignatureMalformed { .. },
            ) => StatusCode::UNAUTHORIZED,
            Answer::Rejected(Rejection::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Rejected(Rejection::BodyTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Rejected(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Settings for reading Machnet's deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a reported state is remembered, so that the same state under a new id is marked a repeat.
    pub repeat_window: Duration,
}

impl Default for Settings {
    /// Twelve hours: Machnet's "10 more times every hour" takes ten.
    fn default() -> Self {
        Self { repeat_window: Duration::from_secs(12 * 60 * 60) }
    }
}

impl Provider for Machnet {
    const NAME: ProviderName = ProviderName::Machnet;

    const EVENTS: EventForm =
        EventForm { type_pattern: ".+", always: &[], data: DataForm::Object(&["event_name"]), extensions: &[] };

    type Settings = Settings;

    fn settings(reader: &mut Reader<'_>) -> Settings {
        let seconds = Settings::default().repeat_window.as_secs();
        let seconds = reader.number("MACHNET_REPEAT_WINDOW_SECONDS", seconds, 0..=31_536_000);
        Settings { repeat_window: Duration::from_secs(seconds) }
    }

    fn split<'a>(delivery: &'a Delivery, settings: &'a Settings) -> Result<Events<'a>, Malformed> {
        settings.event(delivery).map(Events::one)
    }
}

impl Settings {
    /// The one event of a delivery.
    fn event(&self, delivery: &Delivery) -> Result<Event, Malformed> {
        let content = Object::read(&delivery.body)?;
        let id = event_id(&content)?;
        let name = content.text("event_name")?;
        // `timestamp` is when the webhook is posted, so a retry may change it. The id is the identity already.
        let is_compared = |member: &str| member != "timestamp" && !ID_MEMBERS.contains(&member);
        let compared = content.canonical(is_compared)?;
        // What is not compared must not be ambiguous either.
        content.canonical(|member| !is_compared(member))?;
        let state = content.canonical(|member| STATE_MEMBERS.contains(&member))?;

        let mut attributes = BTreeMap::new();
        let timestamp = optional(&content, "timestamp")?;
        if let Some(timestamp) = &timestamp {
            attributes.insert("timestamp".to_owned(), timestamp.clone());
        }
        for member in ["user_id", "sender_id", "receiver_id", "subscription_id"] {
            if let Some(value) = optional(&content, member)? {
                attributes.insert(member.to_owned(), value);
            }
        }
        // The header is outside the signature: the signed name decides, and a difference is written down.
        if let Some(announced) = delivery.header_text(EVENT_HEADER).filter(|announced| *announced != name) {
            attributes.insert("mismatched_event_header".to_owned(), announced.to_owned());
        }

        Ok(Event {
            provider: delivery.provider,
            identity: Identity::new(delivery.provider, delivery.account(), [b"event".as_slice(), id.as_bytes()]),
            cloud_event: CloudEvent {
                id,
                source: delivery.source(),
                event_type: format!("machnet.{name}"),
                subject: optional(&content, "resource_id")?,
                time: timestamp.filter(|text| Timestamp::parse(text).is_ok()),
                datacontenttype: "application/json".to_owned(),
            },
            data: delivery.body.clone(),
            envelope: None,
            digest: Sha256Digest::of(compared.as_bytes()),
            attributes,
            kind: EventKind::Fact {
                repeat_alias: Some(Alias {
                    name: Identity::new(delivery.provider, delivery.account(), [b"state".as_slice(), state.as_bytes()]),
                    lifetime: self.repeat_window,
                }),
                job_hint: None,
            },
        })
    }
}

/// A member that may be left out, null or empty, and otherwise must be a string or a number. Machnet's page promises `user_id`
/// only for events about a user, and its older documentation has fewer members still.
fn optional(content: &Object<'_>, name: &'static str) -> Result<Option<String>, Malformed> {
    match content.get(name) {
        Some(value) if value.as_str() == r#""""# => Ok(None),
        _ => content.text_or_number(name),
    }
}

/// The id under either name; both may be there if they agree.
fn event_id(content: &Object<'_>) -> Result<String, Malformed> {
    let [first, second] = ID_MEMBERS;
    match (content.text_or_number(first)?, content.text_or_number(second)?) {
        (Some(id), Some(other)) if id != other => Err(Malformed::ContradictoryIds { first, second }),
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err(Malformed::MissingMember { name: "id" }),
    }
}

#[cfg(test)]
mod tests;
