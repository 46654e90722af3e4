//! The ledger's entries, and the one call that changes it.

use std::collections::BTreeMap;

use providers::account::AccountName;
use providers::delivery::{DeliveryId, Sha256Digest};
use providers::event::EventIndex;
use providers::provider::Provider;
use providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::entities::{EntityChange, EntityEntry};
use crate::ports::PayloadKey;

/// Where an entry lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryKey {
    /// The partition key.
    #[serde(rename = "pk")]
    pub partition: String,
    /// The sort key.
    #[serde(rename = "sk")]
    pub sort: String,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// New, and kept.
    Stored,
    /// The same event with the same content was here before; nothing more is kept.
    Duplicate,
    /// Kept, and marked as the same state as an earlier event reported.
    Repeat,
    /// The same event with other content was here before; this one is kept beside it.
    Conflict,
    /// Authentic, but it could not be read as an event; kept whole, with the reason.
    Quarantined,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Stored, Self::Duplicate, Self::Repeat, Self::Conflict, Self::Quarantined];

    /// The outcome as logs, metrics and entries name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Repeat => "repeat",
            Self::Conflict => "conflict",
            Self::Quarantined => "quarantined",
        }
    }
}

/// Which event of which delivery made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Occurrence {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The event's place in it.
    pub index: EventIndex,
}

/// The time index: a range of hours is listed by asking each shard of each hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeIndex {
    /// `<provider>#<hour>#<shard>`.
    pub time_bucket: String,
    /// `<received_at>#<delivery_id>#<index>`.
    pub time_order: String,
}

/// In how many shards each provider's hour is written, so that one hour's writes are not one hot partition.
pub const TIME_SHARDS: u8 = 4;

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
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Stored, repeat or conflict; for an event of an entity, duplicate as well.
    pub outcome: Outcome,
    /// Who sent it.
    pub provider: Provider,
    /// The account that it belongs to.
    pub account: AccountName,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// CloudEvents `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// CloudEvents `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// CloudEvents `datacontenttype`.
    pub datacontenttype: String,
    /// CloudEvents `data`.
    #[serde(flatten)]
    pub data: EventData,
    /// The digest of the content as it is compared.
    pub digest: Sha256Digest,
    /// What made it.
    #[serde(flatten)]
    pub occurrence: Occurrence,
    /// When its delivery arrived.
    pub received_at: Timestamp,
    /// The fingerprint of the key that proved it.
    pub key_fingerprint: String,
    /// Further facts by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The id of the event whose state this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<String>,
    /// The id of another event that came under the same unsigned job id. A hint; anybody may have caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_job_as: Option<String>,
    /// What it changed about its entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityChange>,
    /// The time index.
    #[serde(flatten)]
    pub time_index: TimeIndex,
}

/// A second name of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasEntry {
    /// Whose event.
    pub provider: Provider,
    /// The partition key of the event that owns the name.
    pub owner: String,
    /// That event's id.
    pub owner_id: String,
    /// Until when it owns it, in seconds since 1970; from then on it is as if absent.
    pub expires_at: i64,
}

/// Authentic content that could not be read as an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// Always quarantined.
    pub outcome: Outcome,
    /// Who sent it.
    pub provider: Provider,
    /// Why it could not be read.
    pub reason: String,
    /// The delivery as a queue document, with its headers and its body (or the key of its body).
    pub document: String,
    /// What made it.
    #[serde(flatten)]
    pub occurrence: Occurrence,
    /// When its delivery arrived.
    pub received_at: Timestamp,
    /// The time index.
    #[serde(flatten)]
    pub time_index: TimeIndex,
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// The event itself.
    Event(Box<EventEntry>),
    /// An event with the identity of another one and other content, kept beside it.
    Conflict(Box<EventEntry>),
    /// A signed second name.
    Alias(AliasEntry),
    /// An unsigned second name.
    Hint(AliasEntry),
    /// What could not be read.
    Quarantine(Box<QuarantineEntry>),
    /// What is known of an entity.
    Entity(Box<EntityEntry>),
}

/// When a put may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing lies at the key.
    Absent,
    /// Nothing lies at the key, or its `expires_at` is not after now.
    AbsentOrExpired,
    /// An entity of this version lies at the key.
    Version(u64),
}

/// An entry to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionalPut {
    /// Where.
    pub key: EntryKey,
    /// What.
    pub entry: Entry,
    /// When it may.
    pub condition: Condition,
}

/// What came of a put of several entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Every entry is there.
    All,
    /// No entry was put. For each put, in order: the entry in its way, if one was.
    Refused(Vec<Option<Entry>>),
}
