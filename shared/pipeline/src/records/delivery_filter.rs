//! Which deliveries are listed.

use std::collections::HashMap;
use std::sync::Arc;

use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use super::TimeRange;
use crate::delivery_record::DeliveryRecord;
use crate::ledger::{Outcome, OutcomeCounts};

/// Filter of a listing of deliveries; unset members match every delivery.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only deliveries of this provider.
    pub provider: Option<ProviderName>,
    /// Only deliveries with at least one event of this outcome.
    pub outcome: Option<Outcome>,
    /// Only deliveries with an event of this type, with or without the provider's name before it. A record names at most
    /// [`MAX_LISTED_TYPES`](crate::delivery_record::MAX_LISTED_TYPES) types.
    pub event_type: Option<String>,
    /// Only deliveries received in this range.
    pub received: TimeRange,
    /// Only deliveries whose order in the time index is not among these; with each the time when it was received. A record that was
    /// written again with other outcomes has another order.
    pub except: Arc<HashMap<String, Timestamp>>,
    /// Maximum number of deliveries; the latest are kept.
    pub most: Option<u32>,
}

impl DeliveryFilter {
    /// Whether a delivery matches; how many did before is not considered.
    #[must_use]
    pub fn matches(&self, record: &DeliveryRecord) -> bool {
        self.received.contains(record.received_at)
            && !self.except.contains_key(&record.time_index.time_order)
            && self.provider.is_none_or(|wanted| wanted == record.provider)
            && self.outcome.is_none_or(|wanted| occurs(record.counts(), wanted))
            && self.event_type.as_ref().is_none_or(|wanted| {
                record.event_types.iter().any(|found| super::event_filter::is_type(found, record.provider, wanted))
            })
    }

    /// Whether a provider's delivery may match, as far as its place in the order of the time index tells
    /// ([`DeliveryRecord::time_index`]). What it rules out need not be read.
    #[must_use]
    pub fn may_match(&self, provider: ProviderName, time_order: &str) -> bool {
        if self.except.contains_key(time_order) {
            return false;
        }
        let mut parts = time_order.splitn(4, '#').skip(2);
        let (Some(counts), Some(only_type)) = (parts.next(), parts.next()) else {
            return true;
        };
        self.outcome.is_none_or(|wanted| {
            counts.split(',').any(|count| count.split_once('=').is_some_and(|(outcome, _)| outcome == wanted.as_str()))
        }) && self
            .event_type
            .as_ref()
            .is_none_or(|wanted| only_type.is_empty() || super::event_filter::is_type(only_type, provider, wanted))
    }
}

const fn occurs(counts: OutcomeCounts, outcome: Outcome) -> bool {
    let number = match outcome {
        Outcome::Stored => counts.stored,
        Outcome::Duplicate => counts.duplicate,
        Outcome::Repeat => counts.repeat,
        Outcome::Conflict => counts.conflict,
        Outcome::Quarantined => counts.quarantined,
    };
    number > 0
}
