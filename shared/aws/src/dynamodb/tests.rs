use std::collections::BTreeMap;

use intake_pipeline::ledger::entity::{Arrival, Change, ContentRegister, EntityChange, ExistenceRegister};
use intake_pipeline::ledger::{
    AliasEntry, EnvelopeData, EventData, EventEntry, Occurrence, Outcome, OutcomeCounts, ProgressEntry,
    QuarantineEntry, QuarantinedContent, Release, TimeIndex,
};
use intake_pipeline::payloads::PayloadKey;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::{EntityReference, EntityState};
use intake_providers::event::{CloudEvent, EventIndex};
use serde_json::{Value, json};

use super::*;
use crate::test_service::{CONTENTION, Received, Reply, TestService};

mod reads;

const STRANGE: &str = "\0 \u{7f} \u{feff} \u{fffe} \u{1f980} \" \\ ' {} \r\n é";

fn now() -> Timestamp {
    Timestamp::from_unix_milliseconds(1_795_257_000_050).unwrap()
}

fn time_index() -> TimeIndex {
    TimeIndex {
        time_bucket: "machnet#2026-11-21T10#3".to_owned(),
        time_order: "2026-11-21T10:30:00.050Z#id#00000".to_owned(),
    }
}

fn occurrence() -> Occurrence {
    Occurrence { delivery_id: DeliveryId::new(now(), [7; 10]), index: EventIndex(u32::MAX) }
}

fn bare_event(data: EventData) -> EventEntry {
    EventEntry {
        outcome: Outcome::Stored,
        provider: ProviderName::Machnet,
        account: AccountName::new("main").unwrap(),
        cloud_event: CloudEvent {
            id: "e1".to_owned(),
            source: "/webhooks/machnet/main".to_owned(),
            event_type: "machnet.changed".to_owned(),
            subject: None,
            time: None,
            datacontenttype: "application/json".to_owned(),
        },
        data,
        envelope: None,
        digest: Sha256Digest::of(b"content"),
        occurrence: occurrence(),
        received_at: now(),
        key_fingerprint: "0a1b2c3d".to_owned(),
        attributes: BTreeMap::new(),
        repeat_of: None,
        alias: None,
        same_job_as: None,
        entity: None,
        time_index: time_index(),
    }
}

fn full_event(data: EventData) -> EventEntry {
    EventEntry {
        outcome: Outcome::Repeat,
        cloud_event: CloudEvent {
            id: STRANGE.to_owned(),
            subject: Some(String::new()),
            time: Some("2026-11-21T10:30:00Z".to_owned()),
            ..bare_event(data.clone()).cloud_event
        },
        attributes: BTreeMap::from([
            (STRANGE.to_owned(), String::new()),
            ("kind".to_owned(), "of its own".to_owned()),
            ("number".to_owned(), "12345678901234567890123456789012345678901234567890".to_owned()),
        ]),
        alias: Some("machnet#2".to_owned()),
        repeat_of: Some(STRANGE.to_owned()),
        same_job_as: Some("e0".to_owned()),
        entity: Some(EntityChange {
            entity: reference(STRANGE),
            state: EntityState::Current,
            change: Change::Revived,
            version: u64::MAX,
            merged_into: Some(reference("2")),
            content: Some(inline("{}")),
        }),
        envelope: Some(EnvelopeData::Inline { envelope: STRANGE.to_owned() }),
        ..bare_event(data)
    }
}

fn reference(id: &str) -> EntityReference {
    EntityReference {
        account: AccountName::new("main").unwrap(),
        component: "agent".to_owned(),
        organisation: "o".to_owned(),
        business_id: "b".to_owned(),
        id: id.to_owned(),
    }
}

fn bare_entity(version: u64) -> EntityEntry {
    EntityEntry {
        provider: ProviderName::NurtureCloud,
        entity: reference(STRANGE),
        component_and_id: format!("agent#{STRANGE}"),
        version,
        deleted: false,
        content: None,
        existence: None,
    }
}

fn full_entity(data: EventData) -> EntityEntry {
    let arrival = Arrival { received_at: now(), delivery_id: DeliveryId::new(now(), [7; 10]), index: EventIndex(2) };
    EntityEntry {
        deleted: true,
        content: Some(ContentRegister {
            arrival,
            state: EntityState::Updated,
            digest: Sha256Digest::of(b"content"),
            data,
            told_by: "e1".to_owned(),
        }),
        existence: Some(ExistenceRegister {
            arrival,
            state: EntityState::Deleted,
            digest: Sha256Digest::of(b"deletion"),
            merged_into: Some(reference("2")),
            told_by: "e2".to_owned(),
        }),
        ..bare_entity(u64::MAX)
    }
}

