//! The drain's lease on DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use intake_pipeline::lease::pause::{Pause, RefusedMessage};
use intake_pipeline::lease::{Lease, LeaseOwner, Taken};
use intake_pipeline::port_error::PortError;
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use crate::port_error::port_error;

const UPDATE_ITEM: &str = "dynamodb UpdateItem";
const DELETE_ITEM: &str = "dynamodb DeleteItem";

/// The lease is free, expired or ours, and no pause is active.
const IS_FREE: &str = "(attribute_not_exists(holder) OR expires_at <= :now OR holder = :holder) \
                       AND (attribute_not_exists(paused_until) OR paused_until <= :now)";

type Item = HashMap<String, AttributeValue>;

/// One item of the events table, at a key that no event uses: `lease#` and the provider's name.
///
/// Its `expires_at` is also the table's time to live, so DynamoDB removes an old lease. That may take days, so the
/// conditions check `expires_at` as well. An item with only a pause has no `expires_at`, and stays until a
/// run succeeds.
#[derive(Clone, Debug)]
pub struct DynamoLease {
    client: Client,
    table: String,
    key: String,
}

/// Result of an update.
enum Updated {
    /// The item as it is now.
    Yes(Item),
    /// The existing item that the condition failed on, if the answer has it.
    Refused(Item),
}

impl DynamoLease {
    pub(crate) fn new(client: Client, table: String, provider: ProviderName) -> Self {
        Self { client, table, key: format!("lease#{provider}") }
    }

    fn key(&self) -> Item {
        [("pk", self.key.as_str()), ("sk", "lease")].map(|(name, value)| (name.to_owned(), text(value))).into()
    }

    async fn update(&self, update: &str, condition: &str, values: Item) -> Result<Updated, PortError> {
        let updated = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(self.key()))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match updated {
            Ok(updated) => Ok(Updated::Yes(updated.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(Updated::Refused(refused.item.clone().unwrap_or_default()))
                }
                _ => Err(port_error(UPDATE_ITEM, &error)),
            },
        }
    }

    /// Writes a pause and removes attributes, if the lease is still ours. Returns whether it was.
    async fn put_pause(&self, owner: &LeaseOwner, pause: &Pause, remove: &[&str]) -> Result<bool, PortError> {
        let mut values = Item::from([
            holder(owner),
            value(":paused_until", seconds(pause.until)),
            value(":failed_runs", AttributeValue::N(pause.failed_runs.to_string())),
            value(":pause_reason", text(pause.reason.as_str())),
        ]);
        let mut set =
            "SET paused_until = :paused_until, failed_runs = :failed_runs, pause_reason = :pause_reason".to_owned();
        let mut remove = remove.to_vec();
        match &pause.refused {
            Some(refused) => {
                values.extend([value(":refused_document", text(refused.as_str()))]);
                set.push_str(", refused_document = :refused_document");
            }
            None => remove.push("refused_document"),
        }
        if !remove.is_empty() {
            set = format!("{set} REMOVE {}", remove.join(", "));
        }
        Ok(matches!(self.update(&set, "holder = :holder", values).await?, Updated::Yes(_)))
    }
}

impl Lease for DynamoLease {
    /// If a take takes effect and its answer is lost, the SDK retries it, and the retry finds us as the holder.
    async fn take(&self, owner: &LeaseOwner, now: Timestamp, expires_at: Timestamp) -> Result<Taken, PortError> {
        let values = [holder(owner), value(":now", seconds(now)), value(":expires_at", seconds(expires_at))].into();
        let update = "SET holder = :holder, expires_at = :expires_at";
        Ok(match self.update(update, IS_FREE, values).await? {
            Updated::Yes(item) => Taken::Ours(pause(&item)),
            Updated::Refused(item) => match pause(&item) {
                Some(pause) if pause.until > now && !is_held(&item, now) => Taken::Paused(pause),
                _ => Taken::HeldByAnother,
            },
        })
    }

    async fn renew(&self, owner: &LeaseOwner, expires_at: Timestamp) -> Result<bool, PortError> {
        let values = [holder(owner), value(":expires_at", seconds(expires_at))].into();
        let renewed = self.update("SET expires_at = :expires_at", "holder = :holder", values).await?;
        Ok(matches!(renewed, Updated::Yes(_)))
    }

    async fn replace_pause(&self, owner: &LeaseOwner, pause: &Pause) -> Result<bool, PortError> {
        self.put_pause(owner, pause, &[]).await
    }

