//! Replay: events that were recorded are sent to consumers again.
//!
//! They are read by the time of their arrival, the earliest first, a window at a time, so that a replay of years takes no more memory
//! than one of an hour. It knows the last event behind which nothing is left to do, and a run that was cut off goes on there. So an
//! event may be sent twice, and none is skipped: consumers expect that of every envelope.

use std::num::NonZeroU32;

use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use serde::Serialize;

pub use self::target::{BusTarget, ReceiverTarget, ReplayTarget, SentBatch};
use crate::envelope;
use crate::ledger::{EntryKey, Occurrence};
use crate::port_error::PortError;
use crate::publisher::MAX_BATCH_ENTRIES;
use crate::rate_limiter::RateLimiter;
use crate::records::{EventFilter, EventWalk, RecordedEvent, Records};

mod target;

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Events that were sent, or would be.
    pub sent: u64,
    /// Events that were not sent because their data were erased.
    pub erased: u64,
    /// Entries that consumers never receive: duplicates and quarantined ones.
    pub passed_over: u64,
    /// Events that the receiver will never take, each with its answer.
    pub refused: Vec<Refused>,
    /// The place behind which a replay goes on, `<delivery id>.<index>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// The event that could not be sent, if one could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Refused>,
    /// Entries that this version cannot read. They were not sent.
    #[serde(skip)]
    pub unreadable: Vec<EntryKey>,
}

/// An event that was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its place, `<delivery id>.<index>`.
    pub event: String,
    /// Why, without content.
    pub reason: String,
}

impl ReplayReport {
    /// Whether everything was sent that was to be.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.failure.is_none() && self.unreadable.is_empty()
    }
}

/// Hears of the progress of a replay.
pub trait ReplayProgress: Sync {
    /// An event is to be sent.
    fn chosen(&self, event: &RecordedEvent);

    /// Everything is done that was received before this time.
    fn reached(&self, until: Timestamp, so_far: &ReplayReport);
}

/// A replay.
#[derive(Debug)]
pub struct Replay<'a, R, P> {
    /// What was recorded.
    pub records: &'a R,
    /// What hears of it.
    pub progress: &'a P,
    /// Which events.
    pub filter: EventFilter,
    /// The event behind which it goes on.
    pub after: Option<Occurrence>,
    /// The time of the run.
    pub now: Timestamp,
}

impl<R: Records, P: ReplayProgress> Replay<'_, R, P> {
    /// Counts what would be sent.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn count(&self) -> Result<ReplayReport, PortError> {
        self.run(&Nowhere, None).await
    }

    /// Sends the events, at most as many a second as `rate` says. It stops at the first that cannot be sent.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn send<T: ReplayTarget>(&self, target: &T, rate: NonZeroU32) -> Result<ReplayReport, PortError> {
        self.run(target, Some(RateLimiter::per_second(rate))).await
    }

    async fn run<T: ReplayTarget>(&self, target: &T, mut rate: Option<RateLimiter>) -> Result<ReplayReport, PortError> {
        let mut report = ReplayReport { position: self.after.map(place), ..ReplayReport::default() };
        let after = self.after.and_then(|after| Some((after.delivery_id.received_at()?, after)));
        let mut filter = self.filter.clone();
        if let Some((received_at, _)) = after {
            filter.received.since = filter.received.since.max(Some(received_at));
        }
        let mut walk = EventWalk::new(self.records, filter, self.now);
        while let Some(window) = walk.next().await? {
            report.unreadable.extend(window.listing.unreadable);
            let mut batch = Vec::new();
            for event in window.listing.found {
                // The order of a window is that of arrival, and so is that of all windows.
                if event.made().is_none_or(|made| after.is_some_and(|after| made <= after)) {
                    continue;
                }
                if !envelope::is_sent(&event.entry) {
                    if event.entry.erased_at().is_some() {
                        report.erased += 1;
                    } else {
                        report.passed_over += 1;
                    }
                    continue;
                }
                if let Some(rate) = &mut rate {
                    rate.turn().await;
                }
                self.progress.chosen(&event);
                batch.push(event);
                if batch.len() >= MAX_BATCH_ENTRIES {
                    send(target, &mut batch, &mut report).await;
                    self.progress.reached(window.until, &report);
                }
                if report.failure.is_some() {
                    return Ok(report);
                }
            }
            send(target, &mut batch, &mut report).await;
            if report.failure.is_some() {
                return Ok(report);
            }
            self.progress.reached(window.until, &report);
        }
        Ok(report)
    }
}

/// Sends a batch, and empties it.
async fn send<T: ReplayTarget>(target: &T, batch: &mut Vec<RecordedEvent>, report: &mut ReplayReport) {
    if batch.is_empty() {
        return;
    }
    let batch = std::mem::take(batch);
    let SentBatch { settled, sent, refused, failure } = target.send(&batch).await;
    let name = |index: usize| batch.get(index).and_then(RecordedEvent::made).map(|(_, made)| place(made));
    report.sent += sent;
    for (index, reason) in refused {
        report.refused.extend(name(index).map(|event| Refused { event, reason }));
    }
    report.position = settled.checked_sub(1).and_then(name).or(report.position.take());
    report.failure = failure.map(|reason| Refused { event: name(settled).unwrap_or_default(), reason });
}

/// The place of an event, `<delivery id>.<index>`.
fn place(occurrence: Occurrence) -> String {
    occurrence.delivery_id.event_id(occurrence.index)
}

/// The event at a place, `<delivery id>.<index>`; `None` if the text is not one.
#[must_use]
pub fn occurrence_at(place: &str) -> Option<Occurrence> {
    let (delivery_id, index) = DeliveryId::and_index_of(place)?;
    delivery_id.received_at().map(|_| Occurrence { delivery_id, index })
}

/// Where nothing is sent, to count.
struct Nowhere;

impl ReplayTarget for Nowhere {
    async fn send(&self, batch: &[RecordedEvent]) -> SentBatch {
        SentBatch { settled: batch.len(), sent: batch.len() as u64, ..SentBatch::default() }
    }
}

#[cfg(test)]
mod tests;
