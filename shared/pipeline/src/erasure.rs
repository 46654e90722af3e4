//! Erasure: what was received is removed, and what decides about a redelivery stays.
//!
//! Of an event, its key, digest and outcome are left, so that a captured request never becomes new again; beside them its id, type,
//! source and times, which name it. Its data, subject, attributes and context are removed, with what holds them as well: payloads, the
//! entity's content where that is the event's, and the records of the deliveries that brought the event, whole: a record is
//! evidence, and the other events of a batch have data of their own.
//!
//! A payload is deleted before its entry is replaced. So a crash leaves an entry that still names what it lacks, and the next run finds it
//! again; the other way round, nobody would know of the payload. Whatever is erased already is passed over, so a run that was cut
//! off is simply run again.

use std::collections::{BTreeSet, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

pub use self::port::{DryRun, Eraser};
pub use self::report::ErasureReport;
pub use self::tombstone::{RecordTombstone, Tombstone};
use crate::delivery_record::{DeliveryRecord, RecordedBody};
use crate::ledger::entity::{EntityEntry, entity_key};
use crate::ledger::{Entry, EntryKey, EnvelopeData, EventData, EventEntry, Outcome, PutOutcome, QuarantineEntry};
use crate::payloads::PayloadKey;
use crate::port_error::PortError;
use crate::queue_message::{InboundMessage, body_key};
use crate::records::{
    DeliveryFilter, DeliveryWalk, EventFilter, EventWalk, Listing, RecordedEvent, Records, TimeRange, find_by_id,
};

mod port;
mod report;
mod tombstone;

/// Maximum number of entries that are erased at once.
const MAX_CONCURRENCY: usize = 16;

/// Maximum number of attempts at an entry that others change meanwhile.
const MAX_ROUNDS: usize = 20;

/// Size of a body from which its message may have been too large for the queue, in bytes. SQS takes 1 MiB, and JSON writes a byte as
/// up to six characters.
const MIN_OFFLOADED_BYTES: u64 = 100 * 1024;

/// Why something could not be erased. What was erased before stays erased, and another run goes on.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The ledger, the records or the payload store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Others kept changing it.
    #[error("the entry at {} {} was changed {MAX_ROUNDS} times while it was erased; run the command again", key.partition, key.sort)]
    Unsettled {
        /// Its key.
        key: EntryKey,
    },
}

/// Hears of each event that is erased.
pub trait Progress: Sync {
    /// An event, a conflict or a quarantined one is erased, or would be.
    fn erased(&self, event: &RecordedEvent);

    /// Everything that was received before this time is done.
    fn reached(&self, until: Timestamp, so_far: &ErasureReport);
}

/// Erases.
#[derive(Debug)]
pub struct Erasure<'a, R, E, P> {
    /// What is read.
    pub records: &'a R,
    /// What erases.
    pub eraser: &'a E,
    /// What hears of it.
    pub progress: &'a P,
    /// The time of the run.
    pub now: Timestamp,
    /// Whether deliveries are erased of which events are in quarantine and were never recorded.
    pub erase_quarantine: bool,
}

/// Who else may hold the payload of an event of an entity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Nobody whose content is not erased in this run.
    Nobody,
    /// The entity, or other events of it.
    Entity,
    /// The same, in a run that erases whole deliveries and has deleted what encloses their events.
    EntityOfWholeDelivery,
}

