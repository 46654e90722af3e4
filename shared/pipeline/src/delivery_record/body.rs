//! A delivery's body in its record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::digest::Sha256Digest;
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeliveryRecord;
use crate::ledger::{Entry, EntryKey, EventData, LedgerReader};
use crate::payloads::{PayloadKey, PayloadReader, Payloads};
use crate::port_error::PortError;
use crate::queue_message::{InboundMessage, MessageError};

/// Maximum size of a body in its record, in bytes. A larger one is an object of its own.
pub const MAX_INLINE_BODY_BYTES: usize = 16 * 1024;

/// Where a delivery's body is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordedBody {
    /// In the record, as text.
    Text {
        /// The body.
        body: String,
    },
    /// In the record, because it is not UTF-8.
    Base64 {
        /// The body in base64.
        body_base64: String,
    },
    /// In the payload store. It expires there like the record.
    Payload {
        /// The key there.
        body_key: PayloadKey,
    },
    /// With an event whose data are the whole body, byte for byte.
    Event {
        /// The event's key in the ledger.
        body_of_event: EntryKey,
    },
    /// With a quarantined event of the delivery.
    Quarantine {
        /// The quarantine's key in the ledger.
        body_of_quarantine: EntryKey,
    },
    /// Nowhere, because it could not be stored.
    NotKept {
        /// Why.
        body_not_kept: String,
    },
    /// Nowhere any more, or not at all, because it holds an event that was erased.
    Erased {
        /// When an operator erased it.
        body_erased_at: Timestamp,
    },
}

/// Where the ledger keeps a whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptBody {
    /// As the data of the event at this key.
    Event(EntryKey),
    /// In the quarantine at this key.
    Quarantine(EntryKey),
    /// Nowhere, and it shall not be kept: an event of it was erased at this time.
    Erased(Timestamp),
}

/// Decides where a record's body is, and stores it where neither the ledger nor the record holds it.
///
/// # Errors
/// When it had to be stored and could not be.
pub(crate) async fn place(
    delivery: &Delivery,
    kept: Option<&KeptBody>,
    payloads: &impl Payloads,
) -> Result<RecordedBody, PortError> {
    match kept {
        Some(KeptBody::Event(key)) => return Ok(RecordedBody::Event { body_of_event: key.clone() }),
        Some(KeptBody::Quarantine(key)) => return Ok(RecordedBody::Quarantine { body_of_quarantine: key.clone() }),
        Some(KeptBody::Erased(erased_at)) => return Ok(RecordedBody::Erased { body_erased_at: *erased_at }),
        None => {}
    }
    if delivery.body.len() <= MAX_INLINE_BODY_BYTES {
        return Ok(match std::str::from_utf8(&delivery.body) {
            Ok(text) => RecordedBody::Text { body: text.to_owned() },
            Err(_) => RecordedBody::Base64 { body_base64: STANDARD.encode(&delivery.body) },
        });
    }
    let key = format!("delivery-bodies/{}/{}/{}", delivery.provider, delivery.received_at.day_path(), delivery.id);
    let body_key = PayloadKey::new(key);
    payloads.put(&body_key, delivery.body.clone()).await?;
    Ok(RecordedBody::Payload { body_key })
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadBodyError {
    /// The ledger or the payload store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It was not stored.
    #[error("the body of delivery {delivery_id} was not kept: {reason}")]
    NotKept {
        /// The delivery.
        delivery_id: DeliveryId,
        /// Why.
        reason: String,
    },
    /// It was erased.
    #[error("the body of delivery {delivery_id} was erased at {erased_at}; its digest and its outcomes are left")]
    Erased {
        /// The delivery.
        delivery_id: DeliveryId,
        /// When.
        erased_at: Timestamp,
    },
    /// What the record refers to is not there.
    #[error("the ledger holds no body of delivery {delivery_id} at {} {}; somebody deleted it", key.partition, key.sort)]
    Missing {
        /// The delivery.
        delivery_id: DeliveryId,
        /// Where it should be.
        key: EntryKey,
    },
    /// The quarantine's message cannot be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Other bytes than those that were received.
    #[error("the bytes that are kept for delivery {delivery_id} do not have the digest that its record names")]
    DigestMismatch {
        /// The delivery.
        delivery_id: DeliveryId,
    },
}

impl DeliveryRecord {
    /// The body, as it was received, wherever it is. Its digest is checked.
    ///
    /// # Errors
    /// [`ReadBodyError`].
    pub async fn read_body(
        &self,
        ledger: &impl LedgerReader,
        payloads: &impl PayloadReader,
    ) -> Result<Bytes, ReadBodyError> {
        let delivery_id = self.delivery_id;
        let missing = |key: &EntryKey| ReadBodyError::Missing { delivery_id, key: key.clone() };
        let damaged = ReadBodyError::DigestMismatch { delivery_id };
        let body = match &self.body {
            RecordedBody::Text { body } => Bytes::from(body.clone()),
            RecordedBody::Base64 { body_base64 } => match STANDARD.decode(body_base64) {
                Ok(body) => Bytes::from(body),
                Err(_) => return Err(damaged),
            },
            RecordedBody::Payload { body_key } => payloads.get(body_key).await?,
            RecordedBody::Event { body_of_event: key } => match ledger.find(key).await? {
                Some(Entry::Event(event) | Entry::Conflict(event)) => match event.data {
                    EventData::Inline { data } => Bytes::from(data),
                    EventData::Payload { data_key, .. } => payloads.get(&data_key).await?,
                    EventData::Elsewhere { .. } => return Err(missing(key)),
                    EventData::Erased { erased_at } => return Err(ReadBodyError::Erased { delivery_id, erased_at }),
                },
                _ => return Err(missing(key)),
            },
            RecordedBody::Quarantine { body_of_quarantine: key } => match ledger.find(key).await? {
                Some(Entry::Quarantine(entry)) => match entry.erased_at() {
                    Some(erased_at) => return Err(ReadBodyError::Erased { delivery_id, erased_at }),
                    None => InboundMessage::quarantined(&entry)?.fetch(payloads).await?.body,
                },
                _ => return Err(missing(key)),
            },
            RecordedBody::NotKept { body_not_kept } => {
                return Err(ReadBodyError::NotKept { delivery_id, reason: body_not_kept.clone() });
            }
            RecordedBody::Erased { body_erased_at } => {
                return Err(ReadBodyError::Erased { delivery_id, erased_at: *body_erased_at });
            }
        };
        if Sha256Digest::of(&body) == self.sha256 { Ok(body) } else { Err(damaged) }
    }
}