fn alias() -> AliasEntry {
    AliasEntry {
        provider: ProviderName::Machnet,
        owner: "machnet#00ff".to_owned(),
        owner_id: STRANGE.to_owned(),
        expires_at: 1_795_300_200,
    }
}

fn inline(data: &str) -> EventData {
    EventData::Inline { data: data.to_owned() }
}

fn in_store() -> EventData {
    EventData::Payload { data_key: PayloadKey::new("events/machnet/00/ff".to_owned()), data_size_bytes: u64::MAX }
}

fn progress() -> ProgressEntry {
    ProgressEntry {
        provider: ProviderName::Sterling,
        delivery_id: occurrence().delivery_id,
        events: u32::MAX,
        next_index: EventIndex(7),
        outcomes: OutcomeCounts { stored: 6, duplicate: 1, ..OutcomeCounts::default() },
        expires_at: i64::MAX,
    }
}

fn every_kind() -> Vec<Entry> {
    let quarantine = QuarantineEntry {
        outcome: Outcome::Quarantined,
        provider: ProviderName::Accredit,
        reason: STRANGE.to_owned(),
        content: QuarantinedContent::Kept {
            document: json!({"version": 1, "body": {"text": STRANGE}}).to_string(),
            data: Some(STRANGE.to_owned()),
        },
        occurrence: occurrence(),
        received_at: now(),
        quarantined_again_at: Some(now()),
        released: Some(Release { at: now(), outcome: Outcome::Stored }),
        time_index: time_index(),
    };
    vec![
        Entry::Event(Box::new(bare_event(inline("{}")))),
        Entry::Event(Box::new(bare_event(inline("")))),
        Entry::Event(Box::new(full_event(inline(STRANGE)))),
        Entry::Event(Box::new(bare_event(in_store()))),
        Entry::Event(Box::new(bare_event(EventData::Elsewhere { same_data_as: STRANGE.to_owned() }))),
        Entry::Event(Box::new(EventEntry {
            envelope: Some(EnvelopeData::Payload {
                envelope_key: PayloadKey::new("events/sterling/envelopes/ff".to_owned()),
                envelope_size_bytes: u64::MAX,
            }),
            ..bare_event(inline("{}"))
        })),
        Entry::Conflict(Box::new(full_event(in_store()))),
        Entry::Conflict(Box::new(bare_event(inline("[1.0, 1e400]")))),
        Entry::Alias(alias()),
        Entry::Hint(AliasEntry { expires_at: i64::MIN, ..alias() }),
        Entry::Quarantine(Box::new(QuarantineEntry {
            content: QuarantinedContent::Kept { document: STRANGE.to_owned(), data: None },
            quarantined_again_at: None,
            released: None,
            ..quarantine.clone()
        })),
        Entry::Event(Box::new(bare_event(EventData::Erased { erased_at: now() }))),
        Entry::Entity(Box::new(full_entity(EventData::Erased { erased_at: now() }))),
        Entry::Quarantine(Box::new(QuarantineEntry {
            content: QuarantinedContent::Erased { erased_at: now() },
            ..quarantine.clone()
        })),
        Entry::Quarantine(Box::new(quarantine)),
        Entry::Progress(progress()),
        Entry::Entity(Box::new(bare_entity(1))),
        Entry::Entity(Box::new(full_entity(inline(STRANGE)))),
        Entry::Entity(Box::new(full_entity(in_store()))),
    ]
}

fn key(partition: &str, sort: &str) -> EntryKey {
    EntryKey { partition: partition.to_owned(), sort: sort.to_owned() }
}

/// An event with an alias and a hint.
fn three_puts() -> [ConditionalPut; 3] {
    let put = |key, entry, condition| ConditionalPut { key, entry, condition };
    [
        put(key("machnet#1", "event"), Entry::Event(Box::new(bare_event(inline("{}")))), Condition::Absent),
        put(key("machnet#2", "alias"), Entry::Alias(alias()), Condition::Claimable("machnet#1".to_owned())),
        put(key("machnet#3", "hint"), Entry::Hint(alias()), Condition::Claimable("machnet#1".to_owned())),
    ]
}

