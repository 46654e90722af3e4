//! The read port on a deployed stack.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::ledger::{Entry, EntryKey, EventEntry, LedgerReader};
use intake_pipeline::payloads::{PayloadKey, PayloadReader};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, EventFilter, RecordedEvent, Records};
use intake_providers::delivery::DeliveryId;

use super::stack::{Stack, StackError};
use crate::port_error::port_error;
use crate::timeouts::{LEDGER_CONTENTION, OPERATOR};
use crate::{DynamoLedger, S3Payloads};

const GET_ITEM: &str = "dynamodb GetItem";

/// What was recorded on a deployed stack: its two tables and its bucket.
#[derive(Debug)]
pub struct StackRecords {
    client: Client,
    events_table: String,
    ledger: DynamoLedger,
    payloads: S3Payloads,
}

impl StackRecords {
    /// The records of a stack.
    ///
    /// # Errors
    /// When the stack lacks a table or the bucket.
    pub fn new(stack: &Stack) -> Result<Self, StackError> {
        let client = Client::new(stack.config());
        let events_table = stack.resource("EventsTable")?.to_owned();
        let entities_table = stack.resource("EntitiesTable")?.to_owned();
        let bucket = stack.resource("Bucket")?.to_owned();
        Ok(Self {
            ledger: DynamoLedger::new(client.clone(), events_table.clone(), entities_table, LEDGER_CONTENTION),
            payloads: S3Payloads::new(stack.config().clone(), OPERATOR, bucket),
            client,
            events_table,
        })
    }
}

impl LedgerReader for StackRecords {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        self.ledger.entity(key).await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.ledger.find(key).await
    }
}

impl PayloadReader for StackRecords {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        self.payloads.get(key).await
    }
}

impl Records for StackRecords {
    async fn events(&self, _filter: &EventFilter) -> Result<Vec<RecordedEvent>, PortError> {
        Err(PortError::of("dynamodb Query", "not written yet"))
    }

    async fn deliveries(&self, _filter: &DeliveryFilter) -> Result<Vec<DeliveryRecord>, PortError> {
        Err(PortError::of("dynamodb Query", "not written yet"))
    }

    async fn delivery(&self, delivery_id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        let EntryKey { partition, sort } = DeliveryRecord::key(delivery_id);
        let got = self
            .client
            .get_item()
            .table_name(&self.events_table)
            .key("pk", AttributeValue::S(partition))
            .key("sk", AttributeValue::S(sort))
            .send()
            .await
            .map_err(|error| port_error(GET_ITEM, &error))?;
        let read = |item| serde_dynamo::from_item(item).map_err(|error| PortError::new(GET_ITEM, &error));
        got.item.map(read).transpose()
    }

    async fn entities(&self) -> Result<Vec<EntityEntry>, PortError> {
        Err(PortError::of("dynamodb Scan", "not written yet"))
    }

    async fn entity_history(&self, _entity: &EntryKey) -> Result<Vec<EventEntry>, PortError> {
        Err(PortError::of("dynamodb Query", "not written yet"))
    }
}
