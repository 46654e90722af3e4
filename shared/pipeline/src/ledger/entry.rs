//! The ledger's entries.

use std::collections::BTreeMap;

use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::event::{CloudEvent, EventIndex};
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::data::{EnvelopeData, EventData};
use super::entity::{EntityChange, EntityEntry};
use super::key::EntryKey;
use super::outcome::{Outcome, OutcomeCounts};

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

impl TimeIndex {
    /// The bucket of events, conflicts and quarantined ones included, of a provider, the hour of this time, and a shard below
    /// [`TIME_SHARDS`].
    #[must_use]
    pub fn events_bucket(provider: ProviderName, received_at: Timestamp, shard: u8) -> String {
        format!("{provider}#{}#{shard}", received_at.hour())
    }

    /// The same of records of deliveries. A delivery's shard is that of its id.
    #[must_use]
    pub fn deliveries_bucket(provider: ProviderName, received_at: Timestamp, shard: u8) -> String {
        format!("deliveries#{}", Self::events_bucket(provider, received_at, shard))
    }
}

/// In how many shards each provider's hour is written, so that one hour's writes are not one hot partition.
pub const TIME_SHARDS: u8 = 4;

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Stored, repeat or conflict; for an event of an entity, duplicate as well.
    pub outcome: Outcome,
    /// Who sent it.
    pub provider: ProviderName,
    /// The account that it belongs to.
    pub account: AccountName,
    /// What CloudEvents says of every event.
    #[serde(flatten)]
    pub cloud_event: CloudEvent,
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
    /// The partition key of its signed alias, whoever owns that. Absent if it has none, or if the entry was written before aliases
    /// were claimed on their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The id of the event with the state that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<String>,
    /// The id of another event that arrived with the same unsigned job id. Only a hint: anyone can forge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_job_as: Option<String>,
    /// What it changed about its entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityChange>,
    /// The time index.
    #[serde(flatten)]
    pub time_index: TimeIndex,
}

/// An alias of an event: a secondary deduplication key with a TTL. It is claimed before its owner is recorded, so the owner may be
/// on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasEntry {
    /// The provider of the event.
    pub provider: ProviderName,
    /// The partition key of the event that owns the alias.
    pub owner: String,
    /// That event's id.
    pub owner_id: String,
    /// When the alias expires, in seconds since 1970. From then on it counts as absent.
    pub expires_at: i64,
}

/// Authentic content that could not be read as an event. Once it was released and read, the entry only says so, and its event is
/// what was recorded then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// Always quarantined.
    pub outcome: Outcome,
    /// Who sent it.
    pub provider: ProviderName,
    /// Why it could not be read.
    pub reason: String,
    /// The whole delivery as a queue message, with its headers and its body (or the key of its body). Sent to the queue
    /// again, it is processed again: events that are recorded stay as they are.
    pub document: String,
    /// The part of the body that could not be read, where the rest could and the part is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What made it.
    #[serde(flatten)]
    pub occurrence: Occurrence,
    /// When its delivery arrived.
    pub received_at: Timestamp,
    /// When it was released last and still could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_again_at: Option<Timestamp>,
    /// What became of it after a release, once it could be read. This never changes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
    /// The time index.
    #[serde(flatten)]
    pub time_index: TimeIndex,
}

/// What became of quarantined content that was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// When its event was recorded.
    pub at: Timestamp,
    /// That event's outcome.
    pub outcome: Outcome,
}

/// The progress of recording a delivery with many events, so that a redelivered message continues from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressEntry {
    /// Who sent the delivery.
    pub provider: ProviderName,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Number of events in the delivery. A release that splits it differently starts from its first event.
    pub events: u32,
    /// Every event below this index is recorded.
    pub next_index: EventIndex,
    /// The outcomes of those events.
    pub outcomes: OutcomeCounts,
    /// When the entry may be deleted, in seconds since 1970.
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
    /// A signed alias.
    Alias(AliasEntry),
    /// An unsigned alias.
    Hint(AliasEntry),
    /// Content that could not be read.
    Quarantine(Box<QuarantineEntry>),
    /// An entity.
    Entity(Box<EntityEntry>),
    /// The progress of a delivery with many events.
    Progress(ProgressEntry),
}
