//! From the stream of the ledger's entries to an event bus.
//!
//! A stream is read in order, and goes on behind a record only when that is done. So what is reported is the first record that is not:
//! the stream hands over that one and all behind it again, of which some are published already. Consumers expect that; what they
//! may not expect is an event that never comes. A record that can never be published stays the first one until the stream's
//! own rules set it aside, which is for the caller to arrange and to watch.
//!
//! A batch of entries is put at a time. Entries that are throttled, and all of a call that fails, are put again until the time is up,
//! and data that cannot be fetched are asked for again: so the stream's tries are used up as slowly as the time passes while the bus
//! or the payload store is away. What is missing from the store fails at once, because waiting does not bring it back. An entry that
//! the bus does not take is put again with its data as bytes, because EventBridge takes no integer beyond 64 bits and no deep nesting.

use std::time::Duration;

use intake_providers::ProviderName;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::bus::{Bus, BusEntry, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, Refusal};
use crate::envelope::{EnvelopeError, EnvelopeWriter, JsonForm, PayloadLocation, WrittenEnvelope};
use crate::ledger::Entry;
use crate::payloads::PayloadReader;
use crate::port_error::{CallFailure, PortError};

mod bus;

/// The first pause before a call is made again. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Maximum pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What the source of an entry begins with. `aws.` is reserved.
const SOURCE_PREFIX: &str = "webhook-intake.";

/// Maximum length of a `detail-type`, in characters (EventBridge, `PutEventsRequestEntry`).
const MAX_DETAIL_TYPE_CHARACTERS: usize = 128;

/// A record of the stream.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// Its place in the stream.
    pub sequence_number: String,
    /// The item that was written.
    pub item: StreamItem,
}

/// An item of the events table.
#[derive(Clone, Debug)]
pub enum StreamItem {
    /// An entry of the ledger.
    Entry(Box<Entry>),
    /// Something else that the table holds.
    Other,
    /// What should be an event and cannot be read as one. It is never taken for something else, so that no event is skipped.
    Unreadable {
        /// The item's keys.
        key: String,
        /// Why it cannot be read, without its content.
        reason: String,
    },
}

/// Why a record is not published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the item at {key} cannot be read as an event: {reason}; deploy the version that wrote it")]
    Unreadable { key: String, reason: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("deadline reached; the stream goes on from this record")]
    TimeUp,
}

/// The first record that is not published, and why.
struct Failure {
    sequence_number: String,
    event: Option<EventName>,
    error: PublishError,
}

/// The name of an event in a log line. Its id may be content.
#[derive(Clone, Debug)]
struct EventName {
    provider: ProviderName,
    delivery_id: String,
    index: u32,
}

/// An entry that waits to be put.
struct Waiting {
    /// Its place in its batch.
    place: usize,
    sequence_number: String,
    entry: Box<Entry>,
}

/// An entry that the bus does not take as it is, and why.
type Refused = (Waiting, PortError);

/// The first record that is not published, for a caller that says so itself.
#[derive(Debug)]
pub(crate) struct NotPublished {
    /// Number of events before it that are published.
    pub(crate) published: u32,
    /// Its place.
    pub(crate) sequence_number: String,
    /// Why, without content.
    pub(crate) reason: String,
}

/// Number of records by what became of them.
#[derive(Debug, Default)]
struct Counts {
    published: u32,
    passed_over: u32,
}

/// Publishes the events of the ledger.
#[derive(Debug)]
pub struct Publisher<S, B> {
    envelopes: EnvelopeWriter<S>,
    bus: B,
    /// Whether it waits for a bus that is not there, or not for this caller. A stream's tries are few, and somebody may change that
    /// meanwhile; a person who waits wants to know.
    waits_for_changes: bool,
}

impl<S: PayloadReader, B: Bus> Publisher<S, B> {
    /// A publisher on these ports, and where consumers find what is in the payload store.
    pub const fn new(payloads: S, location: PayloadLocation, bus: B) -> Self {
        Self { envelopes: EnvelopeWriter::new(payloads, location), bus, waits_for_changes: true }
    }

    /// A publisher of these envelopes, for which somebody waits.
    pub(crate) const fn attended(envelopes: EnvelopeWriter<S>, bus: B) -> Self {
        Self { envelopes, bus, waits_for_changes: false }
    }

    /// Publishes as [`publish`](Self::publish) does, and returns how many events were published. It logs nothing.
    ///
    /// # Errors
    /// The first record that is not published.
    pub(crate) async fn publish_quietly(
        &self,
        records: Vec<StreamRecord>,
        stop_at: Instant,
    ) -> Result<u32, NotPublished> {
        let mut counts = Counts::default();
        let result = Box::pin(self.publish_in_order(records, stop_at, &mut counts)).await;
        let error = |failure: Failure| NotPublished {
            published: counts.published,
            sequence_number: failure.sequence_number,
            reason: failure.error.to_string(),
        };
        result.map_err(error).map(|()| counts.published)
    }

