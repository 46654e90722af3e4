//! The quarantine as an operator sees it: deliveries that wait, and whether they can be read now.

use std::collections::BTreeMap;

use intake_providers::ProviderName;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::malformed::Malformed;
use intake_providers::split::Split;
use intake_providers::timestamp::Timestamp;

use crate::ledger::{Entry, QuarantineEntry};
use crate::payloads::PayloadReader;
use crate::queue_message::{InboundMessage, MessageError, QueueMessage};
use crate::recording::quarantine_reason;
use crate::records::RecordedEvent;

/// A delivery with events in quarantine. It is kept, shown and released as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedDelivery {
    first: QuarantineEntry,
    others: Vec<QuarantineEntry>,
}

/// What would become of a quarantined event now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be read.
    Readable,
    /// It would be quarantined again, for this reason.
    QuarantinedAgain(String),
}

impl QuarantinedDelivery {
    /// Groups the quarantined ones among events by delivery, in the order of arrival.
    #[must_use]
    pub fn group(events: Vec<RecordedEvent>) -> Vec<Self> {
        let mut deliveries: BTreeMap<DeliveryId, Vec<QuarantineEntry>> = BTreeMap::new();
        for event in events {
            if let Entry::Quarantine(entry) = event.entry {
                deliveries.entry(entry.occurrence.delivery_id).or_default().push(*entry);
            }
        }
        let deliveries = deliveries.into_values().filter_map(|mut entries| {
            entries.sort_by_key(|entry| entry.occurrence.index);
            let mut entries = entries.into_iter();
            Some(Self { first: entries.next()?, others: entries.collect() })
        });
        deliveries.collect()
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> DeliveryId {
        self.first.occurrence.delivery_id
    }

    /// Who sent it.
    #[must_use]
    pub const fn provider(&self) -> ProviderName {
        self.first.provider
    }

    /// When it arrived.
    #[must_use]
    pub const fn received_at(&self) -> Timestamp {
        self.first.received_at
    }

    /// Its quarantined events, in their order.
    pub fn entries(&self) -> impl Iterator<Item = &QuarantineEntry> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The delivery itself.
    ///
    /// # Errors
    /// When its body cannot be fetched, or the entry is damaged.
    pub async fn read(&self, payloads: &impl PayloadReader) -> Result<Delivery, MessageError> {
        InboundMessage::quarantined(&self.first)?.fetch(payloads).await
    }

    /// What would become of each of its quarantined events now, in their order.
    #[must_use]
    pub fn check(&self, delivery: &Delivery, providers: &impl Split) -> Vec<Verdict> {
        let again = |reason: &Malformed| Verdict::QuarantinedAgain(quarantine_reason(reason));
        let mut events = match providers.split(delivery) {
            Err(reason) => return self.entries().map(|_| again(&reason)).collect(),
            Ok(events) => (0..).zip(events),
        };
        let verdicts = self.entries().map(|entry| match events.find(|(index, _)| *index == entry.occurrence.index.0) {
            Some((_, Err(malformed))) => again(&malformed.reason),
            // Without such an event the delivery is split differently now, and nothing of it is quarantined there.
            Some((_, Ok(_))) | None => Verdict::Readable,
        });
        verdicts.collect()
    }

    /// The message that has it processed again. Its events that are recorded stay as they are. `None` if its content was erased.
    #[must_use]
    pub fn release(&self) -> Option<QueueMessage> {
        QueueMessage::release(&self.first)
    }
}
