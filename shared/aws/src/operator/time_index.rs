//! The time index of the events table, walked from the latest key to the earliest.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use intake_pipeline::ledger::EntryKey;
use intake_pipeline::port_error::PortError;
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use super::empty_buckets::EmptyBuckets;
use crate::port_error::port_error;
use crate::time_shards::{self, NOTES};

const QUERY: &str = "dynamodb Query";
const INDEX: &str = "by_time";

/// Maximum number of requests at once.
const MAX_REQUESTS: usize = 32;

/// Maximum number of keys in an answer, of about 250 bytes each. A busy hour is read no further than needed.
const PAGE_KEYS: i32 = 1_000;

/// A key in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexedKey {
    /// Its place among the others: it begins with the time of arrival.
    pub(super) order: String,
    /// The provider of its bucket.
    pub(super) provider: ProviderName,
    /// The key of the item.
    pub(super) key: EntryKey,
}

/// A bucket of the index, and how far it has been read.
#[derive(Debug)]
pub(super) struct Bucket {
    provider: ProviderName,
    name: String,
    /// Keys that were read and not handed out, the latest first.
    pending: Vec<IndexedKey>,
    next: NextPage,
}

#[derive(Debug)]
enum NextPage {
    First,
    After(HashMap<String, AttributeValue>),
    None,
}

impl Bucket {
    pub(super) const fn new(provider: ProviderName, name: String) -> Self {
        Self { provider, name, pending: Vec::new(), next: NextPage::First }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The place below which there may be keys that were not read.
    fn unread_below(&self) -> Option<&str> {
        match self.next {
            NextPage::First | NextPage::After(_) => self.pending.last().map(|key| key.order.as_str()),
            NextPage::None => None,
        }
    }
}

/// A walk through several buckets at once. Their keys are handed out in one order, the latest first.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    client: &'a Client,
    table: &'a str,
    /// The least and the greatest place, both included.
    within: &'a (String, String),
    buckets: Vec<Bucket>,
    /// Where buckets are remembered in which it finds nothing.
    empty: Option<&'a EmptyBuckets>,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(
        client: &'a Client,
        table: &'a str,
        within: &'a (String, String),
        buckets: Vec<Bucket>,
        empty: Option<&'a EmptyBuckets>,
    ) -> Self {
        Self { client, table, within, buckets, empty }
    }

    /// The next keys, or none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<IndexedKey>>, PortError> {
        let loads: Vec<_> = std::mem::take(&mut self.buckets).into_iter().map(|bucket| self.load(bucket)).collect();
        let mut buckets: Vec<Bucket> = stream::iter(loads).buffer_unordered(MAX_REQUESTS).try_collect().await?;
        buckets.retain(|bucket| !bucket.pending.is_empty());
        if buckets.is_empty() {
            return Ok(None);
        }
        // A key is next once no bucket can have a later one that was not read.
        let bound = buckets.iter().filter_map(Bucket::unread_below).max().map(str::to_owned);
        let mut keys = Vec::new();
        for bucket in &mut buckets {
            let count = bucket.pending.partition_point(|key| bound.as_ref().is_none_or(|bound| key.order >= *bound));
            keys.extend(bucket.pending.drain(..count));
        }
        keys.sort_by(|one, other| other.order.cmp(&one.order));
        self.buckets = buckets;
        Ok(Some(keys))
    }

    /// Reads a bucket on if all that was read of it is handed out.
    async fn load(&self, mut bucket: Bucket) -> Result<Bucket, PortError> {
        while bucket.pending.is_empty() {
            let is_first = matches!(bucket.next, NextPage::First);
            let start = match bucket.next {
                NextPage::First => None,
                NextPage::After(last) => Some(last),
                NextPage::None => break,
            };
            let (first, last) = self.within.clone();
            let page = self
                .client
                .query()
                .table_name(self.table)
                .index_name(INDEX)
                .key_condition_expression("time_bucket = :bucket AND time_order BETWEEN :first AND :last")
                .expression_attribute_values(":bucket", AttributeValue::S(bucket.name.clone()))
                .expression_attribute_values(":first", AttributeValue::S(first))
                .expression_attribute_values(":last", AttributeValue::S(last))
                .scan_index_forward(false)
                .limit(PAGE_KEYS)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| port_error(QUERY, &error))?;
            bucket.next = match page.last_evaluated_key {
                Some(last) if !last.is_empty() => NextPage::After(last),
                _ => NextPage::None,
            };
            let items = page.items.unwrap_or_default();
            if let Some(empty) = self.empty
                && is_first
                && items.is_empty()
                && matches!(bucket.next, NextPage::None)
            {
                empty.remember(&bucket.name, self.within);
            }
            let read = |item| indexed_key(bucket.provider, item);
            bucket.pending = items.into_iter().filter_map(read).collect();
        }
        Ok(bucket)
    }
}

/// The hours between two moments that were widened, and the number of their shards.
pub(super) async fn widened_hours(
    client: &Client,
    table: &str,
    first: Timestamp,
    last: Timestamp,
) -> Result<HashMap<String, u8>, PortError> {
    let mut widened = HashMap::new();
    let mut next = None;
    loop {
        // A note's order continues after its hour; `$` is the character after `#`.
        let page = client
            .query()
            .table_name(table)
            .index_name(INDEX)
            .key_condition_expression("time_bucket = :bucket AND time_order BETWEEN :first AND :last")
            .expression_attribute_values(":bucket", AttributeValue::S(NOTES.to_owned()))
            .expression_attribute_values(":first", AttributeValue::S(first.hour()))
            .expression_attribute_values(":last", AttributeValue::S(format!("{}$", last.hour())))
            .scan_index_forward(false)
            .set_exclusive_start_key(next)
            .send()
            .await
            .map_err(|error| port_error(QUERY, &error))?;
        let orders = page.items.iter().flatten().filter_map(|item| item.get("time_order")?.as_s().ok());
        widened.extend(
            orders.filter_map(|order| time_shards::noted(order)).map(|(hour, shards)| (hour.to_owned(), shards)),
        );
        next = page.last_evaluated_key.filter(|last| !last.is_empty());
        if next.is_none() {
            return Ok(widened);
        }
    }
}

/// A key of the index; its members are what the index is made of, so none is missing.
fn indexed_key(provider: ProviderName, mut item: HashMap<String, AttributeValue>) -> Option<IndexedKey> {
    let mut text = |name| match item.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    let key = EntryKey { partition: text("pk")?, sort: text("sk")? };
    Some(IndexedKey { order: text("time_order")?, provider, key })
}
