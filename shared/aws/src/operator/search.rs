//! A search in the events table by time, from the latest item to the earliest.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use intake_pipeline::ledger::TIME_SHARDS;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{EARLIEST_MILLISECONDS, Listing, TimeRange};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;

use super::empty_buckets::EmptyBuckets;
use super::hours::HourGroups;
use super::items::{self, Item, MAX_ITEMS};
use super::time_index::{Bucket, IndexedKey, Walk, widened_hours};
use crate::timeouts::ContentionBudget;

/// How far a search looks back that has no beginning.
pub const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// By how much the clock of the functions may be ahead of the operator's.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10 * 60);

/// What is searched.
#[derive(Debug)]
pub(super) struct Search {
    /// Only the buckets of this provider.
    pub(super) provider: Option<ProviderName>,
    /// The name of a provider's bucket of an hour and a shard.
    pub(super) bucket: fn(ProviderName, Timestamp, u8) -> String,
    /// When it was received.
    pub(super) received: TimeRange,
    /// Only what this delivery made.
    pub(super) delivery_id: Option<DeliveryId>,
    /// With a delivery, only what this event of it made.
    pub(super) index: Option<EventIndex>,
    /// Maximum number to find; the latest are kept.
    pub(super) most: Option<u32>,
}

/// The events table.
#[derive(Clone, Debug)]
pub(super) struct EventsTable {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) throttling: ContentionBudget,
    /// Buckets that earlier searches found empty, if they are not asked again.
    pub(super) empty: Option<EmptyBuckets>,
}

impl EventsTable {
    /// Finds what matches, the latest first. `may_match` rules out by the index, `read` parses an item, and `matches` decides.
    pub(super) async fn search<T: Send>(
        &self,
        now: Timestamp,
        search: &Search,
        may_match: impl Fn(&IndexedKey) -> bool + Send + Sync,
        read: impl Fn(Item) -> Option<T> + Send + Sync,
        matches: impl Fn(&T) -> bool + Send + Sync,
    ) -> Result<Listing<T>, PortError> {
        let mut listing = Listing::default();
        let Some(scope) = Scope::of(search, now) else { return Ok(listing) };
        let most = search.most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut seen = HashSet::new();
        // As many items as are missing, and more each time that too few of them match.
        let mut bundle = most.clamp(1, MAX_ITEMS);
        let widened = widened_hours(&self.client, &self.name, scope.first, scope.last).await?;
        for hours in HourGroups::between(scope.first, scope.last) {
            let may_hold =
                |bucket: &Bucket| self.empty.as_ref().is_none_or(|empty| !empty.has(bucket.name(), &scope.orders));
            let buckets = hours.iter().flat_map(|hour| search.buckets(*hour, &widened)).filter(may_hold).collect();
            let mut walk = Walk::new(&self.client, &self.name, &scope.orders, buckets, self.empty.as_ref());
            while listing.found.len() < most
                && let Some(mut keys) = walk.next().await?
            {
                // While a record is replaced, the index may hold both of its places.
                keys.retain(|key| may_match(key) && seen.insert(key.key.clone()));
                let mut keys = keys.into_iter().map(|key| key.key).peekable();
                while listing.found.len() < most && keys.peek().is_some() {
                    let asked: Vec<_> = keys.by_ref().take(bundle).collect();
                    bundle = bundle.saturating_mul(2).min(MAX_ITEMS);
                    let mut items = items::at_keys(&self.client, &self.name, self.throttling, asked.clone()).await?;
                    for key in asked {
                        // One that the index still has may have expired.
                        let Some(item) = items.remove(&key) else { continue };
                        match read(item) {
                            Some(found) => listing.found.extend(Some(found).filter(|found| matches(found))),
                            None => listing.unreadable.push(key),
                        }
                    }
                }
            }
            if listing.found.len() >= most {
                listing.found.truncate(most);
                return Ok(listing);
            }
        }
        listing.looked_back_to = scope.looked_back_to;
        Ok(listing)
    }
}

impl Search {
    /// The buckets of an hour.
    fn buckets(&self, hour: Timestamp, widened: &HashMap<String, u8>) -> Vec<Bucket> {
        let providers = ProviderName::ALL.iter().filter(|name| self.provider.is_none_or(|only| only == **name));
        let of_provider = |name: &ProviderName| {
            let name = *name;
            let first = (self.bucket)(name, hour, 0);
            let noted = first.rsplit_once('#').and_then(|(hour, _)| widened.get(hour)).copied();
            (0..noted.unwrap_or(TIME_SHARDS)).map(move |shard| Bucket::new(name, (self.bucket)(name, hour, shard)))
        };
        providers.flat_map(of_provider).collect()
    }
}

/// The part of the index that is searched.
struct Scope {
    first: Timestamp,
    last: Timestamp,
    /// The least and the greatest place in the order of a bucket.
    orders: (String, String),
    looked_back_to: Option<Timestamp>,
}

impl Scope {
    /// `None` if nothing can be found.
    fn of(search: &Search, now: Timestamp) -> Option<Self> {
        if let Some(delivery_id) = search.delivery_id {
            // The id of a delivery is made of its arrival.
            let received_at = delivery_id.received_at()?;
            let orders = match search.index {
                Some(index) => {
                    let order = format!("{received_at}#{delivery_id}#{:05}", index.0);
                    (order.clone(), order)
                }
                // `$` is the character after `#`.
                None => (format!("{received_at}#{delivery_id}#"), format!("{received_at}#{delivery_id}$")),
            };
            return Some(Self { first: received_at, last: received_at, orders, looked_back_to: None });
        }
        let TimeRange { since, until } = search.received;
        let back = i64::try_from(LOOK_BACK.as_millis()).unwrap_or(i64::MAX);
        let first = since.map_or_else(|| until.unwrap_or(now).unix_milliseconds() - back, Timestamp::unix_milliseconds);
        let first = Timestamp::from_unix_milliseconds(first.max(EARLIEST_MILLISECONDS)).ok()?;
        // Nothing is from the future but for the difference of the clocks.
        let latest = now.plus(CLOCK_TOLERANCE);
        let last = until.map_or(latest, |until| until.min(latest));
        // A place continues after the time of arrival, so what was received at `until` is beyond it.
        let orders = (first.to_string(), last.to_string());
        Some(Self { first, last, orders, looked_back_to: since.is_none().then_some(first) })
    }
}
