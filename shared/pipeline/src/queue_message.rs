//! The queue document: a delivery as one JSON text that SQS takes.
//!
//! The document is versioned. A processor that meets a version it doesn't know fails that record alone, so the record waits
//! on the queue and nothing is lost. Hence the order of an upgrade: first every processor, which reads the old version and
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
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::payloads::{PayloadKey, Payloads};
use crate::port_error::PortError;

/// The version that is written, and the only one that is read so far.
pub const VERSION: u32 = 1;

/// The largest message that SQS takes, attributes included (we send none): 1 MiB.
/// Source: AWS, "Amazon SQS message quotas".
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The most documents that SQS takes in one batch. Together they may be as large as one document alone.
/// Source: AWS, "Amazon SQS message quotas".
pub const MAX_BATCH_MESSAGES: usize = 10;

/// A document on its way to the queue. It is made of a verified delivery only.
#[derive(Clone, Debug)]
pub struct QueueMessage {
    text: String,
    provider: ProviderName,
    offloaded: bool,
}

impl QueueMessage {
    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whose delivery it is; the message group, so that one noisy provider doesn't delay the others.
    #[must_use]
    pub const fn provider(&self) -> ProviderName {
        self.provider
    }

    /// Whether the body went to the payload store.
    #[must_use]
    pub const fn offloaded(&self) -> bool {
        self.offloaded
    }

    /// Writes a delivery as a document. A body that makes it too large for the queue is stored first.
    ///
    /// # Errors
    /// When the body had to be stored and could not be, or the document could not be written.
    pub async fn prepare(delivery: &VerifiedDelivery, payloads: &impl Payloads) -> Result<Self, PortError> {
        match Self::inline(delivery)? {
            Some(document) => Ok(document),
            None => Self::offload(delivery, payloads).await,
        }
    }

    /// Writes a delivery as a document with its body inside, if the queue takes a document that large.
    ///
    /// # Errors
    /// When the document could not be written.
    pub(crate) fn inline(delivery: &VerifiedDelivery) -> Result<Option<Self>, UnwritableDocument> {
        let delivery = delivery.as_delivery();
        // A body over the limit can't fit in any encoding, so it isn't encoded to find out.
        if delivery.body.len() > MAX_MESSAGE_BYTES {
            return Ok(None);
        }
        let text = write_inline(delivery)?;
        let fits = text.len() <= MAX_MESSAGE_BYTES;
        Ok(fits.then_some(Self { text, provider: delivery.provider, offloaded: false }))
    }

    /// A document that was sent before and refused, to be sent again. `None` if the text is not a document of the version that
    /// this release writes.
    pub(crate) fn refused(text: &str) -> Option<(Self, Vec<KeptHeader>, Sha256Digest)> {
        let document: Document = serde_json::from_str(text).ok()?;
        if document.version != VERSION {
            return None;
        }
        let headers = document.headers.into_iter().map(|(name, value)| {
            let value = value.into_bytes().ok()?;
            Some(KeptHeader { name, value })
        });
        let headers = headers.collect::<Option<_>>()?;
        let offloaded = matches!(document.body, BodyDocument::Payload { .. });
        Some((Self { text: text.to_owned(), provider: document.provider, offloaded }, headers, document.sha256))
    }

    /// Stores a delivery's body, and writes a document that names its key.
    pub(crate) async fn offload(delivery: &VerifiedDelivery, payloads: &impl Payloads) -> Result<Self, PortError> {
        let delivery = delivery.as_delivery();
        let provider = delivery.provider;
        let key =
            PayloadKey::new(format!("deliveries/{}/{}/{}", provider, delivery.received_at.day_path(), delivery.id));
        payloads.put(&key, delivery.body.clone()).await?;
        Ok(Self { text: write_with_payload(delivery, key)?, provider, offloaded: true })
    }
}

/// A delivery could not be written as a document, which is a defect of ours. Nothing of it may be acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("the queue document of delivery {delivery_id} cannot be written: {cause}")]
pub struct UnwritableDocument {
    delivery_id: DeliveryId,
    cause: serde_json::Error,
}

impl From<UnwritableDocument> for PortError {
    /// For the sender, a document that cannot be written is one that the queue did not take.
    fn from(error: UnwritableDocument) -> Self {
        Self::new("queue document write", &error)
    }
}

/// Writes a delivery with its body inside.
///
/// # Errors
/// [`UnwritableDocument`].
pub(crate) fn write_inline(delivery: &Delivery) -> Result<String, UnwritableDocument> {
    write(delivery, BodyDocument::of(&delivery.body))
}

/// Writes a delivery whose body is in the payload store.
///
/// # Errors
/// [`UnwritableDocument`].
pub(crate) fn write_with_payload(delivery: &Delivery, key: PayloadKey) -> Result<String, UnwritableDocument> {
    write(delivery, BodyDocument::Payload { key, size_bytes: delivery.body.len() as u64 })
}

