//! Entities: their state, from events that are processed in any order.
//!
//! An entity has two last-writer-wins registers, ordered by the arrival of events: *content*, and *existence*. It is deleted
//! exactly when the last event of *existence* is a deletion. Since the winner doesn't depend on the order in which events are processed,
//! neither does the entity. What an event changed does depend on it: it is reported as a consumer of the changes sees it.

use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::{EntityReference, EntityState, EntityUpdate};
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::data::EventData;
use super::key::EntryKey;
use super::outcome::Outcome;

/// The sort key of an entity.
pub const ENTITY_SORT: &str = "entity";

/// When an event arrived, which orders the events of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arrival {
    /// When its delivery reached us.
    pub received_at: Timestamp,
    /// The delivery, where two arrived in one millisecond.
    pub delivery_id: DeliveryId,
    /// The event's place in it.
    pub index: EventIndex,
}

impl Arrival {
    /// The sort key of the event among its entity's events. Its order is that of the arrivals.
    #[must_use]
    pub fn event_sort(&self) -> String {
        format!("event#{}#{}#{:05}", self.received_at, self.delivery_id, self.index.0)
    }
}

/// The content, and the last event that reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRegister {
    /// When that event arrived.
    #[serde(flatten)]
    pub arrival: Arrival,
    /// What it said.
    pub state: EntityState,
    /// The digest of the content as it is compared.
    pub digest: Sha256Digest,
    /// The content, as that event wrote it.
    #[serde(flatten)]
    pub data: EventData,
    /// The id of an event that holds the same content as its data.
    pub told_by: String,
}

/// Whether the entity exists, and the last event that reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistenceRegister {
    /// When that event arrived.
    #[serde(flatten)]
    pub arrival: Arrival,
    /// What it said.
    pub state: EntityState,
    /// The digest of what it said.
    pub digest: Sha256Digest,
    /// What the entity was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<EntityReference>,
    /// The id of an event that holds the same deletion as its data.
    pub told_by: String,
}

/// An entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityEntry {
    /// The provider of the entity.
    pub provider: ProviderName,
    /// Which entity.
    #[serde(flatten)]
    pub entity: EntityReference,
    /// `<component>#<id>`, so that an index can list a business's entities of one component.
    pub component_and_id: String,
    /// Number of events that were applied: 1 for the first.
    pub version: u64,
    /// Whether the entity is deleted or merged.
    pub deleted: bool,
    /// Its content. Absent while only its deletion is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentRegister>,
    /// Its existence. Absent while only updates are known; it exists then.
    #[serde(rename = "life", default, skip_serializing_if = "Option::is_none")]
    pub existence: Option<ExistenceRegister>,
}

/// What an event changed, for a consumer that has followed every earlier change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Change {
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
    /// Nothing, because a newer state is known or the entity is deleted.
    Late,
    /// Nothing, because this was known.
    Unchanged,
}

impl Change {
    /// The change as entries and logs name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What an event's entry says of its entity, so that a consumer does not have to read the entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityChange {
    /// Which entity.
    #[serde(flatten)]
    pub entity: EntityReference,
    /// What the event said.
    pub state: EntityState,
    /// What it changed.
    pub change: Change,
    /// The entity's version that it made. A consumer that may see events in another order keeps the one with the greatest version.
    pub version: u64,
    /// What the entity is merged into after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<EntityReference>,
    /// The entity's content after the change, where the event's own data is not that: a revived entity may have newer content
    /// than the event that revived it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<EventData>,
}

/// The entity as it is seen: its registers without their history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility<'a> {
    /// Nothing is known of it.
    Unknown,
    /// It exists, with content of this digest.
    Present(Option<Sha256Digest>),
    /// It is deleted, or merged into this one.
    Absent(Option<&'a EntityReference>),
}

impl EntityEntry {
    /// The entity as it is seen.
    #[must_use]
    pub fn visibility(&self) -> Visibility<'_> {
        match &self.existence {
            Some(existence) if existence.state == EntityState::Deleted => {
                Visibility::Absent(existence.merged_into.as_ref())
            }
            _ => Visibility::Present(self.content.as_ref().map(|content| content.digest)),
        }
    }
}

/// Result of applying an event to its entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entity after it.
    pub entity: EntityEntry,
    /// What it changed.
    pub change: Change,
    /// Stored, or duplicate.
    pub outcome: Outcome,
    /// For a duplicate, the id of an event that holds the same.
    pub same_data_as: Option<String>,
    /// For a duplicate, when the content that it repeats was erased, if it was.
    pub known_erased_at: Option<Timestamp>,
}

