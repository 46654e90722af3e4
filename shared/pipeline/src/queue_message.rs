//! The queue message: a delivery as one JSON text that SQS takes. A large body is stored apart, and the message holds its key (a
//! claim check).
//!
//! The message is versioned. A processor that meets an unknown version fails that record alone, so the record waits on the
//! queue and nothing is lost. Hence the order of an upgrade: first every processor, which reads the old version and
//! the new one; then the intakes, which write the new one. A rollback goes the other way round. Any change of the form, a new
//! member included, is a new version.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::active_keys::MatchedKey;
use intake_providers::authentic::KeptHeader;
use intake_providers::delivery::{Delivery, DeliveryId, VerifiedDelivery};
use intake_providers::digest::Sha256Digest;
use intake_providers::json_object;
use intake_providers::json_place::JsonPlace;
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{QuarantineEntry, QuarantinedContent};
use crate::payloads::{PayloadKey, PayloadReader, Payloads};
use crate::port_error::PortError;

/// The version that is written, and the only one that is read so far.
pub const VERSION: u32 = 1;

/// Maximum size of a message of SQS in bytes, attributes included (we send none): 1 MiB.
/// Source: AWS, "Amazon SQS message quotas".
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The message group of deliveries that are released from quarantine.
const RELEASE_GROUP: &str = "released";

/// Maximum number of messages in one batch of SQS. Together they may be as large as one message alone.
/// Source: AWS, "Amazon SQS message quotas".
pub const MAX_BATCH_MESSAGES: usize = 10;

/// A message for the queue. Only a verified delivery becomes one.
#[derive(Clone, Debug)]
pub struct QueueMessage {
    text: String,
    provider: ProviderName,
    offloaded: bool,
    is_release: bool,
}

impl QueueMessage {
    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The message group: the provider of the delivery, so that one noisy provider doesn't delay the others. What is released from
    /// quarantine has a group of its own, so that it delays nothing that just arrived.
    #[must_use]
    pub fn group(&self) -> &'static str {
        if self.is_release { RELEASE_GROUP } else { self.provider.as_str() }
    }

    /// Whether the delivery is released from quarantine. The queue hands that on beside the text.
    #[must_use]
    pub const fn is_release(&self) -> bool {
        self.is_release
    }

    /// Whether the body went to the payload store.
    #[must_use]
    pub const fn offloaded(&self) -> bool {
        self.offloaded
    }

    /// Writes a delivery as a message. A body that makes it too large for the queue is stored first.
    ///
    /// # Errors
    /// When the body had to be stored and could not be, or the document could not be written.
    pub async fn prepare(delivery: &VerifiedDelivery, payloads: &impl Payloads) -> Result<Self, PortError> {
        match Self::inline(delivery)? {
            Some(document) => Ok(document),
            None => Self::offload(delivery, payloads).await,
        }
    }

    /// Writes a delivery as a message with its body inside, if the queue takes one that large.
    ///
    /// # Errors
    /// When the message could not be written.
    pub(crate) fn inline(delivery: &VerifiedDelivery) -> Result<Option<Self>, UnwritableMessage> {
        let delivery = delivery.as_delivery();
        // A body over the limit can't fit in any encoding, so it isn't encoded to find out.
        if delivery.body.len() > MAX_MESSAGE_BYTES {
            return Ok(None);
        }
        let text = write_inline(delivery)?;
        let fits = text.len() <= MAX_MESSAGE_BYTES;
        Ok(fits.then_some(Self { text, provider: delivery.provider, offloaded: false, is_release: false }))
    }

    /// A message that was refused before, to be sent again. `None` if the text is not a message of the version that this release
    /// writes.
    pub(crate) fn refused(text: &str) -> Option<(Self, DeliveryId, Vec<KeptHeader>, Sha256Digest)> {
        let document: MessageV1 = json_object::read(text).ok()?;
        if document.version != VERSION {
            return None;
        }
        let headers = document.headers.into_iter().map(|(name, value)| {
            let value = value.into_bytes().ok()?;
            Some(KeptHeader { name, value })
        });
        let headers = headers.collect::<Option<_>>()?;
        let offloaded = matches!(document.body, BodyV1::Payload { .. });
        let message = Self { text: text.to_owned(), provider: document.provider, offloaded, is_release: false };
        Some((message, document.delivery_id, headers, document.sha256))
    }

    /// A delivery that was quarantined, to be processed again. The quarantine keeps it as the message that it was.
    /// `None` if its content was erased.
    #[must_use]
    pub fn release(entry: &QuarantineEntry) -> Option<Self> {
        let text = entry.document()?.to_owned();
        Some(Self { text, provider: entry.provider, offloaded: false, is_release: true })
    }

    /// Stores a delivery's body, and writes a message that names its key.
    pub(crate) async fn offload(delivery: &VerifiedDelivery, payloads: &impl Payloads) -> Result<Self, PortError> {
        let delivery = delivery.as_delivery();
        let provider = delivery.provider;
        let key = body_key(provider, delivery.received_at, delivery.id);
        payloads.put(&key, delivery.body.clone()).await?;
        Ok(Self { text: write_with_payload(delivery, key)?, provider, offloaded: true, is_release: false })
    }
}