/// Why a document could not be read. The record fails and stays on the queue.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not ours, or damaged.
    #[error("the message is no queue document: {0}")]
    Undecodable(String),
    /// PutOutcome by a newer release.
    #[error(
        "the document has version {found}, and this processor reads version {VERSION}; deploy processors before intakes"
    )]
    UnknownVersion {
        /// The version found.
        found: u64,
    },
    /// The body is not the one that was verified.
    #[error("the body of delivery {delivery_id} does not have the digest that its document names")]
    DigestMismatch {
        /// The delivery.
        delivery_id: DeliveryId,
    },
    /// The body could not be fetched.
    #[error(transparent)]
    Payload(#[from] PortError),
}

/// A document that was read, with its body still where it was found.
#[derive(Debug)]
pub struct InboundDocument(Document);

/// Reads a document and fetches its body.
///
/// # Errors
/// [`DocumentError`]; the record must then fail.
#[cfg(test)]
pub(crate) async fn read(text: &str, payloads: &impl Payloads) -> Result<Delivery, DocumentError> {
    InboundDocument::parse(text)?.fetch(payloads).await
}

impl InboundDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`]; the record must then fail.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let undecodable = |error: serde_json::Error| {
            // serde's own words may quote what they read; the place is enough to find it.
            DocumentError::Undecodable(format!("stopped at line {}, column {}", error.line(), error.column()))
        };
        let Versioned { version } = serde_json::from_str(text).map_err(undecodable)?;
        if version != u64::from(VERSION) {
            return Err(DocumentError::UnknownVersion { found: version });
        }
        serde_json::from_str(text).map(Self).map_err(undecodable)
    }

    /// Size of the body in bytes; of a body in base64 an upper bound.
    #[must_use]
    pub fn body_size_bytes(&self) -> usize {
        match &self.0.body {
            BodyDocument::Text(text) => text.len(),
            BodyDocument::Base64(text) => base64::decoded_len_estimate(text.len()),
            BodyDocument::Payload { size_bytes, .. } => usize::try_from(*size_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Fetches the body where it was stored apart, and checks its digest.
    ///
    /// # Errors
    /// [`DocumentError`]; the record must then fail.
    pub async fn fetch(self, payloads: &impl Payloads) -> Result<Delivery, DocumentError> {
        let Self(document) = self;
        let body = match document.body {
            BodyDocument::Text(text) => Bytes::from(text),
            BodyDocument::Base64(text) => {
                STANDARD.decode(text).map(Bytes::from).map_err(|error| DocumentError::Undecodable(error.to_string()))?
            }
            BodyDocument::Payload { key, .. } => payloads.get(&key).await?,
        };
        if Sha256Digest::of(&body) != document.sha256 {
            return Err(DocumentError::DigestMismatch { delivery_id: document.delivery_id });
        }
        let headers = document
            .headers
            .into_iter()
            .map(|(name, value)| Ok(KeptHeader { name, value: value.into_bytes()? }))
            .collect::<Result<_, DocumentError>>()?;
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

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    delivery_id: DeliveryId,
    provider: ProviderName,
    authenticated_by: MatchedKey,
    received_at: Timestamp,
    headers: Vec<(String, ValueDocument)>,
    sha256: Sha256Digest,
    body: BodyDocument,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ValueDocument {
    Text(String),
    Base64(String),
}

impl ValueDocument {
    fn of(bytes: &[u8]) -> Self {
        match queue_text(bytes) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn into_bytes(self) -> Result<Vec<u8>, DocumentError> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).map_err(|error| DocumentError::Undecodable(error.to_string())),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BodyDocument {
    Text(String),
    Base64(String),
    Payload { key: PayloadKey, size_bytes: u64 },
}

impl BodyDocument {
    fn of(body: &[u8]) -> Self {
        match queue_text(body) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Base64(STANDARD.encode(body)),
        }
    }
}

fn write(delivery: &Delivery, body: BodyDocument) -> Result<String, UnwritableDocument> {
    let document = Document {
        version: VERSION,
        delivery_id: delivery.id,
        provider: delivery.provider,
        authenticated_by: delivery.authenticated_by.clone(),
        received_at: delivery.received_at,
        headers: delivery
            .headers
            .iter()
            .map(|header| (header.name.clone(), ValueDocument::of(&header.value)))
            .collect(),
        sha256: delivery.sha256,
        body,
    };
    serialize(delivery.id, &document)
}

/// Never an empty text: SQS would take what no processor can read.
fn serialize(delivery_id: DeliveryId, document: &impl Serialize) -> Result<String, UnwritableDocument> {
    serde_json::to_string(document).map_err(|cause| UnwritableDocument { delivery_id, cause })
}

/// The bytes as text, if they are UTF-8 whose every character SQS accepts: XML 1.0's set.
/// Source: AWS, `SendMessage`, "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF".
fn queue_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(is_queue_character))
}

const fn is_queue_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests;
