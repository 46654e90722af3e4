//! The ledger on DynamoDB.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::ledger::{Condition, ConditionalPut, Entry, EntryKey, Ledger, LedgerReader, PutOutcome};
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;

use crate::joined_reads::JoinedReads;
use crate::pauses::Pauses;
use crate::port_error::{message_without_quotations, port_error};
use crate::throttling::hot_index;
use crate::time_shards::{Item, TimeShards, time_bucket};
use crate::timeouts::ContentionBudget;

const PUT_ITEM: &str = "dynamodb PutItem";
const TRANSACT_WRITE_ITEMS: &str = "dynamodb TransactWriteItems";
const GET_ITEM: &str = "dynamodb GetItem";
const BATCH_GET_ITEM: &str = "dynamodb BatchGetItem";

/// Maximum number of keys in a call of `BatchGetItem`.
const MAX_BATCH_KEYS: usize = 100;

// Codes of cancellation reasons.
const NOT_AT_FAULT: &str = "None";
const REFUSED: &str = "ConditionalCheckFailed";
const CONFLICT: &str = "TransactionConflict";
const THROTTLED: [&str; 2] = ["ThrottlingError", "ProvisionedThroughputExceeded"];

/// Two tables of DynamoDB with the string keys `pk` and `sk`: one for entities, and one for everything else.
///
/// Entries that are read at the same time are read by one `BatchGetItem`, a single one by `GetItem`. What that call does not read is read
/// alone.
///
/// One entry is put by `PutItem`, several by `TransactWriteItems`, each under its own condition; a failed
/// condition returns the existing item, so no separate read is needed.
///
/// If a write meets another writer (`TransactionConflict`) or is throttled inside a transaction, the answer says nothing about
/// some of its items, even if the conditions of others failed. It is retried until it succeeds or the answer accounts for every
/// item, because [`PutOutcome::ConditionFailed`] reports for each put whether its condition failed. If that does not happen
/// within the budget, the call fails and the record is redelivered.
///
/// If a write took effect although its answer was lost, the retry fails its condition, and the existing entry is the one that
/// it put.
#[derive(Clone, Debug)]
pub struct DynamoLedger {
    client: Client,
    events_table: String,
    entities_table: String,
    shards: TimeShards,
    contention: ContentionBudget,
    reads: Arc<Reads>,
}

/// What came of reading one entry.
type Found = Result<Option<Entry>, PortError>;

/// The reads under way. Those of a kind share calls.
#[derive(Debug)]
struct Reads {
    events: JoinedReads<EntryKey, Found>,
    entities: JoinedReads<EntryKey, Found>,
}

/// Result of an attempt.
enum Attempt {
    Done(PutOutcome),
    /// Another writer or the table's limits prevented it; it may be retried.
    Contended {
        operation: &'static str,
        reasons: String,
    },
}

impl DynamoLedger {
    pub(crate) fn new(
        config: &SdkConfig,
        events_table: String,
        entities_table: String,
        contention: ContentionBudget,
    ) -> Self {
        let client = TimeShards::client(config);
        let shards = TimeShards::new(client.clone(), events_table.clone());
        let reads =
            Arc::new(Reads { events: JoinedReads::new(MAX_BATCH_KEYS), entities: JoinedReads::new(MAX_BATCH_KEYS) });
        Self { client, events_table, entities_table, shards, contention, reads }
    }

    fn table(&self, entry: &Entry) -> &str {
        match entry {
            Entry::Entity(_) => &self.entities_table,
            _ => &self.events_table,
        }
    }

