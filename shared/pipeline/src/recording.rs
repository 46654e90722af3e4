//! The decisions of the ledger.
//!
//! Every decision is one atomic put whose condition both claims and reads: either the entries are there now, or what was in
//! the way comes back. So a crash between any two steps, a redelivered message, and a second processor on the same delivery
//! all meet what was recorded, and report that. An event's aliases are claimed first, each by a put of its own.
//!
//! A put whose condition fails costs as much as one that succeeds. By replaying a captured request, an attacker could use up the
//! capacity of its neighbours, so where a failed condition would cost more than two write units, the ledger is read first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::digest::Sha256Digest;
use intake_providers::event::{CloudEvent, Envelope, Event, EventIndex, EventKind};
use intake_providers::malformed::Malformed;
use intake_providers::timestamp::Timestamp;
use tokio::sync::OnceCell;

use crate::clock::Clock;
use crate::delivery_record::KeptBody;
use crate::ledger::{
    Condition, ConditionalPut, EVENT_SORT, Entry, EntryKey, EnvelopeData, EventData, EventEntry, Ledger,
    LedgerReader as _, Occurrence, Outcome, ProgressEntry, PutOutcome, QuarantineEntry, QuarantinedContent, Release,
    TIME_SHARDS, TimeIndex,
};
use crate::payloads::{PayloadKey, Payloads};
use crate::platform::Platform;
use crate::port_error::PortError;
use crate::queue_message::{self, UnwritableMessage};

mod claim;
mod entity;

/// Maximum size of an event's data in its entry, in bytes. Above it, one object of S3 costs less than the write units.
pub const MAX_INLINE_DATA_BYTES: usize = 16 * 1024;

/// Maximum size of an entity's content in its entry and in those of its events, in bytes. It is written twice for each event
/// and in a transaction, so S3 costs less from here on.
pub const MAX_INLINE_CONTENT_BYTES: usize = 4 * 1024;

/// Maximum size of an envelope in an entry, in bytes. It is repeated in every event that it encloses.
pub const MAX_INLINE_ENVELOPE_BYTES: usize = 1024;

/// Maximum size of a quarantined delivery's document in its entry, in bytes.
pub const MAX_INLINE_DOCUMENT_BYTES: usize = 4 * 1024;

/// Maximum size of an entry whose put is tried without a read, in bytes: two of DynamoDB's write units.
const MAX_BLIND_PUT_BYTES: usize = 2 * 1024;

/// Size of an event's entry without its data, attributes and names, in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 800;

/// Maximum length of the reason that is kept with quarantined content, in characters. A reason may quote a name of any length.
const MAX_REASON_CHARACTERS: usize = 500;

/// Why an outcome could not be recorded. The record fails and is redelivered.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The ledger or the payload store failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What belongs in the quarantine could not be written as a document.
    #[error(transparent)]
    Document(#[from] UnwritableMessage),
    /// The entries around the event kept changing.
    #[error("the ledger's entries kept changing while an event was recorded; the record will be redelivered")]
    Unsettled,
    /// An entry of another kind is stored where an event belongs.
    #[error("the ledger holds an entry of another kind at {partition} {sort}; somebody wrote to the table by hand")]
    UnexpectedEntry {
        /// The partition key.
        partition: String,
        /// The sort key.
        sort: String,
    },
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its outcome, whether it was decided now or before.
    pub outcome: Outcome,
    /// Of a duplicate or a conflict, the delivery that brought the event first.
    pub first_delivery: Option<DeliveryId>,
    /// Its type, unless it was quarantined.
    pub event_type: Option<String>,
    /// Where the ledger keeps the whole body of the delivery, if it does for this event.
    pub(crate) kept_body: Option<KeptBody>,
}

impl Recorded {
    fn of(outcome: Outcome, event: &Event) -> Self {
        let event_type = Some(event.cloud_event.event_type.clone());
        Self { outcome, first_delivery: None, event_type, kept_body: None }
    }

    /// With the entry that holds the event's data, if these are the whole body of the delivery.
    fn kept_at(mut self, key: EntryKey, recording: &Recording<'_>, event: &Event) -> Self {
        self.kept_body = is_whole_body(recording.delivery, event).then_some(KeptBody::Event(key));
        self
    }

    /// The same, unless the entry's data were erased. Then the delivery's body shall not be kept anywhere.
    fn kept_in(self, key: EntryKey, known: &EventEntry, recording: &Recording<'_>, event: &Event) -> Self {
        match known.data.erased_at() {
            Some(erased_at) => self.erased(erased_at),
            None => self.kept_at(key, recording, event),
        }
    }

