//! The read port on a database file.

use bytes::Bytes;
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::ledger::{Entry, EntryKey, EventEntry, LedgerReader};
use intake_pipeline::payloads::{PayloadKey, PayloadReader};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, EventFilter, Listing, RecordedEvent, Records};
use intake_providers::delivery::DeliveryId;

use crate::{Database, SqliteDeliveryRecords, SqliteLedger, SqlitePayloads};

/// What was recorded in a database file.
#[derive(Clone, Debug)]
pub struct SqliteRecords {
    ledger: SqliteLedger,
    payloads: SqlitePayloads,
    delivery_records: SqliteDeliveryRecords,
}

impl SqliteRecords {
    /// The records in this file.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            ledger: SqliteLedger::new(database.clone()),
            payloads: SqlitePayloads::new(database.clone()),
            delivery_records: SqliteDeliveryRecords::new(database),
        }
    }
}

impl LedgerReader for SqliteRecords {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        self.ledger.entity(key).await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.ledger.find(key).await
    }
}

impl PayloadReader for SqliteRecords {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        self.payloads.get(key).await
    }
}

impl Records for SqliteRecords {
    async fn events(&self, filter: &EventFilter) -> Result<Listing<RecordedEvent>, PortError> {
        self.ledger.list(filter).await
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Listing<DeliveryRecord>, PortError> {
        self.delivery_records.list(filter).await
    }

    async fn delivery(&self, delivery_id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        self.delivery_records.find(delivery_id).await
    }

    async fn entities(&self) -> Result<Listing<EntityEntry>, PortError> {
        self.ledger.entities().await
    }

    async fn entity_history(&self, entity: &EntryKey) -> Result<Listing<EventEntry>, PortError> {
        self.ledger.history(entity).await
    }
}
