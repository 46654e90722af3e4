//! From a batch of queue messages to outcomes.
//!
//! A record that fails (a panic, a message that can't be read or has an unknown version, a ledger that doesn't answer) fails
//! alone: it stays on the queue, and the other records complete. Content that is authentic but malformed is quarantined,
//! which is success.
//!
//! Events of different identities are recorded side by side, up to a bound over the whole batch; those of one identity one after
//! the other. Small records come first, and those with many events one at a time, so that each receive brings some of them to
//! an end instead of all of them some way. The progress of a long one is saved, and a redelivered message continues from there.
//!
//! A delivery whose events are all recorded gets its record, and only then is its message done.
//!
//! Shortly before the deadline no more events are begun, and records that are not done are reported as failed.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use intake_providers::ProviderName;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::event::{Event, EventIndex};
use intake_providers::identity::Identity;
use intake_providers::malformed::MalformedEvent;
use intake_providers::split::Split;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use self::counters::Counters;
use self::identities::IdentityLocks;
use crate::counters::{Counter, ProviderCounter};
use crate::delivery_record::DeliveryOutcomes;
use crate::ledger::Outcome;
use crate::platform::Platform;
use crate::queue::QueueRecord;
use crate::queue_message::{InboundMessage, MessageError, MessageOrigin};
use crate::recording::{Occasion, Recorded, Recorder, Recording, RecordingError};

mod counters;
mod delivery_record;
mod identities;

/// Minimum number of events of a delivery for its progress to be saved, and for it to take turns with others of its kind.
const MIN_LONG_DELIVERY_EVENTS: usize = 256;

/// Number of events between two saves of a long delivery's progress.
const EVENTS_BETWEEN_SAVES: u32 = 5_000;

/// Number of skipped events after which the other records get their turn.
const EVENTS_BETWEEN_YIELDS: u32 = 64;

/// Maximum number of failed events of a delivery. Beyond it, the rest is left for the next receive.
const MAX_FAILED_EVENTS: usize = 10;

/// Maximum size of all bodies that are open at once, in KiB. A larger one is open alone.
const MAX_OPEN_BODIES_KIB: u32 = 8 * 1024;

/// How long before the deadline no more events are begun.
const WIND_DOWN: Duration = Duration::from_millis(2_000);

/// How long before the deadline calls in flight are abandoned, which leaves time to save progress.
const GIVE_UP: Duration = Duration::from_millis(500);

/// How long progress is kept: longer than a message can stay in the queue and the dead-letter queue.
const PROGRESS_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Settings of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorSettings {
    /// Maximum number of events that are recorded at once, over all records of a batch.
    pub event_concurrency: usize,
    /// How long the record of a delivery is kept; nothing keeps none.
    pub delivery_retention: Option<Duration>,
}

impl Default for ProcessorSettings {
    /// 32 events, and 30 days.
    fn default() -> Self {
        Self { event_concurrency: 32, delivery_retention: Some(Duration::from_secs(30 * 24 * 60 * 60)) }
    }
}

/// Why a record failed.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Document(#[from] MessageError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("deadline reached; {recorded} of {events} events are recorded, and the next receive continues from there")]
    TimeUp { recorded: u32, events: u32 },
    #[error("all events are recorded, but the record of the delivery is not: {0}; the next receive tries again")]
    DeliveryRecord(String),
    #[error("deadline reached before the delivery was read")]
    NotBegun,
    #[error("a defect of the processor, caught")]
    Panic,
}

/// Turns queue messages into recorded events.
pub struct Processor<P: Platform, X> {
    recorder: Recorder<P>,
    delivery_records: P::DeliveryRecords,
    providers: X,
    settings: ProcessorSettings,
}

/// What the records of a batch share.
struct Batch {
    open_bodies: Semaphore,
    /// Held by the long delivery that has its turn.
    long_delivery: Mutex<()>,
    event_permits: Semaphore,
    identities: IdentityLocks,
    begin_until: Instant,
    give_up_at: Instant,
    delivery_record_until: Instant,
    stop_at: Instant,
}

