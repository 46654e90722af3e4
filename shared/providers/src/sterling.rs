//! IBM Sterling Intelligent Promising: batches of inventory events.
//!
//! Sterling sends an `eventbatch` object, a single legacy event, or an array of either. It delivers at least once, and a batch
//! may be split differently when it is redelivered, so each event is recorded on its own. An event has no id: its identity is the
//! digest of its canonical JSON with everything that surrounds it, and the n-th identical event of a delivery is another event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::active_keys::{KeySetError, ReadKeySet};
use crate::answer::{Answer, Fault, Rejection};
use crate::authentic::Authentic;
use crate::canonical_json::{Object, canonical};
use crate::delivery::Delivery;
use crate::digest::Sha256Digest;
use crate::event::{CloudEvent, Envelope, Event, EventKind};
use crate::event_form::{DataForm, EventForm, Extension};
use crate::explain::case::Case;
use crate::explain::finding::Finding;
use crate::explain::token;
use crate::identity::Identity;
use crate::json::{Elements, Json};
use crate::json_object;
use crate::json_place::JsonPlace;
use crate::kept_headers::HeaderPolicy;
use crate::malformed::{Malformed, MalformedEvent};
use crate::oauth::access_token::{self, MAX_TOKEN_BYTES, TokenProblem};
use crate::oauth::authority::Verification;
use crate::provider::Provider;
use crate::registry::name::ProviderName;
use crate::request::UnverifiedRequest;
use crate::split::{Events, MAX_EVENTS};
use crate::timestamp::Timestamp;
use crate::webhook::{KeyFreshness, VerifyError, Webhook};

mod keys;

/// Maximum number of an event's attributes that are repeated beside its data. The data and the envelope hold all of them.
const MAX_ATTRIBUTES: usize = 32;

/// Maximum length of such an attribute's value, in bytes.
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// Maximum total size of an event's attributes, names included, in bytes.
const MAX_ATTRIBUTES_BYTES: usize = 4 * 1024;

/// Maximum length of the name of an event's own attribute, in bytes.
const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;

/// Maximum total size of the members beside an `eventbatch`, in bytes, added up over all batches of a delivery: each batch's
/// envelope repeats them, and a delivery may hold tens of thousands of batches.
const MAX_REPEATED_BYTES: usize = 16 * 1024 * 1024;

/// The members that determine the kind of an object. An object with two of them is ambiguous.
const DISCRIMINATING_MEMBERS: [&str; 3] = ["eventbatch", "events", "code"];

/// IBM Sterling's webhook.
#[derive(Clone, Copy, Debug)]
pub struct Sterling;

impl Provider for Sterling {
    const NAME: ProviderName = ProviderName::Sterling;

    /// The channel is said around the events of a batch, and is what a consumer routes by.
    const EVENTS: EventForm = EventForm {
        type_pattern: ".+",
        always: &[],
        data: DataForm::Object(&["code"]),
        extensions: &[Extension {
            name: "channel",
            attribute: "channel",
            description: "The channel of the event or of its batch, where it is short",
        }],
    };

    type Settings = ();

    fn split<'a>(delivery: &'a Delivery, (): &'a ()) -> Result<Events<'a>, Malformed> {
        let body = Json::read(&delivery.body)?;
        if body.elements().is_none() {
            // A problem of the body's only object is a problem of the delivery.
            Form::of(body).map_err(|reason| match reason {
                Malformed::EmptyBatch => Malformed::NoEvents,
                reason => reason,
            })?;
        }
        let mut copies = HashMap::new();
        let read = move |part: Part<'_>| {
            event(delivery, &part, &mut copies).map_err(|reason| MalformedEvent {
                reason,
                // A part is cut out of this very body.
                data: delivery.body.slice_ref(part.text.as_str().as_bytes()),
            })
        };
        Events::counted(count(Parts::of(body))?, Parts::of(body).map(read))
    }
}

/// Number of parts, counted up to the limit; 0 if all of them are empty batches.
fn count(mut parts: Parts<'_>) -> Result<usize, Malformed> {
    let (mut count, mut only_empty) = (0, true);
    while let Some(part) = parts.next() {
        if parts.repeated_bytes > MAX_REPEATED_BYTES {
            return Err(Malformed::EnvelopesTooLarge { limit_bytes: MAX_REPEATED_BYTES });
        }
        only_empty &= matches!(part.surround, Err(Malformed::EmptyBatch));
        count += 1;
        if count > MAX_EVENTS {
            return Ok(count);
        }
    }
    Ok(if only_empty { 0 } else { count })
}