    /// An entry, read alone.
    async fn get(&self, table: &str, key: &EntryKey, consistent: bool) -> Found {
        let got = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(item_key(key)))
            .consistent_read(consistent)
            .send()
            .await
            .map_err(|error| port_error(GET_ITEM, &error))?;
        got.item().map(|item| to_entry(Some(item), key, GET_ITEM)).transpose()
    }

    /// Entries, each once and in their order. `None` is one for which the answer had no room or the table no capacity.
    async fn get_together(&self, table: &str, keys: Vec<EntryKey>, consistent: bool) -> Vec<Option<Found>> {
        if let [key] = keys.as_slice() {
            return vec![Some(self.get(table, key, consistent).await)];
        }
        match self.batch_get(table, &keys, consistent).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, entries = keys.len(), "entries cannot be read together, so each is read alone");
                Vec::new()
            }
        }
    }

    async fn batch_get(
        &self,
        table: &str,
        keys: &[EntryKey],
        consistent: bool,
    ) -> Result<Vec<Option<Found>>, PortError> {
        // No key may be there twice.
        let unique: HashSet<&EntryKey> = keys.iter().collect();
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(unique.into_iter().map(item_key).collect()))
            .consistent_read(consistent)
            .build()
            .map_err(|error| PortError::new(BATCH_GET_ITEM, &error))?;
        let answer = self
            .client
            .batch_get_item()
            .request_items(table, asked)
            .send()
            .await
            .map_err(|error| port_error(BATCH_GET_ITEM, &error))?;
        let unread = answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|unread| unread.keys);
        let unread: HashSet<EntryKey> = unread.filter_map(|key| key_of(&key)).collect();
        let items = answer.responses.unwrap_or_default().into_values().flatten();
        let items: HashMap<EntryKey, Item> = items.filter_map(|item| Some((key_of(&item)?, item))).collect();
        let found = keys.iter().map(|key| match items.get(key) {
            Some(item) => Some(to_entry(Some(item), key, BATCH_GET_ITEM).map(Some)),
            None if unread.contains(key) => None,
            None => Some(Ok(None)),
        });
        Ok(found.collect())
    }

    async fn put_one(&self, now: Timestamp, put: &ConditionalPut) -> Result<Attempt, PortError> {
        let Expression { text, names, values } = condition(&put.condition, now);
        let mut item = to_item(put, PUT_ITEM)?;
        self.shards.spread(&mut item);
        let bucket = time_bucket(&item).map(str::to_owned);
        let error = match self
            .client
            .put_item()
            .table_name(self.table(&put.entry))
            .set_item(Some(item))
            .set_condition_expression(text)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await
        {
            Ok(_) => return Ok(Attempt::Done(PutOutcome::Done)),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let entry = to_entry(failed.item(), &put.key, PUT_ITEM)?;
                Ok(Attempt::Done(PutOutcome::ConditionFailed(vec![Some(entry)])))
            }
            Some(PutItemError::TransactionConflictException(_)) => {
                Ok(Attempt::Contended { operation: PUT_ITEM, reasons: CONFLICT.to_owned() })
            }
            Some(failed) if let Some(reasons) = hot_index(failed) => {
                if let Some(bucket) = bucket {
                    self.shards.widen(&bucket, &reasons).await;
                }
                Ok(Attempt::Contended { operation: PUT_ITEM, reasons })
            }
            _ => Err(port_error(PUT_ITEM, &error)),
        }
    }

    async fn put_together(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<Attempt, PortError> {
        let mut items = Vec::with_capacity(puts.len());
        let mut buckets = Vec::with_capacity(puts.len());
        for put in puts {
            let Expression { text, names, values } = condition(&put.condition, now);
            let mut item = to_item(put, TRANSACT_WRITE_ITEMS)?;
            self.shards.spread(&mut item);
            buckets.push(time_bucket(&item).map(str::to_owned));
            let put = Put::builder()
                .table_name(self.table(&put.entry))
                .set_item(Some(item))
                .set_condition_expression(text)
                .set_expression_attribute_names(names)
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build()
                .map_err(|error| PortError::new(TRANSACT_WRITE_ITEMS, &error))?;
            items.push(TransactWriteItem::builder().put(put).build());
        }
        let error = match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => return Ok(Attempt::Done(PutOutcome::Done)),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons();
                let attempt = cancellation(puts, reasons)?;
                if let Attempt::Contended { reasons: texts, .. } = &attempt {
                    // A cancelled transaction does not say whether the table or its index was throttled.
                    for (bucket, reason) in buckets.iter().zip(reasons) {
                        if let (Some(bucket), Some(code)) = (bucket, reason.code())
                            && THROTTLED.contains(&code)
                        {
                            self.shards.widen(bucket, texts).await;
                        }
                    }
                }
                Ok(attempt)
            }
            _ => Err(port_error(TRANSACT_WRITE_ITEMS, &error)),
        }
    }
}

impl LedgerReader for DynamoLedger {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        let table = &self.entities_table;
        let together = self.reads.entities.read(key.clone(), |keys| self.get_together(table, keys, true)).await;
        let found = match together {
            Some(found) => found?,
            None => self.get(table, key, true).await?,
        };
        match found {
            None => Ok(None),
            Some(Entry::Entity(entity)) => Ok(Some(*entity)),
            Some(_) => {
                Err(PortError::of(GET_ITEM, format!("the item at {} {} is not an entity", key.partition, key.sort)))
            }
        }
    }

    /// An eventually consistent read, for half the price.
    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        let table = &self.events_table;
        let together = self.reads.events.read(key.clone(), |keys| self.get_together(table, keys, false)).await;
        match together {
            Some(found) => found,
            None => self.get(table, key, false).await,
        }
    }
}

impl Ledger for DynamoLedger {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        let mut pauses = Pauses::new(self.contention);
        loop {
            let attempt = match puts {
                [] => return Ok(PutOutcome::Done),
                [put] => self.put_one(now, put).await?,
                puts => self.put_together(now, puts).await?,
            };
            let (operation, reasons) = match attempt {
                Attempt::Done(written) => return Ok(written),
                Attempt::Contended { operation, reasons } => (operation, reasons),
            };
            if !pauses.next().await {
                return Err(PortError::of(
                    operation,
                    format!(
                        "other writers or the table's limits were in the way of {} attempts, last: {reasons}",
                        pauses.attempts
                    ),
                ));
            }
        }
    }
}

