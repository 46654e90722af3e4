//! Keys of entries.

use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::event::EventIndex;
use serde::{Deserialize, Serialize};

/// The sort key of an event that has an identity of its own.
pub(crate) const EVENT_SORT: &str = "event";
const CONFLICT_SORT: &str = "conflict#";
const QUARANTINE_PARTITION: &str = "quarantine#";

/// The key of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryKey {
    /// The partition key.
    #[serde(rename = "pk")]
    pub partition: String,
    /// The sort key.
    #[serde(rename = "sk")]
    pub sort: String,
}

impl EntryKey {
    /// Key of the event beside which the one at this key is kept as a conflict.
    #[must_use]
    pub fn of_first(&self) -> Self {
        Self { partition: self.partition.clone(), sort: EVENT_SORT.to_owned() }
    }

    /// Key of a conflict, beside the event in this partition.
    pub(crate) fn of_conflict(partition: String, digest: Sha256Digest) -> Self {
        Self { partition, sort: format!("{CONFLICT_SORT}{digest}") }
    }

    /// Key of what is quarantined of a delivery.
    #[must_use]
    pub fn of_quarantine(delivery_id: DeliveryId, index: EventIndex) -> Self {
        Self { partition: format!("{QUARANTINE_PARTITION}{delivery_id}"), sort: format!("{:05}", index.0) }
    }

    /// Whether a conflict is at this key.
    #[must_use]
    pub fn is_of_conflict(&self) -> bool {
        self.sort.starts_with(CONFLICT_SORT)
    }

    /// Whether something quarantined is at this key.
    #[must_use]
    pub fn is_of_quarantine(&self) -> bool {
        self.partition.starts_with(QUARANTINE_PARTITION)
    }
}
