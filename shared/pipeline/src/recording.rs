//! The decisions of the ledger.
//!
//! Every decision is one atomic put whose condition both claims and reads: either the entries are there now, or what was in
//! the way comes back. So a crash between any two steps, a redelivered message, and a second processor on the same delivery
//! all meet what was recorded, and report that.

use bytes::Bytes;
use providers::delivery::{Delivery, Sha256Digest};
use providers::event::{Alias, Event, EventIndex, Malformed};
use providers::timestamp::Timestamp;

use crate::document::{self, UnwritableDocument};
use crate::ledger::{
    AliasEntry, Condition, ConditionalPut, Entry, EntryKey, EventData, EventEntry, Occurrence, Outcome,
    QuarantineEntry, TIME_SHARDS, TimeIndex, Written,
};
use crate::ports::{Ledger, PayloadKey, Payloads, PortError, Surroundings};

mod states;

/// The most data that lies in an entry, in bytes. DynamoDB takes 400 KB in all; the other members stay below 100 KB.
pub const LARGEST_INLINE_DATA_BYTES: usize = 256 * 1024;

/// The longest reason that is kept with quarantined content, in characters. A reason may quote a name of any length.
const LONGEST_REASON: usize = 500;

/// How often a decision is tried again because a name was taken or given up between two puts.
const MOST_ROUNDS: usize = 8;

/// Why an outcome could not be recorded. The record fails and comes again.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The ledger or the payload store did not answer as it should.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What belongs in the quarantine could not be written as a document.
    #[error(transparent)]
    Document(#[from] UnwritableDocument),
    /// The entries around the event kept changing.
    #[error("the ledger's entries changed {MOST_ROUNDS} times while an event was recorded; the record comes again")]
    Unsettled,
    /// An entry of another kind lies where an event belongs.
    #[error("the ledger holds an entry of another kind at {partition} {sort}; somebody wrote to the table by hand")]
    UnexpectedEntry {
        /// The partition key.
        partition: String,
        /// The sort key.
        sort: String,
    },
}

/// Records events in the ledger.
pub struct Recorder<L, P, E> {
    ledger: L,
    payloads: P,
    surroundings: E,
}

impl<L: Ledger, P: Payloads, E: Surroundings> Recorder<L, P, E> {
    /// A recorder on these ports.
    pub const fn new(ledger: L, payloads: P, surroundings: E) -> Self {
        Self { ledger, payloads, surroundings }
    }

    /// The store for large bodies.
    pub(crate) const fn payloads(&self) -> &P {
        &self.payloads
    }

    /// Records an event of a delivery, and says what became of it, now or before.
    ///
    /// # Errors
    /// [`RecordingError`]; nothing or everything of the event is then recorded, and asking again settles it.
    pub async fn record(
        &self,
        delivery: &Delivery,
        index: EventIndex,
        event: Event,
    ) -> Result<Outcome, RecordingError> {
        if let Some(update) = &event.entity {
            return self.record_state(delivery, &event, update).await;
        }
        let data = self.place(&event).await?;
        let occurrence = Occurrence { delivery_id: delivery.id, index };
        let partition = event.identity.partition_key();
        let mut repeat_of = None;
        let mut same_job_as = None;
        for _ in 0..MOST_ROUNDS {
            let now = self.surroundings.now();
            let outcome = if repeat_of.is_some() { Outcome::Repeat } else { Outcome::Stored };
            let mut entry = entry(delivery, occurrence, &event, data.clone(), outcome);
            entry.repeat_of.clone_from(&repeat_of);
            entry.same_job_as.clone_from(&same_job_as);
            let mut puts = vec![ConditionalPut {
                key: EntryKey { partition: partition.clone(), sort: "event".to_owned() },
                entry: Entry::Event(Box::new(entry)),
                condition: Condition::Absent,
            }];
            let alias = event.repeat_alias.as_ref().filter(|_| repeat_of.is_none());
            let hint = event.job_hint.as_ref().filter(|_| same_job_as.is_none());
            puts.extend(alias.map(|alias| name(alias, "alias", Entry::Alias, &event, now)));
            puts.extend(hint.map(|hint| name(hint, "hint", Entry::Hint, &event, now)));

            let Written::Refused(in_the_way) = self.ledger.put(now, &puts).await? else {
                return Ok(outcome);
            };
            for (put, entry) in puts.iter().zip(in_the_way) {
                match (&put.entry, entry) {
                    (_, None) => {}
                    (Entry::Event(_), Some(Entry::Event(first))) => {
                        return self.compare(delivery, occurrence, &event, data, &first).await;
                    }
                    (Entry::Alias(_), Some(Entry::Alias(owner))) => repeat_of = Some(owner.owner_id),
                    (Entry::Hint(_), Some(Entry::Hint(owner))) => same_job_as = Some(owner.owner_id),
                    _ => return Err(unexpected(&put.key)),
                }
            }
        }
        Err(RecordingError::Unsettled)
    }

    /// Decides about an event whose identity is there already.
    async fn compare(
        &self,
        delivery: &Delivery,
        occurrence: Occurrence,
        event: &Event,
        data: EventData,
        first: &EventEntry,
    ) -> Result<Outcome, RecordingError> {
        if first.occurrence == occurrence {
            return Ok(first.outcome);
        }
        if first.digest == event.digest {
            return Ok(Outcome::Duplicate);
        }
        let put = ConditionalPut {
            key: EntryKey { partition: event.identity.partition_key(), sort: format!("conflict#{}", event.digest) },
            entry: Entry::Conflict(Box::new(entry(delivery, occurrence, event, data, Outcome::Conflict))),
            condition: Condition::Absent,
        };
        match self.put_one(put).await? {
            None => Ok(Outcome::Conflict),
            Some(Entry::Conflict(kept)) if kept.occurrence == occurrence => Ok(Outcome::Conflict),
            // This other content was kept when it first came.
            Some(Entry::Conflict(_)) => Ok(Outcome::Duplicate),
            Some(_) => Err(RecordingError::UnexpectedEntry {
                partition: event.identity.partition_key(),
                sort: format!("conflict#{}", event.digest),
            }),
        }
    }

