//! The envelope: what a consumer receives of an event, on AWS and on one machine.
//!
//! It is a CloudEvent 1.0 in structured JSON, made of an entry of the ledger. A consumer that has handled an envelope needs to
//! remember no more than its `source` and `id`: envelopes are delivered at least once and in any order.
//!
//! Stored events, repeats and conflicts have an envelope. A duplicate has none, because a consumer has received the same content
//! under the same `source` and `id`, or as the state of the entity. Quarantined content is not an event.
//!
//! What an entry holds and an envelope doesn't: the fingerprint of the key and the digest, with which a consumer can do nothing; the
//! attributes that repeat what the data say; and hints such as the unsigned job id, because whatever goes along will be acted
//! upon, and anybody can forge those.

use std::collections::BTreeMap;

use intake_providers::ProviderName;
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::EntityReference;
use intake_providers::registry::event_form;
use serde::Serialize;

use self::content::content_type;
pub use self::content::{Content, JsonForm};
use crate::ledger::entity::{Change, EntityChange};
use crate::ledger::{Entry, EnvelopeData, EventData, EventEntry, Outcome};
use crate::payloads::{PayloadKey, PayloadReader};
use crate::port_error::PortError;

mod content;
mod text;

/// Maximum size of an envelope, in bytes. EventBridge takes 256 KiB, of which its own members need some, and what a consumer's
/// queue wraps around it some more.
pub const MAX_ENVELOPE_BYTES: usize = 200 * 1024;

/// What a message's id begins with.
const MESSAGE_ID_PREFIX: &str = "evt_";

/// Number of hex digits of a message's id: 128 bits.
const MESSAGE_ID_DIGITS: usize = 32;

/// The version of CloudEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum SpecVersion {
    /// CloudEvents 1.0.
    #[serde(rename = "1.0")]
    V1,
}

/// What became of an event that consumers receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SentOutcome {
    /// New.
    Stored,
    /// A state that an earlier event reported, under a new id.
    Repeat,
    /// Other content under the id of an earlier event.
    Conflict,
}

impl SentOutcome {
    /// The outcome of an event, if it is sent.
    const fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Stored => Some(Self::Stored),
            Outcome::Repeat => Some(Self::Repeat),
            Outcome::Conflict => Some(Self::Conflict),
            Outcome::Duplicate | Outcome::Quarantined => None,
        }
    }
}

/// What an event changed about its entity, as a consumer sees it who applies the envelopes by their versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SentChange {
    /// The entity was unknown, and exists now.
    Created,
    /// It has other content now.
    Changed,
    /// It was deleted.
    Deleted,
    /// It was merged into another one.
    Merged,
    /// It was deleted, and exists again.
    Revived,
    /// Nothing: a newer state is known, or the entity is deleted. Its data are not the entity's state.
    Late,
}