/// The item as DynamoDB's JSON has it.
fn wire_item(put: &ConditionalPut) -> Value {
    fn wire(value: &AttributeValue) -> Value {
        match value {
            AttributeValue::S(text) => json!({"S": text}),
            AttributeValue::N(number) => json!({"N": number}),
            AttributeValue::M(members) => {
                json!({"M": members.iter().map(|(name, value)| (name.clone(), wire(value))).collect::<serde_json::Map<_, _>>()})
            }
            AttributeValue::Bool(truth) => json!({"BOOL": truth}),
            other => panic!("{other:?} is not written"),
        }
    }
    to_item(put, PUT_ITEM).unwrap().iter().map(|(name, value)| (name.clone(), wire(value))).collect()
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

fn cancelled(reasons: &Value) -> Reply {
    Reply::json(
        400,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
            "CancellationReasons": reasons,
        }),
    )
}

fn conflict() -> Value {
    json!({"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"})
}

fn check_failed(put: &ConditionalPut) -> Value {
    json!({"Code": "ConditionalCheckFailed", "Item": wire_item(put), "Message": "The conditional request failed"})
}

fn done() -> Reply {
    Reply::json(200, &json!({}))
}

async fn put(service: &TestService, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
    service.clients().ledger("events".to_owned(), "entities".to_owned()).put(now(), puts).await
}

fn only(received: Vec<Received>) -> Value {
    let [request] = &received[..] else { panic!("one request was expected, not {}", received.len()) };
    request.json()
}

#[test]
fn every_kind_of_entry_is_read_back_as_it_was_written() {
    for entry in every_kind() {
        let put = ConditionalPut { key: key("p", "s"), entry, condition: Condition::Absent };
        let item = to_item(&put, PUT_ITEM).unwrap();
        assert_eq!(item.get("pk"), Some(&AttributeValue::S("p".to_owned())));
        assert_eq!(item.get("sk"), Some(&AttributeValue::S("s".to_owned())));
        assert_eq!(to_entry(Some(&item), &put.key, PUT_ITEM).unwrap(), put.entry);
    }
}

#[test]
fn attributes_of_the_indexes_and_the_time_to_live_have_the_required_form() {
    let [event, alias, _] = three_puts();
    let event = to_item(&event, PUT_ITEM).unwrap();
    assert_eq!(event.get("time_bucket"), Some(&AttributeValue::S(time_index().time_bucket)));
    assert_eq!(event.get("time_order"), Some(&AttributeValue::S(time_index().time_order)));
    assert_eq!(event.get("index"), Some(&AttributeValue::N(u32::MAX.to_string())));
    assert_eq!(event.get("kind"), Some(&AttributeValue::S("event".to_owned())));
    assert_eq!(event.get("expires_at"), None);
    let alias = to_item(&alias, PUT_ITEM).unwrap();
    assert_eq!(alias.get("expires_at"), Some(&AttributeValue::N("1795300200".to_owned())));
    assert_eq!(alias.get("time_bucket"), None);
}

