//! Events that report the state of an entity.
//!
//! The event and the entity that it is applied to are put together, or neither is. So an event that is stored has been applied,
//! and a second processor on the same entity finds another version than the one it started from.

use intake_providers::delivery::DeliveryId;
use intake_providers::entity::EntityUpdate;
use intake_providers::event::{Event, EventIndex};

use super::{MAX_INLINE_CONTENT_BYTES, Recorded, Recorder, Recording, RecordingError, entry, unexpected};
use crate::clock::Clock;
use crate::ledger::entity::{self, Applied, Arrival, Change, EntityChange, EntityEntry, Observation};
use crate::ledger::{
    Condition, ConditionalPut, Entry, EntryKey, EventData, Ledger, LedgerReader as _, Occurrence, Outcome, PutOutcome,
};
use crate::platform::Platform;

/// Maximum number of attempts to apply an event, which starts again when another processor changed the entity meanwhile. A batch
/// holds ten records that are processed at once, and all of them may be about one entity.
const MAX_ROUNDS: usize = 40;

impl<P: Platform> Recorder<P> {
    /// Records an event of an entity, and returns its outcome, whether it was decided now or before.
    pub(super) async fn record_entity_event(
        &self,
        recording: &Recording<'_>,
        index: EventIndex,
        event: &Event,
        update: &EntityUpdate,
    ) -> Result<Recorded, RecordingError> {
        let delivery = recording.delivery;
        let occurrence = Occurrence { delivery_id: delivery.id, index };
        let arrival = Arrival { received_at: delivery.received_at, delivery_id: delivery.id, index };
        let envelope = self.place_envelope(recording, event).await?;
        let partition = event.identity.partition_key();
        let entity_key = EntryKey { partition: partition.clone(), sort: entity::ENTITY_SORT.to_owned() };
        let event_key = EntryKey { partition, sort: arrival.event_sort() };
        // The entry is made once; a round only changes what follows from the entity that it found.
        let elsewhere = EventData::Elsewhere { same_data_as: event.cloud_event.id.clone() };
        let entry = entry(delivery, occurrence, event, elsewhere.clone(), envelope, Outcome::Stored);
        let mut event_put = ConditionalPut {
            key: event_key.clone(),
            entry: Entry::Event(Box::new(entry)),
            condition: Condition::Absent,
        };
        // A duplicate's data is not stored, so where to store it is decided once the event is known not to be one.
        let mut placed = None;

        let mut before = self.ledger.entity(&entity_key).await?;
        for _ in 0..MAX_ROUNDS {
            let apply = |data: &EventData| {
                let (provider, event_id, digest) = (event.provider, event.cloud_event.id.as_str(), event.digest);
                entity::apply(before.as_ref(), &Observation { provider, event_id, update, arrival, digest, data })
            };
            let mut applied = apply(placed.as_ref().unwrap_or(&elsewhere));
            let outcome = applied.outcome;
            if outcome != Outcome::Duplicate && placed.is_none() {
                applied = apply(placed.insert(self.place(event, MAX_INLINE_CONTENT_BYTES).await?));
            }
            let condition =
                before.as_ref().map_or(Condition::Absent, |entity: &EntityEntry| Condition::Version(entity.version));
            if let Entry::Event(entry) = &mut event_put.entry {
                entry.outcome = outcome;
                entry.entity = Some(entity_change(&applied, update, event));
                match (&applied.same_data_as, &placed) {
                    (Some(same_data_as), _) => {
                        entry.data = EventData::Elsewhere { same_data_as: same_data_as.clone() };
                    }
                    (None, Some(placed)) if entry.data != *placed => entry.data = placed.clone(),
                    (None, _) => {}
                }
            }
            let entity_put =
                ConditionalPut { key: entity_key.clone(), entry: Entry::Entity(Box::new(applied.entity)), condition };
            let puts = [event_put, entity_put];
            let PutOutcome::ConditionFailed(existing) = self.ledger.put(self.clock.now(), &puts).await? else {
                let recorded = recorded(outcome, event, applied.same_data_as.as_deref());
                return Ok(match applied.known_erased_at {
                    Some(erased_at) => recorded.erased(erased_at),
                    None => recorded,
                });
            };
            let mut existing = existing.into_iter();
            match (existing.next().flatten(), existing.next().flatten()) {
                (Some(Entry::Event(existing)), _) => {
                    let same_data_as = match &existing.data {
                        EventData::Elsewhere { same_data_as } => Some(same_data_as.as_str()),
                        EventData::Inline { .. } | EventData::Payload { .. } | EventData::Erased { .. } => None,
                    };
                    let recorded = recorded(existing.outcome, event, same_data_as);
                    return Ok(match existing.data.erased_at() {
                        Some(erased_at) => recorded.erased(erased_at),
                        None => recorded,
                    });
                }
                (Some(_), _) => return Err(unexpected(&event_key)),
                (None, Some(Entry::Entity(newer))) => before = Some(*newer),
                (None, Some(_)) => return Err(unexpected(&entity_key)),
                (None, None) => before = self.ledger.entity(&entity_key).await?,
            }
            [event_put, _] = puts;
        }
        Err(RecordingError::Unsettled)
    }
}

/// What became of an event of an entity. Its data are a part of the body.
fn recorded(outcome: Outcome, event: &Event, same_data_as: Option<&str>) -> Recorded {
    let first_delivery = same_data_as.filter(|_| outcome == Outcome::Duplicate).and_then(DeliveryId::of_event_id);
    Recorded { first_delivery, ..Recorded::of(outcome, event) }
}

/// What the event's entry says about the entity.
fn entity_change(applied: &Applied, update: &EntityUpdate, event: &Event) -> EntityChange {
    let entity = &applied.entity;
    let content = entity
        .content
        .as_ref()
        .filter(|content| applied.change == Change::Revived && content.digest != event.digest)
        .map(|content| content.data.clone());
    EntityChange {
        entity: update.entity.clone(),
        state: update.state,
        change: applied.change,
        version: entity.version,
        merged_into: entity.existence.as_ref().and_then(|existence| existence.merged_into.clone()),
        content,
    }
}

#[cfg(test)]
mod tests;