    /// Without the body, of which this event was erased.
    fn erased(self, erased_at: Timestamp) -> Self {
        Self { kept_body: Some(KeptBody::Erased(erased_at)), ..self }
    }
}

/// On what occasion a delivery is recorded. From the second time on, events of it may be in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Its message was received for the first time.
    First,
    /// Its message was received before.
    Redelivery,
    /// It was released from quarantine.
    Release,
}

/// A delivery whose events are being recorded, and what has been stored once for all of them.
pub struct Recording<'a> {
    delivery: &'a Delivery,
    occasion: Occasion,
    /// The large envelopes by digest; a cell is set once its envelope is stored.
    envelopes: Mutex<HashMap<Sha256Digest, Arc<OnceCell<()>>>>,
    document: OnceCell<String>,
}

impl<'a> Recording<'a> {
    /// A delivery of which nothing has been stored in this run.
    #[must_use]
    pub fn of(delivery: &'a Delivery) -> Self {
        Self { delivery, occasion: Occasion::First, envelopes: Mutex::default(), document: OnceCell::new() }
    }

    /// The same on another occasion.
    #[must_use]
    pub fn on(self, occasion: Occasion) -> Self {
        Self { occasion, ..self }
    }

    /// The delivery.
    #[must_use]
    pub const fn delivery(&self) -> &'a Delivery {
        self.delivery
    }

    /// Whether the envelope is stored, for all events that it encloses to wait for.
    fn envelope(&self, digest: Sha256Digest) -> Arc<OnceCell<()>> {
        // A map is whole after each of its calls, so a panic elsewhere does not spoil it.
        Arc::clone(self.envelopes.lock().unwrap_or_else(PoisonError::into_inner).entry(digest).or_default())
    }
}

/// Records events in the ledger.
pub struct Recorder<P: Platform> {
    ledger: P::Ledger,
    payloads: P::Payloads,
    clock: P::Clock,
}

impl<P: Platform> Recorder<P> {
    /// A recorder on these ports.
    pub const fn new(ledger: P::Ledger, payloads: P::Payloads, clock: P::Clock) -> Self {
        Self { ledger, payloads, clock }
    }

    /// The store for large bodies.
    pub(crate) const fn payloads(&self) -> &P::Payloads {
        &self.payloads
    }

    /// A delivery's progress, as it was last saved.
    ///
    /// # Errors
    /// When the ledger does not answer, or holds something else there.
    pub(crate) async fn progress(&self, delivery: &Delivery) -> Result<Option<ProgressEntry>, RecordingError> {
        let key = ProgressEntry::key(delivery.id);
        match self.ledger.find(&key).await? {
            None => Ok(None),
            Some(Entry::Progress(progress)) => Ok(Some(progress)),
            Some(_) => Err(unexpected(&key)),
        }
    }