impl<R: Records, E: Eraser, P: Progress> Erasure<'_, R, E, P> {
    /// Erases these events, and what else holds their data.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub async fn events(&self, events: Vec<RecordedEvent>) -> Result<ErasureReport, ErasureError> {
        let mut report = ErasureReport::default();
        let mut deliveries = BTreeSet::new();
        let mut since: Option<(Timestamp, BTreeSet<ProviderName>)> = None;
        for event in self.with_holders(events).await? {
            let Some((received_at, occurrence)) = event.made() else { continue };
            deliveries.insert(occurrence.delivery_id);
            if let Entry::Event(entry) | Entry::Conflict(entry) = &event.entry {
                let (earliest, providers) = since.get_or_insert_with(|| (received_at, BTreeSet::new()));
                *earliest = received_at.min(*earliest);
                providers.insert(entry.provider);
                self.content_of_entity(entry, &mut report).await?;
                report.add(self.event(&event, Sharing::Entity).await?);
            }
        }
        for delivery_id in &deliveries {
            self.delivery(*delivery_id, &mut report).await?;
        }
        if let Some((since, providers)) = since {
            for provider in providers {
                self.later_deliveries(provider, since, &deliveries, &mut report).await?;
            }
        }
        Ok(report)
    }

    /// Erases an entity: its content, its events, and the deliveries that brought them. Each of its notifications is an event of it,
    /// so no other delivery holds one.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub async fn entity(&self, entity: &EntityEntry) -> Result<ErasureReport, ErasureError> {
        let mut report = ErasureReport::default();
        let key = entity_key(entity.provider, &entity.entity);
        let Listing { found, unreadable, .. } = self.records.entity_history(&key).await?;
        report.unreadable.extend(unreadable);
        self.entity_content(&key, |_| true, &mut report).await?;
        let mut deliveries = BTreeSet::new();
        for event in found {
            deliveries.insert(event.occurrence.delivery_id);
            report.add(self.event(&recorded(&key, event), Sharing::Nobody).await?);
        }
        for delivery_id in deliveries {
            self.delivery(delivery_id, &mut report).await?;
        }
        Ok(report)
    }

    /// Erases everything that was received in a range: events, quarantined ones included, and deliveries. The content of an entity
    /// stays: it is what is known today, whenever it was received.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub async fn range(
        &self,
        provider: Option<ProviderName>,
        received: TimeRange,
    ) -> Result<ErasureReport, ErasureError> {
        let mut report = ErasureReport::default();
        let filter = EventFilter { provider, received, ..EventFilter::default() };
        let mut walk = EventWalk::new(self.records, filter.clone(), self.now);
        while let Some(window) = walk.next().await? {
            let released = EventFilter { received: window.received, released: true, ..filter.clone() };
            self.all(window.listing, &mut report).await?;
            let mut released = EventWalk::new(self.records, released, self.now);
            while let Some(window) = released.next().await? {
                self.all(window.listing, &mut report).await?;
            }
            let deliveries = DeliveryFilter { provider, received: window.received, ..DeliveryFilter::default() };
            let mut deliveries = DeliveryWalk::new(self.records, deliveries, self.now);
            while let Some(window) = deliveries.next().await? {
                report.unreadable.extend(window.listing.unreadable);
                let records: Vec<_> = window.listing.found.iter().map(|record| self.record(record)).collect();
                merge(records, &mut report).await?;
            }
            self.progress.reached(window.until, &report);
        }
        Ok(report)
    }

    /// Ends the run.
    ///
    /// # Errors
    /// When the store could not remove what it still holds.
    pub async fn finish(&self) -> Result<(), PortError> {
        self.eraser.finish().await
    }

    /// Erases the events of a window.
    async fn all(&self, listing: Listing<RecordedEvent>, report: &mut ErasureReport) -> Result<(), ErasureError> {
        report.unreadable.extend(listing.unreadable);
        // All events of a delivery were received at the same time, so they are all here: what encloses them goes first, and once.
        let envelopes: HashSet<&PayloadKey> = listing.found.iter().filter_map(envelope_key).collect();
        for key in envelopes {
            self.delete(key, report).await?;
        }
        // Of two events that share a payload, the second one to be erased deletes it. So these are erased one after the other.
        let (in_turn, at_once): (Vec<_>, Vec<_>) = listing.found.iter().partition(|event| may_share_payload(event));
        let at_once = at_once.into_iter().map(|event| self.event(event, Sharing::EntityOfWholeDelivery)).collect();
        merge(at_once, report).await?;
        for event in in_turn {
            report.add(self.event(event, Sharing::EntityOfWholeDelivery).await?);
        }
        Ok(())
    }

    /// Erases one event, conflict or quarantined one, and its payloads.
    async fn event(&self, event: &RecordedEvent, sharing: Sharing) -> Result<ErasureReport, ErasureError> {
        let mut report = ErasureReport::default();
        let mut event = event.clone();
        for _ in 0..MAX_ROUNDS {
            let Some(tombstone) = Tombstone::of_event(&event, self.now) else {
                report.erased_before += 1;
                return Ok(report);
            };
            self.payloads(&event, sharing, &mut report).await?;
            match self.eraser.erase_entry(self.now, &tombstone).await? {
                PutOutcome::Done => {
                    match event.entry {
                        Entry::Quarantine(_) => report.quarantined += 1,
                        _ => report.events += 1,
                    }
                    self.progress.erased(&event);
                    return Ok(report);
                }
                PutOutcome::ConditionFailed(existing) => {
                    if let Some(entry) = existing.into_iter().next().flatten() {
                        event.entry = entry;
                    }
                }
            }
        }
        Err(ErasureError::Unsettled { key: event.key })
    }

    /// Deletes the payloads of an event.
    async fn payloads(
        &self,
        event: &RecordedEvent,
        sharing: Sharing,
        report: &mut ErasureReport,
    ) -> Result<(), ErasureError> {
        match &event.entry {
            Entry::Event(entry) | Entry::Conflict(entry) => {
                for key in payload_keys(entry) {
                    if sharing != Sharing::Nobody && self.is_in_use(key, entry).await? {
                        report.payloads_in_use += 1;
                    } else {
                        self.delete(key, report).await?;
                    }
                }
                if sharing != Sharing::EntityOfWholeDelivery
                    && let Some(envelope_key) = envelope_key(event)
                    && !self.is_envelope_in_use(envelope_key, event, entry).await?
                {
                    self.delete(envelope_key, report).await?;
                }
            }
            Entry::Quarantine(quarantine) => {
                if let Some(key) = quarantined_payload(quarantine) {
                    self.delete(&key, report).await?;
                }
            }
            Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => {}
        }
        Ok(())
    }

    async fn delete(&self, key: &PayloadKey, report: &mut ErasureReport) -> Result<(), ErasureError> {
        self.eraser.delete_payload(key).await?;
        report.payloads += 1;
        Ok(())
    }

    /// Whether the entity of an event, or another event of it, holds the same payload: equal content of an entity is stored once.
    async fn is_in_use(&self, key: &PayloadKey, entry: &EventEntry) -> Result<bool, ErasureError> {
        let Some(change) = &entry.entity else { return Ok(false) };
        let entity = entity_key(entry.provider, &change.entity);
        let content = self.records.entity(&entity).await?.and_then(|entity| entity.content);
        if content.is_some_and(|content| payload_of(&content.data) == Some(key)) {
            return Ok(true);
        }
        let history = self.records.entity_history(&entity).await?.found;
        let others = history.iter().filter(|other| other.occurrence != entry.occurrence);
        let is_in_use = others.flat_map(payload_keys).any(|other| other == key);
        Ok(is_in_use)
    }

    /// Whether another event of the delivery has the same envelope. An envelope is stored once for all of them.
    async fn is_envelope_in_use(
        &self,
        key: &PayloadKey,
        event: &RecordedEvent,
        entry: &EventEntry,
    ) -> Result<bool, ErasureError> {
        let filter = EventFilter::of_delivery(entry.occurrence.delivery_id);
        let others = self.records.events(&filter).await?.found;
        Ok(others.iter().filter(|other| other.key != event.key).any(|other| envelope_key(other) == Some(key)))
    }

    /// These events, and those that hold the data of the ones among them that only refer to them.
    async fn with_holders(&self, events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, ErasureError> {
        let mut all: Vec<RecordedEvent> = Vec::new();
        for event in events {
            if let Entry::Event(entry) = &event.entry
                && let EventData::Elsewhere { same_data_as } = &entry.data
                && let Some(holder) = find_by_id(self.records, same_data_as).await?
                && !all.iter().any(|known| known.key == holder.key)
            {
                all.push(holder);
            }
            if !all.iter().any(|known| known.key == event.key) {
                all.push(event);
            }
        }
        Ok(all)
    }

    /// Erases the content of an event's entity, if it is the event's.
    async fn content_of_entity(&self, event: &EventEntry, report: &mut ErasureReport) -> Result<(), ErasureError> {
        let Some(change) = &event.entity else { return Ok(()) };
        let key = entity_key(event.provider, &change.entity);
        self.entity_content(
            &key,
            |entity| entity.content.as_ref().is_some_and(|content| content.digest == event.digest),
            report,
        )
        .await
    }

    async fn entity_content(
        &self,
        key: &EntryKey,
        is_meant: impl Fn(&EntityEntry) -> bool + Send + Sync,
        report: &mut ErasureReport,
    ) -> Result<(), ErasureError> {
        for _ in 0..MAX_ROUNDS {
            let Some(entity) = self.records.entity(key).await?.filter(|entity| is_meant(entity)) else {
                return Ok(());
            };
            let Some(tombstone) = Tombstone::of_entity(&entity, self.now) else { return Ok(()) };
            let payload = entity.content.as_ref().and_then(|content| payload_of(&content.data));
            if let Some(payload) = payload {
                // With an event that still has it, it is deleted when that is erased.
                let history = self.records.entity_history(key).await?.found;
                if !history.iter().flat_map(payload_keys).any(|other| other == payload) {
                    self.delete(payload, report).await?;
                }
            }
            if self.eraser.erase_entry(self.now, &tombstone).await? == PutOutcome::Done {
                report.entities += 1;
                return Ok(());
            }
        }
        Err(ErasureError::Unsettled { key: key.clone() })
    }

    /// Erases what is kept of one delivery: its record, its copies in quarantine, and its body on the way through the queue.
    async fn delivery(&self, delivery_id: DeliveryId, report: &mut ErasureReport) -> Result<(), ErasureError> {
        let filter = EventFilter { outcome: Some(Outcome::Quarantined), ..EventFilter::of_delivery(delivery_id) };
        let quarantined = self.records.events(&filter).await?;
        let released = EventFilter { released: true, ..EventFilter::of_delivery(delivery_id) };
        let released = self.records.events(&released).await?;
        report.unreadable.extend(quarantined.unreadable);
        report.unreadable.extend(released.unreadable);
        let waits = quarantined.found.iter().any(|event| event.entry.erased_at().is_none());
        if waits && !self.erase_quarantine {
            report.left_in_quarantine.insert(delivery_id);
        } else {
            for event in quarantined.found.iter().chain(&released.found) {
                report.add(self.event(event, Sharing::Nobody).await?);
            }
        }
        if let Some(record) = self.records.delivery(delivery_id).await? {
            report.add(self.record(&record).await?);
        }
        Ok(())
    }

    /// Erases the records of later deliveries that brought one of these deliveries' events again, or may have: a record lists the first
    /// of its events only.
    async fn later_deliveries(
        &self,
        provider: ProviderName,
        since: Timestamp,
        first: &BTreeSet<DeliveryId>,
        report: &mut ErasureReport,
    ) -> Result<(), ErasureError> {
        let received = TimeRange { since: Some(since), until: None };
        let filter = DeliveryFilter { provider: Some(provider), received, ..DeliveryFilter::default() };
        let mut walk = DeliveryWalk::new(self.records, filter, self.now);
        while let Some(window) = walk.next().await? {
            report.unreadable.extend(window.listing.unreadable);
            for record in window.listing.found.iter().filter(|record| may_hold(record, first)) {
                report.add(self.record(record).await?);
            }
        }
        Ok(())
    }

    /// Erases a delivery's record, its body, and its body on the way through the queue.
    async fn record(&self, record: &DeliveryRecord) -> Result<ErasureReport, ErasureError> {
        let mut report = ErasureReport::default();
        let Some(tombstone) = RecordTombstone::of(record, self.now) else { return Ok(report) };
        if record.body_bytes >= MIN_OFFLOADED_BYTES {
            self.delete(&body_key(record.provider, record.received_at, record.delivery_id), &mut report).await?;
        }
        if let RecordedBody::Payload { body_key } = &record.body {
            self.delete(body_key, &mut report).await?;
        }
        self.eraser.erase_record(&tombstone).await?;
        report.deliveries += 1;
        Ok(report)
    }
}