/// An event as consumers receive it. Members that are absent have nothing to say.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventEnvelope {
    /// The version of CloudEvents.
    specversion: SpecVersion,
    /// Unique within `source`; an envelope that is delivered again has the same. It is the provider's own id of the event where there
    /// is one. A conflict has `<that id>#conflict#<SHA-256 of the content>`, so that a consumer who drops what it knows doesn't drop
    /// it. A character that CloudEvents forbids is percent-encoded, here and in all other text.
    #[cfg_attr(test, schemars(length(min = 1)))]
    id: String,
    /// The webhook or queue that the event came through, and the account: `/webhooks/machnet/main`.
    #[cfg_attr(test, schemars(length(min = 1), extend("format" = "uri-reference")))]
    source: String,
    /// The provider, a dot, and the provider's own word for what happened.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    event_type: String,
    /// What it happened to, where the content names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", length(min = 1)))]
    subject: Option<String>,
    /// When it happened, exactly as the provider wrote it. Absent if the provider says nothing or not in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    time: Option<String>,
    /// Media type of the data.
    #[cfg_attr(test, schemars(length(min = 1)))]
    datacontenttype: String,
    /// What became of it. A conflict needs a person, or a rule of the consumer's own, to say which content holds.
    outcome: SentOutcome,
    /// Of a repeat, the id of the event that reported the same state first, so that its effect can be skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    repeatof: Option<String>,
    /// Of a conflict, the id of the event that came first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    conflictwith: Option<String>,
    /// The account that it belongs to, for consumers who treat accounts differently.
    #[cfg_attr(test, schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$")))]
    account: String,
    /// Our id of the delivery that brought it, under which headers, body and outcomes are found when something has to be explained.
    #[cfg_attr(test, schemars(extend("format" = "uuid")))]
    deliveryid: String,
    /// Its place in that delivery, counted from 0.
    #[cfg_attr(test, schemars(range(min = 0)))]
    deliveryindex: i32,
    /// When the delivery reached us, by our clock: what to order and measure by if the provider's `time` is absent.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    receivedat: String,
    /// What the delivery says around the event and the event itself doesn't, as the text of one JSON object. CloudEvents has no
    /// extensions that are objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", extend("contentMediaType" = "application/json")))]
    deliverycontext: Option<String>,
    /// Where that object is, if it is larger than 1 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uri-reference")))]
    deliverycontextref: Option<String>,
    /// The entity that it is about, unique within `source`: its component, organisation, business and id, each percent-encoded, with
    /// slashes between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", length(min = 1), extend("format" = "uri-reference")))]
    entity: Option<String>,
    /// The version of the entity that it made. Of the events that are not `late`, the one with the greatest version has the entity's
    /// present state: a consumer drops those that are late, and those that are not newer than what it has. Versions may be missing,
    /// because duplicates count and are not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "i32", range(min = 1)))]
    entityversion: Option<i32>,
    /// What it changed about the entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "SentChange"))]
    entitychange: Option<SentChange>,
    /// What the entity is merged into after the change, written like `entity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", length(min = 1), extend("format" = "uri-reference")))]
    mergedinto: Option<String>,
    /// The content of the entity after the change, as the text of one JSON object, if the data are not it: an entity that exists again
    /// may have newer content than the event that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", extend("contentMediaType" = "application/json")))]
    entitycontent: Option<String>,
    /// Where that content is, if it is larger than 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "uri-reference")))]
    entitycontentref: Option<String>,
    /// Present if an operator has the event sent again: the name of the replay. The `id` is the one that the event was sent with at
    /// first, so a consumer that drops what it knows drops a replay, unless it makes an exception for this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", length(min = 1)))]
    replay: Option<String>,
    /// What only this provider's events say.
    #[serde(flatten)]
    #[cfg_attr(test, schemars(skip))]
    of_provider: BTreeMap<&'static str, String>,
    /// The data.
    #[serde(flatten)]
    content: Content,
}

/// An envelope that is written.
#[derive(Clone, Debug)]
pub struct WrittenEnvelope {
    /// The provider of the event.
    pub provider: ProviderName,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `type`.
    pub event_type: String,
    /// The entity that the event is about, unique within the source.
    pub entity: Option<String>,
    /// The envelope as JSON, at most [`MAX_ENVELOPE_BYTES`].
    pub text: String,
}

impl WrittenEnvelope {
    /// The envelope's id as a message (`webhook-id`): the same whenever and however often it is sent, and made of letters and digits,
    /// whatever its `source` and `id` are made of.
    #[must_use]
    pub fn message_id(&self) -> String {
        let digest = Sha256Digest::of_parts([self.source.as_bytes(), self.id.as_bytes()]).to_string();
        MESSAGE_ID_PREFIX.chars().chain(digest.chars().take(MESSAGE_ID_DIGITS)).collect()
    }
}

/// Why an entry has no envelope although it should have one.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The data could not be fetched.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The entry was made by another version.
    #[error(
        "the event's data are with event {same_data_as}, as only a duplicate's are; deploy the version that wrote it"
    )]
    DataElsewhere {
        /// That event's id.
        same_data_as: String,
    },
    /// A number is larger than CloudEvents allows.
    #[error("{name} is {value}, and a CloudEvents integer has 32 bits")]
    TooLargeANumber {
        /// The member.
        name: &'static str,
        /// The number.
        value: u64,
    },
    /// What else an envelope holds takes too much space.
    #[error(
        "the envelope has {bytes} bytes without data that are kept elsewhere, and at most {MAX_ENVELOPE_BYTES} are sent"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It could not be written as JSON.
    #[error("the envelope cannot be written as json")]
    Json(#[source] serde_json::Error),
}

/// Where a consumer finds what is in the payload store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadLocation {
    /// Before the key of a payload; `None` if everything is in the envelope itself.
    base: Option<String>,
}

impl PayloadLocation {
    /// A store whose keys follow this text, such as `s3://bucket/`, in a URI.
    #[must_use]
    pub fn below(base: impl Into<String>) -> Self {
        Self { base: Some(base.into()) }
    }