    /// Saves a delivery's progress.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) async fn save_progress(&self, progress: ProgressEntry) -> Result<(), RecordingError> {
        let key = ProgressEntry::key(progress.delivery_id);
        let put = ConditionalPut { key, entry: Entry::Progress(progress), condition: Condition::Always };
        self.ledger.put(self.clock.now(), &[put]).await?;
        Ok(())
    }

    /// The time by the recorder's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records an event of a delivery, and returns its outcome, whether it was decided now or before.
    ///
    /// # Errors
    /// [`RecordingError`]; the event is recorded or not, its aliases may be claimed, and a retry settles it.
    pub async fn record(
        &self,
        recording: &Recording<'_>,
        index: EventIndex,
        event: Event,
    ) -> Result<Recorded, RecordingError> {
        let recorded = self.decide(recording, index, event).await?;
        if recording.occasion != Occasion::First {
            let occurrence = Occurrence { delivery_id: recording.delivery.id, index };
            self.mark_released(occurrence, recorded.outcome).await?;
        }
        Ok(recorded)
    }

    async fn decide(
        &self,
        recording: &Recording<'_>,
        index: EventIndex,
        event: Event,
    ) -> Result<Recorded, RecordingError> {
        if let EventKind::EntityState(update) = &event.kind {
            return self.record_entity_event(recording, index, &event, update).await;
        }
        let delivery = recording.delivery;
        let occurrence = Occurrence { delivery_id: delivery.id, index };
        let partition = event.identity.partition_key();
        if is_costly_to_refuse(&event) {
            let key = EntryKey { partition: partition.clone(), sort: EVENT_SORT.to_owned() };
            match self.ledger.find(&key).await? {
                None => {}
                Some(Entry::Event(first)) => return self.compare(recording, occurrence, &event, &first).await,
                Some(_) => return Err(unexpected(&key)),
            }
        }
        let data = self.place(&event, MAX_INLINE_DATA_BYTES).await?;
        let envelope = self.place_envelope(recording, &event).await?;
        let (alias, hint) = event.kind.aliases();
        let repeat_of = self.claim_alias(&event, alias).await?;
        let same_job_as = self.claim_hint(&event, hint).await?;
        let outcome = if repeat_of.is_some() { Outcome::Repeat } else { Outcome::Stored };
        let alias = alias.map(|alias| alias.name.partition_key());
        let entry = entry(delivery, occurrence, &event, data, envelope, outcome);
        let entry = Entry::Event(Box::new(EventEntry { alias, repeat_of, same_job_as, ..entry }));
        let key = EntryKey { partition, sort: EVENT_SORT.to_owned() };
        match self.put_one(ConditionalPut { key: key.clone(), entry, condition: Condition::Absent }).await? {
            None => Ok(Recorded::of(outcome, &event).kept_at(key, recording, &event)),
            Some(Entry::Event(first)) => self.compare(recording, occurrence, &event, &first).await,
            Some(_) => Err(unexpected(&key)),
        }
    }

    /// Decides about an event of a known identity.
    async fn compare(
        &self,
        recording: &Recording<'_>,
        occurrence: Occurrence,
        event: &Event,
        first: &EventEntry,
    ) -> Result<Recorded, RecordingError> {
        let first_key = EntryKey { partition: event.identity.partition_key(), sort: EVENT_SORT.to_owned() };
        if first.occurrence == occurrence {
            return Ok(Recorded::of(first.outcome, event).kept_in(first_key, first, recording, event));
        }
        if first.digest == event.digest {
            return Ok(duplicate(recording, event, first_key, first));
        }
        let key = EntryKey::of_conflict(event.identity.partition_key(), event.digest);
        let mut kept = match is_costly_to_refuse(event) {
            true => self.ledger.find(&key).await?,
            false => None,
        };
        if kept.is_none() {
            let data = self.place(event, MAX_INLINE_DATA_BYTES).await?;
            let envelope = self.place_envelope(recording, event).await?;
            let entry = entry(recording.delivery, occurrence, event, data, envelope, Outcome::Conflict);
            let entry = Entry::Conflict(Box::new(entry));
            kept = self.put_one(ConditionalPut { key: key.clone(), entry, condition: Condition::Absent }).await?;
        }
        match kept {
            // This other content was kept when it first arrived.
            Some(Entry::Conflict(kept)) if kept.occurrence != occurrence => Ok(duplicate(recording, event, key, &kept)),
            kept @ (None | Some(Entry::Conflict(_))) => {
                let first_delivery = Some(first.occurrence.delivery_id);
                let recorded = Recorded { first_delivery, ..Recorded::of(Outcome::Conflict, event) };
                Ok(match kept.and_then(|kept| kept.erased_at()) {
                    Some(erased_at) => recorded.erased(erased_at),
                    None => recorded.kept_at(key, recording, event),
                })
            }
            Some(_) => Err(unexpected(&key)),
        }
    }

    /// Keeps authentic content that is not an event, with the reason and the whole delivery. `data` is the part of the body
    /// that could not be read, where the rest could.
    ///
    /// # Errors
    /// [`RecordingError`]; a retry settles it.
    pub async fn quarantine(
        &self,
        recording: &Recording<'_>,
        index: EventIndex,
        reason: &Malformed,
        data: Option<&Bytes>,
    ) -> Result<Recorded, RecordingError> {
        let delivery = recording.delivery;
        let document = recording.document.get_or_try_init(|| self.place_document(delivery)).await?.clone();
        let data = data.filter(|data| data.len() <= MAX_INLINE_DOCUMENT_BYTES);
        let data = data.and_then(|data| std::str::from_utf8(data).ok()).map(str::to_owned);
        let occurrence = Occurrence { delivery_id: delivery.id, index };
        let [.., last] = *delivery.sha256.as_bytes();
        let key = EntryKey::of_quarantine(occurrence.delivery_id, occurrence.index);
        let mut entry = QuarantineEntry {
            outcome: Outcome::Quarantined,
            provider: delivery.provider,
            reason: quarantine_reason(reason),
            content: QuarantinedContent::Kept { document, data },
            occurrence,
            received_at: delivery.received_at,
            quarantined_again_at: None,
            released: None,
            time_index: time_index(delivery, occurrence, last % TIME_SHARDS),
        };
        let put = |entry, condition| ConditionalPut {
            key: key.clone(),
            entry: Entry::Quarantine(Box::new(entry)),
            condition,
        };
        // An entry at this key is from this very delivery, because the key holds its id.
        let mut existing = self.put_one(put(entry.clone(), Condition::Absent)).await?;
        if recording.occasion == Occasion::Release
            && let Some(Entry::Quarantine(before)) = &existing
            && before.released.is_none()
            && before.erased_at().is_none()
        {
            entry.quarantined_again_at = Some(self.clock.now());
            existing = self.put_one(put(entry, Condition::NotReleased)).await?;
        }
        // What was read once has its outcome, also if a release that cannot read it works on it now.
        let (outcome, erased_at) = match existing {
            Some(Entry::Quarantine(entry)) => {
                (entry.released.map_or(Outcome::Quarantined, |release| release.outcome), entry.erased_at())
            }
            _ => (Outcome::Quarantined, None),
        };
        let kept_body = Some(erased_at.map_or(KeptBody::Quarantine(key), KeptBody::Erased));
        Ok(Recorded { outcome, first_delivery: None, event_type: None, kept_body })
    }

    /// Marks what was quarantined at this place as released, if something was. It is one and the same event, so its quarantine
    /// gives way to what was recorded. A crash before the mark is healed by the redelivery, which finds the same outcome.
    async fn mark_released(&self, occurrence: Occurrence, outcome: Outcome) -> Result<(), RecordingError> {
        let key = EntryKey::of_quarantine(occurrence.delivery_id, occurrence.index);
        let mut entry = match self.ledger.find(&key).await? {
            Some(Entry::Quarantine(entry)) if entry.released.is_none() => entry,
            Some(Entry::Quarantine(_)) | None => return Ok(()),
            Some(_) => return Err(unexpected(&key)),
        };
        entry.released = Some(Release { at: self.clock.now(), outcome });
        // If the condition fails, another processor has marked it.
        self.put_one(ConditionalPut { key, entry: Entry::Quarantine(entry), condition: Condition::NotReleased })
            .await?;
        Ok(())
    }

    /// Puts one entry, or returns the existing one.
    async fn put_one(&self, put: ConditionalPut) -> Result<Option<Entry>, RecordingError> {
        match self.ledger.put(self.clock.now(), std::slice::from_ref(&put)).await? {
            PutOutcome::Done => Ok(None),
            PutOutcome::ConditionFailed(entries) => match entries.into_iter().next().flatten() {
                Some(entry) => Ok(Some(entry)),
                None => Err(RecordingError::Unsettled),
            },
        }
    }

    /// The delivery as a queue message, its body in the payload store unless it is small.
    async fn place_document(&self, delivery: &Delivery) -> Result<String, RecordingError> {
        if delivery.body.len() <= MAX_INLINE_DOCUMENT_BYTES {
            let document = queue_message::write_inline(delivery)?;
            if document.len() <= MAX_INLINE_DOCUMENT_BYTES {
                return Ok(document);
            }
        }
        let key = PayloadKey::new(format!("quarantine/{}/{}", delivery.provider, delivery.id));
        self.payloads.put(&key, delivery.body.clone()).await?;
        Ok(queue_message::write_with_payload(delivery, key)?)
    }

    /// Decides where to store what enclosed an event, and stores it once for a delivery where it is large.
    async fn place_envelope(
        &self,
        recording: &Recording<'_>,
        event: &Event,
    ) -> Result<Option<EnvelopeData>, RecordingError> {
        let Some(envelope) = &event.envelope else { return Ok(None) };
        if let Some(text) = inline_envelope(envelope) {
            return Ok(Some(EnvelopeData::Inline { envelope: text.to_owned() }));
        }
        // A key of the delivery's own: with one event of another delivery, this envelope may be erased.
        let (provider, delivery_id) = (event.provider, recording.delivery.id);
        let envelope_key = PayloadKey::new(format!("events/{provider}/envelopes/{delivery_id}/{}", envelope.digest));
        let stored = recording.envelope(envelope.digest);
        stored.get_or_try_init(|| self.payloads.put(&envelope_key, envelope.data.clone())).await?;
        Ok(Some(EnvelopeData::Payload { envelope_key, envelope_size_bytes: envelope.data.len() as u64 }))
    }

    /// Decides where to store an event's data, and stores it where it is too large for its entry. The key is made of the data
    /// itself, so that storing it again changes nothing.
    async fn place(&self, event: &Event, max_inline_bytes: usize) -> Result<EventData, RecordingError> {
        if event.data.len() <= max_inline_bytes
            && let Ok(data) = std::str::from_utf8(&event.data)
        {
            return Ok(EventData::Inline { data: data.to_owned() });
        }
        let identity = event.identity.partition_key().replace('#', "/");
        let data_key = PayloadKey::new(format!("events/{identity}/{}", Sha256Digest::of(&event.data)));
        self.payloads.put(&data_key, event.data.clone()).await?;
        Ok(EventData::Payload { data_key, data_size_bytes: event.data.len() as u64 })
    }
}

