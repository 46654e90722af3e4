//! From a batch of queue documents to outcomes.
//!
//! Records are worked on side by side, up to a bound. A record that fails (a panic, a document that can't be read, a version
//! of it that isn't known, a ledger that doesn't answer) fails alone: it stays on the queue and its neighbours are done.
//! Content that is authentic but malformed is quarantined, which is success. Before the function's time is up, the rest is
//! reported as failed, so that nothing is cut off between a write and its report.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, StreamExt as _};
use providers::delivery::Delivery;
use providers::event::{EventIndex, Malformed};
use providers::split::Split;
use tokio::time::Instant;

use crate::document::{self, DocumentError};
use crate::ledger::Outcome;
use crate::ports::{Ledger, Payloads, Surroundings};
use crate::recording::{Recorder, RecordingError};
use crate::telemetry;

/// Settings of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorSettings {
    /// How many records are worked on at once.
    pub record_concurrency: usize,
}

impl Default for ProcessorSettings {
    /// Ten, a whole batch of SQS.
    fn default() -> Self {
        Self { record_concurrency: 10 }
    }
}

/// A message as the queue hands it over.
#[derive(Clone, Debug)]
pub struct QueueRecord {
    /// The queue's id of the message, by which a failure is reported.
    pub message_id: String,
    /// The queue document.
    pub body: String,
    /// How often the message was received, this time included.
    pub receive_count: u32,
}

/// Why a record failed.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("a defect of the processor, caught")]
    Panic,
}

/// Turns queue documents into recorded events.
pub struct Processor<L, P, X, E> {
    recorder: Recorder<L, P, E>,
    splitter: X,
    settings: ProcessorSettings,
}

impl<L: Ledger, P: Payloads, X: Split, E: Surroundings> Processor<L, P, X, E> {
    /// A processor on these ports.
    pub const fn new(ledger: L, payloads: P, splitter: X, surroundings: E, settings: ProcessorSettings) -> Self {
        Self { recorder: Recorder::new(ledger, payloads, surroundings), splitter, settings }
    }

    /// Works through a batch until `stop_at`, and returns the message ids of the records that must come again.
    pub async fn process(&self, records: Vec<QueueRecord>, stop_at: Instant) -> Vec<String> {
        let mut unfinished: Vec<String> = records.iter().map(|record| record.message_id.clone()).collect();
        let mut done = HashSet::new();
        let mut results = std::pin::pin!(
            futures_util::stream::iter(records)
                .map(|record| self.process_one(record))
                .buffer_unordered(self.settings.record_concurrency)
        );
        loop {
            match tokio::time::timeout_at(stop_at, results.next()).await {
                Ok(Some((message_id, true))) => {
                    done.insert(message_id);
                }
                Ok(Some((_, false))) => {}
                Ok(None) => break,
                Err(_elapsed) => {
                    tracing::error!("the time for this batch is up; what is not done comes again");
                    break;
                }
            }
        }
        unfinished.retain(|message_id| !done.contains(message_id));
        unfinished.iter().for_each(|_| telemetry::count_failed_record());
        unfinished
    }

    /// Works on one record, and says whether it is done.
    async fn process_one(&self, record: QueueRecord) -> (String, bool) {
        let started = Instant::now();
        let work = AssertUnwindSafe(self.outcomes(&record.body)).catch_unwind();
        match work.await.unwrap_or(Err(RecordError::Panic)) {
            Ok((delivery, outcomes)) => {
                for outcome in &outcomes {
                    telemetry::count_outcome(delivery.provider, *outcome);
                }
                let listed: Vec<String> = outcomes
                    .iter()
                    .enumerate()
                    .map(|(index, outcome)| format!("{index}={}", outcome.as_str()))
                    .collect();
                tracing::info!(
                    provider = delivery.provider.as_str(),
                    delivery_id = %delivery.id,
                    message_id = record.message_id,
                    outcomes = listed.join(","),
                    key_fingerprint = delivery.authenticated_by.fingerprint.as_str(),
                    body_bytes = delivery.body.len(),
                    receive_count = record.receive_count,
                    duration_microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
                    "record processed"
                );
                (record.message_id, true)
            }
            Err(error) => {
                tracing::error!(
                    message_id = record.message_id,
                    receive_count = record.receive_count,
                    document_bytes = record.body.len(),
                    %error,
                    "record failed"
                );
                (record.message_id, false)
            }
        }
    }

    async fn outcomes(&self, document: &str) -> Result<(Delivery, Vec<Outcome>), RecordError> {
        let delivery = document::read(document, self.recorder.payloads()).await?;
        let events = match self.splitter.split(&delivery) {
            Ok(events) if events.is_empty() => Err(Malformed::NoEvents),
            split => split,
        };
        let outcomes = match events {
            Err(reason) => vec![self.recorder.quarantine(&delivery, EventIndex(0), &reason, None).await?],
            Ok(events) => {
                let mut outcomes = Vec::with_capacity(events.len());
                for (event, index) in events.into_iter().zip(0..) {
                    let index = EventIndex(index);
                    outcomes.push(match event {
                        Ok(event) => self.recorder.record(&delivery, index, event).await?,
                        Err(malformed) => {
                            let place = malformed.position.unwrap_or(index);
                            self.recorder.quarantine(&delivery, place, &malformed.reason, Some(malformed.data)).await?
                        }
                    });
                }
                outcomes
            }
        };
        Ok((delivery, outcomes))
    }
}

#[cfg(test)]
mod tests;