    /// In the envelope itself, whatever its size becomes: for a consumer that cannot reach the store, and is sent envelopes by something
    /// that does not limit them.
    #[must_use]
    pub const fn in_the_envelope() -> Self {
        Self { base: None }
    }

    /// The URI of a payload, if it has one. The keys of payloads need no encoding.
    fn uri(&self, key: &PayloadKey) -> Option<String> {
        Some(format!("{}{}", self.base.as_ref()?, key.as_str()))
    }

    /// Maximum size of an envelope, in bytes.
    const fn max_bytes(&self) -> usize {
        if self.base.is_some() { MAX_ENVELOPE_BYTES } else { usize::MAX }
    }
}

/// Writes envelopes.
#[derive(Clone, Debug)]
pub struct EnvelopeWriter<S> {
    payloads: S,
    location: PayloadLocation,
    replay: Option<String>,
}

impl<S: PayloadReader> EnvelopeWriter<S> {
    /// A writer that fetches data from this store, and says that it is there.
    pub const fn new(payloads: S, location: PayloadLocation) -> Self {
        Self { payloads, location, replay: None }
    }

    /// The same, of envelopes that are sent again, in a replay of this name.
    #[must_use]
    pub fn in_replay(self, name: String) -> Self {
        Self { replay: Some(name), ..self }
    }

    /// The envelope of an entry; `None` for one that consumers don't receive. An event whose data were erased is one of those: an
    /// envelope without them would say that it has none.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub async fn write(&self, entry: &Entry, form: JsonForm) -> Result<Option<WrittenEnvelope>, EnvelopeError> {
        let Some((event, outcome)) = sent(entry) else { return Ok(None) };
        let written = match &event.data {
            EventData::Inline { data } => {
                let content_type = content_type(&event.cloud_event.datacontenttype, Some(data.as_bytes()));
                let content = Content::of(data.as_bytes(), &content_type, form);
                self.written(event, outcome, content_type, content).await?
            }
            EventData::Payload { data_key, data_size_bytes } => {
                self.with_payload(event, outcome, data_key, *data_size_bytes, form).await?
            }
            EventData::Elsewhere { same_data_as } => {
                return Err(EnvelopeError::DataElsewhere { same_data_as: same_data_as.clone() });
            }
            EventData::Erased { .. } => return Ok(None),
        };
        if written.text.len() > self.location.max_bytes() {
            return Err(EnvelopeError::TooLarge { bytes: written.text.len() });
        }
        Ok(Some(written))
    }

    /// The envelope with its data, or with a reference to them if it would be too large.
    async fn with_payload(
        &self,
        event: &EventEntry,
        outcome: SentOutcome,
        key: &PayloadKey,
        size_bytes: u64,
        form: JsonForm,
    ) -> Result<WrittenEnvelope, EnvelopeError> {
        let announced = &event.cloud_event.datacontenttype;
        let reference = self.location.uri(key).map(Content::Reference);
        let is_too_large = Content::min_size(size_bytes, announced, form) > MAX_ENVELOPE_BYTES as u64;
        if let Some(reference) = reference.clone().filter(|_| is_too_large) {
            return self.written(event, outcome, content_type(announced, None), reference).await;
        }
        let bytes = self.payloads.get(key).await?;
        let content_type = content_type(announced, Some(&bytes));
        let content = Content::of(&bytes, &content_type, form);
        let written = self.written(event, outcome, content_type.clone(), content).await?;
        match reference {
            Some(reference) if written.text.len() > MAX_ENVELOPE_BYTES => {
                self.written(event, outcome, content_type, reference).await
            }
            _ => Ok(written),
        }
    }

    async fn written(
        &self,
        event: &EventEntry,
        outcome: SentOutcome,
        datacontenttype: String,
        content: Content,
    ) -> Result<WrittenEnvelope, EnvelopeError> {
        let envelope = self.envelope(event, outcome, datacontenttype, content).await?;
        let text = serde_json::to_string(&envelope).map_err(EnvelopeError::Json)?;
        let EventEnvelope { source, id, event_type, entity, .. } = envelope;
        Ok(WrittenEnvelope { provider: event.provider, source, id, event_type, entity, text })
    }

    async fn envelope(
        &self,
        event: &EventEntry,
        outcome: SentOutcome,
        datacontenttype: String,
        content: Content,
    ) -> Result<EventEnvelope, EnvelopeError> {
        let own_id = text::string(&event.cloud_event.id);
        let (id, conflictwith) = match outcome {
            SentOutcome::Stored | SentOutcome::Repeat => (own_id, None),
            SentOutcome::Conflict => (format!("{own_id}#conflict#{}", event.digest), Some(own_id)),
        };
        let (deliverycontext, deliverycontextref) = match &event.envelope {
            None => (None, None),
            Some(EnvelopeData::Inline { envelope }) => (Some(text::json(envelope)), None),
            Some(EnvelopeData::Payload { envelope_key, .. }) => self.text_or_uri(envelope_key).await?,
        };
        let change = event.entity.as_ref();
        let (entitycontent, entitycontentref) = match change.and_then(|change| change.content.as_ref()) {
            None => (None, None),
            Some(EventData::Inline { data }) => (Some(text::json(data)), None),
            Some(EventData::Payload { data_key, .. }) => self.text_or_uri(data_key).await?,
            Some(EventData::Elsewhere { same_data_as }) => {
                return Err(EnvelopeError::DataElsewhere { same_data_as: same_data_as.clone() });
            }
            Some(EventData::Erased { .. }) => (None, None),
        };
        let extensions = event_form(event.provider).extensions.iter();
        let of_provider = extensions
            .filter_map(|extension| Some((extension.name, text::string(event.attributes.get(extension.attribute)?))));
        Ok(EventEnvelope {
            specversion: SpecVersion::V1,
            id,
            source: event.cloud_event.source.clone(),
            event_type: text::string(&event.cloud_event.event_type),
            subject: event.cloud_event.subject.as_deref().filter(|subject| !subject.is_empty()).map(text::string),
            time: event.cloud_event.time.clone(),
            datacontenttype,
            outcome,
            repeatof: event.repeat_of.as_deref().map(text::string),
            conflictwith,
            account: event.account.to_string(),
            deliveryid: event.occurrence.delivery_id.to_string(),
            deliveryindex: integer("deliveryindex", u64::from(event.occurrence.index.0))?,
            receivedat: event.received_at.to_string(),
            deliverycontext,
            deliverycontextref,
            entity: change.map(|change| entity_name(&change.entity)),
            entityversion: change.map(|change| integer("entityversion", change.version)).transpose()?,
            entitychange: change.and_then(sent_change),
            mergedinto: change.and_then(|change| change.merged_into.as_ref()).map(entity_name),
            entitycontent,
            entitycontentref,
            replay: self.replay.as_deref().map(text::string),
            of_provider: of_provider.collect(),
            content,
        })
    }

    /// JSON that is in the payload store: its URI, or its text if it has none.
    async fn text_or_uri(&self, key: &PayloadKey) -> Result<(Option<String>, Option<String>), EnvelopeError> {
        match self.location.uri(key) {
            Some(uri) => Ok((None, Some(uri))),
            None => Ok((Some(text::json(&String::from_utf8_lossy(&self.payloads.get(key).await?))), None)),
        }
    }
}

