//! Receives events from the queue behind the event bus. Counts them by type, and keeps the present state of each entity.
//!
//! Replace the count by your own work. An event may come more than once and in any order.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::Value;

/// The event as the bus wraps it.
#[derive(Deserialize)]
struct BusEvent {
    detail: Envelope,
}

/// What is used here of an envelope; `schemas/envelope.json` has all of it.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    outcome: String,
    conflictwith: Option<String>,
    deliveryid: String,
    #[serde(flatten)]
    change: Option<EntityChange>,
    data: Option<Value>,
    data_base64: Option<String>,
    dataref: Option<String>,
}

/// What an event says of an entity.
#[derive(Deserialize)]
struct EntityChange {
    entity: String,
    entityversion: i32,
    entitychange: String,
    mergedinto: Option<String>,
    entitycontent: Option<String>,
    entitycontentref: Option<String>,
}

struct Consumer {
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    table: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_from_env().await;
    let consumer = Consumer {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        s3: aws_sdk_s3::Client::new(&config),
        table: std::env::var("TABLE").map_err(|_| "set TABLE to the name of the consumer's table")?,
    };
    let consumer = &consumer;
    lambda_runtime::run(service_fn(|batch: LambdaEvent<SqsEvent>| consumer.handle_batch(batch.payload))).await
}

impl Consumer {
    async fn handle_batch(&self, batch: SqsEvent) -> Result<SqsBatchResponse, Error> {
        let mut response = SqsBatchResponse::default();
        for record in batch.records {
            if let Err(error) = self.handle_record(&record).await {
                let id = record.message_id.unwrap_or_default();
                eprintln!("message {id} is not handled and will be delivered again: {error:?}");
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                response.batch_item_failures.push(failure);
            }
        }
        Ok(response)
    }

    async fn handle_record(&self, record: &SqsMessage) -> Result<(), Error> {
        let BusEvent { detail: envelope } = serde_json::from_str(record.body.as_deref().unwrap_or_default())?;
        match (&envelope.change, envelope.outcome.as_str()) {
            (Some(change), _) => self.keep_newest(&envelope, change).await,
            (None, "stored") => self.count_once(&envelope).await,
            (None, "conflict") => self.set_aside(&envelope).await,
            // The event that it names in `repeatof` has, or will have, the same effect.
            (None, "repeat") => Ok(()),
            (None, unknown) => Err(format!("unknown outcome {unknown}").into()),
        }
    }

    /// The mark and the work are one transaction: a crash leaves neither, and the event is delivered again. A mark that is written before
    /// the work loses the event if the function dies in between.
    async fn count_once(&self, envelope: &Envelope) -> Result<(), Error> {
        let mark = Put::builder()
            .table_name(&self.table)
            .item("source", S(envelope.source.clone()))
            .item("item", S(format!("handled#{}", envelope.id)))
            .condition_expression("attribute_not_exists(#item)")
            .expression_attribute_names("#item", "item")
            .build()?;
        let work = Update::builder()
            .table_name(&self.table)
            .key("source", S(envelope.source.clone()))
            .key("item", S(format!("total#{}", envelope.event_type)))
            .update_expression("ADD events :one, bytes :bytes")
            .expression_attribute_values(":one", N("1".to_owned()))
            .expression_attribute_values(":bytes", N(self.data_of(envelope).await?.len().to_string()))
            .build()?;
        let result = self
            .dynamodb
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(mark).build())
            .transact_items(TransactWriteItem::builder().update(work).build())
            .send()
            .await;
        match result.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(()),
            Err(error) if is_known(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The version makes this idempotent without a mark. A deleted entity keeps its item, or an older event would revive it.
    async fn keep_newest(&self, envelope: &Envelope, change: &EntityChange) -> Result<(), Error> {
        let version = N(change.entityversion.to_string());
        let mut put = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .item("source", S(envelope.source.clone()))
            .item("item", S(format!("entity#{}", change.entity)))
            .item("version", version.clone())
            .item("change", S(change.entitychange.clone()))
            .condition_expression("attribute_not_exists(version) OR version < :version")
            .expression_attribute_values(":version", version);
        match (change.entitychange.as_str(), &change.mergedinto) {
            ("late", _) => return Ok(()),
            ("deleted", _) => {}
            ("merged", Some(into)) => put = put.item("mergedinto", S(into.clone())),
            _ => {
                let (name, state) = state_of(envelope, change).ok_or("an entity without content")?;
                put = put.item(name, S(state));
            }
        }
        match put.send().await.map_err(SdkError::into_service_error) {
            Ok(_) | Err(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Other content under an id that is known: a person decides which one holds.
    async fn set_aside(&self, envelope: &Envelope) -> Result<(), Error> {
        self.dynamodb
            .put_item()
            .table_name(&self.table)
            .item("source", S(envelope.source.clone()))
            .item("item", S(format!("conflict#{}", envelope.id)))
            .item("conflictwith", S(envelope.conflictwith.clone().unwrap_or_default()))
            .item("deliveryid", S(envelope.deliveryid.clone()))
            .send()
            .await?;
        Ok(())
    }

    /// The data as bytes. Large data are an object in the intake's bucket.
    async fn data_of(&self, envelope: &Envelope) -> Result<Vec<u8>, Error> {
        if let Some(reference) = &envelope.dataref {
            let address = reference.strip_prefix("s3://").and_then(|address| address.split_once('/'));
            let (bucket, key) = address.ok_or("dataref is not an address in S3")?;
            let object = self.s3.get_object().bucket(bucket).key(key).send().await?;
            return Ok(object.body.collect().await?.to_vec());
        }
        if let Some(data) = &envelope.data_base64 {
            return Ok(BASE64_STANDARD.decode(data)?);
        }
        Ok(serde_json::to_vec(&envelope.data)?)
    }
}

/// The entity's content as JSON, or the address of a large one, with the name of its attribute.
fn state_of(envelope: &Envelope, change: &EntityChange) -> Option<(&'static str, String)> {
    let content = || change.entitycontent.clone().map(|content| ("content", content));
    let reference = || change.entitycontentref.clone().or(envelope.dataref.clone()).map(|uri| ("contentref", uri));
    let data = || envelope.data.as_ref().map(|data| ("content", data.to_string()));
    content().or_else(reference).or_else(data)
}

/// Whether a transaction failed because of the mark, which is its first item.
fn is_known(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return false };
    let reason = cancelled.cancellation_reasons().first();
    reason.and_then(|reason| reason.code()) == Some("ConditionalCheckFailed")
}
