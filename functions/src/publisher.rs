//! The publisher function.

use std::time::Duration;

use aws_lambda_events::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use intake_aws::Clients;
use intake_pipeline::config::PublisherConfig;
use intake_pipeline::envelope::PayloadLocation;
use intake_pipeline::ledger::Entry;
use intake_pipeline::publisher::{Publisher, StreamItem, StreamRecord};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_dynamo::{AttributeValue, Item};

use crate::deadline::end_by;
use crate::{Error, environment_variable, report, start_telemetry};

/// Share of an invocation's time that is reserved for the response.
const MARGIN: Duration = Duration::from_secs(1);

/// What the stream says of an item that is new. An event's item is put once; what changes or removes it later is no event.
const INSERT: &str = "INSERT";

/// The kinds of entries that are events, as items name them.
const EVENT_KINDS: [&str; 2] = ["event", "conflict"];

/// Nothing of a batch is published, so the invocation fails. Lambda then halves the batch, until what can't be published is alone in
/// one; a batch that is only reported to go on at its first record would stay whole, and be set aside as a whole.
#[derive(Debug, thiserror::Error)]
#[error("nothing of the batch is published from record {0} on; the line before says why")]
struct NothingPublished(String);

/// Runs the publisher as a Lambda function behind the stream of the events table, until Lambda ends the process.
///
/// # Errors
/// When Lambda's runtime API is unavailable. Unusable settings are not an error: every batch then fails, and the stream waits.
pub async fn run_publisher() -> Result<(), Error> {
    let telemetry = start_telemetry();
    let publisher = match PublisherConfig::from_environment(environment_variable) {
        Ok(config) => {
            let clients = Clients::for_processor().await;
            let location = PayloadLocation::below(format!("s3://{}/", config.payloads_bucket));
            let payloads = clients.payloads(config.payloads_bucket);
            Ok(Publisher::new(payloads, location, clients.event_bus(config.event_bus)))
        }
        Err(problems) => Err(problems),
    };
    let publisher = &publisher;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async move {
        let records = stream_records(event.payload)?;
        let first = records.first().map(|record| record.sequence_number.clone());
        let goes_on_at = match publisher {
            Ok(publisher) => publisher.publish(records, end_by(&event.context, MARGIN)).await,
            Err(problems) => {
                report(problems);
                first.clone()
            }
        };
        // Lambda may freeze the process once the response is sent.
        telemetry.flush();
        Ok::<_, Error>(response(first.as_deref(), goes_on_at)?)
    }))
    .await
}

/// A record without a sequence number cannot be reported as failed individually, so the whole batch fails.
#[derive(Debug, thiserror::Error)]
#[error("a record of the batch has no sequence number; is the function invoked by the stream of a table?")]
struct NamelessRecord;

fn stream_records(event: Event) -> Result<Vec<StreamRecord>, NamelessRecord> {
    event.records.into_iter().map(stream_record).collect()
}

fn stream_record(record: EventRecord) -> Result<StreamRecord, NamelessRecord> {
    let EventRecord { change, event_name, .. } = record;
    let sequence_number = change.sequence_number.ok_or(NamelessRecord)?;
    let item = if event_name == INSERT { stream_item(&change.keys, change.new_image) } else { StreamItem::Other };
    Ok(StreamRecord { sequence_number, item })
}

/// The item as an entry of the ledger. serde's message is left out because it may quote the item.
fn stream_item(keys: &Item, image: Item) -> StreamItem {
    if !text(&image, "kind").is_some_and(|kind| EVENT_KINDS.contains(&kind)) {
        return StreamItem::Other;
    }
    match serde_dynamo::from_item::<_, Entry>(image) {
        Ok(entry) => StreamItem::Entry(Box::new(entry)),
        Err(_) => StreamItem::Unreadable {
            key: format!("{} {}", text(keys, "pk").unwrap_or_default(), text(keys, "sk").unwrap_or_default()),
            reason: "it has not the members of one".to_owned(),
        },
    }
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    }
}