/// The kind of an object outside any batch.
enum Form<'a> {
    Event(Surround),
    Batch(Surround, Elements<'a>),
    Batches(Layer, Elements<'a>),
}

impl<'a> Form<'a> {
    fn of(element: Json<'a>) -> Result<Self, Malformed> {
        let object = unambiguous(element)?;
        if object.get("eventbatch").is_some() {
            let batches = array(&object, "eventbatch")?;
            return Ok(Self::Batches(Layer::of(&object, "eventbatch")?, batches));
        }
        if object.get("events").is_some() {
            let (surround, events) = batch(&object, &Layer::default())?;
            return Ok(Self::Batch(surround, events));
        }
        Ok(Self::Event(Surround::of_legacy_event(&object)))
    }
}

/// Reads what encloses a batch's events.
fn batch<'a>(object: &Object<'a>, delivery: &Layer) -> Result<(Surround, Elements<'a>), Malformed> {
    let events = array(object, "events")?;
    Ok((Surround::of_batch(delivery, object)?, events))
}

fn unambiguous(value: Json<'_>) -> Result<Object<'_>, Malformed> {
    let object = Object::of(value)?;
    let mut discriminating = DISCRIMINATING_MEMBERS.into_iter().filter(|name| object.get(name).is_some());
    match (discriminating.next(), discriminating.next()) {
        (Some(first), Some(second)) => Err(Malformed::AmbiguousMembers { first, second }),
        _ => Ok(object),
    }
}

/// The elements of a member that must be an array of at least one element.
fn array<'a>(object: &Object<'a>, name: &'static str) -> Result<Elements<'a>, Malformed> {
    let elements = object
        .get(name)
        .ok_or(Malformed::MissingMember { name })?
        .elements()
        .ok_or(Malformed::UnexpectedMember { name, expected: "an array" })?;
    if elements.clone().next().is_none() { Err(Malformed::EmptyBatch) } else { Ok(elements) }
}

/// The members of one level around the events, without those that lead to the events.
#[derive(Default)]
struct Layer {
    /// The members as they are written, joined with commas.
    members: String,
    /// The digest of their canonical form; `None` if there are no members.
    digest: Option<Sha256Digest>,
}

impl Layer {
    fn of(object: &Object<'_>, inner: &str) -> Result<Self, Malformed> {
        let members = object.written_besides(&[inner]);
        if members.is_empty() {
            return Ok(Self::default());
        }
        let canonical = object.canonical(|name| name != inner)?;
        Ok(Self { members, digest: Some(Sha256Digest::of(canonical.as_bytes())) })
    }
}

/// The content around an event that is part of its identity; read once for all events of a batch.
#[derive(Default)]
struct Surround {
    envelope: Option<Envelope>,
    /// Digests of the layers, the outer one first.
    layers: [Option<Sha256Digest>; 2],
    channel: Option<String>,
    identifiers: Option<String>,
}

impl Surround {
    fn of_batch(delivery: &Layer, object: &Object<'_>) -> Result<Self, Malformed> {
        let batch = Layer::of(object, "events")?;
        Ok(Self {
            envelope: Envelope::of_layers(&[("delivery", &delivery.members), ("batch", &batch.members)]),
            layers: [delivery.digest, batch.digest],
            ..Self::of_legacy_event(object)
        })
    }

    /// An event of the older form holds its channel and identifiers itself.
    fn of_legacy_event(object: &Object<'_>) -> Self {
        let readable = |name| object.get(name).and_then(readable);
        Self { channel: readable("channel"), identifiers: readable("identifiers"), ..Self::default() }
    }
}

/// A value as an attribute. A channel is a string; what is not a string is its canonical JSON.
fn readable(value: Json<'_>) -> Option<String> {
    let mut text = value.to_text().or_else(|| canonical(value).ok())?;
    text.shrink_to_fit();
    Some(text).filter(|text| text.len() <= MAX_ATTRIBUTE_BYTES)
}

/// The text of an event, or of whatever is in the place of one, and what surrounds it.
struct Part<'a> {
    text: Json<'a>,
    surround: Result<Arc<Surround>, Malformed>,
}

