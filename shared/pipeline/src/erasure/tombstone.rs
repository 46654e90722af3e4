//! What is left of an entry or a record once it is erased.

use intake_providers::timestamp::Timestamp;

use crate::delivery_record::{DeliveryRecord, RecordedBody};
use crate::ledger::entity::{EntityEntry, entity_key};
use crate::ledger::{Condition, ConditionalPut, Entry, EntryKey, EventData, QuarantinedContent};
use crate::records::RecordedEvent;

/// The reason of a quarantine that was erased. A reason may quote what was received.
const ERASED_REASON: &str = "erased";

/// An entry without its content, to be put in its place. Only an entry that was read becomes one, so nothing else can be written
/// with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone(ConditionalPut);

impl Tombstone {
    /// Of an event, a conflict or a quarantine; `None` if it is erased already. What is left is what decides about a redelivery and
    /// names the event: its key, digest and outcome, its id, type, source and times.
    pub(super) fn of_event(found: &RecordedEvent, at: Timestamp) -> Option<Self> {
        if found.entry.erased_at().is_some() {
            return None;
        }
        let mut entry = found.entry.clone();
        let condition = match &mut entry {
            Entry::Event(event) | Entry::Conflict(event) => {
                event.data = EventData::Erased { erased_at: at };
                event.envelope = None;
                event.cloud_event.subject = None;
                event.attributes.clear();
                if let Some(change) = &mut event.entity
                    && change.content.is_some()
                {
                    change.content = Some(EventData::Erased { erased_at: at });
                }
                // An event's entry never changes but to become this.
                Condition::Always
            }
            Entry::Quarantine(quarantine) => {
                quarantine.content = QuarantinedContent::Erased { erased_at: at };
                ERASED_REASON.clone_into(&mut quarantine.reason);
                // Released, it never changes again; until then a release may be under way.
                if quarantine.released.is_some() { Condition::Always } else { Condition::NotReleased }
            }
            Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => return None,
        };
        Some(Self(ConditionalPut { key: found.key.clone(), entry, condition }))
    }

    /// Of an entity's content; `None` if there is none, or none any more. The version counts it, so that a processor that has read the
    /// content does not put it back.
    pub(super) fn of_entity(found: &EntityEntry, at: Timestamp) -> Option<Self> {
        let mut entity = found.clone();
        let content = entity.content.as_mut().filter(|content| content.data.erased_at().is_none())?;
        content.data = EventData::Erased { erased_at: at };
        entity.version += 1;
        Some(Self(ConditionalPut {
            key: entity_key(found.provider, &found.entity),
            entry: Entry::Entity(Box::new(entity)),
            condition: Condition::Version(found.version),
        }))
    }

    /// The put that leaves it.
    #[must_use]
    pub const fn put(&self) -> &ConditionalPut {
        &self.0
    }

    /// The key of the entry.
    #[must_use]
    pub const fn key(&self) -> &EntryKey {
        &self.0.key
    }
}

/// A delivery's record without its body and its headers, to be put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordTombstone(DeliveryRecord);

impl RecordTombstone {
    /// `None` if it is erased already. Its digest, the outcomes of its events and their types are left.
    pub(super) fn of(found: &DeliveryRecord, at: Timestamp) -> Option<Self> {
        let is_erased = matches!(found.body, RecordedBody::Erased { .. }) && found.headers.is_empty();
        (!is_erased).then(|| {
            Self(DeliveryRecord {
                body: RecordedBody::Erased { body_erased_at: at },
                headers: Vec::new(),
                headers_over_limit: 0,
                ..found.clone()
            })
        })
    }

    /// The record as it is from now on.
    #[must_use]
    pub const fn record(&self) -> &DeliveryRecord {
        &self.0
    }
}