/// What is known of a record in work. It outlives the work if that is abandoned.
#[derive(Default)]
struct State<'a> {
    /// Permits the body to be open until the delivery has its record.
    open_body: std::sync::OnceLock<SemaphorePermit<'a>>,
    delivery: std::sync::OnceLock<Delivery>,
    counters: std::sync::Mutex<Counters>,
    outcomes: std::sync::Mutex<DeliveryOutcomes>,
}

impl<P: Platform, X: Split> Processor<P, X> {
    /// A processor on these ports.
    pub const fn new(
        ledger: P::Ledger,
        payloads: P::Payloads,
        delivery_records: P::DeliveryRecords,
        providers: X,
        clock: P::Clock,
        settings: ProcessorSettings,
    ) -> Self {
        Self { recorder: Recorder::new(ledger, payloads, clock), delivery_records, providers, settings }
    }

    /// Processes a batch until `stop_at`, and returns the records that must be redelivered.
    pub async fn process(&self, records: Vec<QueueRecord>, stop_at: Instant) -> Vec<FailedRecord> {
        let before = |time| stop_at.checked_sub(time).unwrap_or(stop_at);
        let batch = Batch {
            open_bodies: Semaphore::new(MAX_OPEN_BODIES_KIB as usize),
            long_delivery: Mutex::new(()),
            event_permits: Semaphore::new(self.settings.event_concurrency),
            identities: IdentityLocks::default(),
            begin_until: before(WIND_DOWN),
            give_up_at: before(GIVE_UP),
            delivery_record_until: before(GIVE_UP / 2),
            stop_at,
        };
        let order: Vec<String> = records.iter().map(|record| record.message_id.clone()).collect();
        let mut opened: Vec<OpenRecord> = records.into_iter().map(OpenRecord::of).collect();
        opened.sort_by_key(|record| record.document.as_ref().map_or(0, InboundMessage::body_size_bytes));
        let mut work: FuturesUnordered<_> = opened.into_iter().map(|record| self.process_one(record, &batch)).collect();
        let mut failed = std::collections::HashMap::new();
        while let Some((message_id, result)) = work.next().await {
            if let Err(error) = result {
                failed.insert(message_id, error.to_string());
                count_failed_record();
            }
        }
        let failed = order.into_iter().filter_map(|message_id| {
            let error = failed.remove(&message_id)?;
            Some(FailedRecord { message_id, error })
        });
        failed.collect()
    }

    /// Processes one record.
    async fn process_one(&self, record: OpenRecord, batch: &Batch) -> (String, Result<(), RecordError>) {
        let OpenRecord { message_id, delivery_id, document, document_bytes, receive_count, occasion } = record;
        let started = Instant::now();
        let state = State::default();
        let work = async { self.record_events(document?, occasion, batch, &state).await };
        let result = match timeout_at(batch.give_up_at, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(RecordError::Panic),
            Err(_elapsed) => Err(state.time_up()),
        };
        let result = match (result, state.delivery.get()) {
            (Ok(()), Some(delivery)) => {
                self.keep_record(delivery, state.take_outcomes(), receive_count, batch.delivery_record_until).await
            }
            (result, _) => result,
        };
        let delivery = state.delivery.get();
        let counters = state.counters.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(delivery) = delivery {
            self.save(delivery, &counters, result.is_ok(), batch.stop_at).await;
        }
        let duration_microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let delivery_id = delivery_id.map(|delivery_id| delivery_id.to_string());
        match (&result, delivery) {
            (Ok(()), Some(delivery)) => tracing::info!(
                provider = delivery.provider.as_str(),
                delivery_id,
                message_id,
                outcomes = counters.listed(),
                further_outcomes = counters.further(),
                receive_count,
                duration_microseconds,
                "record processed"
            ),
            (Ok(()), None) => {}
            (Err(error), _) => tracing::error!(
                delivery_id,
                message_id,
                receive_count,
                document_bytes,
                recorded = counters.recorded(),
                duration_microseconds,
                %error,
                "record failed"
            ),
        }
        (message_id, result)
    }

