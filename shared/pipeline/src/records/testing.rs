//! What was recorded, in memory.

use intake_providers::delivery::DeliveryId;

use super::*;
use crate::ledger::entity::ENTITY_SORT;
use crate::ledger::{Entry, EntryKey};
use crate::payloads::PayloadKey;
use crate::testing::{MemoryDeliveryRecords, MemoryLedger, MemoryPayloads};

/// The read port on the stores of a test.
#[derive(Clone, Default)]
pub(crate) struct MemoryRecords {
    pub(crate) ledger: MemoryLedger,
    pub(crate) payloads: MemoryPayloads,
    pub(crate) delivery_records: MemoryDeliveryRecords,
}

impl LedgerReader for MemoryRecords {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        self.ledger.entity(key).await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.ledger.find(key).await
    }
}

impl PayloadReader for MemoryRecords {
    async fn get(&self, key: &PayloadKey) -> Result<bytes::Bytes, PortError> {
        self.payloads.get(key).await
    }
}

fn latest<T>(mut found: Vec<T>, most: Option<u32>) -> Listing<T> {
    let most = most.map_or(usize::MAX, |most| most as usize);
    found.drain(..found.len().saturating_sub(most));
    Listing { found, ..Listing::default() }
}

impl Records for MemoryRecords {
    async fn events(&self, filter: &EventFilter) -> Result<Listing<RecordedEvent>, PortError> {
        tokio::task::yield_now().await;
        let events = self.ledger.entries().into_iter().map(|(key, entry)| RecordedEvent { key, entry });
        let mut found: Vec<_> = events.filter(|event| filter.matches(event)).collect();
        found.sort_by(|one, other| (one.made(), &one.key).cmp(&(other.made(), &other.key)));
        Ok(latest(found, filter.most))
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Listing<DeliveryRecord>, PortError> {
        tokio::task::yield_now().await;
        let mut found = self.delivery_records.all();
        found.retain(|record| filter.matches(record));
        Ok(latest(found, filter.most))
    }

    async fn delivery(&self, delivery_id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        tokio::task::yield_now().await;
        Ok(self.delivery_records.of(delivery_id))
    }

    async fn entities(&self) -> Result<Listing<EntityEntry>, PortError> {
        let entities = self.ledger.entries().into_values().filter_map(|entry| match entry {
            Entry::Entity(entity) => Some(*entity),
            _ => None,
        });
        Ok(Listing { found: entities.collect(), ..Listing::default() })
    }

    async fn entity_history(&self, entity: &EntryKey) -> Result<Listing<EventEntry>, PortError> {
        assert_eq!(entity.sort, ENTITY_SORT);
        let of_entity = |key: &EntryKey| key.partition == entity.partition && key.sort.starts_with("event#");
        let events = self.ledger.entries().into_iter().filter(|(key, _)| of_entity(key));
        let events = events.filter_map(|(_, entry)| match entry {
            Entry::Event(event) => Some(*event),
            _ => None,
        });
        Ok(Listing { found: events.collect(), ..Listing::default() })
    }
}
