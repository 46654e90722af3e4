//! In how many shards an hour of the time index is written.
//!
//! A shard is one value of the index' partition key, which takes 1,000 writes a second; if it gets more, DynamoDB refuses writes to the
//! table. An hour of a provider begins with the few shards that an entry names, so that a listing of a quiet day asks little. When
//! DynamoDB refuses a write because of the index, the hour is noted as widened, and is written in [`WIDENED_SHARDS`] from then on: by
//! this function at once, by every other one when it is refused as well. The note is in the index itself, beside what it is
//! about, so a reader finds the hours that were widened with one question.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::{Client, config};
use intake_pipeline::port_error::PortError;

use crate::port_error::port_error;
use crate::throttling::HotIndexIsNotRetried;

const PUT_ITEM: &str = "dynamodb PutItem";

/// Number of shards of an hour that was widened.
const WIDENED_SHARDS: u8 = 64;

/// The bucket of the index in which widened hours are noted.
pub(crate) const NOTES: &str = "time-shards";

/// Maximum number of hours that are remembered. Beyond it, all are forgotten, and noted again.
const MAX_REMEMBERED: usize = 1_000;

/// An item of a table.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The hours of the time index that were widened, as far as this function knows.
#[derive(Clone, Debug)]
pub(crate) struct TimeShards {
    client: Client,
    table: String,
    widened: Arc<Mutex<HashSet<String>>>,
    /// Held by the one write that notes an hour.
    noting: Arc<tokio::sync::Mutex<()>>,
}

impl TimeShards {
    /// For the writers of this table, whose client this is.
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table, widened: Arc::default(), noting: Arc::default() }
    }

    /// A client that leaves the writes to a hot index to its caller.
    pub(crate) fn client(config: &SdkConfig) -> Client {
        Client::from_conf(config::Builder::from(config).retry_classifier(HotIndexIsNotRetried).build())
    }

    /// Moves an item to one of all shards if its hour was widened.
    pub(crate) fn spread(&self, item: &mut Item) {
        let hour = hour_of(item).filter(|hour| self.is_widened(hour)).map(str::to_owned);
        let Some(hour) = hour else { return };
        let mut hasher = DefaultHasher::new();
        for name in ["pk", "sk"] {
            item.get(name).and_then(|value| value.as_s().ok()).hash(&mut hasher);
        }
        let shard = hasher.finish() % u64::from(WIDENED_SHARDS);
        item.insert("time_bucket".to_owned(), AttributeValue::S(format!("{hour}#{shard}")));
    }

    /// Notes that the hour of a bucket is widened. If that fails, the hour stays as it is, and the next write that is refused tries
    /// again.
    pub(crate) async fn widen(&self, time_bucket: &str, reasons: &str) {
        let Some((hour, _)) = time_bucket.rsplit_once('#') else { return };
        let _turn = self.noting.lock().await;
        if self.is_widened(hour) {
            return;
        }
        match self.note(hour).await {
            Ok(()) => {
                self.remember(hour);
                tracing::warn!(hour, shards = WIDENED_SHARDS, reasons, "an hour of the time index is widened");
            }
            Err(error) => tracing::warn!(hour, reasons, %error, "an hour of the time index cannot be widened"),
        }
    }

    async fn note(&self, hour: &str) -> Result<(), PortError> {
        // An hour is `<provider>#<time>`, perhaps after the name of what is listed.
        let time = hour.rsplit_once('#').map_or(hour, |(_, time)| time);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", AttributeValue::S(format!("{NOTES}#{hour}")))
            .item("sk", AttributeValue::S(NOTES.to_owned()))
            .item("kind", AttributeValue::S(NOTES.to_owned()))
            .item("time_bucket", AttributeValue::S(NOTES.to_owned()))
            .item("time_order", AttributeValue::S(format!("{time}#{hour}#{WIDENED_SHARDS}")))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(port_error(PUT_ITEM, &error)),
            },
        }
    }

    fn is_widened(&self, hour: &str) -> bool {
        // The set is whole after each of its calls, so a panic elsewhere does not spoil it.
        self.widened.lock().unwrap_or_else(PoisonError::into_inner).contains(hour)
    }

    fn remember(&self, hour: &str) {
        let mut widened = self.widened.lock().unwrap_or_else(PoisonError::into_inner);
        if widened.len() >= MAX_REMEMBERED {
            widened.clear();
        }
        widened.insert(hour.to_owned());
    }
}

/// An hour that was widened, and its number of shards, as its note in the index says.
#[cfg(feature = "operator")]
pub(crate) fn noted(time_order: &str) -> Option<(&str, u8)> {
    let (place, shards) = time_order.rsplit_once('#')?;
    let (_, hour) = place.split_once('#')?;
    Some((hour, shards.parse().ok()?))
}

/// The bucket of an item in the time index.
pub(crate) fn time_bucket(item: &Item) -> Option<&str> {
    item.get("time_bucket")?.as_s().ok().map(String::as_str)
}

/// An item's bucket without the shard.
fn hour_of(item: &Item) -> Option<&str> {
    time_bucket(item)?.rsplit_once('#').map(|(hour, _)| hour)
}
