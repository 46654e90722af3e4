//! The lower bound of the processor: puts each message of a batch under its event's id, if that is new, one after the other.

use aws_config::BehaviorVersion;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let table = std::env::var("EVENTS_TABLE")?;
    let (dynamodb, table) = (&dynamodb, &table);
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
        for message in event.payload.records {
            let message: Value = serde_json::from_str(&message.body.unwrap_or_default())?;
            let body = message.pointer("/body/text").and_then(Value::as_str).ok_or("a message without a body")?;
            let event: Value = serde_json::from_str(body)?;
            let id = event.get("id").and_then(Value::as_str).ok_or("an event without an id")?;
            dynamodb
                .put_item()
                .table_name(table)
                .item("pk", AttributeValue::S(id.to_owned()))
                .item("sk", AttributeValue::S("event".to_owned()))
                .item("data", AttributeValue::S(body.to_owned()))
                .condition_expression("attribute_not_exists(pk)")
                .send()
                .await?;
        }
        Ok::<_, Error>(SqsBatchResponse::default())
    }))
    .await
}