/// The key of a delivery's body, if it was too large for a message.
pub(crate) fn body_key(provider: ProviderName, received_at: Timestamp, delivery_id: DeliveryId) -> PayloadKey {
    PayloadKey::new(format!("deliveries/{provider}/{}/{delivery_id}", received_at.day_path()))
}

/// A delivery could not be written as a message, which is a defect of ours. It must not be acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("the queue message of delivery {delivery_id} cannot be written: {cause}")]
pub struct UnwritableMessage {
    delivery_id: DeliveryId,
    cause: serde_json::Error,
}

impl From<UnwritableMessage> for PortError {
    /// For the sender, a message that cannot be written is one that the queue did not accept.
    fn from(error: UnwritableMessage) -> Self {
        Self::new("queue message write", &error)
    }
}

/// Writes a delivery with its body inside.
///
/// # Errors
/// [`UnwritableMessage`].
pub(crate) fn write_inline(delivery: &Delivery) -> Result<String, UnwritableMessage> {
    write(delivery, BodyV1::of(&delivery.body))
}

/// Writes a delivery whose body is in the payload store.
///
/// # Errors
/// [`UnwritableMessage`].
pub(crate) fn write_with_payload(delivery: &Delivery, key: PayloadKey) -> Result<String, UnwritableMessage> {
    write(delivery, BodyV1::Payload { key, size_bytes: delivery.body.len() as u64 })
}

/// Why a message could not be read. The record fails and stays on the queue.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not one of ours, or damaged.
    #[error("the message is not a queue message of ours: {0}")]
    Undecodable(String),
    /// Written by a newer release.
    #[error(
        "the queue message has version {found}, and this processor reads version {VERSION}; deploy processors before intakes"
    )]
    UnknownVersion {
        /// The version found.
        found: u64,
    },
    /// The body is not the one that was verified.
    #[error("the body of delivery {delivery_id} does not have the digest that its queue message names")]
    DigestMismatch {
        /// The delivery.
        delivery_id: DeliveryId,
    },
    /// An operator erased it.
    #[error("its content was erased at {erased_at}, and only its outcome is left")]
    Erased {
        /// When.
        erased_at: Timestamp,
    },
    /// The body could not be fetched.
    #[error(transparent)]
    Payload(#[from] PortError),
}

/// A parsed message, with a body that is not fetched yet.
#[derive(Debug)]
pub struct InboundMessage(MessageV1);

/// Parses a message and fetches its body.
///
/// # Errors
/// [`MessageError`]; the record must then fail.
#[cfg(test)]
pub(crate) async fn read(text: &str, payloads: &impl PayloadReader) -> Result<Delivery, MessageError> {
    InboundMessage::parse(text)?.fetch(payloads).await
}

impl InboundMessage {
    /// Parses the message that a quarantine keeps.
    ///
    /// # Errors
    /// [`MessageError`], also if its content was erased.
    pub fn quarantined(entry: &QuarantineEntry) -> Result<Self, MessageError> {
        match &entry.content {
            QuarantinedContent::Kept { document, .. } => Self::parse(document),
            QuarantinedContent::Erased { erased_at } => Err(MessageError::Erased { erased_at: *erased_at }),
        }
    }

