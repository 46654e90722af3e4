//! Feeds the processor from the queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::port_error::PortError;
use intake_pipeline::processor::{Processor, ProcessorSettings};
use intake_providers::registry::Settings;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use intake_sqlite::{Database, Sqlite, SqliteDeliveryRecords, SqliteLedger, SqlitePayloads, SqliteQueue};

/// Maximum number of messages in a batch. They are recorded side by side, so that many of their writes share one sync.
const BATCH: u32 = 128;

/// Number of batches at a time. While one of them waits for the disk or for its last message, the others go on.
const LANES: usize = 4;

/// Maximum number of events of a batch that are recorded at once.
const EVENT_CONCURRENCY: usize = 128;

/// The time for one batch.
const BATCH_TIME: Duration = Duration::from_secs(20);

/// How long a received message is hidden. As on SQS it is well above the time for a batch, so that nothing is worked on
/// twice at once.
const VISIBILITY: Duration = Duration::from_secs(2 * 60);

/// How long to wait before looking again for messages whose time has come. What is sent wakes the worker at once.
const POLL: Duration = Duration::from_millis(500);

/// How long to wait when the database doesn't answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The processor, fed from the queue.
pub struct Worker {
    queue: SqliteQueue,
    processor: Processor<Sqlite, Settings>,
}

impl Worker {
    /// A worker on this queue and database.
    #[must_use]
    pub fn new(queue: SqliteQueue, database: Database) -> Self {
        let processor = Processor::new(
            SqliteLedger::new(database.clone()),
            SqlitePayloads::new(database.clone()),
            SqliteDeliveryRecords::new(database),
            Settings::default(),
            SystemClock,
            ProcessorSettings { event_concurrency: EVENT_CONCURRENCY, ..ProcessorSettings::default() },
        );
        Self { queue, processor }
    }

    /// Works until asked to stop, and finishes the batches in hand. There must be no other worker on the same file: messages that
    /// are hidden at the start are taken for left behind by one that is gone.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        if let Err(error) = self.queue.release_all().await {
            tracing::error!(%error, "messages in work at the last stop come again when their time is up");
        }
        let worker = Arc::new(self);
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            lanes.spawn(Arc::clone(&worker).run_lane(stop.clone()));
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the worker failed; its messages come again when their time is up");
            }
        }
    }

    /// Works on one batch after the other until asked to stop.
    async fn run_lane(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let wait = match self.work_once().await {
                Ok(0) => POLL,
                Ok(_) => continue,
                Err(error) => {
                    tracing::error!(%error, "the queue does not answer; it is asked again");
                    PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.queue.sent(), if wait == POLL => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Works on one batch, and returns how many messages it held.
    async fn work_once(&self) -> Result<usize, PortError> {
        let records = self.queue.receive(SystemClock.now(), BATCH, VISIBILITY).await?;
        if records.is_empty() {
            return Ok(0);
        }
        let received: Vec<(String, u32)> =
            records.iter().map(|record| (record.message_id.clone(), record.receive_count)).collect();
        let failed = self.processor.process(records, Instant::now() + BATCH_TIME).await;
        let count = received.len();
        let mut failed: HashMap<String, String> =
            failed.into_iter().map(|record| (record.message_id, record.error)).collect();
        let (again, done): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|(message_id, _)| failed.contains_key(message_id));
        self.queue.delete(done.into_iter().map(|(message_id, _)| message_id).collect()).await?;
        for (message_id, receive_count) in again {
            let error = failed.remove(&message_id).unwrap_or_default();
            let now = SystemClock.now();
            self.queue.retry_later(now, message_id, receive_count, backoff(receive_count), error).await?;
        }
        Ok(count)
    }
}

/// Waits until the queue is empty, and returns how many messages are left if it isn't by then.
///
/// # Errors
/// When the database doesn't answer.
pub async fn wait_until_drained(queue: &SqliteQueue, until: Instant) -> Result<u64, PortError> {
    loop {
        let depth = queue.depth().await?;
        if depth.queued == 0 || Instant::now() > until {
            return Ok(depth.queued);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How long a failed message rests: 2 s after the first failure, and twice as long each time.
fn backoff(receive_count: u32) -> Duration {
    Duration::from_secs(1 << receive_count.clamp(1, 6))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use intake_pipeline::ledger::{Entry, Outcome};
    use intake_providers::delivery::DeliveryId;

    use super::*;
    use intake_pipeline::records::{EventFilter, Records as _};
    use intake_simulator::IMITATIONS;
    use intake_simulator::key_files::{KeyFiles, KeyFolder, KeyPurpose};
    use intake_sqlite::SqliteRecords;

    /// Five genuine documents.
    async fn documents() -> Vec<String> {
        let mut keys = KeyFiles::none(KeyFolder::Samples("keys".into()));
        for made in
            IMITATIONS.iter().flat_map(|one| one.test_keys(&keys, &KeyPurpose::Samples).unwrap()).collect::<Vec<_>>()
        {
            keys.insert(made.name, made.text);
        }
        let samples = intake_simulator::samples::make(&keys).await.unwrap();
        let (_, batch) = samples.iter().find(|(name, _)| *name == "processor.json").unwrap();
        let batch: serde_json::Value = serde_json::from_str(batch).unwrap();
        let records = batch["Records"].as_array().unwrap();
        records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_record_that_fails_stays_on_the_queue_and_its_neighbours_are_done() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        let queue = SqliteQueue::new(database.clone());
        let worker = Worker::new(queue.clone(), database.clone());
        let documents = documents().await;
        queue.insert(documents[0].clone()).await.unwrap();
        queue.insert("no document".to_owned()).await.unwrap();
        queue.insert(documents[1].clone()).await.unwrap();

        assert_eq!(worker.work_once().await.unwrap(), 3);
        assert_eq!(queue.depth().await.unwrap().queued, 1);
        assert_eq!(worker.work_once().await.unwrap(), 0, "the failed record must rest first");
        let events = SqliteRecords::new(database).events(&EventFilter::default()).await.unwrap().found;
        let outcomes: Vec<Outcome> = events
            .iter()
            .map(|event| match &event.entry {
                Entry::Event(event) => event.outcome,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(outcomes, [Outcome::Stored, Outcome::Stored]);

        let rested = SystemClock.now().plus(backoff(1));
        let again = queue.receive(rested, 10, VISIBILITY).await.unwrap();
        assert_eq!((again[0].body.as_str(), again[0].receive_count), ("no document", 2));
    }

    #[tokio::test]
    async fn a_worker_takes_over_what_its_predecessor_left_and_stops_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        let queue = SqliteQueue::new(database.clone());
        for document in documents().await {
            queue.insert(document).await.unwrap();
        }
        queue.receive(SystemClock.now(), 2, VISIBILITY).await.unwrap();

        let (tell_stop, stop) = watch::channel(false);
        let running = tokio::spawn(Worker::new(queue.clone(), database.clone()).run(stop));
        while queue.depth().await.unwrap().queued > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell_stop.send(true).unwrap();
        running.await.unwrap();
        let events = SqliteRecords::new(database).events(&EventFilter::default()).await.unwrap().found;
        let deliveries: BTreeSet<DeliveryId> = events.iter().filter_map(|event| event.delivery_id()).collect();
        assert_eq!(deliveries.len(), 5);
    }

    #[test]
    fn a_failed_message_rests_longer_each_time() {
        let seconds: Vec<u64> = (1..=5).map(|count| backoff(count).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32]);
        assert!(backoff(u32::MAX) < VISIBILITY);
    }
}