    async fn release(&self, owner: &LeaseOwner, pause: Option<&Pause>) -> Result<(), PortError> {
        if let Some(pause) = pause {
            return self.put_pause(owner, pause, &["holder", "expires_at"]).await.map(|_| ());
        }
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(self.key()))
            .condition_expression("holder = :holder")
            .set_expression_attribute_values(Some(Item::from([holder(owner)])))
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

/// The pause of an item. Operators lift a pause by removing `paused_until`, so without it there is none.
fn pause(item: &Item) -> Option<Pause> {
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse::<i64>().ok();
    let text = |name: &str| item.get(name)?.as_s().ok();
    let until = number("paused_until").and_then(|seconds| seconds.checked_mul(1_000)).unwrap_or(0);
    Some(Pause {
        until: Timestamp::from_unix_milliseconds(until).unwrap_or(Timestamp::EPOCH),
        failed_runs: number("failed_runs").and_then(|count| count.try_into().ok())?,
        reason: text("pause_reason").and_then(|reason| reason.parse().ok())?,
        refused: text("refused_document").map(|document| RefusedMessage::stored(document.clone())),
    })
}

fn is_held(item: &Item, now: Timestamp) -> bool {
    let expires_at = item.get("expires_at").and_then(|seconds| seconds.as_n().ok()?.parse::<i64>().ok());
    item.contains_key("holder") && expires_at.is_some_and(|expires_at| expires_at > now.unix_seconds())
}

fn holder(owner: &LeaseOwner) -> (String, AttributeValue) {
    value(":holder", text(&owner.0))
}

fn value(name: &str, value: AttributeValue) -> (String, AttributeValue) {
    (name.to_owned(), value)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn seconds(instant: Timestamp) -> AttributeValue {
    AttributeValue::N(instant.unix_seconds().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use intake_pipeline::lease::pause::PauseReason;
    use serde_json::{Value, json};

    use super::*;
    use crate::test_service::{Reply, TestService};

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-21T09:30:00.900Z").unwrap()
    }

    fn lease(service: &TestService) -> (DynamoLease, LeaseOwner) {
        (service.clients().lease("events".to_owned(), ProviderName::NowCerts), LeaseOwner("run-1".to_owned()))
    }

    fn failed_condition(item: &Value) -> Reply {
        let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        Reply::json(400, &json!({"__type": kind, "message": "The conditional request failed", "Item": item}))
    }

    fn a_pause() -> Pause {
        Pause {
            until: Timestamp::parse("2026-11-21T09:34:00Z").unwrap(),
            failed_runs: 3,
            reason: PauseReason::QueueUnavailable,
            refused: Some(RefusedMessage::stored("the document".to_owned())),
        }
    }

    fn stored(pause: &Pause) -> Value {
        json!({
            "pk": {"S": "lease#nowcerts"}, "sk": {"S": "lease"},
            "paused_until": {"N": pause.until.unix_seconds().to_string()}, "failed_runs": {"N": "3"},
            "pause_reason": {"S": "queue-unavailable"}, "refused_document": {"S": "the document"},
        })
    }

    fn only_request(service: &TestService) -> Value {
        let [request] = &service.received()[..] else { panic!("one request was expected") };
        request.json()
    }

    #[tokio::test]
    async fn a_lease_is_taken_if_it_is_free_or_expired_and_no_pause_is_active() {
        let service = TestService::replying(&[Reply::json(200, &json!({}))]);
        let (lease, owner) = lease(&service);
        let taken = lease.take(&owner, now(), now().plus(Duration::from_secs(30))).await.unwrap();
        assert_eq!(taken, Taken::Ours(None));
        assert_eq!(
            only_request(&service),
            json!({
                "TableName": "events",
                "Key": {"pk": {"S": "lease#nowcerts"}, "sk": {"S": "lease"}},
                "UpdateExpression": "SET holder = :holder, expires_at = :expires_at",
                "ConditionExpression": "(attribute_not_exists(holder) OR expires_at <= :now OR holder = :holder) \
                    AND (attribute_not_exists(paused_until) OR paused_until <= :now)",
                "ExpressionAttributeValues": {
                    ":now": {"N": "1795253400"}, ":holder": {"S": "run-1"}, ":expires_at": {"N": "1795253430"},
                },
                "ReturnValues": "ALL_NEW",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        );
    }

    #[tokio::test]
    async fn an_active_pause_is_distinguished_from_a_lease_that_another_holds() {
        let held = json!({"holder": {"S": "run-0"}, "expires_at": {"N": "1795253410"}});
        let paused = stored(&a_pause());
        let mut both = paused.clone();
        both.as_object_mut().unwrap().extend(held.as_object().unwrap().clone());
        let mut killed = both.clone();
        killed["expires_at"] = json!({"N": "1795253399"});
        for (item, expected) in [
            (held, Taken::HeldByAnother),
            (both, Taken::HeldByAnother),
            (paused, Taken::Paused(a_pause())),
            (killed, Taken::Paused(a_pause())),
            (json!(null), Taken::HeldByAnother),
        ] {
            let service = TestService::replying(&[failed_condition(&item)]);
            let (lease, owner) = lease(&service);
            assert_eq!(lease.take(&owner, now(), now()).await.unwrap(), expected, "{item}");
        }
    }

    #[tokio::test]
    async fn an_expired_or_lifted_pause_is_returned_with_the_lease() {
        let mut lifted = stored(&a_pause());
        lifted.as_object_mut().unwrap().remove("paused_until");
        for (item, until) in [(stored(&a_pause()), a_pause().until), (lifted, Timestamp::EPOCH)] {
            let service = TestService::replying(&[Reply::json(200, &json!({"Attributes": item}))]);
            let (lease, owner) = lease(&service);
            let taken = lease.take(&owner, a_pause().until, now()).await.unwrap();
            assert_eq!(taken, Taken::Ours(Some(Pause { until, ..a_pause() })));
        }
    }

    #[tokio::test]
    async fn a_lease_is_released_with_a_pause_or_deleted_without_one() {
        let service = TestService::replying(&[Reply::json(200, &json!({}))]);
        let (lease, owner) = lease(&service);
        lease.release(&owner, Some(&a_pause())).await.unwrap();
        lease.release(&owner, Some(&Pause { refused: None, ..a_pause() })).await.unwrap();
        lease.release(&owner, None).await.unwrap();
        assert!(lease.replace_pause(&owner, &Pause { refused: None, ..a_pause() }).await.unwrap());
        let requests: Vec<Value> = service.received().iter().map(|request| request.json()).collect();
        let [with, without, deleted, replaced] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!(
            with["UpdateExpression"],
            "SET paused_until = :paused_until, failed_runs = :failed_runs, pause_reason = :pause_reason, \
             refused_document = :refused_document REMOVE holder, expires_at"
        );
        assert_eq!(
            with["ExpressionAttributeValues"],
            json!({
                ":holder": {"S": "run-1"}, ":paused_until": {"N": "1795253640"}, ":failed_runs": {"N": "3"},
                ":pause_reason": {"S": "queue-unavailable"}, ":refused_document": {"S": "the document"},
            })
        );
        assert!(without["UpdateExpression"].as_str().unwrap().ends_with("REMOVE holder, expires_at, refused_document"));
        assert!(replaced["UpdateExpression"].as_str().unwrap().ends_with("REMOVE refused_document"), "the lease stays");
        assert_eq!(deleted["UpdateExpression"], Value::Null);
        for request in [with, without, deleted, replaced] {
            assert_eq!(request["ConditionExpression"], "holder = :holder");
        }
    }

    #[tokio::test]
    async fn a_lease_that_another_holds_is_neither_taken_nor_renewed_nor_released() {
        let service = TestService::replying(&[failed_condition(&json!(null))]);
        let (lease, owner) = lease(&service);
        assert_eq!(lease.take(&owner, now(), now()).await.unwrap(), Taken::HeldByAnother);
        assert!(!lease.renew(&owner, now()).await.unwrap());
        lease.release(&owner, None).await.unwrap();
        lease.release(&owner, Some(&a_pause())).await.unwrap();
        assert!(!lease.replace_pause(&owner, &a_pause()).await.unwrap());
        let conditions: Vec<Value> =
            service.received().iter().map(|request| request.json()["ConditionExpression"].clone()).collect();
        assert_eq!(conditions[1..], ["holder = :holder"; 4]);
    }

    #[tokio::test]
    async fn a_table_that_does_not_answer_is_an_error_and_not_a_held_lease() {
        let failure = Reply::json(500, &json!({"__type": "InternalServerError", "message": "we are sorry"}));
        let service = TestService::replying(&[failure]);
        let (lease, owner) = lease(&service);
        let error = lease.take(&owner, now(), now()).await.unwrap_err().to_string();
        assert!(error.contains("dynamodb UpdateItem failed: InternalServerError"), "{error}");
        assert!(lease.renew(&owner, now()).await.is_err());
        assert!(lease.release(&owner, None).await.is_err());
        assert!(lease.release(&owner, Some(&a_pause())).await.is_err());
    }
}