/// The envelope as text, if it is stored in the entry.
fn inline_envelope(envelope: &Envelope) -> Option<&str> {
    let data = Some(&envelope.data).filter(|data| data.len() <= MAX_INLINE_ENVELOPE_BYTES)?;
    std::str::from_utf8(data).ok()
}

/// What becomes of an event that was recorded before, in this entry.
fn duplicate(recording: &Recording<'_>, event: &Event, key: EntryKey, known: &EventEntry) -> Recorded {
    let first_delivery = Some(known.occurrence.delivery_id);
    let recorded = Recorded { first_delivery, ..Recorded::of(Outcome::Duplicate, event) };
    if let Some(erased_at) = known.data.erased_at() {
        return recorded.erased(erased_at);
    }
    // The same content may have been written in other bytes.
    let has_same_bytes = match &known.data {
        EventData::Inline { data } => data.as_bytes() == event.data,
        // The key ends with the digest of the data, and the body's is known.
        EventData::Payload { data_key, .. } => data_key.as_str().ends_with(&recording.delivery.sha256.to_string()),
        EventData::Elsewhere { .. } | EventData::Erased { .. } => false,
    };
    if has_same_bytes { recorded.kept_at(key, recording, event) } else { recorded }
}

/// Whether an event's data, a slice of the body, are all of it.
fn is_whole_body(delivery: &Delivery, event: &Event) -> bool {
    event.data.len() == delivery.body.len()
}

