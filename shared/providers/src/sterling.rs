//! IBM Sterling Intelligent Promising: batches of inventory events.
//!
//! Sterling sends an `eventbatch` object, a single legacy event, or an array of either. It delivers at least once, and a batch
//! may be cut differently when it comes again, so each event is one of its own. An event has no id: its identity is the
//! digest of its canonical JSON with its channel and identifiers, and the n-th identical event of a delivery is another event.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::value::RawValue;

use crate::active_keys::{KeySetError, ReadKeySet};
use crate::answer::{Answer, Refusal, Trouble};
use crate::canonical_json::{LONGEST_TEXT_BYTES, Object, canonical};
use crate::delivery::{Delivery, Sha256Digest};
use crate::event::{Event, Identity, Malformed, MalformedEvent};
use crate::oauth::access_token::{self, LONGEST_TOKEN_BYTES, TokenProblem};
use crate::oauth::authority::Verification;
use crate::provider::Provider;
use crate::request::{UnverifiedRequest, VerifiedRequest};
use crate::split::SplitEvents;
use crate::timestamp::Timestamp;
use crate::webhook::{KeysAre, Unproved, Webhook};

/// The most attributes of an event that are repeated beside its data. The data holds all of them.
const MOST_ATTRIBUTES: usize = 32;

/// The longest value of such an attribute, in bytes.
const LONGEST_ATTRIBUTE_BYTES: usize = 1024;

/// What surrounds an event in its batch and belongs to it.
#[derive(Clone, Copy, Default)]
struct Surround<'a> {
    channel: Option<&'a RawValue>,
    identifiers: Option<&'a RawValue>,
}

/// The events of a delivery, in the order of the body.
pub(crate) fn split(delivery: &Delivery) -> SplitEvents {
    let text = std::str::from_utf8(&delivery.body).map_err(|_| Malformed::NotUtf8)?;
    let body: &RawValue = serde_json::from_str(text).map_err(|error| Malformed::NotJson(error.to_string()))?;
    let mut events = Events { delivery, copies: HashMap::new(), found: Vec::new() };
    match elements(body)? {
        Some(elements) => elements.into_iter().for_each(|element| events.read(element)),
        None => {
            // What is wrong with the one object of the body is wrong with the delivery.
            Object::of(body)?;
            events.read(body);
        }
    }
    if events.found.is_empty() { Err(Malformed::NoEvents) } else { Ok(events.found) }
}

/// The elements of an array; nothing for any other value.
fn elements(value: &RawValue) -> Result<Option<Vec<&RawValue>>, Malformed> {
    if !value.get().starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str(value.get()).map(Some).map_err(|error| Malformed::NotJson(error.to_string()))
}

struct Events<'a> {
    delivery: &'a Delivery,
    /// How often each content was met so far.
    copies: HashMap<Sha256Digest, u32>,
    found: Vec<Result<Event, MalformedEvent>>,
}

impl<'a> Events<'a> {
    /// Reads a batch of batches, a batch, or an event.
    fn read(&mut self, value: &'a RawValue) {
        if let Err(reason) = self.read_object(value) {
            self.malformed(reason, value);
        }
    }

    fn read_object(&mut self, value: &'a RawValue) -> Result<(), Malformed> {
        let object = Object::of(value)?;
        if let Some(batches) = object.get("eventbatch") {
            let expected = Malformed::UnexpectedMember { name: "eventbatch", expected: "an array" };
            for batch in elements(batches)?.ok_or(expected)? {
                if let Err(reason) = self.read_batch(batch) {
                    self.malformed(reason, batch);
                }
            }
            return Ok(());
        }
        if object.get("events").is_some() {
            return self.read_batch(value);
        }
        let surround = Surround { channel: object.get("channel"), identifiers: object.get("identifiers") };
        self.read_event(value, surround);
        Ok(())
    }

    fn read_batch(&mut self, batch: &'a RawValue) -> Result<(), Malformed> {
        let object = Object::of(batch)?;
        let surround = Surround { channel: object.get("channel"), identifiers: object.get("identifiers") };
        let events = object.get("events").ok_or(Malformed::MissingMember { name: "events" })?;
        let expected = Malformed::UnexpectedMember { name: "events", expected: "an array" };
        for event in elements(events)?.ok_or(expected)? {
            self.read_event(event, surround);
        }
        Ok(())
    }

