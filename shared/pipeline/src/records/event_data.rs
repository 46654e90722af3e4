//! An event's data, wherever they are.

use bytes::Bytes;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use super::{EventFilter, RecordedEvent, Records};
use crate::ledger::{Entry, EventData, QuarantinedContent};
use crate::port_error::PortError;
use crate::queue_message::{InboundMessage, MessageError};

/// Why an event's data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadEventDataError {
    /// The ledger or the payload store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The event that should hold them is gone, or refers to a third one.
    #[error("the data are those of event {same_data_as}, which does not hold them; somebody deleted it or its data")]
    Missing {
        /// That event's id.
        same_data_as: String,
    },
    /// They were erased.
    #[error("the data were erased at {erased_at}; the key, the digest and the outcome of the event are left")]
    Erased {
        /// When.
        erased_at: Timestamp,
    },
    /// The quarantine's message cannot be read.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl RecordedEvent {
    /// The event's data, byte for byte as they were received. Of a quarantined event, the part that could not be read, or the whole
    /// body of its delivery where that was not a small part of it.
    ///
    /// # Errors
    /// [`ReadEventDataError`].
    pub async fn read_data(&self, records: &impl Records) -> Result<Bytes, ReadEventDataError> {
        if let Some(erased_at) = self.entry.erased_at() {
            return Err(ReadEventDataError::Erased { erased_at });
        }
        match &self.entry {
            Entry::Event(event) | Entry::Conflict(event) => match &event.data {
                EventData::Elsewhere { same_data_as } => {
                    let missing = || ReadEventDataError::Missing { same_data_as: same_data_as.clone() };
                    let holder = find_by_id(records, same_data_as).await?.ok_or_else(missing)?;
                    if let Some(erased_at) = holder.entry.erased_at() {
                        return Err(ReadEventDataError::Erased { erased_at });
                    }
                    match &holder.entry {
                        Entry::Event(holder) => at_hand(&holder.data, records).await?.ok_or_else(missing),
                        _ => Err(missing()),
                    }
                }
                data => Ok(at_hand(data, records).await?.unwrap_or_default()),
            },
            Entry::Quarantine(quarantine) => match &quarantine.content {
                QuarantinedContent::Kept { data: Some(data), .. } => Ok(Bytes::from(data.clone())),
                _ => Ok(InboundMessage::quarantined(quarantine)?.fetch(records).await?.body),
            },
            Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => Ok(Bytes::new()),
        }
    }
}

/// The event with an id of ours, `<delivery id>.<index>`.
pub(crate) async fn find_by_id(records: &impl Records, id: &str) -> Result<Option<RecordedEvent>, PortError> {
    let Some((delivery_id, index)) = DeliveryId::and_index_of(id) else { return Ok(None) };
    let filter = EventFilter { index: Some(index), id: Some(id.to_owned()), ..EventFilter::of_delivery(delivery_id) };
    Ok(records.events(&filter).await?.found.pop())
}

/// The data, unless they are with another event.
async fn at_hand(data: &EventData, records: &impl Records) -> Result<Option<Bytes>, PortError> {
    Ok(match data {
        EventData::Inline { data } => Some(Bytes::from(data.clone())),
        EventData::Payload { data_key, .. } => Some(records.get(data_key).await?),
        EventData::Elsewhere { .. } | EventData::Erased { .. } => None,
    })
}