/// Whether consumers receive an entry: an event that is stored, a repeat or a conflict, unless its data were erased.
pub(crate) fn is_sent(entry: &Entry) -> bool {
    sent(entry).is_some() && entry.erased_at().is_none()
}

/// The event of an entry that consumers receive, and its outcome.
fn sent(entry: &Entry) -> Option<(&EventEntry, SentOutcome)> {
    match entry {
        Entry::Event(event) | Entry::Conflict(event) => Some((event, SentOutcome::of(event.outcome)?)),
        Entry::Alias(_) | Entry::Hint(_) | Entry::Quarantine(_) | Entry::Entity(_) | Entry::Progress(_) => None,
    }
}

/// What an event changed. One that changed nothing because it is known is a duplicate, and not sent.
const fn sent_change(change: &EntityChange) -> Option<SentChange> {
    match change.change {
        Change::Created => Some(SentChange::Created),
        Change::Changed => Some(SentChange::Changed),
        Change::Deleted => Some(SentChange::Deleted),
        Change::Merged => Some(SentChange::Merged),
        Change::Revived => Some(SentChange::Revived),
        Change::Late => Some(SentChange::Late),
        Change::Unchanged => None,
    }
}

fn entity_name(entity: &EntityReference) -> String {
    let EntityReference { account: _, component, organisation, business_id, id } = entity;
    [component, organisation, business_id, id].map(|part| text::path_segment(part)).join("/")
}

fn integer(name: &'static str, value: u64) -> Result<i32, EnvelopeError> {
    i32::try_from(value).map_err(|_| EnvelopeError::TooLargeANumber { name, value })
}

#[cfg(test)]
pub(crate) mod tests;
