//! The resume point of the resync on DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use intake_pipeline::port_error::PortError;
use intake_pipeline::resync::{ResumePoints, Saved};

use crate::port_error::port_error;

const GET_ITEM: &str = "dynamodb GetItem";
const PUT_ITEM: &str = "dynamodb PutItem";

const PARTITION: &str = "resync#nurturecloud";
const SORT: &str = "resume-point";
const DOCUMENT: &str = "document";

/// One item in a table of DynamoDB with the string keys `pk` and `sk`. Its attribute `document` is the resume point as JSON
/// text.
///
/// A put names the document that was read last, and a failed condition returns the existing document. If a put took effect
/// although its answer was lost, the retry fails its condition and finds its own document.
#[derive(Clone, Debug)]
pub struct DynamoResumePoints {
    client: Client,
    table: String,
}

impl DynamoResumePoints {
    pub(crate) const fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

impl ResumePoints for DynamoResumePoints {
    async fn load(&self) -> Result<Option<String>, PortError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| port_error(GET_ITEM, &error))?;
        let Some(item) = found.item else { return Ok(None) };
        let document = document(&item).ok_or_else(|| {
            PortError::of(
                GET_ITEM,
                format!("the item {PARTITION} {SORT} has no text as its {DOCUMENT}; remove the item"),
            )
        })?;
        Ok(Some(document.to_owned()))
    }

    async fn save(&self, seen: Option<&str>, text: &str) -> Result<Saved, PortError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key()))
            .item(DOCUMENT, AttributeValue::S(text.to_owned()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match seen {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => put
                .condition_expression("#document = :seen")
                .expression_attribute_names("#document", DOCUMENT)
                .expression_attribute_values(":seen", AttributeValue::S(seen.to_owned())),
        };
        let Err(error) = put.send().await else { return Ok(Saved::Done) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let is_there = failed.item().and_then(document).is_some_and(|found| found == text);
                Ok(if is_there { Saved::Done } else { Saved::ChangedMeanwhile })
            }
            _ => Err(port_error(PUT_ITEM, &error)),
        }
    }
}

fn key() -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(PARTITION.to_owned())),
        ("sk".to_owned(), AttributeValue::S(SORT.to_owned())),
    ])
}

fn document(item: &HashMap<String, AttributeValue>) -> Option<&str> {
    item.get(DOCUMENT)?.as_s().ok().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_service::{Reply, TestService};

    fn resume_points(service: &TestService) -> DynamoResumePoints {
        service.clients().resume_points("entities".to_owned())
    }

    fn item(document: &Value) -> Value {
        json!({"pk": {"S": "resync#nurturecloud"}, "sk": {"S": "resume-point"}, "document": document})
    }

    fn refused(item: &Value) -> Reply {
        Reply::json(
            400,
            &json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "message": "The conditional request failed",
                "Item": item,
            }),
        )
    }

    fn only(service: &TestService) -> Value {
        let received = service.received();
        let [request] = &received[..] else { panic!("one request was expected, not {}", received.len()) };
        request.json()
    }

    #[tokio::test]
    async fn the_document_is_read_consistently_and_may_be_missing() {
        let service = TestService::replying(&[Reply::json(200, &json!({"Item": item(&json!({"S": "the text"}))}))]);
        assert_eq!(resume_points(&service).load().await.unwrap().as_deref(), Some("the text"));
        assert_eq!(
            only(&service),
            json!({
                "TableName": "entities",
                "Key": {"pk": {"S": "resync#nurturecloud"}, "sk": {"S": "resume-point"}},
                "ConsistentRead": true,
            })
        );
        let empty = TestService::replying(&[Reply::json(200, &json!({}))]);
        assert_eq!(resume_points(&empty).load().await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_item_without_a_document_is_an_error_that_says_what_to_do() {
        let service = TestService::replying(&[Reply::json(200, &json!({"Item": item(&json!({"N": "1"}))}))]);
        let error = resume_points(&service).load().await.unwrap_err().to_string();
        assert!(error.contains("the item resync#nurturecloud resume-point has no text as its document"), "{error}");
    }

    #[tokio::test]
    async fn the_first_document_is_put_only_where_there_is_none() {
        let service = TestService::replying(&[Reply::json(200, &json!({}))]);
        assert_eq!(resume_points(&service).save(None, "first").await.unwrap(), Saved::Done);
        assert_eq!(
            only(&service),
            json!({
                "TableName": "entities",
                "Item": item(&json!({"S": "first"})),
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        );
    }

    #[tokio::test]
    async fn a_later_document_replaces_the_one_that_was_read() {
        let service = TestService::replying(&[Reply::json(200, &json!({}))]);
        assert_eq!(resume_points(&service).save(Some("first"), "second").await.unwrap(), Saved::Done);
        let request = only(&service);
        assert_eq!(request["Item"], item(&json!({"S": "second"})));
        assert_eq!(request["ConditionExpression"], "#document = :seen");
        assert_eq!(request["ExpressionAttributeNames"], json!({"#document": "document"}));
        assert_eq!(request["ExpressionAttributeValues"], json!({":seen": {"S": "first"}}));
    }

    #[tokio::test]
    async fn another_runs_document_is_kept_and_reported() {
        for found in [item(&json!({"S": "another"})), Value::Null] {
            let service = TestService::replying(&[refused(&found)]);
            assert_eq!(resume_points(&service).save(Some("first"), "second").await.unwrap(), Saved::ChangedMeanwhile);
        }
    }

    #[tokio::test]
    async fn a_put_whose_answer_was_lost_finds_its_own_document() {
        let lost = Reply::json(500, &json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}));
        let service = TestService::replying(&[lost, refused(&item(&json!({"S": "second"})))]);
        assert_eq!(resume_points(&service).save(Some("first"), "second").await.unwrap(), Saved::Done);
        assert_eq!(service.received().len(), 2);
    }

    #[tokio::test]
    async fn a_missing_permission_is_named() {
        let message = "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: dynamodb:PutItem";
        let denied = json!({"__type": "com.amazon.coral.service#AccessDeniedException", "Message": message});
        let service = TestService::replying(&[Reply::json(400, &denied)]);
        let error = resume_points(&service).save(None, "first").await.unwrap_err().to_string();
        assert!(error.contains("dynamodb PutItem failed: AccessDeniedException: User:"), "{error}");
    }
}