    /// Publishes the events among these records, in their order, until `stop_at`. Returns the sequence number from which the stream
    /// has to go on; `None` if everything is published.
    pub async fn publish(&self, records: Vec<StreamRecord>, stop_at: Instant) -> Option<String> {
        let mut counts = Counts::default();
        // On the heap: with the futures of an SDK inside, the compiler would have to nest them too deeply.
        let result = Box::pin(self.publish_in_order(records, stop_at, &mut counts)).await;
        let Counts { published, passed_over } = counts;
        match result {
            Ok(()) => {
                tracing::info!(published, passed_over, "events published");
                None
            }
            Err(Failure { sequence_number, event, error }) => {
                tracing::error!(
                    published,
                    passed_over,
                    provider = event.as_ref().map(|event| event.provider.as_str()),
                    delivery_id = event.as_ref().map(|event| event.delivery_id.as_str()),
                    index = event.as_ref().map(|event| event.index),
                    sequence_number,
                    %error,
                    "an event is not published"
                );
                Some(sequence_number)
            }
        }
    }

    async fn publish_in_order(
        &self,
        records: Vec<StreamRecord>,
        stop_at: Instant,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for StreamRecord { sequence_number, item } in records {
            let written = match item {
                StreamItem::Other => Ok(None),
                StreamItem::Unreadable { key, reason } => {
                    let error = PublishError::Unreadable { key, reason };
                    Err(Failure { sequence_number, event: None, error })
                }
                StreamItem::Entry(entry) => {
                    let waiting = Waiting { place: 0, sequence_number, entry };
                    let mut written = self.write_once(&waiting, JsonForm::Value, stop_at).await;
                    if written.as_ref().is_err_and(PublishError::may_pass) {
                        // Those before it do not wait with it.
                        self.put(std::mem::take(&mut batch), stop_at, counts).await?;
                        written = self.write(&waiting, JsonForm::Value, stop_at).await;
                    }
                    waiting.with(written)
                }
            };
            match written {
                Ok(None) => counts.passed_over += 1,
                Ok(Some((waiting, entry))) => {
                    if !batch.has_room_for(&entry) {
                        self.put(std::mem::take(&mut batch), stop_at, counts).await?;
                    }
                    batch.push(waiting, entry);
                }
                Err(failure) => {
                    self.put(batch, stop_at, counts).await?;
                    return Err(failure);
                }
            }
        }
        self.put(batch, stop_at, counts).await
    }

    /// The entry of an event for the bus, as [`write_once`](Self::write_once) makes it. What may pass is tried again until the time
    /// is up.
    async fn write(
        &self,
        waiting: &Waiting,
        form: JsonForm,
        stop_at: Instant,
    ) -> Result<Option<BusEntry>, PublishError> {
        let mut pauses = Pauses::until(stop_at);
        loop {
            let written = self.write_once(waiting, form, stop_at).await;
            if !written.as_ref().is_err_and(PublishError::may_pass) || !pauses.pause().await {
                return written;
            }
        }
    }

    /// The entry of an event for the bus; `None` for an entry that consumers don't receive.
    async fn write_once(
        &self,
        waiting: &Waiting,
        form: JsonForm,
        stop_at: Instant,
    ) -> Result<Option<BusEntry>, PublishError> {
        match timeout_at(stop_at, self.envelopes.write(&waiting.entry, form)).await {
            Ok(written) => Ok(written?.map(bus_entry)),
            Err(_elapsed) => Err(PublishError::TimeUp),
        }
    }

    /// Puts a batch, and what the bus does not take of it once more with its data as bytes.
    async fn put(&self, batch: Batch, stop_at: Instant, counts: &mut Counts) -> Result<(), Failure> {
        for (waiting, _) in self.put_until_settled(batch, stop_at, counts).await? {
            let mut alone = Batch::default();
            let written = self.write(&waiting, JsonForm::Base64, stop_at).await;
            if let Some((waiting, entry)) = waiting.with(written)? {
                alone.push(waiting, entry);
            }
            if let Some((waiting, error)) = self.put_until_settled(alone, stop_at, counts).await?.pop() {
                return Err(waiting.failed(Refusal::Invalid(error).into()));
            }
        }
        Ok(())
    }