/// Splits a body into its events without parsing them.
struct Parts<'a> {
    elements: Elements<'a>,
    batches: Option<(Layer, Elements<'a>)>,
    events: Option<(Arc<Surround>, Elements<'a>)>,
    /// Bytes beside an `eventbatch` that the envelopes have repeated so far.
    repeated_bytes: usize,
}

impl<'a> Parts<'a> {
    fn of(body: Json<'a>) -> Self {
        Self { elements: body.elements_or_itself(), batches: None, events: None, repeated_bytes: 0 }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            if let Some((surround, events)) = &mut self.events {
                if let Some(text) = events.next() {
                    return Some(Part { text, surround: Ok(Arc::clone(surround)) });
                }
                self.events = None;
            }
            let (text, form) = if let Some((layer, batches)) = &mut self.batches {
                let Some(text) = batches.next() else {
                    self.batches = None;
                    continue;
                };
                self.repeated_bytes += layer.members.len();
                let batch = unambiguous(text).and_then(|object| batch(&object, layer));
                (text, batch.map(|(surround, events)| Form::Batch(surround, events)))
            } else {
                let text = self.elements.next()?;
                (text, Form::of(text))
            };
            match form {
                Ok(Form::Event(surround)) => return Some(Part { text, surround: Ok(Arc::new(surround)) }),
                Ok(Form::Batch(surround, events)) => self.events = Some((Arc::new(surround), events)),
                Ok(Form::Batches(layer, batches)) => self.batches = Some((layer, batches)),
                Err(reason) => return Some(Part { text, surround: Err(reason) }),
            }
        }
    }
}

fn event(delivery: &Delivery, part: &Part<'_>, copies: &mut HashMap<Sha256Digest, u32>) -> Result<Event, Malformed> {
    let surround = part.surround.as_ref().map_err(Clone::clone)?;
    let object = unambiguous(part.text)?;
    let code = object.text("code")?;
    let timestamp = object.text_or_number("timestamp")?;

    let content = object.canonical(|_| true)?;
    let [outer, inner] =
        surround.layers.each_ref().map(|layer| layer.as_ref().map_or(&[][..], |digest| digest.as_bytes()));
    let digest = Sha256Digest::of_parts([outer, inner, content.as_bytes()]);
    let copy = copies.entry(digest).and_modify(|copy| *copy += 1).or_insert(0);

    let mut attributes = Attributes::default();
    if *copy > 0 {
        attributes.add("copy".to_owned(), copy.to_string());
    }
    for (name, value) in
        [("timestamp", &timestamp), ("channel", &surround.channel), ("identifiers", &surround.identifiers)]
    {
        if let Some(value) = value {
            attributes.add(name.to_owned(), value.clone());
        }
    }
    let mut subject = None;
    for (name, value) in named_values(&object) {
        if name == "itemId" && value.len() <= MAX_ATTRIBUTE_BYTES {
            subject.get_or_insert_with(|| value.clone());
        }
        attributes.add(format!("attribute.{name}"), value);
    }

    Ok(Event {
        provider: delivery.provider,
        identity: Identity::new(
            delivery.provider,
            delivery.account(),
            [b"event".as_slice(), digest.as_bytes(), copy.to_be_bytes().as_slice()],
        ),
        cloud_event: CloudEvent {
            id: if *copy == 0 { digest.to_string() } else { format!("{digest}.{copy}") },
            source: delivery.source(),
            event_type: format!("sterling.{code}"),
            subject,
            time: timestamp.filter(|text| Timestamp::parse(text).is_ok()),
            datacontenttype: "application/json".to_owned(),
        },
        // A part is cut out of this very body.
        data: delivery.body.slice_ref(part.text.as_str().as_bytes()),
        envelope: surround.envelope.clone(),
        digest,
        attributes: attributes.kept,
        kind: EventKind::FACT,
    })
}

/// The event's own name/type/value triples. Values are strings, numbers too, and stay as they are. Anything of another form is
/// kept only in the data.
fn named_values<'a>(event: &Object<'a>) -> impl Iterator<Item = (String, String)> + use<'a> {
    event.get("attributes").and_then(Json::elements).into_iter().flatten().filter_map(|triple| {
        let triple = Object::of(triple).ok()?;
        let name = triple.text("name").ok().filter(|name| name.len() <= MAX_ATTRIBUTE_NAME_BYTES)?;
        Some((name, triple.text_or_number("value").ok()??))
    })
}

/// An event's attributes, within their limits. A value that does not fit is dropped and never truncated, so that a part is not
/// taken for the whole.
#[derive(Default)]
struct Attributes {
    kept: BTreeMap<String, String>,
    size_bytes: usize,
}