    /// Saves the progress of a long delivery. One that is done starts from its first event if it is ever sent again, such as from
    /// quarantine.
    async fn save(&self, delivery: &Delivery, counters: &Counters, is_done: bool, stop_at: Instant) {
        let expires_at = self.recorder.now().plus(PROGRESS_LIFETIME);
        let Some(progress) = counters.progress(delivery, is_done, expires_at) else { return };
        let saved = timeout_at(stop_at, self.recorder.save_progress(progress)).await;
        let error = match saved {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "deadline reached".to_owned(),
        };
        tracing::warn!(
            delivery_id = %delivery.id, error,
            "the progress of a delivery cannot be saved; the next receive starts from what was saved last"
        );
    }

    async fn record_events<'a>(
        &self,
        document: InboundMessage,
        occasion: Occasion,
        batch: &'a Batch,
        state: &State<'a>,
    ) -> Result<(), RecordError> {
        let size_kib = u32::try_from(document.body_size_bytes() / 1024).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        if let Ok(permit) = batch.open_bodies.acquire_many(size_kib.clamp(1, MAX_OPEN_BODIES_KIB)).await {
            let _ = state.open_body.set(permit);
        }
        if Instant::now() >= batch.begin_until {
            return Err(RecordError::NotBegun);
        }
        let fetched = document.fetch(self.recorder.payloads()).await?;
        let delivery = state.delivery.get_or_init(|| fetched);
        let recording = Recording::of(delivery).on(occasion);
        let events = match self.providers.split(delivery) {
            Ok(events) => events,
            Err(reason) => {
                state.begin(1);
                let recorded = self.recorder.quarantine(&recording, EventIndex(0), &reason, None).await?;
                state.settle(delivery, EventIndex(0), recorded);
                return Ok(());
            }
        };
        state.begin(events.len());
        let _turn = if events.len() >= MIN_LONG_DELIVERY_EVENTS {
            let progress = self.recorder.progress(delivery).await?;
            let earlier = progress.as_ref().map(|progress| progress.outcomes).unwrap_or_default();
            state.counters().resume(progress);
            if state.counters().recorded() > 0 {
                state.outcomes().resume(earlier);
            }
            Some(batch.long_delivery.lock().await)
        } else {
            None
        };
        self.record_side_by_side(&recording, events, batch, state).await
    }

    async fn record_side_by_side(
        &self,
        recording: &Recording<'_>,
        events: impl Iterator<Item = Result<Event, MalformedEvent>>,
        batch: &Batch,
        state: &State<'_>,
    ) -> Result<(), RecordError> {
        let delivery = recording.delivery();
        let mut events = (0..).map(EventIndex).zip(events);
        let recorded_before = state.counters().recorded();
        for skipped in 0..recorded_before {
            events.next();
            if skipped % EVENTS_BETWEEN_YIELDS == 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut at_work = FuturesUnordered::new();
        let mut is_read = false;
        let mut failures = Vec::new();
        loop {
            let is_to_begin = Instant::now() < batch.begin_until;
            if !is_read && is_to_begin && failures.len() < MAX_FAILED_EVENTS && at_work.len() < self.max_at_work() {
                match events.next() {
                    Some((index, event)) => at_work.push(self.record_one(recording, index, event, batch)),
                    None => is_read = true,
                }
                // Reading an event takes processor time: the calls that are under way and the other records get theirs.
                tokio::task::yield_now().await;
                while let Some(Some((index, result))) = at_work.next().now_or_never() {
                    settle(state, delivery, index, result, &mut failures);
                }
            } else if let Some((index, result)) = at_work.next().await {
                settle(state, delivery, index, result, &mut failures);
            } else {
                break;
            }
            let due = state.counters().progress_if_due(delivery, self.recorder.now().plus(PROGRESS_LIFETIME));
            if let Some(progress) = due {
                // What is saved later includes it.
                let _ = self.recorder.save_progress(progress).await;
            }
        }
        match failures.into_iter().next() {
            Some(error) => Err(error),
            None if is_read => Ok(()),
            None => Err(state.time_up()),
        }
    }

    /// Maximum number of a delivery's events that are read ahead: some may wait for another event of their identity.
    const fn max_at_work(&self) -> usize {
        self.settings.event_concurrency.saturating_mul(2)
    }

    /// Records one event, unless the deadline is reached first.
    async fn record_one(
        &self,
        recording: &Recording<'_>,
        index: EventIndex,
        event: Result<Event, MalformedEvent>,
        batch: &Batch,
    ) -> (EventIndex, Result<Option<Recorded>, RecordingError>) {
        let identity: Option<Identity> = event.as_ref().ok().map(|event| event.identity);
        let _alone = match identity {
            Some(identity) => Some(batch.identities.lock(identity).await),
            None => None,
        };
        // The semaphore is never closed.
        let _permit = batch.event_permits.acquire().await;
        if Instant::now() >= batch.begin_until {
            return (index, Ok(None));
        }
        let recorded = match event {
            Ok(event) => self.recorder.record(recording, index, event).await,
            Err(malformed) => {
                self.recorder.quarantine(recording, index, &malformed.reason, Some(&malformed.data)).await
            }
        };
        (index, recorded.map(Some))
    }
}