/// Interprets the cancellation reasons of a transaction: one per item, in order; `None` for an item that did not cause it.
fn cancellation(puts: &[ConditionalPut], reasons: &[CancellationReason]) -> Result<Attempt, PortError> {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code().unwrap_or(NOT_AT_FAULT)).collect();
    let is_contended = |code: &&str| *code == CONFLICT || THROTTLED.contains(code);
    let is_known = |code: &&str| *code == NOT_AT_FAULT || *code == REFUSED || is_contended(code);
    let is_all_known = codes.len() == puts.len() && codes.iter().all(is_known);
    if is_all_known && codes.iter().any(is_contended) {
        return Ok(Attempt::Contended { operation: TRANSACT_WRITE_ITEMS, reasons: codes.join(", ") });
    }
    if is_all_known && codes.contains(&REFUSED) {
        let existing = puts.iter().zip(reasons).zip(codes).map(|((put, reason), code)| match code {
            REFUSED => to_entry(reason.item(), &put.key, TRANSACT_WRITE_ITEMS).map(Some),
            _ => Ok(None),
        });
        return Ok(Attempt::Done(PutOutcome::ConditionFailed(existing.collect::<Result<_, _>>()?)));
    }
    let reasons: Vec<String> = reasons.iter().map(cancellation_reason).collect();
    Err(PortError::of(TRANSACT_WRITE_ITEMS, format!("the transaction was cancelled: {}", reasons.join(", "))))
}

fn cancellation_reason(reason: &CancellationReason) -> String {
    let code = reason.code().unwrap_or(NOT_AT_FAULT);
    match reason.message() {
        Some(message) => format!("{code}: {}", message_without_quotations(message)),
        None => code.to_owned(),
    }
}

/// A condition as DynamoDB's expression.
#[derive(Default)]
struct Expression {
    text: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Expression {
    fn of(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    fn with_values<const N: usize>(self, values: [(&str, AttributeValue); N]) -> Self {
        Self { values: Some(values.map(|(name, value)| (name.to_owned(), value)).into()), ..self }
    }
}

fn condition(condition: &Condition, now: Timestamp) -> Expression {
    match condition {
        Condition::Always => Expression::default(),
        Condition::Absent => Expression::of("attribute_not_exists(pk)"),
        // An item of another kind is never at a quarantine's key.
        Condition::NotReleased => Expression::of("attribute_not_exists(released) AND attribute_not_exists(erased_at)"),
        // The owner's name is one of DynamoDB's reserved words.
        Condition::Claimable(owner) => Expression {
            names: Some(HashMap::from([("#owner".to_owned(), "owner".to_owned())])),
            ..Expression::of("attribute_not_exists(pk) OR expires_at <= :now OR #owner = :owner").with_values([
                (":now", AttributeValue::N(now.unix_seconds().to_string())),
                (":owner", AttributeValue::S(owner.clone())),
            ])
        },
        Condition::Version(version) => {
            Expression::of("version = :version").with_values([(":version", AttributeValue::N(version.to_string()))])
        }
    }
}

/// The entry as an item: its members, and its key as `pk` and `sk`.
fn to_item(put: &ConditionalPut, operation: &'static str) -> Result<Item, PortError> {
    let mut item: Item = serde_dynamo::to_item(&put.entry).map_err(|error| PortError::new(operation, &error))?;
    item.insert("pk".to_owned(), AttributeValue::S(put.key.partition.clone()));
    item.insert("sk".to_owned(), AttributeValue::S(put.key.sort.clone()));
    Ok(item)
}

/// A key as an item.
fn item_key(key: &EntryKey) -> Item {
    let text = |text: &String| AttributeValue::S(text.clone());
    HashMap::from([("pk".to_owned(), text(&key.partition)), ("sk".to_owned(), text(&key.sort))])
}

/// The key of an item.
fn key_of(item: &Item) -> Option<EntryKey> {
    let text = |name: &str| item.get(name)?.as_s().ok().cloned();
    Some(EntryKey { partition: text("pk")?, sort: text("sk")? })
}

/// Parses an item as an entry. serde's message is left out because it may quote the item.
fn to_entry(item: Option<&Item>, key: &EntryKey, operation: &'static str) -> Result<Entry, PortError> {
    let EntryKey { partition, sort } = key;
    let item = item.filter(|item| !item.is_empty()).ok_or_else(|| {
        PortError::of(operation, format!("the put at {partition} {sort} was refused without the item in its way"))
    })?;
    serde_dynamo::from_item(item.clone()).map_err(|_| {
        PortError::of(
            operation,
            format!(
                "the item at {partition} {sort} is not an entry that this version knows; deploy the version that wrote it"
            ),
        )
    })
}

#[cfg(test)]
mod tests;
