//! Where events are sent again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::envelope::{EnvelopeWriter, JsonForm, PayloadLocation};
use crate::payloads::PayloadReader;
use crate::publisher::{Bus, Publisher, StreamItem, StreamRecord};
use crate::receiver::{Answer, Receiver};
use crate::records::RecordedEvent;

/// Time for one batch on an event bus, with all of its retries.
const BATCH_TIME: Duration = Duration::from_secs(60);

/// Maximum number of posts of an event to a receiver.
const MAX_POSTS: u32 = 6;

/// The first pause between two of them. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Maximum pause, whatever the receiver asks for.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentBatch {
    /// Number of events, from the first on, that need not be sent again.
    pub settled: usize,
    /// Number of events that were sent.
    pub sent: u64,
    /// The places of events that the receiver will never take, each with its answer.
    pub refused: Vec<(usize, String)>,
    /// Why the one behind those that are settled was not sent, without content.
    pub failure: Option<String>,
}

/// Where events are sent again.
pub trait ReplayTarget: Send + Sync {
    /// Sends a batch in its order. Each event in it is one that consumers receive.
    fn send(&self, batch: &[RecordedEvent]) -> impl Future<Output = SentBatch> + Send;
}

/// An event bus.
#[derive(Debug)]
pub struct BusTarget<S, B>(Publisher<S, B>);

impl<S: PayloadReader, B: Bus> BusTarget<S, B> {
    /// A bus, to which envelopes of a replay of this name are put.
    pub fn new(payloads: S, location: PayloadLocation, bus: B, replay: String) -> Self {
        Self(Publisher::attended(EnvelopeWriter::new(payloads, location).in_replay(replay), bus))
    }
}

impl<S: PayloadReader, B: Bus> ReplayTarget for BusTarget<S, B> {
    async fn send(&self, batch: &[RecordedEvent]) -> SentBatch {
        let record = |(place, event): (usize, &RecordedEvent)| StreamRecord {
            sequence_number: place.to_string(),
            item: StreamItem::Entry(Box::new(event.entry.clone())),
        };
        let records = batch.iter().enumerate().map(record).collect();
        match self.0.publish_quietly(records, Instant::now() + BATCH_TIME).await {
            Ok(published) => SentBatch { settled: batch.len(), sent: u64::from(published), ..SentBatch::default() },
            Err(failed) => SentBatch {
                settled: failed.sequence_number.parse().unwrap_or_default(),
                sent: u64::from(failed.published),
                refused: Vec::new(),
                failure: Some(failed.reason),
            },
        }
    }
}

/// A receiver.
#[derive(Debug)]
pub struct ReceiverTarget<S, V> {
    envelopes: EnvelopeWriter<S>,
    receiver: V,
}

impl<S: PayloadReader, V: Receiver> ReceiverTarget<S, V> {
    /// A receiver, to which envelopes of a replay of this name are posted.
    pub fn new(payloads: S, location: PayloadLocation, receiver: V, replay: String) -> Self {
        Self { envelopes: EnvelopeWriter::new(payloads, location).in_replay(replay), receiver }
    }

    /// Posts one event until it is taken, refused, or given up.
    async fn post(&self, event: &RecordedEvent) -> Posted {
        let envelope = match self.envelopes.write(&event.entry, JsonForm::Value).await {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Posted::PassedOver,
            Err(error) => return Posted::Failed(error.to_string()),
        };
        let mut pause = FIRST_PAUSE;
        let mut posts = 0;
        loop {
            posts += 1;
            let (reason, wait) = match self.receiver.post(&envelope).await {
                Answer::Delivered => return Posted::Delivered,
                Answer::Refused { reason } => return Posted::Refused(reason),
                Answer::RetryLater { reason, wait } => (reason, wait),
                Answer::Unreachable { reason } => (reason, None),
            };
            if posts >= MAX_POSTS {
                return Posted::Failed(format!("{reason}, {posts} times"));
            }
            sleep(wait.unwrap_or(pause).min(MAX_PAUSE)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

enum Posted {
    Delivered,
    PassedOver,
    Refused(String),
    Failed(String),
}

impl<S: PayloadReader, V: Receiver> ReplayTarget for ReceiverTarget<S, V> {
    async fn send(&self, batch: &[RecordedEvent]) -> SentBatch {
        let mut done = SentBatch::default();
        for (place, event) in batch.iter().enumerate() {
            match self.post(event).await {
                Posted::Delivered => done.sent += 1,
                Posted::PassedOver => {}
                Posted::Refused(reason) => done.refused.push((place, reason)),
                Posted::Failed(reason) => {
                    done.failure = Some(reason);
                    return done;
                }
            }
            done.settled += 1;
        }
        done
    }
}