/// Counts a record that failed and stays on the queue.
pub fn count_failed_record() {
    Counter::Failed.count();
}

/// Counts an event by its outcome. Conflicts and quarantined events are rare, and whose they are is in the line and in the table.
fn count_outcome(provider: ProviderName, outcome: Outcome) {
    match outcome {
        Outcome::Stored => ProviderCounter::Stored.count(provider),
        Outcome::Duplicate => ProviderCounter::Duplicate.count(provider),
        Outcome::Repeat => ProviderCounter::Repeat.count(provider),
        Outcome::Conflict => Counter::Conflict.count(),
        Outcome::Quarantined => Counter::Quarantined.count(),
    }
}

fn settle(
    state: &State<'_>,
    delivery: &Delivery,
    index: EventIndex,
    result: Result<Option<Recorded>, RecordingError>,
    failures: &mut Vec<RecordError>,
) {
    match result {
        Ok(Some(recorded)) => state.settle(delivery, index, recorded),
        Ok(None) => failures.push(state.time_up()),
        Err(error) => failures.push(error.into()),
    }
}

impl State<'_> {
    fn counters(&self) -> std::sync::MutexGuard<'_, Counters> {
        // The counters are consistent after each call, so a panic elsewhere does not spoil them.
        self.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn outcomes(&self) -> std::sync::MutexGuard<'_, DeliveryOutcomes> {
        // As above.
        self.outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_outcomes(&self) -> DeliveryOutcomes {
        std::mem::take(&mut self.outcomes())
    }

    fn begin(&self, events: usize) {
        self.counters().begin(events);
        self.outcomes().begin(events);
    }

    fn settle(&self, delivery: &Delivery, index: EventIndex, recorded: Recorded) {
        count_outcome(delivery.provider, recorded.outcome);
        self.counters().settle(index, recorded.outcome);
        self.outcomes().settle(index, recorded);
    }

    fn time_up(&self) -> RecordError {
        let counters = self.counters();
        RecordError::TimeUp { recorded: counters.recorded(), events: counters.events() }
    }
}

/// A record that must be redelivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecord {
    /// The queue's id of its message.
    pub message_id: String,
    /// Why it failed.
    pub error: String,
}

/// A record with its message parsed, and its body not yet fetched.
struct OpenRecord {
    message_id: String,
    /// The delivery, also of a message that cannot be read if it still names one.
    delivery_id: Option<DeliveryId>,
    document: Result<InboundMessage, MessageError>,
    document_bytes: usize,
    receive_count: u32,
    occasion: Occasion,
}

impl OpenRecord {
    fn of(record: QueueRecord) -> Self {
        let QueueRecord { message_id, body, receive_count, is_release } = record;
        let document = InboundMessage::parse(&body);
        let delivery_id = match &document {
            Ok(document) => Some(document.delivery_id()),
            Err(_) => MessageOrigin::of(&body).delivery_id,
        };
        let occasion = match receive_count {
            _ if is_release => Occasion::Release,
            0 | 1 => Occasion::First,
            _ => Occasion::Redelivery,
        };
        Self { message_id, delivery_id, document, document_bytes: body.len(), receive_count, occasion }
    }
}

#[cfg(test)]
mod tests;
