//! The event source mapping between the table's stream and the publisher: in order within a shard, halved after a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use intake_pipeline::envelope::PayloadLocation;
use intake_pipeline::ledger::{Entry, EventData, Outcome};
use intake_pipeline::publisher::{Publisher, StreamItem, StreamRecord};
use serde_json::Value;
use tokio::time::sleep;

use crate::dynamodb::STREAM_SHARDS;
use crate::event_bridge::{EventBridge, Taken};
use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::invariant::Invariant;
use crate::lambda::{Ended, Function, start_up};
use crate::marks::Mark;
use crate::planted::Plant;
use crate::platform::Services;
use crate::s3::S3;
use crate::swarm::FaultClass;

/// The function's timeout.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The reserve of an invocation.
const MARGIN: Duration = Duration::from_secs(1);

/// Number of records that are handed over at once, at most.
const BATCH: usize = 12;

/// Number of tries before records are set aside.
const MAX_TRIES: u32 = 75;

/// The publisher with its mapping.
#[derive(Debug)]
pub(crate) struct StreamMapping {
    services: Services,
    taken: Taken,
    publishers: Function<Publisher<S3, EventBridge>>,
    /// How far each shard is published.
    positions: Guarded<[usize; STREAM_SHARDS]>,
}

impl StreamMapping {
    pub(crate) fn new(services: &Services) -> Self {
        let taken = Taken::default();
        let (owned, taken_by_processes) = (services.clone(), taken.clone());
        let publishers = Function::new(
            &services.world,
            "publisher",
            TIMEOUT,
            FaultClass::Freezes,
            move |instance: Arc<Instance>| {
                let (services, taken) = (owned.clone(), taken_by_processes.clone());
                async move {
                    start_up(&services.world).await;
                    let bus = EventBridge::new(&services.world, &taken, &instance);
                    let payloads = services.payloads(&instance).with_waiting(Mark::PublisherWaitedForObject);
                    Publisher::new(payloads, PayloadLocation::below("s3://bucket/"), bus)
                }
                .boxed()
            },
        );
        Self { services: services.clone(), taken, publishers, positions: Guarded::default() }
    }

    /// Follows a shard of the stream until the run is over.
    pub(crate) async fn follow(&self, shard: usize) {
        let (world, tables) = (&self.services.world, &self.services.tables);
        let (mut size, mut tries) = (BATCH, 0);
        loop {
            let streamed = tables.streamed.notified();
            if world.is_over() {
                return;
            }
            let position = self.positions.get().get(shard).copied().unwrap_or_default();
            let records = tables.stream(shard, position, size);
            if records.is_empty() {
                streamed.await;
                continue;
            }
            if !self.has_events(shard, position, &records) {
                continue;
            }
            let done = self.publish(&records).await;
            self.advance(shard, done);
            if done > 0 {
                (size, tries) = (BATCH, 0);
                continue;
            }
            (size, tries) = ((records.len() / 2).max(1), tries + 1);
            if tries >= MAX_TRIES {
                let text = format!("{} records of the stream are set aside after {tries} tries", records.len());
                world.violate(Invariant::EverythingDrains, text);
                self.advance(shard, records.len());
                (size, tries) = (BATCH, 0);
            }
            sleep(world.random.milliseconds(200..=5_000)).await;
        }
    }

    /// Passes over records that are no events, which costs no invocation. Whether there are others.
    fn has_events(&self, shard: usize, _position: usize, records: &[StreamRecord]) -> bool {
        let has_events = records.iter().any(|record| matches!(record.item, StreamItem::Entry(_)));
        if !has_events {
            self.advance(shard, records.len());
        }
        has_events
    }

    fn advance(&self, shard: usize, records: usize) {
        if let Some(position) = self.positions.get().get_mut(shard) {
            *position += records;
        }
    }

    /// Publishes records, and returns how many of them are done.
    async fn publish(&self, records: &[StreamRecord]) -> usize {
        let world = &self.services.world;
        let handed_over = records.iter().cloned().map(|record| self.with_plant(record)).collect();
        let invocation = self
            .publishers
            .invoke(|publisher, _, end_by| {
                let stop_at = end_by.checked_sub(MARGIN).unwrap_or(end_by);
                async move { publisher.publish(handed_over, stop_at).await }.boxed()
            })
            .await;
        let all = records.len();
        match invocation.ended {
            Ended::Done(None) => all,
            Ended::Done(Some(_)) if world.is_planted(Plant::PublishSkipped) => all,
            Ended::Done(Some(sequence_number)) => {
                records.iter().position(|record| record.sequence_number == sequence_number).unwrap_or(0)
            }
            Ended::Killed | Ended::TimedOut => {
                world.marks.see(Mark::PublisherKilled);
                if world.is_planted(Plant::PublishSkipped) { all } else { 0 }
            }
        }
    }

    fn with_plant(&self, mut record: StreamRecord) -> StreamRecord {
        if self.services.world.is_planted(Plant::DuplicatesPublished)
            && let StreamItem::Entry(entry) = &mut record.item
            && let Entry::Event(event) = &mut **entry
            && event.outcome == Outcome::Duplicate
        {
            event.outcome = Outcome::Stored;
            event.data = EventData::Inline { data: "{}".to_owned() };
        }
        record
    }

    /// Whether everything in the stream is published.
    pub(crate) fn is_done(&self) -> bool {
        let positions = *self.positions.get();
        positions.iter().enumerate().all(|(shard, position)| *position >= self.services.tables.stream_length(shard))
    }

    /// Compares what the bus has with what the table holds.
    pub(crate) fn check(&self) {
        let world = &self.services.world;
        let mut taken: BTreeMap<(String, String), (String, u32)> = BTreeMap::new();
        for envelope in self.taken.envelopes() {
            let Ok(envelope) = serde_json::from_str::<Value>(&envelope) else {
                world.violate(Invariant::PublishedEqualsRecorded, "the bus has an envelope that is not JSON");
                continue;
            };
            let member = |name: &str| envelope.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let of_envelope = taken.entry((member("source"), member("id"))).or_insert((member("outcome"), 0));
            of_envelope.1 += 1;
        }
        if taken.values().any(|(_, count)| *count > 1) {
            world.marks.see(Mark::PublishedTwice);
        }
        for entry in self.services.tables.entries().values() {
            let (Entry::Event(event) | Entry::Conflict(event)) = entry else { continue };
            let id = match event.outcome {
                Outcome::Stored | Outcome::Repeat => event.cloud_event.id.clone(),
                Outcome::Conflict => format!("{}#conflict#{}", event.cloud_event.id, event.digest),
                Outcome::Duplicate | Outcome::Quarantined => continue,
            };
            match taken.remove(&(event.cloud_event.source.clone(), id.clone())) {
                Some((outcome, _)) if outcome == event.outcome.as_str() => {}
                Some((outcome, _)) => {
                    let text = format!("{id} is {}, and was published as {outcome}", event.outcome.as_str());
                    world.violate(Invariant::PublishedEqualsRecorded, text);
                }
                None => world.violate(Invariant::PublishedEqualsRecorded, format!("{id} was not published")),
            }
        }
        for (_, id) in taken.keys() {
            world.violate(Invariant::PublishedEqualsRecorded, format!("{id} was published, and is not recorded"));
        }
    }
}
