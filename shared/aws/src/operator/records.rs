//! The read port on a deployed stack.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use intake_pipeline::clock::{Clock, SystemClock};
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::ledger::{Entry, EntryKey, EventEntry, LedgerReader, TimeIndex};
use intake_pipeline::payloads::{PayloadKey, PayloadReader};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, EventFilter, Listing, RecordedEvent, Records};
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use super::empty_buckets::EmptyBuckets;
use super::search::{EventsTable, Search};
use super::stack::Stack;
use super::stack_error::StackError;
use super::time_index::IndexedKey;
use super::{entities, items};
use crate::port_error::port_error;
use crate::timeouts::{Budget, ContentionBudget, LEDGER_CONTENTION, OPERATOR};
use crate::{DynamoLedger, S3Payloads};

const GET_ITEM: &str = "dynamodb GetItem";

/// What was recorded on a deployed stack: its two tables and its bucket.
///
/// A listing of events or deliveries asks the time index, hour by hour and from the latest to the earliest, and reads the items that
/// its keys do not rule out. Without a beginning it looks back for [`LOOK_BACK`](super::LOOK_BACK). An hour without entries
/// costs half a read unit for each provider and shard.
#[derive(Debug)]
pub struct StackRecords<C = SystemClock> {
    clock: C,
    /// When the questions are asked, if all of them are of one moment.
    moment: Option<Timestamp>,
    events: EventsTable,
    entities_table: String,
    ledger: DynamoLedger,
    payloads: S3Payloads,
}

/// Where a stack keeps what was recorded.
struct Names {
    events_table: String,
    entities_table: String,
    bucket: String,
}

impl StackRecords {
    /// The records of a stack.
    ///
    /// # Errors
    /// When the stack lacks a table or the bucket.
    pub fn new(stack: &Stack) -> Result<Self, StackError> {
        let names = Names {
            events_table: stack.resource("EventsTable")?.to_owned(),
            entities_table: stack.resource("EntitiesTable")?.to_owned(),
            bucket: stack.resource("Bucket")?.to_owned(),
        };
        Ok(Self::of(SystemClock, stack.config(), OPERATOR, LEDGER_CONTENTION, names))
    }
}

impl<C> StackRecords<C> {
    fn of(clock: C, config: &SdkConfig, payloads: Budget, throttling: ContentionBudget, names: Names) -> Self {
        let Names { events_table, entities_table, bucket } = names;
        let client = Client::new(config);
        Self {
            clock,
            moment: None,
            ledger: DynamoLedger::new(config, events_table.clone(), entities_table.clone(), throttling),
            events: EventsTable { client, name: events_table, throttling, empty: None },
            entities_table,
            payloads: S3Payloads::new(config.clone(), payloads, bucket),
        }
    }
}

impl<C: Clock> StackRecords<C> {
    /// For several questions about one period: all are asked as of this moment, and an hour of a provider in which one of them found
    /// nothing is not asked again. What is recorded later is not seen.
    #[must_use]
    pub fn of_this_moment(mut self) -> Self {
        self.moment = Some(self.clock.now());
        self.events.empty = Some(EmptyBuckets::default());
        self
    }

    fn now(&self) -> Timestamp {
        self.moment.unwrap_or_else(|| self.clock.now())
    }
}

impl<C: Clock> LedgerReader for StackRecords<C> {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        self.ledger.entity(key).await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.ledger.find(key).await
    }
}

impl<C: Clock> PayloadReader for StackRecords<C> {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        self.payloads.get(key).await
    }
}

impl<C: Clock> Records for StackRecords<C> {
    async fn events(&self, filter: &EventFilter) -> Result<Listing<RecordedEvent>, PortError> {
        let search = Search {
            provider: filter.provider,
            bucket: TimeIndex::events_bucket,
            received: filter.received,
            delivery_id: filter.delivery_id,
            index: filter.index,
            most: filter.most,
        };
        let read = |item| {
            let key = items::key(&item)?;
            let entry: Entry = serde_dynamo::from_item(item).ok()?;
            Some(RecordedEvent { key, entry })
        };
        // The order ends with the event's place in its delivery.
        let place = filter.index.map(|index| format!("#{:05}", index.0));
        let may_match = |key: &IndexedKey| {
            filter.may_match(&key.key) && place.as_ref().is_none_or(|place| key.order.ends_with(place.as_str()))
        };
        let mut listing =
            self.events.search(self.now(), &search, may_match, read, |event| filter.matches(event)).await?;
        listing.found.sort_by_key(RecordedEvent::made);
        Ok(listing)
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Listing<DeliveryRecord>, PortError> {
        let search = Search {
            provider: filter.provider,
            bucket: TimeIndex::deliveries_bucket,
            received: filter.received,
            delivery_id: None,
            index: None,
            most: filter.most,
        };
        let read = |item| serde_dynamo::from_item(item).ok();
        let may_match = |key: &IndexedKey| filter.may_match(key.provider, &key.order);
        let mut listing =
            self.events.search(self.now(), &search, may_match, read, |record| filter.matches(record)).await?;
        listing.found.sort_by_key(|record: &DeliveryRecord| (record.received_at, record.delivery_id));
        Ok(listing)
    }

    async fn delivery(&self, delivery_id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        let EntryKey { partition, sort } = DeliveryRecord::key(delivery_id);
        let got = self
            .events
            .client
            .get_item()
            .table_name(&self.events.name)
            .key("pk", AttributeValue::S(partition))
            .key("sk", AttributeValue::S(sort))
            .send()
            .await
            .map_err(|error| port_error(GET_ITEM, &error))?;
        // serde's message is left out because it may quote the item.
        let read = |item| {
            serde_dynamo::from_item(item).map_err(|_| {
                let message = format!(
                    "the record of delivery {delivery_id} is damaged, or a later version than this one wrote it"
                );
                PortError::of(GET_ITEM, message)
            })
        };
        got.item.map(read).transpose()
    }

    async fn entities(&self) -> Result<Listing<EntityEntry>, PortError> {
        entities::all(&self.events.client, &self.entities_table).await
    }

    async fn entity_history(&self, entity: &EntryKey) -> Result<Listing<EventEntry>, PortError> {
        entities::history(&self.events.client, &self.events.name, entity).await
    }
}

#[cfg(test)]
mod tests;