    /// Keeps authentic content that is no event, whole and with the reason. `slice` is the part of the body that could not be
    /// read, where the rest could.
    ///
    /// # Errors
    /// [`RecordingError`]; asking again settles it.
    pub async fn quarantine(
        &self,
        delivery: &Delivery,
        index: EventIndex,
        reason: &Malformed,
        slice: Option<Bytes>,
    ) -> Result<Outcome, RecordingError> {
        let mut kept = delivery.clone();
        if let Some(slice) = slice {
            kept.sha256 = Sha256Digest::of(&slice);
            kept.body = slice;
        }
        let mut document = document::write_inline(&kept)?;
        if document.len() > LARGEST_INLINE_DATA_BYTES {
            let key = PayloadKey::new(format!("quarantine/{}/{}/{}", kept.provider, kept.id, index.0));
            self.payloads.put(&key, kept.body.clone()).await?;
            document = document::write_with_payload(&kept, key)?;
        }
        let occurrence = Occurrence { delivery_id: delivery.id, index };
        let [.., last] = *delivery.sha256.as_bytes();
        let put = ConditionalPut {
            key: EntryKey { partition: format!("quarantine#{}", delivery.id), sort: format!("{:05}", index.0) },
            entry: Entry::Quarantine(Box::new(QuarantineEntry {
                outcome: Outcome::Quarantined,
                provider: delivery.provider,
                reason: reason.to_string().chars().take(LONGEST_REASON).collect(),
                document,
                occurrence,
                received_at: delivery.received_at,
                time_index: time_index(delivery, occurrence, last % TIME_SHARDS),
            })),
            condition: Condition::Absent,
        };
        // Whatever lies there is this very delivery's, for its id is in the key.
        self.put_one(put).await?;
        Ok(Outcome::Quarantined)
    }

    /// Puts one entry, or returns what lies there.
    async fn put_one(&self, put: ConditionalPut) -> Result<Option<Entry>, RecordingError> {
        match self.ledger.put(self.surroundings.now(), std::slice::from_ref(&put)).await? {
            Written::All => Ok(None),
            Written::Refused(entries) => match entries.into_iter().next().flatten() {
                Some(entry) => Ok(Some(entry)),
                None => Err(RecordingError::Unsettled),
            },
        }
    }

    /// Says where an event's data is to lie, and puts it into the payload store if it is large.
    async fn place(&self, event: &Event) -> Result<EventData, RecordingError> {
        if event.data.len() <= LARGEST_INLINE_DATA_BYTES
            && let Ok(data) = std::str::from_utf8(&event.data)
        {
            return Ok(EventData::Inline { data: data.to_owned() });
        }
        self.place_apart(event).await
    }

    /// Puts data into the payload store. The key is made of the data itself, so that doing it again changes nothing.
    async fn place_apart(&self, event: &Event) -> Result<EventData, RecordingError> {
        let identity = event.identity.partition_key().replace('#', "/");
        let data_key = PayloadKey::new(format!("events/{identity}/{}", Sha256Digest::of(&event.data)));
        self.payloads.put(&data_key, event.data.clone()).await?;
        Ok(EventData::Payload { data_key, data_size_bytes: event.data.len() as u64 })
    }
}

fn entry(delivery: &Delivery, occurrence: Occurrence, event: &Event, data: EventData, outcome: Outcome) -> EventEntry {
    EventEntry {
        outcome,
        provider: event.provider,
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        subject: event.subject.clone(),
        time: event.time.clone(),
        datacontenttype: event.datacontenttype.clone(),
        data,
        digest: event.digest,
        occurrence,
        received_at: delivery.received_at,
        key_fingerprint: delivery.authenticated_by.fingerprint.to_string(),
        attributes: event.attributes.clone(),
        repeat_of: None,
        same_job_as: None,
        entity: None,
        time_index: time_index(delivery, occurrence, event.identity.shard(TIME_SHARDS)),
    }
}

fn name(
    alias: &Alias,
    sort: &str,
    kind: impl FnOnce(AliasEntry) -> Entry,
    event: &Event,
    now: Timestamp,
) -> ConditionalPut {
    ConditionalPut {
        key: EntryKey { partition: alias.name.partition_key(), sort: sort.to_owned() },
        entry: kind(AliasEntry {
            provider: event.provider,
            owner: event.identity.partition_key(),
            owner_id: event.id.clone(),
            expires_at: now.plus(alias.lifetime).unix_seconds(),
        }),
        condition: Condition::AbsentOrExpired,
    }
}

fn time_index(delivery: &Delivery, occurrence: Occurrence, shard: u8) -> TimeIndex {
    TimeIndex {
        time_bucket: format!("{}#{}#{shard}", delivery.provider, delivery.received_at.hour()),
        time_order: format!("{}#{}#{:05}", delivery.received_at, delivery.id, occurrence.index.0),
    }
}

fn unexpected(key: &EntryKey) -> RecordingError {
    RecordingError::UnexpectedEntry { partition: key.partition.clone(), sort: key.sort.clone() }
}

#[cfg(test)]
mod tests;
