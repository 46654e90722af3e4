//! The delivery records on DynamoDB.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use intake_pipeline::delivery_record::{DeliveryRecord, DeliveryRecords};
use intake_pipeline::ledger::EntryKey;
use intake_pipeline::port_error::PortError;

use crate::pauses::Pauses;
use crate::port_error::port_error;
use crate::throttling::hot_index;
use crate::time_shards::{Item, TimeShards, time_bucket};
use crate::timeouts::ContentionBudget;

const PUT_ITEM: &str = "dynamodb PutItem";

/// Items of the events table, each with a delivery's record. DynamoDB deletes them some time after `expires_at`.
#[derive(Clone, Debug)]
pub struct DynamoDeliveryRecords {
    client: Client,
    table: String,
    shards: TimeShards,
    contention: ContentionBudget,
}

impl DynamoDeliveryRecords {
    pub(crate) fn new(config: &SdkConfig, table: String, contention: ContentionBudget) -> Self {
        let client = TimeShards::client(config);
        Self { shards: TimeShards::new(client.clone(), table.clone()), client, table, contention }
    }
}

impl DeliveryRecords for DynamoDeliveryRecords {
    async fn put(&self, record: &DeliveryRecord) -> Result<(), PortError> {
        let EntryKey { partition, sort } = DeliveryRecord::key(record.delivery_id);
        let mut pauses = Pauses::new(self.contention);
        loop {
            let mut item: Item = serde_dynamo::to_item(record).map_err(|error| PortError::new(PUT_ITEM, &error))?;
            item.insert("pk".to_owned(), AttributeValue::S(partition.clone()));
            item.insert("sk".to_owned(), AttributeValue::S(sort.clone()));
            self.shards.spread(&mut item);
            let bucket = time_bucket(&item).map(str::to_owned);
            let mut put = self.client.put_item().table_name(&self.table).set_item(Some(item));
            if record.has_quarantined() {
                // What `DeliveryRecord::replaces` says. The order in the time index has all outcomes.
                put = put
                    .condition_expression("attribute_not_exists(pk) OR contains(time_order, :quarantined)")
                    .expression_attribute_values(":quarantined", AttributeValue::S("quarantined=".to_owned()));
            }
            let Err(error) = put.send().await else { return Ok(()) };
            if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) {
                return Ok(());
            }
            let reasons = error.as_service_error().and_then(|failed| hot_index(failed));
            let (Some(reasons), Some(bucket)) = (reasons, bucket) else { return Err(port_error(PUT_ITEM, &error)) };
            self.shards.widen(&bucket, &reasons).await;
            if !pauses.next().await {
                return Err(port_error(PUT_ITEM, &error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use intake_pipeline::delivery_record::{EventOutcome, HeaderText, RecordedBody, RecordedHeader};
    use intake_pipeline::ledger::{Outcome, OutcomeCounts, TimeIndex};
    use intake_pipeline::payloads::PayloadKey;
    use intake_providers::ProviderName;
    use intake_providers::account::AccountName;
    use intake_providers::delivery::DeliveryId;
    use intake_providers::digest::Sha256Digest;
    use intake_providers::event::EventIndex;
    use intake_providers::timestamp::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::test_service::{Reply, TestService};

    fn record() -> DeliveryRecord {
        let received_at = Timestamp::parse("2026-11-21T09:30:00.123Z").unwrap();
        let delivery_id = DeliveryId::new(received_at, [7; 10]);
        DeliveryRecord {
            delivery_id,
            provider: ProviderName::Machnet,
            account: AccountName::new("main").unwrap(),
            key_fingerprint: "0011223344556677".to_owned(),
            received_at,
            recorded_at: received_at,
            receive_count: 1,
            headers: vec![
                RecordedHeader("host".to_owned(), HeaderText::Text("h".to_owned())),
                RecordedHeader("x-odd".to_owned(), HeaderText::Base64 { base64: "/w==".to_owned() }),
            ],
            headers_over_limit: 0,
            body: RecordedBody::Payload { body_key: PayloadKey::new("delivery-bodies/1".to_owned()) },
            body_bytes: 20_000,
            sha256: Sha256Digest::of(b"{}"),
            events: 1,
            outcomes: vec![EventOutcome {
                index: EventIndex(0),
                outcome: Outcome::Duplicate,
                first_delivery: Some(delivery_id),
            }],
            further_outcomes: OutcomeCounts::default(),
            event_types: vec!["machnet.done".to_owned()],
            expires_at: 1_797_842_400,
            time_index: TimeIndex {
                time_bucket: "deliveries#machnet#2026-11-21T09#1".to_owned(),
                time_order: "order".to_owned(),
            },
        }
    }

    #[tokio::test]
    async fn a_record_is_put_whole_without_a_condition_under_the_key_of_its_delivery() {
        let service = TestService::replying(&[Reply::json(200, &json!({}))]);
        let record = record();
        service.clients().delivery_records("events".to_owned()).put(&record).await.unwrap();
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        let request = request.json();
        assert_eq!(request["TableName"], "events");
        assert_eq!(request.get("ConditionExpression"), None);
        let item = &request["Item"];
        let id = record.delivery_id.to_string();
        for (name, value) in [
            ("pk", json!({"S": format!("delivery#{id}")})),
            ("sk", json!({"S": "delivery"})),
            ("kind", json!({"S": "delivery"})),
            ("expires_at", json!({"N": "1797842400"})),
            ("time_bucket", json!({"S": "deliveries#machnet#2026-11-21T09#1"})),
            ("time_order", json!({"S": "order"})),
            ("body_key", json!({"S": "delivery-bodies/1"})),
            (
                "headers",
                json!({"L": [
                    {"L": [{"S": "host"}, {"S": "h"}]},
                    {"L": [{"S": "x-odd"}, {"M": {"base64": {"S": "/w=="}}}]},
                ]}),
            ),
            (
                "outcomes",
                json!({"L": [
                    {"M": {"index": {"N": "0"}, "outcome": {"S": "duplicate"}, "first_delivery": {"S": id}}},
                ]}),
            ),
        ] {
            assert_eq!(item[name], value, "{name}");
        }
        assert_eq!(item.get("further_outcomes"), None, "what says nothing costs nothing");
    }

    #[tokio::test]
    async fn a_record_with_events_in_quarantine_does_not_take_the_place_of_one_without() {
        let failed =
            json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no"});
        let service = TestService::replying(&[Reply::json(400, &failed)]);
        let further_outcomes = OutcomeCounts { quarantined: 2, ..OutcomeCounts::default() };
        let record = DeliveryRecord { further_outcomes, ..record() };
        service.clients().delivery_records("events".to_owned()).put(&record).await.unwrap();
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        let request = request.json();
        assert_eq!(request["ConditionExpression"], "attribute_not_exists(pk) OR contains(time_order, :quarantined)");
        assert_eq!(request["ExpressionAttributeValues"], json!({":quarantined": {"S": "quarantined="}}));
    }

    #[tokio::test]
    async fn an_item_is_read_as_the_record_that_was_put() {
        let record = record();
        let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(&record).unwrap();
        // The keys are not members of a record.
        item.insert("pk".to_owned(), AttributeValue::S("delivery#1".to_owned()));
        assert_eq!(serde_dynamo::from_item::<_, DeliveryRecord>(item).unwrap(), record);
    }

    #[tokio::test]
    async fn a_record_whose_hour_has_a_hot_index_is_put_in_another_shard() {
        let hot = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "message": "slow down",
            "ThrottlingReasons": [{
                "reason": "IndexWriteKeyRangeThroughputExceeded",
                "resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/events/index/by_time",
            }],
        });
        let service = TestService::replying(&[Reply::json(400, &hot), Reply::json(200, &json!({}))]);
        service.clients().delivery_records("events".to_owned()).put(&record()).await.unwrap();
        let received = service.received();
        let [first, note, second] = &received[..] else { panic!("three requests were expected") };
        let bucket = |request: &crate::test_service::Received| request.json()["Item"]["time_bucket"]["S"].clone();
        assert_eq!(bucket(first), "deliveries#machnet#2026-11-21T09#1");
        assert_eq!(note.json()["Item"]["time_order"]["S"], "2026-11-21T09#deliveries#machnet#2026-11-21T09#64");
        assert_ne!(bucket(second), bucket(first));
        assert!(bucket(second).as_str().unwrap().starts_with("deliveries#machnet#2026-11-21T09#"));
    }

    #[tokio::test]
    async fn a_put_that_is_throttled_is_retried() {
        let throttled =
            json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"});
        let service = TestService::replying(&[Reply::json(400, &throttled), Reply::json(200, &json!({}))]);
        service.clients().delivery_records("events".to_owned()).put(&record()).await.unwrap();
        assert_eq!(service.received().len(), 2);
    }
}
