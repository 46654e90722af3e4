//! The ledger's entries, and the one call that changes it.

use std::collections::BTreeMap;
use std::fmt;

use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;
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

/// Number of events by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Events stored.
    pub stored: u32,
    /// Duplicates.
    pub duplicate: u32,
    /// Repeats.
    pub repeat: u32,
    /// Conflicts.
    pub conflict: u32,
    /// Events quarantined.
    pub quarantined: u32,
}

impl OutcomeCounts {
    /// Counts one more event with this outcome.
    pub const fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Repeat => &mut self.repeat,
            Outcome::Conflict => &mut self.conflict,
            Outcome::Quarantined => &mut self.quarantined,
        };
        *count = count.saturating_add(1);
    }
}

impl fmt::Display for OutcomeCounts {
    /// Writes the outcomes that occurred, such as `stored=7,duplicate=2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [self.stored, self.duplicate, self.repeat, self.conflict, self.quarantined];
        let mut separator = "";
        for (outcome, count) in Outcome::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{}={count}", outcome.as_str())?;
            separator = ",";
        }
        Ok(())
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

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Stored, repeat or conflict; for an event of an entity, duplicate as well.
    pub outcome: Outcome,
    /// Who sent it.
    pub provider: ProviderName,
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
    /// What enclosed it in its delivery, where that says something.
    #[serde(flatten)]
    pub envelope: Option<EnvelopeData>,
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
    pub provider: ProviderName,
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
    pub provider: ProviderName,
    /// Why it could not be read.
    pub reason: String,
    /// The whole delivery as a queue document, with its headers and its body (or the key of its body). Sent to the queue
    /// again, it is judged again: events of it that are recorded stay as they are.
    pub document: String,
    /// The part of the body that could not be read, where the rest could and the part is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What made it.
    #[serde(flatten)]
    pub occurrence: Occurrence,
    /// When its delivery arrived.
    pub received_at: Timestamp,
    /// The time index.
    #[serde(flatten)]
    pub time_index: TimeIndex,
}

/// How far the recording of a delivery with many events has come, so that a redelivered message goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressEntry {
    /// Who sent the delivery.
    pub provider: ProviderName,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Number of events in the delivery. A release that splits it otherwise starts from its first event.
    pub events: u32,
    /// Every event below this index is recorded.
    pub next_index: EventIndex,
    /// What became of those events.
    pub outcomes: OutcomeCounts,
    /// When the entry may go, in seconds since 1970.
    pub expires_at: i64,
}

impl ProgressEntry {
    /// Key of a delivery's progress.
    #[must_use]
    pub fn key(delivery_id: DeliveryId) -> EntryKey {
        EntryKey { partition: format!("progress#{delivery_id}"), sort: "progress".to_owned() }
    }
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
    /// How far a delivery with many events has come.
    Progress(ProgressEntry),
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
    /// None: the entry replaces whatever is at the key.
    Always,
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
pub enum PutOutcome {
    /// Every entry is there.
    Done,
    /// No entry was put. For each put, in order: the entry in its way, if one was.
    ConditionFailed(Vec<Option<Entry>>),
}