    fn read_event(&mut self, value: &'a RawValue, surround: Surround<'a>) {
        match event(self.delivery, value, surround, &mut self.copies) {
            Ok(event) => self.found.push(Ok(event)),
            Err(reason) => {
                let data = with_surround(value, surround);
                self.found.push(Err(MalformedEvent { reason, data, position: None }));
            }
        }
    }

    fn malformed(&mut self, reason: Malformed, value: &RawValue) {
        let data = Bytes::copy_from_slice(value.get().as_bytes());
        self.found.push(Err(MalformedEvent { reason, data, position: None }));
    }
}

/// A malformed event as a batch of its own, so that it keeps its channel and identifiers, and with them its identity, when
/// it is released.
fn with_surround(value: &RawValue, surround: Surround<'_>) -> Bytes {
    let members = [("channel", surround.channel), ("identifiers", surround.identifiers)];
    let members: String =
        members.iter().filter_map(|(name, value)| Some(format!(r#""{name}":{},"#, (*value)?))).collect();
    Bytes::from(format!(r#"{{{members}"events":[{value}]}}"#))
}

fn event(
    delivery: &Delivery,
    value: &RawValue,
    surround: Surround<'_>,
    copies: &mut HashMap<Sha256Digest, u32>,
) -> Result<Event, Malformed> {
    let object = Object::of(value)?;
    let code = object.text("code")?;
    let timestamp = object.text_or_number("timestamp")?;

    let channel = surround.channel.map_or(Ok(String::new()), canonical)?;
    let identifiers = surround.identifiers.map_or(Ok(String::new()), canonical)?;
    let content = canonical(value)?;
    let digest = Sha256Digest::of_parts([channel.as_bytes(), identifiers.as_bytes(), content.as_bytes()]);
    let copy = copies.entry(digest).and_modify(|copy| *copy += 1).or_insert(0);

    let mut attributes = named_values(&object);
    attributes.extend(timestamp.iter().map(|timestamp| ("timestamp".to_owned(), timestamp.clone())));
    for (name, value, text) in
        [("channel", surround.channel, channel), ("identifiers", surround.identifiers, identifiers)]
    {
        if let Some(value) = value {
            // A channel is a string; what is no string is kept as its canonical JSON.
            let text = serde_json::from_str(value.get()).unwrap_or(text);
            attributes.insert(name.to_owned(), shortened(text));
        }
    }
    if *copy > 0 {
        attributes.insert("copy".to_owned(), copy.to_string());
    }

    Ok(Event {
        provider: Provider::Sterling,
        identity: Identity::new(
            Provider::Sterling,
            delivery.account(),
            [b"event".as_slice(), digest.as_bytes(), copy.to_be_bytes().as_slice()],
        ),
        id: if *copy == 0 { digest.to_string() } else { format!("{digest}.{copy}") },
        source: delivery.source(),
        event_type: format!("sterling.{code}"),
        subject: attributes.get("attribute.itemId").cloned(),
        time: timestamp.filter(|text| Timestamp::parse(text).is_ok()),
        datacontenttype: "application/json".to_owned(),
        data: Bytes::copy_from_slice(value.get().as_bytes()),
        digest,
        attributes,
        repeat_alias: None,
        job_hint: None,
        entity: None,
    })
}

/// The event's own name/type/value triples, by name. Values are strings, numbers too, and stay as they are. Whatever has
/// another form is in the data and nowhere else.
fn named_values(event: &Object<'_>) -> BTreeMap<String, String> {
    let Some(Ok(Some(triples))) = event.get("attributes").map(elements) else { return BTreeMap::new() };
    triples
        .into_iter()
        .filter_map(|triple| {
            let triple = Object::of(triple).ok()?;
            let (name, value) = (triple.text("name").ok()?, triple.text_or_number("value").ok()??);
            (name.len() <= 64 && value.len() <= LONGEST_ATTRIBUTE_BYTES).then(|| (format!("attribute.{name}"), value))
        })
        .take(MOST_ATTRIBUTES)
        .collect()
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT_BYTES {
        let end = (0..=LONGEST_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// IBM Sterling's webhook.
#[derive(Clone, Copy, Debug)]
pub struct Sterling;

/// A bearer token, as it came.
pub struct BearerToken(String);

impl Webhook for Sterling {
    const PROVIDER: Provider = Provider::Sterling;

    type Keys = Verification;
    type Proof = BearerToken;

    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError> {
        let keys = serde_json::from_str(secret).map_err(|error| KeySetError::Malformed {
            form: r#"{"issuer": "...", "audience": "...", "keys": [...], "clients": [...]}"#,
            line: error.line(),
            column: error.column(),
        })?;
        Ok(ReadKeySet { keys, problems: Vec::new() })
    }

    fn is_unset(keys: &Self::Keys) -> bool {
        keys.keys.is_empty() || keys.issuer.is_empty() || keys.audience.is_empty()
    }

    fn proof(_path: &str, headers: &HeaderMap) -> Result<Self::Proof, Refusal> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Err(Refusal::TokenMissing),
            (Some(value), None) => value,
            (Some(_), Some(_)) => return Err(Refusal::TokenMalformed),
        };
        let text = value.to_str().map_err(|_| Refusal::TokenMalformed)?;
        match text.split_once(' ') {
            // RFC 9110, section 11.1: the scheme's case doesn't count.
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && is_token(token.trim()) => {
                Ok(BearerToken(token.trim().to_owned()))
            }
            _ => Err(Refusal::TokenMalformed),
        }
    }

    fn verify(
        request: UnverifiedRequest,
        proof: &Self::Proof,
        keys: &Self::Keys,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Unproved> {
        match access_token::verify(&proof.0, keys, now) {
            Ok(key) => Ok(request.proved(Self::PROVIDER, key, &["content-type", "user-agent"])),
            // The document may be older than the key or the client.
            Err(TokenProblem::UnknownKey | TokenProblem::UnknownClient) => Err(Unproved::NoKeyMatches(request)),
            Err(TokenProblem::Expired) => Err(Unproved::Refused(Refusal::TokenExpired)),
            Err(TokenProblem::Invalid) => Err(Unproved::Refused(Refusal::TokenInvalid)),
        }
    }

    /// 401 makes Sterling get a new token; where only our own document may be at fault, that would help nobody.
    fn no_key_matches(keys: KeysAre) -> Answer {
        match keys {
            KeysAre::Current => Answer::Refused(Refusal::TokenInvalid),
            KeysAre::Outdated => Answer::SendAgain(Trouble::SecretsUnavailable),
        }
    }

    /// Only 200 acknowledges. 401 makes Sterling get a new token and try once more; 403 would not, so it is never given.
    fn status(answer: &Answer) -> StatusCode {
        match answer {
            Answer::Accepted => StatusCode::OK,
            Answer::SendAgain(_) => StatusCode::SERVICE_UNAVAILABLE,
            Answer::Refused(
                Refusal::TokenMissing | Refusal::TokenMalformed | Refusal::TokenExpired | Refusal::TokenInvalid,
            ) => StatusCode::UNAUTHORIZED,
            Answer::Refused(Refusal::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Refused(Refusal::BodyTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Refused(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// RFC 6750, section 3: without a token no error is named.
    fn challenge(answer: &Answer) -> Option<HeaderValue> {
        let challenge = match answer {
            Answer::Refused(Refusal::TokenMissing) => r#"Bearer realm="webhook-intake""#,
            Answer::Refused(Refusal::TokenExpired) => {
                r#"Bearer realm="webhook-intake", error="invalid_token", error_description="The access token expired""#
            }
            Answer::Refused(Refusal::TokenMalformed | Refusal::TokenInvalid) => {
                r#"Bearer realm="webhook-intake", error="invalid_token", error_description="The access token is not valid here""#
            }
            _ => return None,
        };
        Some(HeaderValue::from_static(challenge))
    }
}

/// RFC 6750, section 2.1: b64token. A JWT uses fewer characters still.
fn is_token(token: &str) -> bool {
    !token.is_empty()
        && token.len() <= LONGEST_TOKEN_BYTES
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

#[cfg(test)]
mod tests;
