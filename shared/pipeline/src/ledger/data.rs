//! Where an entry's data and envelope are stored.

use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::payloads::PayloadKey;

/// Where an event's data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventData {
    /// In the entry, as text.
    Inline {
        /// The event's own slice of the body.
        data: String,
    },
    /// In the payload store.
    Payload {
        /// The key there.
        data_key: PayloadKey,
        /// Its size in bytes.
        data_size_bytes: u64,
    },
    /// With another event, which holds the same content.
    Elsewhere {
        /// That event's id.
        same_data_as: String,
    },
    /// Nowhere any more.
    Erased {
        /// When an operator erased it.
        erased_at: Timestamp,
    },
}

impl EventData {
    /// When it was erased, if it was.
    #[must_use]
    pub const fn erased_at(&self) -> Option<Timestamp> {
        match self {
            Self::Erased { erased_at } => Some(*erased_at),
            Self::Inline { .. } | Self::Payload { .. } | Self::Elsewhere { .. } => None,
        }
    }
}

/// What enclosed an event in its delivery, as one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvelopeData {
    /// In the entry, as text.
    Inline {
        /// The object.
        envelope: String,
    },
    /// In the payload store, once for all events that it enclosed.
    Payload {
        /// The key there.
        envelope_key: PayloadKey,
        /// Its size in bytes.
        envelope_size_bytes: u64,
    },
}