/// An event as its entity sees it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The provider of the event.
    pub provider: ProviderName,
    /// The event's id.
    pub event_id: &'a str,
    /// What it says.
    pub update: &'a EntityUpdate,
    /// When it arrived.
    pub arrival: Arrival,
    /// The digest of its content.
    pub digest: Sha256Digest,
    /// Its content.
    pub data: &'a EventData,
}

/// Applies an event.
///
/// It is a duplicate if its content equals the register's and nothing can be seen to change. A deletion is compared with the
/// deletion in *existence*, every other event with *content*. A duplicate advances the registers as well: what comes between the two
/// is late.
#[must_use]
pub fn apply(before: Option<&EntityEntry>, observed: &Observation<'_>) -> Applied {
    let state = observed.update.state;
    let content = before.and_then(|entity| entity.content.as_ref());
    let existence = before.and_then(|entity| entity.existence.as_ref());
    let known_content = content.filter(|content| content.digest == observed.digest).map(|content| &content.told_by);
    let known_existence = existence
        .filter(|existence| existence.state == state && existence.digest == observed.digest)
        .map(|existence| &existence.told_by);
    let known = if state.carries_content() { known_content } else { known_existence };

    let wins_content = state.carries_content() && content.is_none_or(|content| content.arrival < observed.arrival);
    let wins_existence =
        state.affects_existence() && existence.is_none_or(|existence| existence.arrival < observed.arrival);
    let entity = &observed.update.entity;
    let after = EntityEntry {
        provider: observed.provider,
        entity: entity.clone(),
        component_and_id: format!("{}#{}", entity.component, entity.id),
        version: before.map_or(0, |entity| entity.version) + 1,
        deleted: false,
        content: if wins_content {
            Some(ContentRegister {
                arrival: observed.arrival,
                state,
                digest: observed.digest,
                // Of the same content the data that is known is kept, which a duplicate does not store again.
                data: content
                    .filter(|_| known_content.is_some())
                    .map_or(observed.data, |content| &content.data)
                    .clone(),
                told_by: known_content.map_or_else(|| observed.event_id.to_owned(), Clone::clone),
            })
        } else {
            content.cloned()
        },
        existence: if wins_existence {
            Some(ExistenceRegister {
                arrival: observed.arrival,
                state,
                digest: observed.digest,
                merged_into: observed.update.merged_into.clone(),
                told_by: known_existence.map_or_else(|| observed.event_id.to_owned(), Clone::clone),
            })
        } else {
            existence.cloned()
        },
    };
    let mut after = EntityEntry { deleted: matches!(after.visibility(), Visibility::Absent(_)), ..after };

    let visible_before = before.map_or(Visibility::Unknown, EntityEntry::visibility);
    let visible = match (visible_before, after.visibility()) {
        (before, after) if before == after => None,
        (Visibility::Unknown, Visibility::Present(_)) => Some(Change::Created),
        (Visibility::Absent(_), Visibility::Present(_)) => Some(Change::Revived),
        (_, Visibility::Present(_)) => Some(Change::Changed),
        (_, Visibility::Absent(Some(_))) => Some(Change::Merged),
        (_, Visibility::Absent(None)) => Some(Change::Deleted),
        // The entity is known now.
        (_, Visibility::Unknown) => None,
    };
    let (change, outcome, same_data_as) = match (visible, known) {
        (Some(change), _) => (change, Outcome::Stored, None),
        (None, Some(told_by)) => (Change::Unchanged, Outcome::Duplicate, Some(told_by.clone())),
        (None, None) => (Change::Late, Outcome::Stored, None),
    };
    let known_erased_at = content
        .filter(|_| outcome == Outcome::Duplicate && known_content.is_some())
        .and_then(|content| content.data.erased_at());
    if let Some(content) = after.content.as_mut().filter(|_| wins_content && outcome != Outcome::Duplicate)
        && content.data.erased_at().is_some()
    {
        // The same content again, and it can be seen: what was erased is known again.
        content.data = observed.data.clone();
        observed.event_id.clone_into(&mut content.told_by);
    }
    Applied { entity: after, change, outcome, same_data_as, known_erased_at }
}

/// The key of an entity.
#[must_use]
pub fn entity_key(provider: ProviderName, entity: &EntityReference) -> EntryKey {
    EntryKey { partition: entity.identity(provider).partition_key(), sort: ENTITY_SORT.to_owned() }
}
