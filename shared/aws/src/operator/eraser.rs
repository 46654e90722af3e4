//! What erases on a deployed stack.

use aws_config::SdkConfig;
use intake_pipeline::delivery_record::DeliveryRecords as _;
use intake_pipeline::erasure::{Eraser, RecordTombstone, Tombstone};
use intake_pipeline::ledger::{Ledger as _, PutOutcome};
use intake_pipeline::payloads::PayloadKey;
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;
use crate::s3::LazyClient;
use crate::timeouts::{LEDGER_CONTENTION, OPERATOR};
use crate::{DynamoDeliveryRecords, DynamoLedger};

const DELETE_OBJECT: &str = "s3 DeleteObject";

/// Erases on a deployed stack, in its two tables and its bucket. What AWS keeps of them for a time is not touched: point-in-time
/// recovery, the table's stream, and former versions of objects where the bucket keeps them.
#[derive(Debug)]
pub struct StackEraser {
    ledger: DynamoLedger,
    delivery_records: DynamoDeliveryRecords,
    objects: LazyClient,
    bucket: String,
}

impl StackEraser {
    /// On this stack.
    ///
    /// # Errors
    /// When the stack lacks a table or the bucket.
    pub fn new(stack: &Stack) -> Result<Self, StackError> {
        let events_table = stack.resource("EventsTable")?.to_owned();
        let entities_table = stack.resource("EntitiesTable")?.to_owned();
        let bucket = stack.resource("Bucket")?.to_owned();
        Ok(Self::of(stack.config(), events_table, entities_table, bucket))
    }

    fn of(config: &SdkConfig, events_table: String, entities_table: String, bucket: String) -> Self {
        Self {
            ledger: DynamoLedger::new(config, events_table.clone(), entities_table, LEDGER_CONTENTION),
            delivery_records: DynamoDeliveryRecords::new(config, events_table, LEDGER_CONTENTION),
            objects: LazyClient::new(config.clone(), OPERATOR),
            bucket,
        }
    }
}

impl Eraser for StackEraser {
    async fn erase_entry(&self, now: Timestamp, tombstone: &Tombstone) -> Result<PutOutcome, PortError> {
        self.ledger.put(now, std::slice::from_ref(tombstone.put())).await
    }

    async fn erase_record(&self, tombstone: &RecordTombstone) -> Result<(), PortError> {
        self.delivery_records.put(tombstone.record()).await
    }

    async fn delete_payload(&self, key: &PayloadKey) -> Result<(), PortError> {
        // S3 answers the same whether the object was there or not.
        let delete = self.objects.get().delete_object().bucket(&self.bucket).key(key.as_str());
        delete.send().await.map(|_| ()).map_err(|error| {
            let found = port_error(DELETE_OBJECT, &error);
            PortError::of(DELETE_OBJECT, format!("{} for {}", found.message, key.as_str()))
        })
    }

    async fn finish(&self) -> Result<(), PortError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_service::{Reply, TestService};

    fn eraser(service: &TestService) -> StackEraser {
        let name = str::to_owned;
        StackEraser::of(service.clients().config(), name("the-events"), name("the-entities"), name("the-bucket"))
    }

    #[tokio::test]
    async fn an_object_is_deleted_by_its_key_and_a_missing_permission_names_it() {
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let replies = [(204, ""), (403, denied)].map(|(status, body)| Reply::Answer { status, body: body.to_owned() });
        let service = TestService::replying(&replies);
        let key = PayloadKey::new("events/machnet/1".to_owned());
        eraser(&service).delete_payload(&key).await.unwrap();
        let error = eraser(&service).delete_payload(&key).await.unwrap_err().to_string();
        assert!(error.contains("AccessDenied") && error.contains("events/machnet/1"), "{error}");
        let line = &service.received()[0].line;
        assert_eq!(line, "DELETE /the-bucket/events/machnet/1?x-id=DeleteObject");
    }
}
