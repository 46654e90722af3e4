//! Items by their keys, many at once.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use intake_pipeline::ledger::EntryKey;
use intake_pipeline::port_error::PortError;

use crate::port_error::port_error;
use crate::timeouts::ContentionBudget;

const BATCH_GET_ITEM: &str = "dynamodb BatchGetItem";

/// Maximum number of keys in a request.
const BATCH_KEYS: usize = 100;

/// Maximum number of requests at once.
const MAX_REQUESTS: usize = 8;

/// Maximum number of items that are asked for together.
pub(super) const MAX_ITEMS: usize = BATCH_KEYS * MAX_REQUESTS;

/// The attributes of an item.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The items at these keys, which are all different. A key without an item is left out. The reads are eventually consistent, for half
/// the price.
pub(super) async fn at_keys(
    client: &Client,
    table: &str,
    throttling: ContentionBudget,
    keys: Vec<EntryKey>,
) -> Result<HashMap<EntryKey, Item>, PortError> {
    let mut batches = Vec::new();
    for batch in keys.chunks(BATCH_KEYS) {
        let keys = batch.iter().map(|EntryKey { partition, sort }| {
            let text = |text: &String| AttributeValue::S(text.clone());
            HashMap::from([("pk".to_owned(), text(partition)), ("sk".to_owned(), text(sort))])
        });
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).build();
        let keys = keys.map_err(|error| PortError::new(BATCH_GET_ITEM, &error))?;
        batches.push(batch_at_keys(client, table, throttling, keys));
    }
    let batches: Vec<Vec<Item>> = stream::iter(batches).buffer_unordered(MAX_REQUESTS).try_collect().await?;
    Ok(batches.into_iter().flatten().filter_map(|item| Some((key(&item)?, item))).collect())
}

async fn batch_at_keys(
    client: &Client,
    table: &str,
    throttling: ContentionBudget,
    keys: KeysAndAttributes,
) -> Result<Vec<Item>, PortError> {
    let mut items = Vec::new();
    let mut asked = HashMap::from([(table.to_owned(), keys)]);
    let (mut attempts, mut longest_pause) = (0, throttling.first_pause);
    loop {
        let answer = client
            .batch_get_item()
            .set_request_items(Some(asked))
            .send()
            .await
            .map_err(|error| port_error(BATCH_GET_ITEM, &error))?;
        let found: Vec<Item> = answer.responses.unwrap_or_default().into_values().flatten().collect();
        let is_fruitless = found.is_empty();
        items.extend(found);
        asked = answer.unprocessed_keys.unwrap_or_default();
        if asked.is_empty() {
            return Ok(items);
        }
        if !is_fruitless {
            // The rest of an answer that would have been too large.
            (attempts, longest_pause) = (0, throttling.first_pause);
            continue;
        }
        attempts += 1;
        if attempts >= throttling.attempts {
            let message =
                format!("the table returned no item in {attempts} attempts; its limits are exceeded, try later");
            return Err(PortError::of(BATCH_GET_ITEM, message));
        }
        tokio::time::sleep(longest_pause.mul_f64(fastrand::f64())).await;
        longest_pause = longest_pause.saturating_mul(2).min(throttling.longest_pause);
    }
}

/// The key of an item.
pub(super) fn key(item: &Item) -> Option<EntryKey> {
    let text = |name: &str| item.get(name)?.as_s().ok().cloned();
    Some(EntryKey { partition: text("pk")?, sort: text("sk")? })
}
