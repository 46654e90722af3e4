//! Records of deliveries: what was received, byte for byte, and what became of it.
//!
//! The processor writes one record for each delivery once all its events have outcomes. A redelivered message writes it again: the outcomes
//! are found in the ledger, and the record replaces itself, unless it knows less ([`DeliveryRecord::replaces`]). A record is evidence and nothing decides by it, so it may expire.

use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::digest::Sha256Digest;
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::{EntryKey, OutcomeCounts, TIME_SHARDS, TimeIndex};

mod body;
mod headers;
mod outcomes;
mod port;

pub use body::{MAX_INLINE_BODY_BYTES, ReadBodyError, RecordedBody};
pub use headers::{HeaderText, MAX_RECORDED_HEADERS_BYTES, RecordedHeader};
pub use outcomes::{EventOutcome, MAX_LISTED_EVENTS, MAX_LISTED_TYPES};
pub use port::DeliveryRecords;

pub(crate) use body::{KeptBody, place};
pub(crate) use outcomes::DeliveryOutcomes;

/// Maximum length of an event's type in the time index, in bytes. A sort key of DynamoDB has at most 1,024.
const MAX_INDEXED_TYPE_BYTES: usize = 256;

/// The sort key of a record.
const RECORD_SORT: &str = "delivery";

/// A delivery, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "delivery")]
pub struct DeliveryRecord {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Who sent it.
    pub provider: ProviderName,
    /// The account that it belongs to.
    pub account: AccountName,
    /// The fingerprint of the key that verified it.
    pub key_fingerprint: String,
    /// When it reached us.
    pub received_at: Timestamp,
    /// When its last event was recorded, or found recorded.
    pub recorded_at: Timestamp,
    /// Number of times the queue had handed it over by then.
    pub receive_count: u32,
    /// Its headers but credentials; of a message, its properties.
    pub headers: Vec<RecordedHeader>,
    /// Number of headers that were beyond the limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub headers_over_limit: u32,
    /// Where its body is.
    #[serde(flatten)]
    pub body: RecordedBody,
    /// Size of the body in bytes.
    pub body_bytes: u64,
    /// SHA-256 of the body.
    pub sha256: Sha256Digest,
    /// Number of its events. A delivery that was quarantined as a whole counts as one.
    pub events: u32,
    /// The outcomes of its first events, at most [`MAX_LISTED_EVENTS`]. If several receives were needed, they are the first ones of the
    /// last receive.
    pub outcomes: Vec<EventOutcome>,
    /// The outcomes of all other events.
    #[serde(default, skip_serializing_if = "OutcomeCounts::is_empty")]
    pub further_outcomes: OutcomeCounts,
    /// The types of its events, at most [`MAX_LISTED_TYPES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
    /// When it may be deleted, in seconds since 1970.
    pub expires_at: i64,
    /// The time index. Records have hours of their own, so that they are not among the events. The order ends with the outcomes and
    /// the type of all events, if they have one, so that a listing can be filtered by the keys alone:
    /// `<received_at>#<delivery_id>#<outcomes>#<type>`.
    #[serde(flatten)]
    pub time_index: TimeIndex,
}

impl DeliveryRecord {
    /// The record of a delivery whose events are all recorded.
    pub(crate) fn of(
        delivery: &Delivery,
        outcomes: DeliveryOutcomes,
        body: RecordedBody,
        receive_count: u32,
        recorded_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        let (headers, headers_over_limit) = match body {
            RecordedBody::Erased { .. } => (Vec::new(), 0),
            _ => headers::recorded(&delivery.headers),
        };
        let only_type = outcomes.only_type().filter(|name| name.len() <= MAX_INDEXED_TYPE_BYTES).unwrap_or_default();
        let time_index = TimeIndex {
            time_bucket: TimeIndex::deliveries_bucket(
                delivery.provider,
                delivery.received_at,
                delivery.id.shard(TIME_SHARDS),
            ),
            time_order: format!("{}#{}#{}#{only_type}", delivery.received_at, delivery.id, outcomes.counts()),
        };
        let (events, outcomes, further_outcomes, event_types) = outcomes.into_parts();
        Self {
            delivery_id: delivery.id,
            provider: delivery.provider,
            account: delivery.account().clone(),
            key_fingerprint: delivery.authenticated_by.fingerprint.to_string(),
            received_at: delivery.received_at,
            recorded_at,
            receive_count,
            headers,
            headers_over_limit,
            body,
            body_bytes: delivery.body.len() as u64,
            sha256: delivery.sha256,
            events,
            outcomes,
            further_outcomes,
            event_types,
            expires_at: expires_at.unix_seconds(),
            time_index,
        }
    }

    /// Key of a delivery's record.
    #[must_use]
    pub fn key(delivery_id: DeliveryId) -> EntryKey {
        EntryKey { partition: format!("delivery#{delivery_id}"), sort: RECORD_SORT.to_owned() }
    }

    /// Number of its events by outcome.
    #[must_use]
    pub fn counts(&self) -> OutcomeCounts {
        let mut counts = self.further_outcomes;
        self.outcomes.iter().for_each(|event| counts.add(event.outcome));
        counts
    }

    /// Whether it takes the place of an earlier one of its delivery. An attempt that was held up may write after another that could read
    /// more, and what was read once has its outcome for good: a record that tells of events in quarantine does not take the place of one
    /// that tells of none.
    #[must_use]
    pub fn replaces(&self, standing: &Self) -> bool {
        !self.has_quarantined() || standing.has_quarantined()
    }

    /// Whether it tells of events in quarantine.
    #[must_use]
    pub fn has_quarantined(&self) -> bool {
        self.counts().quarantined > 0
    }

    /// The delivery that brought the first duplicate or conflict among the listed events before.
    #[must_use]
    pub fn first_delivery(&self) -> Option<DeliveryId> {
        self.outcomes.iter().find_map(|event| event.first_delivery)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
