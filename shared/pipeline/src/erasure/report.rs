//! What was erased, in numbers.

use std::collections::BTreeSet;

use intake_providers::delivery::DeliveryId;
use serde::Serialize;

use crate::ledger::EntryKey;

/// What was erased, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErasureReport {
    /// Events, conflicts included.
    pub events: u64,
    /// Quarantined events.
    pub quarantined: u64,
    /// Entities, of which the content was erased.
    pub entities: u64,
    /// Records of deliveries, of which the body and the headers were erased.
    pub deliveries: u64,
    /// Stored payloads that were deleted, or were not there any more.
    pub payloads: u64,
    /// Events that were erased before.
    pub erased_before: u64,
    /// Payloads that were left because they are also the content of an entity or of another event that is not erased.
    pub payloads_in_use: u64,
    /// Deliveries of which a copy is left in quarantine, because events of it were not recorded yet.
    pub left_in_quarantine: BTreeSet<DeliveryId>,
    /// Entries that this version cannot read. They were left as they are.
    #[serde(skip)]
    pub unreadable: Vec<EntryKey>,
}

impl ErasureReport {
    /// Adds what a part of the work did.
    pub(super) fn add(&mut self, part: Self) {
        self.events += part.events;
        self.quarantined += part.quarantined;
        self.entities += part.entities;
        self.deliveries += part.deliveries;
        self.payloads += part.payloads;
        self.erased_before += part.erased_before;
        self.payloads_in_use += part.payloads_in_use;
        self.left_in_quarantine.extend(part.left_in_quarantine);
        self.unreadable.extend(part.unreadable);
    }

    /// Whether nothing was left that should have been erased.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left_in_quarantine.is_empty() && self.unreadable.is_empty()
    }
}