/// Lambda goes on at the lowest sequence number that is reported, so one is enough.
fn response(first: Option<&str>, goes_on_at: Option<String>) -> Result<DynamoDbEventResponse, NothingPublished> {
    if let Some(sequence_number) = goes_on_at.as_ref().filter(|number| first == Some(number)) {
        return Err(NothingPublished(sequence_number.clone()));
    }
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = goes_on_at
        .into_iter()
        .map(|sequence_number| {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(sequence_number);
            failure
        })
        .collect();
    Ok(response)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(name: &str, sequence_number: &str, image: Value) -> Value {
        json!({
            "eventID": "1", "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-11-21T09:30:00.000",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_253_400, "SequenceNumber": sequence_number, "SizeBytes": 1,
                "StreamViewType": "NEW_IMAGE", "Keys": {"pk": {"S": "machnet#1"}, "sk": {"S": "event"}}, "NewImage": image,
            },
        })
    }

    fn event_item() -> Value {
        let text = |text: &str| json!({"S": text});
        json!({
            "pk": text("machnet#1"), "sk": text("event"), "kind": text("event"), "outcome": text("stored"),
            "provider": text("machnet"), "account": text("main"), "id": text("e1"), "source": text("/webhooks/machnet/main"),
            "type": text("machnet.done"), "datacontenttype": text("application/json"), "data": text("{}"),
            "digest": text(&"0".repeat(64)), "delivery_id": text("01a1fd70-f1c0-7101-8101-010101010101"), "index": {"N": "0"},
            "received_at": text("2026-11-21T09:30:00.000Z"), "key_fingerprint": text("f"), "time_bucket": text("b"),
            "time_order": text("o"),
        })
    }

    fn read(records: &[Value]) -> Result<Vec<StreamRecord>, NamelessRecord> {
        stream_records(serde_json::from_value(json!({"Records": records})).unwrap())
    }

    fn kinds(records: &[StreamRecord]) -> Vec<(&str, &'static str)> {
        let kind = |item: &StreamItem| match item {
            StreamItem::Entry(_) => "entry",
            StreamItem::Other => "other",
            StreamItem::Unreadable { .. } => "unreadable",
        };
        records.iter().map(|record| (record.sequence_number.as_str(), kind(&record.item))).collect()
    }

    #[test]
    fn only_items_of_events_that_are_new_are_events() {
        let of_kind = |kind: &str| {
            let mut item = event_item();
            item["kind"] = json!({"S": kind});
            item
        };
        let mut without_source = event_item();
        without_source.as_object_mut().unwrap().remove("source");
        let records = read(&[
            record("INSERT", "1", event_item()),
            record("INSERT", "2", of_kind("conflict")),
            record("INSERT", "3", of_kind("delivery")),
            record("INSERT", "4", of_kind("alias")),
            record("INSERT", "5", json!({"pk": {"S": "lease#nowcerts"}})),
            record("MODIFY", "6", event_item()),
            record("REMOVE", "7", Value::Null),
            record("INSERT", "8", without_source),
        ])
        .unwrap();
        let expected = ["entry", "entry", "other", "other", "other", "other", "other", "unreadable"];
        let numbers = ["1", "2", "3", "4", "5", "6", "7", "8"];
        assert_eq!(kinds(&records), numbers.into_iter().zip(expected).collect::<Vec<_>>());
        let StreamItem::Unreadable { key, .. } = &records[7].item else { panic!("{records:?}") };
        assert_eq!(key, "machnet#1 event");
    }

    #[test]
    fn a_batch_with_a_record_without_a_sequence_number_fails_as_a_whole() {
        let mut nameless = record("INSERT", "2", event_item());
        nameless["dynamodb"].as_object_mut().unwrap().remove("SequenceNumber");
        assert!(read(&[record("INSERT", "1", event_item()), nameless]).is_err());
    }

    #[test]
    fn the_stream_is_told_where_to_go_on_as_lambda_expects_it() {
        let written = |goes_on_at: Option<&str>| {
            serde_json::to_value(response(Some("6"), goes_on_at.map(str::to_owned)).unwrap()).unwrap()
        };
        assert_eq!(written(Some("7")), json!({"batchItemFailures": [{"itemIdentifier": "7"}]}));
        assert_eq!(written(None), json!({"batchItemFailures": []}));
    }

    #[test]
    fn a_batch_of_which_nothing_is_published_fails_so_that_lambda_halves_it() {
        let error = response(Some("6"), Some("6".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "nothing of the batch is published from record 6 on; the line before says why");
        assert!(response(None, None).is_ok());
    }
}
