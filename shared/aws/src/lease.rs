//! The drain's lease on DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use pipeline::drain::ports::{Lease, LeaseOwner};
use pipeline::ports::PortError;
use providers::provider::Provider;
use providers::timestamp::Timestamp;

use crate::port_error::port_error;

const PUT_ITEM: &str = "dynamodb PutItem";
const DELETE_ITEM: &str = "dynamodb DeleteItem";

/// One item of the events table, at a key that no event can have: `lease#` and the provider's name.
///
/// Its `expires_at` is also the table's time to live, so an old lease goes away by itself. That may take days, and the
/// conditions look at `expires_at` themselves.
#[derive(Clone, Debug)]
pub struct DynamoLease {
    client: Client,
    table: String,
    key: String,
}

impl DynamoLease {
    pub(crate) fn new(client: Client, table: String, provider: Provider) -> Self {
        Self { client, table, key: format!("lease#{provider}") }
    }

    async fn put(
        &self,
        owner: &LeaseOwner,
        expires_at: Timestamp,
        condition: &str,
        values: HashMap<String, AttributeValue>,
    ) -> Result<bool, PortError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(self.key.clone()))
            .item("sk", AttributeValue::S("lease".to_owned()))
            .item("holder", AttributeValue::S(owner.0.clone()))
            .item("expires_at", seconds(expires_at))
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(error) if is_refused_put(&error) => Ok(false),
            Err(error) => Err(port_error(PUT_ITEM, &error)),
        }
    }
}

impl Lease for DynamoLease {
    /// A take that took effect although its answer was lost is tried again by the SDK, and finds itself the holder.
    async fn take(&self, owner: &LeaseOwner, now: Timestamp, expires_at: Timestamp) -> Result<bool, PortError> {
        let condition = "attribute_not_exists(pk) OR expires_at <= :now OR holder = :holder";
        let values = HashMap::from([(":now".to_owned(), seconds(now)), holder(owner)]);
        self.put(owner, expires_at, condition, values).await
    }

    async fn renew(&self, owner: &LeaseOwner, expires_at: Timestamp) -> Result<bool, PortError> {
        self.put(owner, expires_at, "holder = :holder", HashMap::from([holder(owner)])).await
    }

    async fn release(&self, owner: &LeaseOwner) -> Result<(), PortError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(self.key.clone()))
            .key("sk", AttributeValue::S("lease".to_owned()))
            .condition_expression("holder = :holder")
            .set_expression_attribute_values(Some(HashMap::from([holder(owner)])))
            .send()
            .await;
        match delete {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(error.as_service_error(), Some(DeleteItemError::ConditionalCheckFailedException(_))) =>
            {
                Ok(())
            }
            Err(error) => Err(port_error(DELETE_ITEM, &error)),
        }
    }
}

fn is_refused_put(error: &SdkError<PutItemError>) -> bool {
    matches!(error.as_service_error(), Some(PutItemError::ConditionalCheckFailedException(_)))
}

fn holder(owner: &LeaseOwner) -> (String, AttributeValue) {
    (":holder".to_owned(), AttributeValue::S(owner.0.clone()))
}

fn seconds(instant: Timestamp) -> AttributeValue {
    AttributeValue::N(instant.unix_seconds().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::test_service::{Reply, TestService};

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-21T09:30:00.900Z").unwrap()
    }

    fn lease(service: &TestService) -> (DynamoLease, LeaseOwner) {
        (service.clients().lease("events".to_owned(), Provider::NowCerts), LeaseOwner("run-1".to_owned()))
    }

    fn refusal() -> Reply {
        let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        Reply::json(400, &json!({"__type": kind, "message": "The conditional request failed"}))
    }

    fn only_request(service: &TestService) -> Value {
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        request.json()
    }

    #[tokio::test]
    async fn a_lease_is_taken_if_nobody_holds_it_or_its_time_is_over() {
        let service = TestService::replying(&[Reply::json(200, &json!({}))]);
        let (lease, owner) = lease(&service);
        assert!(lease.take(&owner, now(), now().plus(Duration::from_secs(30))).await.unwrap());
        assert_eq!(
            only_request(&service),
            json!({
                "TableName": "events",
                "Item": {
                    "pk": {"S": "lease#nowcerts"}, "sk": {"S": "lease"},
                    "holder": {"S": "run-1"}, "expires_at": {"N": "1795253430"},
                },
                "ConditionExpression": "attribute_not_exists(pk) OR expires_at <= :now OR holder = :holder",
                "ExpressionAttributeValues": {":now": {"N": "1795253400"}, ":holder": {"S": "run-1"}},
            })
        );
    }

    #[tokio::test]
    async fn a_lease_that_another_holds_is_neither_taken_nor_renewed_nor_given_up() {
        let service = TestService::replying(&[refusal()]);
        let (lease, owner) = lease(&service);
        assert!(!lease.take(&owner, now(), now()).await.unwrap());
        assert!(!lease.renew(&owner, now()).await.unwrap());
        lease.release(&owner).await.unwrap();
        let conditions: Vec<Value> =
            service.received().iter().map(|request| request.json()["ConditionExpression"].clone()).collect();
        assert_eq!(conditions[1..], ["holder = :holder", "holder = :holder"]);
    }

    #[tokio::test]
    async fn a_table_that_does_not_answer_is_an_error_and_no_refusal() {
        let failure = Reply::json(500, &json!({"__type": "InternalServerError", "message": "we are sorry"}));
        let service = TestService::replying(&[failure]);
        let (lease, owner) = lease(&service);
        let error = lease.take(&owner, now(), now()).await.unwrap_err().to_string();
        assert!(error.contains("dynamodb PutItem failed: InternalServerError"), "{error}");
        assert!(lease.renew(&owner, now()).await.is_err());
        assert!(lease.release(&owner).await.is_err());
    }
}