impl Attributes {
    /// Adds an attribute, if it fits and its name is not taken.
    fn add(&mut self, name: String, value: String) {
        let size_bytes = self.size_bytes + name.len() + value.len();
        let fits = value.len() <= MAX_ATTRIBUTE_BYTES
            && size_bytes <= MAX_ATTRIBUTES_BYTES
            && self.kept.len() < MAX_ATTRIBUTES;
        if fits && !self.kept.contains_key(&name) {
            self.kept.insert(name, value);
            self.size_bytes = size_bytes;
        }
    }
}

/// A bearer token, not verified yet.
pub struct BearerToken(String);

impl Webhook for Sterling {
    type Keys = Verification;
    type Credential = BearerToken;

    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError> {
        let keys = json_object::read(secret).map_err(|error| KeySetError::Malformed {
            form: r#"{"issuer": "...", "audience": "...", "keys": [...], "clients": [...]}"#,
            place: JsonPlace::from(&error),
        })?;
        Ok(ReadKeySet { keys, problems: Vec::new() })
    }

    fn is_unset(keys: &Self::Keys) -> bool {
        keys.keys.is_empty() || keys.issuer.is_empty() || keys.audience.is_empty()
    }

    fn credential(_path: &str, headers: &HeaderMap) -> Result<Self::Credential, Rejection> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Err(Rejection::TokenMissing),
            (Some(value), None) => value,
            (Some(_), Some(_)) => return Err(Rejection::TokenMalformed),
        };
        let text = value.to_str().map_err(|_| Rejection::TokenMalformed)?;
        match text.split_once(' ') {
            // RFC 9110, section 11.1: the scheme's case doesn't count.
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && is_token(token.trim()) => {
                Ok(BearerToken(token.trim().to_owned()))
            }
            _ => Err(Rejection::TokenMalformed),
        }
    }

    fn verify(
        request: UnverifiedRequest,
        credential: &Self::Credential,
        keys: &Self::Keys,
        now: Timestamp,
    ) -> Result<Authentic, VerifyError> {
        match access_token::verify(&credential.0, keys, now) {
            Ok(key) => {
                let token = credential.0.as_bytes();
                let has_credential = |value: &[u8]| value.windows(token.len().max(1)).any(|part| part == token);
                let own = &["content-type", "user-agent"];
                Ok(request.verified(Self::NAME, key, &HeaderPolicy { own, has_credential: &has_credential }))
            }
            // The document may be older than the key or the client.
            Err(TokenProblem::UnknownKey | TokenProblem::UnknownClient) => Err(VerifyError::NoKeyMatches(request)),
            Err(TokenProblem::Expired) => Err(VerifyError::Rejected(Rejection::TokenExpired)),
            Err(TokenProblem::Invalid) => Err(VerifyError::Rejected(Rejection::TokenInvalid)),
        }
    }

    fn detail(credential: &Self::Credential, keys: &Self::Keys, now: Timestamp) -> Option<String> {
        Some(token::names(&credential.0, keys, now))
    }

    /// 401 makes Sterling get a new token; where our own document may be outdated, a new token would not help.
    fn no_key_matches(keys: KeyFreshness) -> Answer {
        match keys {
            KeyFreshness::Fresh => Answer::Rejected(Rejection::TokenInvalid),
            KeyFreshness::Stale => Answer::RetryLater(Fault::SecretsUnavailable),
        }
    }

    fn explain(case: &Case<'_>) -> Vec<Finding> {
        token::explain(case)
    }

    /// Only 200 acknowledges. 401 makes Sterling get a new token and try once more; 403 would not, so it is never used.
    fn status(answer: &Answer) -> StatusCode {
        match answer {
            Answer::Accepted => StatusCode::OK,
            Answer::RetryLater(_) => StatusCode::SERVICE_UNAVAILABLE,
            Answer::Rejected(
                Rejection::TokenMissing | Rejection::TokenMalformed | Rejection::TokenExpired | Rejection::TokenInvalid,
            ) => StatusCode::UNAUTHORIZED,
            Answer::Rejected(Rejection::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Rejected(Rejection::BodyTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Rejected(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// RFC 6750, section 3: without a token the challenge carries no error code.
    fn challenge(answer: &Answer) -> Option<HeaderValue> {
        let challenge = match answer {
            Answer::Rejected(Rejection::TokenMissing) => r#"Bearer realm="webhook-intake""#,
            Answer::Rejected(Rejection::TokenExpired) => {
                r#"Bearer realm="webhook-intake", error="invalid_token", error_description="The access token expired""#
            }
            Answer::Rejected(Rejection::TokenMalformed | Rejection::TokenInvalid) => {
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
        && token.len() <= MAX_TOKEN_BYTES
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

#[cfg(test)]
mod tests;
