//! The processor function.

use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use intake_aws::{Aws, Clients, RELEASE_ATTRIBUTE};
use intake_pipeline::clock::SystemClock;
use intake_pipeline::config::ProcessorConfig;
use intake_pipeline::processor::{Processor, count_failed_record};
use intake_pipeline::queue::QueueRecord;
use intake_providers::split::Split;
use lambda_runtime::{Context, LambdaEvent, service_fn};

use crate::deadline::end_by;
use crate::{Error, environment_variable, report, start_telemetry};

/// Share of an invocation's time that is reserved for reporting unfinished records and for writing the counters.
const MARGIN: Duration = Duration::from_secs(1);

/// The attribute with a message's receive count.
const RECEIVE_COUNT: &str = "ApproximateReceiveCount";

/// Runs the processor as a Lambda function behind the queue, until Lambda ends the process.
///
/// # Errors
/// When Lambda's runtime API is unavailable. Unusable settings are not an error: every record is then reported as failed and waits
/// on the queue.
pub async fn run_processor() -> Result<(), Error> {
    let telemetry = start_telemetry();
    let processor = match ProcessorConfig::from_environment(environment_variable) {
        Ok(config) => {
            let clients = Clients::for_processor().await;
            Ok(Processor::new(
                clients.ledger(config.events_table.clone(), config.entities_table),
                clients.payloads(config.payloads_bucket),
                clients.delivery_records(config.events_table),
                config.providers,
                SystemClock,
                config.settings,
            ))
        }
        Err(problems) => Err(problems),
    };
    let processor = &processor;
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
        let records = queue_records(event.payload)?;
        let failed = match processor {
            Ok(processor) => process(processor, records, &event.context).await,
            Err(problems) => {
                report(problems);
                records.iter().for_each(|_| count_failed_record());
                records.into_iter().map(|record| record.message_id).collect()
            }
        };
        // Lambda may freeze the process once the response is sent.
        telemetry.flush();
        Ok::<_, Error>(batch_response(failed))
    }))
    .await
}

async fn process<X: Split>(processor: &Processor<Aws, X>, records: Vec<QueueRecord>, context: &Context) -> Vec<String> {
    let failed = processor.process(records, end_by(context, MARGIN)).await;
    failed.into_iter().map(|record| record.message_id).collect()
}

/// A message without an id cannot be reported as failed individually, so the whole batch fails.
#[derive(Debug, thiserror::Error)]
#[error("a message of the batch has no id; is the function invoked by an SQS queue?")]
struct NamelessMessage;

fn queue_records(event: SqsEvent) -> Result<Vec<QueueRecord>, NamelessMessage> {
    event.records.into_iter().map(queue_record).collect()
}

fn queue_record(message: SqsMessage) -> Result<QueueRecord, NamelessMessage> {
    let receive_count = message.attributes.get(RECEIVE_COUNT).and_then(|count| count.parse().ok()).unwrap_or(1);
    Ok(QueueRecord {
        message_id: message.message_id.ok_or(NamelessMessage)?,
        // A message without a body is not ours, and fails when it is parsed.
        body: message.body.unwrap_or_default(),
        receive_count,
        is_release: message.message_attributes.contains_key(RELEASE_ATTRIBUTE),
    })
}

fn batch_response(failed: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .map(|message_id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message_id;
            failure
        })
        .collect();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> SqsEvent {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_message_becomes_a_record_with_its_receive_count() {
        let records = queue_records(event(
            r#"{"Records":[
                {"messageId":"m1","body":"{}","attributes":{"ApproximateReceiveCount":"3"},
                 "messageAttributes":{"intake-release":{"stringValue":"true","dataType":"String"}}},
                {"messageId":"m2"}
            ]}"#,
        ))
        .unwrap();
        let [first, second] = records.as_slice() else { panic!("{records:?}") };
        assert!(first.is_release && !second.is_release);
        assert_eq!((first.message_id.as_str(), first.body.as_str(), first.receive_count), ("m1", "{}", 3));
        assert_eq!((second.message_id.as_str(), second.body.as_str(), second.receive_count), ("m2", "", 1));
    }

    #[test]
    fn a_batch_with_a_message_without_id_fails_as_a_whole() {
        assert!(queue_records(event(r#"{"Records":[{"messageId":"m1","body":"{}"},{"body":"{}"}]}"#)).is_err());
    }

    #[test]
    fn failed_records_are_reported_as_lambda_expects_them() {
        let response = serde_json::to_value(batch_response(vec!["m2".to_owned()])).unwrap();
        assert_eq!(response, serde_json::json!({"batchItemFailures": [{"itemIdentifier": "m2"}]}));
    }
}
