//! Events that tell the state of an entity.
//!
//! The event and the entity that it advances are put together, or neither is. So an event that is there already has been taken
//! into account, and a second processor on the same entity finds another version than the one it started from.

use providers::delivery::Delivery;
use providers::entity::EntityUpdate;
use providers::event::Event;

use super::{LARGEST_INLINE_DATA_BYTES, Recorder, RecordingError, entry, unexpected};
use crate::entities::{self, Advanced, Arrival, Change, EntityChange, EntityEntry, Told};
use crate::ledger::{Condition, ConditionalPut, Entry, EntryKey, EventData, Occurrence, Outcome, Written};
use crate::ports::{Ledger, Payloads, Surroundings};

/// How often an entity's advance is tried again because another processor advanced it meanwhile. A batch holds ten records that
/// are worked on at once, and all of them may be about one entity.
const MOST_ROUNDS: usize = 40;

impl<L: Ledger, P: Payloads, E: Surroundings> Recorder<L, P, E> {
    /// Records an event of an entity, and says what became of it, now or before.
    pub(super) async fn record_state(
        &self,
        delivery: &Delivery,
        event: &Event,
        update: &EntityUpdate,
    ) -> Result<Outcome, RecordingError> {
        let occurrence = Occurrence { delivery_id: delivery.id, index: update.position };
        let arrival = Arrival { received_at: delivery.received_at, delivery_id: delivery.id, index: update.position };
        let data = self.place(event).await?;
        let told =
            Told { provider: event.provider, event_id: &event.id, update, arrival, digest: event.digest, data: &data };
        let partition = event.identity.partition_key();
        let entity_key = EntryKey { partition: partition.clone(), sort: entities::ENTITY_SORT.to_owned() };
        let event_key = EntryKey { partition, sort: arrival.event_sort() };

        let mut before = self.ledger.entity(&entity_key).await?;
        for _ in 0..MOST_ROUNDS {
            let advanced = entities::advance(before.as_ref(), &told);
            let outcome = advanced.outcome;
            let condition =
                before.as_ref().map_or(Condition::Absent, |entity: &EntityEntry| Condition::Version(entity.version));
            let mut entry = entry(delivery, occurrence, event, data.clone(), outcome);
            if let Some(same_data_as) = advanced.same_data_as.clone() {
                entry.data = EventData::Elsewhere { same_data_as };
            }
            entry.entity = Some(self.entity_change(&advanced, update, event, &mut entry.data).await?);
            let puts = [
                ConditionalPut {
                    key: event_key.clone(),
                    entry: Entry::Event(Box::new(entry)),
                    condition: Condition::Absent,
                },
                ConditionalPut { key: entity_key.clone(), entry: Entry::Entity(Box::new(advanced.entity)), condition },
            ];
            let Written::Refused(in_the_way) = self.ledger.put(self.surroundings.now(), &puts).await? else {
                return Ok(outcome);
            };
            let mut in_the_way = in_the_way.into_iter();
            match (in_the_way.next().flatten(), in_the_way.next().flatten()) {
                (Some(Entry::Event(recorded)), _) => return Ok(recorded.outcome),
                (Some(_), _) => return Err(unexpected(&event_key)),
                (None, Some(Entry::Entity(newer))) => before = Some(*newer),
                (None, Some(_)) => return Err(unexpected(&entity_key)),
                (None, None) => before = self.ledger.entity(&entity_key).await?,
            }
        }
        Err(RecordingError::Unsettled)
    }

    /// What the event's entry says about the entity. Where it must carry content beside its own, and both would not fit into
    /// one entry, its own goes to the payload store.
    async fn entity_change(
        &self,
        advanced: &Advanced,
        update: &EntityUpdate,
        event: &Event,
        data: &mut EventData,
    ) -> Result<EntityChange, RecordingError> {
        let entity = &advanced.entity;
        let content = entity
            .content
            .as_ref()
            .filter(|content| advanced.change == Change::Revived && content.digest != event.digest);
        let content = content.map(|content| content.data.clone());
        if let (Some(EventData::Inline { data: content }), EventData::Inline { data: own }) = (&content, &*data)
            && content.len() + own.len() > LARGEST_INLINE_DATA_BYTES
        {
            *data = self.place_apart(event).await?;
        }
        Ok(EntityChange {
            entity: update.entity.clone(),
            state: update.state,
            change: advanced.change,
            version: entity.version,
            merged_into: entity.life.as_ref().and_then(|life| life.merged_into.clone()),
            content,
        })
    }
}

#[cfg(test)]
mod tests;