/// Does parts of the work at once, and adds what they did.
async fn merge(
    parts: Vec<impl Future<Output = Result<ErasureReport, ErasureError>>>,
    report: &mut ErasureReport,
) -> Result<(), ErasureError> {
    let mut parts = stream::iter(parts).buffer_unordered(MAX_CONCURRENCY);
    while let Some(part) = parts.try_next().await? {
        report.add(part);
    }
    Ok(())
}

/// Whether an event's payload may be that of its entity or of another event as well.
fn may_share_payload(event: &RecordedEvent) -> bool {
    match &event.entry {
        Entry::Event(entry) | Entry::Conflict(entry) => entry.entity.is_some() && payload_keys(entry).next().is_some(),
        _ => false,
    }
}

/// Where what encloses an event is, if it is not in its entry.
fn envelope_key(event: &RecordedEvent) -> Option<&PayloadKey> {
    match &event.entry {
        Entry::Event(event) | Entry::Conflict(event) => match &event.envelope {
            Some(EnvelopeData::Payload { envelope_key, .. }) => Some(envelope_key),
            _ => None,
        },
        _ => None,
    }
}

/// The payloads of an event's content.
fn payload_keys(event: &EventEntry) -> impl Iterator<Item = &PayloadKey> {
    let content = event.entity.as_ref().and_then(|change| change.content.as_ref());
    std::iter::once(&event.data).chain(content).filter_map(payload_of)
}