/// Whether a refused put of the event would cost more than two write units: because it is large, or an alias is claimed or its
/// envelope stored before it.
fn is_costly_to_refuse(event: &Event) -> bool {
    let attributes: usize = event.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let CloudEvent { id, source, event_type, subject, .. } = &event.cloud_event;
    let names = id.len() + source.len() + event_type.len() + subject.as_ref().map_or(0, String::len);
    let size_bytes = ENTRY_OVERHEAD_BYTES + event.data.len() + attributes + names;
    // What is stored for a redelivered event would be found by nobody, and be there again after the event was erased.
    let stores_envelope = event.envelope.as_ref().is_some_and(|envelope| inline_envelope(envelope).is_none());
    !matches!(event.kind.aliases(), (None, None)) || stores_envelope || size_bytes > MAX_BLIND_PUT_BYTES
}

fn entry(
    delivery: &Delivery,
    occurrence: Occurrence,
    event: &Event,
    data: EventData,
    envelope: Option<EnvelopeData>,
    outcome: Outcome,
) -> EventEntry {
    EventEntry {
        outcome,
        provider: event.provider,
        account: delivery.account().clone(),
        cloud_event: event.cloud_event.clone(),
        data,
        envelope,
        digest: event.digest,
        occurrence,
        received_at: delivery.received_at,
        key_fingerprint: delivery.authenticated_by.fingerprint.to_string(),
        attributes: event.attributes.clone(),
        alias: None,
        repeat_of: None,
        same_job_as: None,
        entity: None,
        time_index: time_index(delivery, occurrence, event.identity.shard(TIME_SHARDS)),
    }
}

fn time_index(delivery: &Delivery, occurrence: Occurrence, shard: u8) -> TimeIndex {
    TimeIndex {
        time_bucket: TimeIndex::events_bucket(delivery.provider, delivery.received_at, shard),
        time_order: format!("{}#{}#{:05}", delivery.received_at, delivery.id, occurrence.index.0),
    }
}

/// A reason as the quarantine keeps it.
pub(crate) fn quarantine_reason(reason: &Malformed) -> String {
    reason.to_string().chars().take(MAX_REASON_CHARACTERS).collect()
}

fn unexpected(key: &EntryKey) -> RecordingError {
    RecordingError::UnexpectedEntry { partition: key.partition.clone(), sort: key.sort.clone() }
}

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod write_units;