#[tokio::test]
async fn one_entry_is_put_under_its_condition() {
    let service = TestService::replying(&[done()]);
    let [event, ..] = three_puts();
    assert_eq!(put(&service, std::slice::from_ref(&event)).await.unwrap(), PutOutcome::Done);
    assert_eq!(
        only(service.received()),
        json!({
            "TableName": "events",
            "Item": wire_item(&event),
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    );
}

#[tokio::test]
async fn several_entries_are_put_in_one_transaction_each_under_its_condition() {
    let service = TestService::replying(&[done()]);
    let puts = three_puts();
    assert_eq!(put(&service, &puts).await.unwrap(), PutOutcome::Done);
    let request = only(service.received());
    let items = request.get("TransactItems").unwrap().as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(
        items[1],
        json!({"Put": {
            "TableName": "events",
            "Item": wire_item(&puts[1]),
            "ConditionExpression": "attribute_not_exists(pk) OR expires_at <= :now OR #owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":now": {"N": "1795257000"}, ":owner": {"S": "machnet#1"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }})
    );
}

#[tokio::test]
async fn an_empty_list_of_puts_makes_no_call() {
    let service = TestService::replying(&[done()]);
    assert_eq!(put(&service, &[]).await.unwrap(), PutOutcome::Done);
    assert!(service.received().is_empty());
}

#[tokio::test]
async fn a_failed_condition_returns_the_existing_entry() {
    let [event, ..] = three_puts();
    let first = ConditionalPut { entry: Entry::Event(Box::new(full_event(in_store()))), ..event.clone() };
    let service = TestService::replying(&[refused(&wire_item(&first))]);
    assert_eq!(put(&service, &[event]).await.unwrap(), PutOutcome::ConditionFailed(vec![Some(first.entry)]));
    assert_eq!(service.received().len(), 1);
}

#[tokio::test]
async fn a_cancelled_transaction_returns_the_existing_entries_by_position() {
    let puts = three_puts();
    let reasons = json!([{"Code": "None"}, check_failed(&puts[1]), {"Code": "None"}]);
    let service = TestService::replying(&[cancelled(&reasons)]);
    let refused = PutOutcome::ConditionFailed(vec![None, Some(puts[1].entry.clone()), None]);
    assert_eq!(put(&service, &puts).await.unwrap(), refused);
    assert_eq!(service.received().len(), 1);
}

#[tokio::test]
async fn a_transaction_that_met_another_writer_is_retried() {
    let puts = three_puts();
    let reasons = json!([conflict(), {"Code": "None"}, {"Code": "None"}]);
    let throttled = json!([{"Code": "None"}, {"Code": "ThrottlingError"}, {"Code": "ProvisionedThroughputExceeded"}]);
    let service = TestService::replying(&[cancelled(&reasons), cancelled(&throttled), done()]);
    assert_eq!(put(&service, &puts).await.unwrap(), PutOutcome::Done);
    assert_eq!(service.received().len(), 3);
}

#[tokio::test]
async fn each_attempt_of_a_transaction_has_its_own_token() {
    let reasons = json!([conflict(), {"Code": "None"}, {"Code": "None"}]);
    let service = TestService::replying(&[cancelled(&reasons), done()]);
    put(&service, &three_puts()).await.unwrap();
    let tokens: Vec<Value> =
        service.received().iter().map(|request| request.json()["ClientRequestToken"].clone()).collect();
    assert_ne!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_single_put_that_met_a_transaction_is_retried() {
    let [event, ..] = three_puts();
    let conflict =
        json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException", "message": "busy"});
    let service = TestService::replying(&[Reply::json(400, &conflict), done()]);
    assert_eq!(put(&service, &[event]).await.unwrap(), PutOutcome::Done);
    assert_eq!(service.received().len(), 2);
}

#[tokio::test]
async fn a_failure_that_leaves_an_item_open_is_retried_until_it_accounts_for_all() {
    let puts = three_puts();
    let partly = json!([conflict(), check_failed(&puts[1]), {"Code": "None"}]);
    let wholly = json!([check_failed(&puts[0]), check_failed(&puts[1]), {"Code": "None"}]);
    let service = TestService::replying(&[cancelled(&partly), cancelled(&wholly)]);
    let refused = PutOutcome::ConditionFailed(vec![Some(puts[0].entry.clone()), Some(puts[1].entry.clone()), None]);
    assert_eq!(put(&service, &puts).await.unwrap(), refused);
}

#[tokio::test]
async fn a_lasting_conflict_is_an_error_that_names_its_cause() {
    let reasons = json!([conflict(), {"Code": "None"}, {"Code": "None"}]);
    let service = TestService::replying(&[cancelled(&reasons)]);
    let error = put(&service, &three_puts()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "dynamodb TransactWriteItems failed: other writers or the table's limits were in the way of 4 attempts, \
         last: TransactionConflict, None, None"
    );
    assert_eq!(service.received().len(), usize::try_from(CONTENTION.attempts).unwrap());
}

#[tokio::test]
async fn a_transaction_that_the_table_rejects_is_not_retried() {
    let reasons = json!([
        {"Code": "ValidationError", "Message": "Item size has exceeded the maximum allowed size"},
        conflict(),
        {"Code": "None"},
    ]);
    let service = TestService::replying(&[cancelled(&reasons)]);
    let error = put(&service, &three_puts()).await.unwrap_err().to_string();
    assert!(error.contains("cancelled: ValidationError: Item size has exceeded the maximum allowed size"), "{error}");
    assert_eq!(service.received().len(), 1);
}

#[tokio::test]
async fn a_failed_condition_without_the_existing_item_is_an_error() {
    let [event, ..] = three_puts();
    let service = TestService::replying(&[refused(&Value::Null)]);
    let error = put(&service, &[event]).await.unwrap_err().to_string();
    assert!(error.contains("the put at machnet#1 event was refused without the item in its way"), "{error}");
}

#[tokio::test]
async fn an_item_that_is_not_an_entry_is_an_error_that_does_not_quote_it() {
    let [event, ..] = three_puts();
    let service = TestService::replying(&[refused(&json!({"pk": {"S": "machnet#1"}, "kind": {"S": "nobody else"}}))]);
    let error = put(&service, &[event]).await.unwrap_err().to_string();
    assert!(error.contains("the item at machnet#1 event is not an entry that this version knows"), "{error}");
    assert!(!error.contains("nobody else"), "{error}");
}

#[tokio::test]
async fn a_failure_of_the_service_is_retried_with_the_same_token() {
    let failure = Reply::json(500, &json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}));
    let service = TestService::replying(&[failure, done()]);
    put(&service, &three_puts()).await.unwrap();
    let tokens: Vec<Value> =
        service.received().iter().map(|request| request.json()["ClientRequestToken"].clone()).collect();
    assert!(tokens[0].is_string());
    assert_eq!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_missing_table_is_an_error_that_names_it() {
    let missing = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "message": "Requested resource not found",
    });
    let error =
        put(&TestService::replying(&[Reply::json(400, &missing)]), &three_puts()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "dynamodb TransactWriteItems failed: ResourceNotFoundException: Requested resource not found (HTTP status 400)"
    );
}

/// As the recording of an entity's event puts them.
fn an_event_and_its_entity(condition: Condition) -> [ConditionalPut; 2] {
    let event = Entry::Event(Box::new(full_event(inline("{}"))));
    let entity = Entry::Entity(Box::new(bare_entity(8)));
    [
        ConditionalPut { key: key("nurturecloud#1", "event#1"), entry: event, condition: Condition::Absent },
        ConditionalPut { key: key("nurturecloud#1", "entity"), entry: entity, condition },
    ]
}

#[tokio::test]
async fn an_event_and_its_entity_go_to_their_tables_in_one_transaction_under_the_entity_s_version() {
    let service = TestService::replying(&[done()]);
    assert_eq!(put(&service, &an_event_and_its_entity(Condition::Version(7))).await.unwrap(), PutOutcome::Done);
    let request = only(service.received());
    let [event, entity] = [0, 1].map(|index| request["TransactItems"][index]["Put"].clone());
    assert_eq!((&event["TableName"], &entity["TableName"]), (&json!("events"), &json!("entities")));
    assert_eq!(entity["ConditionExpression"], "version = :version");
    assert_eq!(entity["ExpressionAttributeValues"], json!({":version": {"N": "7"}}));
    assert_eq!(entity["Item"]["version"], json!({"N": "8"}));
    assert_eq!(entity["Item"]["business_id"], json!({"S": "b"}));
    assert_eq!(event["Item"]["entity"]["M"]["change"], json!({"S": "revived"}));
}

#[tokio::test]
async fn an_entity_that_was_updated_meanwhile_is_returned() {
    let newer = ConditionalPut {
        key: key("nurturecloud#1", "entity"),
        entry: Entry::Entity(Box::new(bare_entity(9))),
        condition: Condition::Absent,
    };
    let reply = cancelled(&json!([{"Code": "None"}, check_failed(&newer)]));
    let service = TestService::replying(&[reply]);
    let written = put(&service, &an_event_and_its_entity(Condition::Version(7))).await.unwrap();
    assert_eq!(written, PutOutcome::ConditionFailed(vec![None, Some(newer.entry)]));
}

#[tokio::test]
async fn an_entity_is_read_as_it_is_now() {
    let there = ConditionalPut {
        key: key("nurturecloud#1", "entity"),
        entry: Entry::Entity(Box::new(full_entity(inline("{}")))),
        condition: Condition::Absent,
    };
    let service = TestService::replying(&[
        Reply::json(200, &json!({"Item": wire_item(&there)})),
        Reply::json(200, &json!({})),
        Reply::json(200, &json!({"Item": {"kind": {"S": "something newer"}}})),
    ]);
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    assert_eq!(ledger.entity(&there.key).await.unwrap(), Some(full_entity(inline("{}"))));
    assert_eq!(ledger.entity(&there.key).await.unwrap(), None);
    let error = ledger.entity(&there.key).await.unwrap_err().to_string();
    assert!(error.contains("not an entry that this version knows"), "{error}");
    let request = service.received()[0].json();
    assert_eq!(request["TableName"], "entities");
    assert_eq!(request["ConsistentRead"], true);
    assert_eq!(request["Key"], json!({"pk": {"S": "nurturecloud#1"}, "sk": {"S": "entity"}}));
}

#[tokio::test]
async fn an_entry_is_found_in_the_events_table_by_a_read_that_may_be_a_little_old() {
    let put = ConditionalPut {
        key: key("progress#1", "progress"),
        entry: Entry::Progress(progress()),
        condition: Condition::Always,
    };
    let service =
        TestService::replying(&[Reply::json(200, &json!({"Item": wire_item(&put)})), Reply::json(200, &json!({}))]);
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    assert_eq!(ledger.find(&put.key).await.unwrap(), Some(put.entry.clone()));
    assert_eq!(ledger.find(&put.key).await.unwrap(), None);
    let request = service.received()[0].json();
    assert_eq!((&request["TableName"], &request["ConsistentRead"]), (&json!("events"), &json!(false)));
}

#[tokio::test]
async fn an_unconditional_put_has_no_condition() {
    let service = TestService::replying(&[done()]);
    let entry = Entry::Progress(progress());
    let progress = ConditionalPut { key: key("progress#1", "progress"), entry, condition: Condition::Always };
    assert_eq!(put(&service, &[progress]).await.unwrap(), PutOutcome::Done);
    let request = only(service.received());
    assert_eq!(request["ConditionExpression"], Value::Null);
    assert_eq!(request["Item"]["next_index"], json!({"N": "7"}));
}

/// The names of the members of an entry as it is stored, in alphabetical order.
fn stored_names(entry: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(entry).unwrap();
    let mut names: Vec<&String> = value.as_object().unwrap().keys().collect();
    names.sort();
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn attributes_keep_their_stored_names() {
    assert_eq!(
        stored_names(&full_event(inline("{}"))),
        "account alias attributes data datacontenttype delivery_id digest entity envelope id index key_fingerprint outcome provider \
         received_at repeat_of same_job_as source subject time time_bucket time_order type"
    );
    let entity = full_entity(inline("{}"));
    assert_eq!(
        stored_names(&entity),
        "account business_id component component_and_id content deleted id life organisation provider version"
    );
    assert_eq!(stored_names(&entity.content.unwrap()), "data delivery_id digest index received_at state told_by");
    assert_eq!(
        stored_names(&entity.existence.unwrap()),
        "delivery_id digest index merged_into received_at state told_by"
    );
}

/// A write that DynamoDB refuses because of this limit.
fn throttled(limit: &str, resource: &str) -> Reply {
    let resource = format!("arn:aws:dynamodb:eu-west-1:111122223333:table/{resource}");
    Reply::json(
        400,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException",
            "message": "Throughput exceeds the current throughput limit for your table or index",
            "throttlingReasons": [{"reason": limit, "resource": resource}],
        }),
    )
}

fn hot_index() -> Reply {
    throttled("IndexWriteKeyRangeThroughputExceeded", "events/index/by_time")
}

fn buckets(service: &TestService) -> Vec<String> {
    let item = |request: &Received| request.json()["Item"]["time_bucket"]["S"].as_str().unwrap().to_owned();
    service.received().iter().map(item).collect()
}

fn shard(bucket: &str) -> u8 {
    bucket.strip_prefix("machnet#2026-11-21T10#").unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_hour_whose_index_is_hot_is_noted_as_widened_before_it_is_written_in_more_shards() {
    let service = TestService::replying(&[hot_index(), done()]);
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let [event, ..] = three_puts();
    for number in 0..2_000 {
        let put = ConditionalPut { key: key(&format!("machnet#{number}"), "event"), ..event.clone() };
        assert_eq!(ledger.put(now(), &[put]).await.unwrap(), PutOutcome::Done);
    }
    let buckets = buckets(&service);
    assert_eq!((buckets[0].as_str(), buckets[1].as_str()), (time_index().time_bucket.as_str(), "time-shards"));
    let shards: Vec<u8> = buckets[2..].iter().map(|bucket| shard(bucket)).collect();
    assert_eq!(shards.len(), 2_000);
    let different: std::collections::BTreeSet<u8> = shards.into_iter().collect();
    assert_eq!(different, (0..64).collect());
    let note = service.received()[1].json();
    assert_eq!(
        (&note["TableName"], &note["ConditionExpression"], &note["Item"]),
        (
            &json!("events"),
            &json!("attribute_not_exists(pk)"),
            &json!({
                "pk": {"S": "time-shards#machnet#2026-11-21T10"}, "sk": {"S": "time-shards"}, "kind": {"S": "time-shards"},
                "time_bucket": {"S": "time-shards"}, "time_order": {"S": "2026-11-21T10#machnet#2026-11-21T10#64"},
            })
        )
    );
}

#[tokio::test]
async fn another_hour_and_another_provider_are_not_widened() {
    let service = TestService::replying(&[hot_index(), done()]);
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let [event, ..] = three_puts();
    ledger.put(now(), std::slice::from_ref(&event)).await.unwrap();
    for bucket in ["machnet#2026-11-21T11#3", "sterling#2026-11-21T10#3"] {
        let mut other = bare_event(inline("{}"));
        other.time_index.time_bucket = bucket.to_owned();
        let put = ConditionalPut { entry: Entry::Event(Box::new(other)), ..event.clone() };
        ledger.put(now(), &[put]).await.unwrap();
        assert_eq!(buckets(&service).last().map(String::as_str), Some(bucket));
    }
}

#[tokio::test]
async fn an_hour_that_another_function_has_widened_is_widened_here_as_well() {
    let noted = refused(&json!({"pk": {"S": "time-shards#machnet#2026-11-21T10"}}));
    let service = TestService::replying(&[hot_index(), noted, done()]);
    let [event, ..] = three_puts();
    assert_eq!(put(&service, &[event]).await.unwrap(), PutOutcome::Done);
    assert_eq!(buckets(&service).len(), 3);
}

#[tokio::test]
async fn an_hour_that_cannot_be_noted_is_not_written_in_more_shards() {
    let failure = Reply::json(400, &json!({"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException"}));
    let service = TestService::replying(&[hot_index(), failure, done()]);
    let [event, ..] = three_puts();
    assert_eq!(put(&service, &[event]).await.unwrap(), PutOutcome::Done);
    let base = time_index().time_bucket;
    assert_eq!(buckets(&service), [base.as_str(), "time-shards", base.as_str()]);
}

#[tokio::test]
async fn a_throttled_table_widens_no_hour_and_the_error_says_what_was_exceeded() {
    let service = TestService::replying(&[throttled("TableWriteKeyRangeThroughputExceeded", "events")]);
    let [event, ..] = three_puts();
    let error = put(&service, &[event]).await.unwrap_err().to_string();
    assert!(error.ends_with("; throttled by TableWriteKeyRangeThroughputExceeded at events"), "{error}");
    assert!(!error.contains("111122223333"), "{error}");
    assert!(buckets(&service).iter().all(|bucket| *bucket == time_index().time_bucket));
}

#[tokio::test]
async fn an_index_that_stays_hot_is_an_error_that_says_so() {
    let service = TestService::replying(&[hot_index()]);
    let [event, ..] = three_puts();
    let error = put(&service, &[event]).await.unwrap_err().to_string();
    assert!(error.ends_with("last: IndexWriteKeyRangeThroughputExceeded at events/index/by_time"), "{error}");
}

#[tokio::test]
async fn a_transaction_that_is_throttled_widens_the_hour_of_its_event() {
    let reasons = json!([{"Code": "ThrottlingError"}, {"Code": "None"}]);
    let service = TestService::replying(&[cancelled(&reasons), done()]);
    let puts = an_event_and_its_entity(Condition::Version(7));
    assert_eq!(put(&service, &puts).await.unwrap(), PutOutcome::Done);
    let [first, note, second] = &service.received()[..] else { panic!("three requests were expected") };
    let bucket = |request: &Received| request.json()["TransactItems"][0]["Put"]["Item"]["time_bucket"].clone();
    assert_eq!(bucket(first), json!({"S": time_index().time_bucket}));
    assert_eq!(note.json()["Item"]["time_bucket"], json!({"S": "time-shards"}));
    assert!(shard(bucket(second)["S"].as_str().unwrap()) < 64);
    assert!(second.json()["TransactItems"][1]["Put"]["Item"].get("time_bucket").is_none());
}