    /// Puts a batch, and returns what the bus does not take of it. What is throttled, or of which a failed call leaves nothing known,
    /// is put again until the time is up.
    async fn put_until_settled(
        &self,
        batch: Batch,
        stop_at: Instant,
        counts: &mut Counts,
    ) -> Result<Vec<Refused>, Failure> {
        let Batch { waiting: mut left, mut entries, size_bytes: _ } = batch;
        let mut refused = Vec::new();
        let mut pauses = Pauses::until(stop_at);
        while !left.is_empty() {
            let mut results = match timeout_at(stop_at, self.bus.put(&entries)).await {
                Ok(Ok(results)) => results.into_iter(),
                Ok(Err(error)) if error.failure == CallFailure::Missing && !self.waits_for_changes => {
                    return fail_first(left, refused, Refusal::Busy(error).into());
                }
                Ok(Err(error)) => vec![Err(Refusal::Busy(error))].into_iter(),
                Err(_elapsed) => return fail_first(left, refused, PublishError::TimeUp),
            };
            let mut busy = (Vec::new(), Vec::new());
            let mut first_refusal = None;
            for (waiting, entry) in left.into_iter().zip(entries) {
                match results.next() {
                    Some(Ok(())) => counts.published += 1,
                    Some(Err(Refusal::Invalid(error))) => refused.push((waiting, error)),
                    refusal => {
                        first_refusal = first_refusal.or(refusal.and_then(Result::err));
                        busy.0.push(waiting);
                        busy.1.push(entry);
                    }
                }
            }
            (left, entries) = busy;
            if left.is_empty() {
                break;
            }
            if !pauses.pause().await {
                return fail_first(left, refused, first_refusal.map_or(PublishError::TimeUp, PublishError::Refused));
            }
        }
        refused.sort_by_key(|(waiting, _)| waiting.place);
        Ok(refused)
    }
}

/// Fails with the first of a batch's entries that are not published: of those that are left, all for one reason, and of those that
/// were refused.
fn fail_first(left: Vec<Waiting>, refused: Vec<Refused>, error: PublishError) -> Result<Vec<Refused>, Failure> {
    let left = left.into_iter().min_by_key(|waiting| waiting.place);
    let refused = refused.into_iter().min_by_key(|(waiting, _)| waiting.place);
    match (left, refused) {
        (Some(left), Some((refused, _))) if left.place < refused.place => Err(left.failed(error)),
        (_, Some((refused, refusal))) => Err(refused.failed(Refusal::Invalid(refusal).into())),
        (Some(left), None) => Err(left.failed(error)),
        (None, None) => Ok(Vec::new()),
    }
}

impl PublishError {
    /// Whether the same may succeed a moment later.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Envelope(EnvelopeError::Port(error)) => !matches!(error.failure, CallFailure::Missing),
            _ => false,
        }
    }
}

/// Growing pauses between attempts, none of which ends after a deadline.
struct Pauses {
    next: Duration,
    stop_at: Instant,
}

impl Pauses {
    const fn until(stop_at: Instant) -> Self {
        Self { next: FIRST_PAUSE, stop_at }
    }

    /// Pauses, unless there would be no time left afterwards. Returns whether there is.
    async fn pause(&mut self) -> bool {
        let again_at = Instant::now() + self.next;
        if again_at >= self.stop_at {
            return false;
        }
        sleep_until(again_at).await;
        self.next = (self.next * 2).min(MAX_PAUSE);
        true
    }
}

impl Waiting {
    /// Goes on with what was written of it, if anything.
    fn with(self, written: Result<Option<BusEntry>, PublishError>) -> Result<Option<(Self, BusEntry)>, Failure> {
        match written {
            Ok(entry) => Ok(entry.map(|entry| (self, entry))),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(self, error: PublishError) -> Failure {
        let event = match *self.entry {
            Entry::Event(event) | Entry::Conflict(event) => Some(EventName {
                provider: event.provider,
                delivery_id: event.occurrence.delivery_id.to_string(),
                index: event.occurrence.index.0,
            }),
            _ => None,
        };
        Failure { sequence_number: self.sequence_number, event, error }
    }
}

/// Entries that are put together.
#[derive(Default)]
struct Batch {
    waiting: Vec<Waiting>,
    /// The entries of those that wait, in the same order.
    entries: Vec<BusEntry>,
    size_bytes: usize,
}

impl Batch {
    fn has_room_for(&self, entry: &BusEntry) -> bool {
        self.entries.len() < MAX_BATCH_ENTRIES && self.size_bytes + entry.size_bytes() <= MAX_BATCH_BYTES
    }

    fn push(&mut self, waiting: Waiting, entry: BusEntry) {
        self.size_bytes += entry.size_bytes();
        self.waiting.push(Waiting { place: self.entries.len(), ..waiting });
        self.entries.push(entry);
    }
}

/// An envelope for a bus. A rule matches the provider by `source`, the type by `detail-type`, and the outcome by `detail.outcome`.
fn bus_entry(envelope: WrittenEnvelope) -> BusEntry {
    let WrittenEnvelope { provider, event_type, text, .. } = envelope;
    BusEntry {
        source: format!("{SOURCE_PREFIX}{provider}"),
        detail_type: event_type.chars().take(MAX_DETAIL_TYPE_CHARACTERS).collect(),
        detail: text,
    }
}

#[cfg(test)]
mod tests;