    /// The key of the body, where it is in the payload store.
    pub(crate) const fn payload_key(&self) -> Option<&PayloadKey> {
        match &self.0.body {
            BodyV1::Payload { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Parses a message.
    ///
    /// # Errors
    /// [`MessageError`]; the record must then fail.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let undecodable = |error: serde_json::Error| {
            // serde's own words may quote what they read; the place is enough to find it.
            MessageError::Undecodable(format!("stopped at {}", JsonPlace::from(&error)))
        };
        let Versioned { version } = json_object::read(text).map_err(undecodable)?;
        if version != u64::from(VERSION) {
            return Err(MessageError::UnknownVersion { found: version });
        }
        json_object::read(text).map(Self).map_err(undecodable)
    }

    /// The delivery.
    #[must_use]
    pub const fn delivery_id(&self) -> DeliveryId {
        self.0.delivery_id
    }

    /// Size of the body in bytes; of a body in base64 an upper bound.
    #[must_use]
    pub fn body_size_bytes(&self) -> usize {
        match &self.0.body {
            BodyV1::Text(text) => text.len(),
            BodyV1::Base64(text) => base64::decoded_len_estimate(text.len()),
            BodyV1::Payload { size_bytes, .. } => usize::try_from(*size_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Fetches the body where it was stored apart, and checks its digest.
    ///
    /// # Errors
    /// [`MessageError`]; the record must then fail.
    pub async fn fetch(self, payloads: &impl PayloadReader) -> Result<Delivery, MessageError> {
        let Self(document) = self;
        let body = match document.body {
            BodyV1::Text(text) => Bytes::from(text),
            BodyV1::Base64(text) => {
                STANDARD.decode(text).map(Bytes::from).map_err(|error| MessageError::Undecodable(error.to_string()))?
            }
            BodyV1::Payload { key, .. } => payloads.get(&key).await?,
        };
        if Sha256Digest::of(&body) != document.sha256 {
            return Err(MessageError::DigestMismatch { delivery_id: document.delivery_id });
        }
        let headers = document
            .headers
            .into_iter()
            .map(|(name, value)| Ok(KeptHeader { name, value: value.into_bytes()? }))
            .collect::<Result<_, MessageError>>()?;
        Ok(Delivery {
            id: document.delivery_id,
            provider: document.provider,
            authenticated_by: document.authenticated_by,
            received_at: document.received_at,
            headers,
            body,
            sha256: document.sha256,
        })
    }
}

/// What can be said of a message that may be damaged, or of an unknown version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOrigin {
    /// The delivery, if it is named.
    pub delivery_id: Option<DeliveryId>,
    /// The provider, if it is named and known.
    pub provider: Option<ProviderName>,
    /// When the delivery reached us, if that is said.
    pub received_at: Option<Timestamp>,
}

impl MessageOrigin {
    /// What a text says, as far as it is JSON at all.
    #[must_use]
    pub fn of(text: &str) -> Self {
        fn member<T: serde::de::DeserializeOwned>(document: &serde_json::Value, name: &str) -> Option<T> {
            T::deserialize(document.get(name)?).ok()
        }
        let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else { return Self::default() };
        Self {
            delivery_id: member(&document, "delivery_id"),
            provider: member(&document, "provider"),
            received_at: member(&document, "received_at"),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageV1 {
    version: u32,
    delivery_id: DeliveryId,
    provider: ProviderName,
    authenticated_by: MatchedKey,
    received_at: Timestamp,
    headers: Vec<(String, HeaderValueV1)>,
    sha256: Sha256Digest,
    body: BodyV1,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HeaderValueV1 {
    Text(String),
    Base64(String),
}

impl HeaderValueV1 {
    fn of(bytes: &[u8]) -> Self {
        match queue_text(bytes) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn into_bytes(self) -> Result<Vec<u8>, MessageError> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).map_err(|error| MessageError::Undecodable(error.to_string())),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BodyV1 {
    Text(String),
    Base64(String),
    Payload { key: PayloadKey, size_bytes: u64 },
}

impl BodyV1 {
    fn of(body: &[u8]) -> Self {
        match queue_text(body) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Base64(STANDARD.encode(body)),
        }
    }
}

fn write(delivery: &Delivery, body: BodyV1) -> Result<String, UnwritableMessage> {
    let document = MessageV1 {
        version: VERSION,
        delivery_id: delivery.id,
        provider: delivery.provider,
        authenticated_by: delivery.authenticated_by.clone(),
        received_at: delivery.received_at,
        headers: delivery
            .headers
            .iter()
            .map(|header| (header.name.clone(), HeaderValueV1::of(&header.value)))
            .collect(),
        sha256: delivery.sha256,
        body,
    };
    serialize(delivery.id, &document)
}

/// Never an empty text: SQS would take what no processor can read.
fn serialize(delivery_id: DeliveryId, document: &impl Serialize) -> Result<String, UnwritableMessage> {
    serde_json::to_string(document).map_err(|cause| UnwritableMessage { delivery_id, cause })
}

/// The bytes as text, if they are UTF-8 and SQS accepts every character: XML 1.0's set.
/// Source: AWS, `SendMessage`, "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF".
fn queue_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(is_queue_character))
}

const fn is_queue_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests;