const fn payload_of(data: &EventData) -> Option<&PayloadKey> {
    match data {
        EventData::Payload { data_key, .. } => Some(data_key),
        EventData::Inline { .. } | EventData::Elsewhere { .. } | EventData::Erased { .. } => None,
    }
}

/// Where the body of a quarantined delivery is, if it is not in its entry. A document that cannot be read names none.
fn quarantined_payload(quarantine: &QuarantineEntry) -> Option<PayloadKey> {
    InboundMessage::quarantined(quarantine).ok()?.payload_key().cloned()
}

/// Whether a delivery may have brought an event of one of these deliveries again.
fn may_hold(record: &DeliveryRecord, first: &BTreeSet<DeliveryId>) -> bool {
    let names_one = record.outcomes.iter().filter_map(|event| event.first_delivery).any(|id| first.contains(&id));
    names_one || record.further_outcomes.duplicate > 0 || record.further_outcomes.conflict > 0
}

/// An event of the entity at a key.
fn recorded(entity: &EntryKey, event: EventEntry) -> RecordedEvent {
    let arrival = crate::ledger::entity::Arrival {
        received_at: event.received_at,
        delivery_id: event.occurrence.delivery_id,
        index: event.occurrence.index,
    };
    let key = EntryKey { partition: entity.partition.clone(), sort: arrival.event_sort() };
    RecordedEvent { key, entry: Entry::Event(Box::new(event)) }
}

#[cfg(test)]
mod tests;
