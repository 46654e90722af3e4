//! Feeds the processor from the queue.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::port_error::PortError;
use intake_pipeline::processor::{Processor, ProcessorSettings};
use intake_providers::registry::Settings;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use intake_sqlite::{Database, Sqlite, SqliteDeliveryRecords, SqliteLedger, SqlitePayloads, SqliteQueue};

/// Maximum number of messages in a batch. They are recorded side by side, so that many of their writes share one sync.
const BATCH: u32 = 128;

/// Number of batches at a time. While one of them waits for the disk or for its last message, the others go on.
const LANES: usize = 8;

/// Maximum number of messages in work: those of three full batches. More would record more while senders push, and answer them later,
/// because what is in work at once pushes everything else out of the processors' caches. A long delivery that is received alone leaves
/// room for others; one in a full batch holds the room of that batch until it is done.
const MAX_IN_WORK: u32 = 3 * BATCH;

/// By how much the thread that records gives way to others, which leaves it a tenth of another one's share where there is not enough for all.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

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
    in_work: Semaphore,
    pause: Duration,
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
        Self { queue, processor, in_work: Semaphore::new(MAX_IN_WORK as usize), pause: PAUSE }
    }

    /// Starts a thread that works until asked to stop, and finishes the batches in hand. A thread of its own gets its share of the
    /// processors, however many deliveries come in, so that they are recorded as well as taken; a smaller share where there is not enough for
    /// all, because recording can wait and senders can't. There must be no other worker on the same file: messages that are hidden at the
    /// start are taken for left behind by one that is gone.
    pub fn start(self, stop: watch::Receiver<bool>) -> JoinHandle<io::Result<()>> {
        tokio::task::spawn_blocking(move || {
            give_way_to_senders();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(self.run(stop));
            Ok(())
        })
    }

    /// Works until asked to stop.
    async fn run(self, mut stop: watch::Receiver<bool>) {
        while let Err(error) = self.queue.release_all().await {
            tracing::error!(%error, "messages that were in work at the last stop cannot be taken over; trying again");
            pause(&mut stop, self.pause).await;
            if *stop.borrow() {
                return;
            }
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
            let wait = match self.work_once(&mut stop).await {
                Ok(0) => POLL,
                Ok(_) => continue,
                Err(error) => {
                    tracing::error!(%error, "the queue does not answer; it is asked again");
                    self.pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.queue.sent(), if wait == POLL => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Works on one batch until the queue knows what became of it, and returns how many messages it held.
    async fn work_once(&self, stop: &mut watch::Receiver<bool>) -> Result<usize, PortError> {
        // The semaphore is never closed.
        let room = self.in_work.acquire_many(BATCH).await.ok();
        if *stop.borrow() {
            return Ok(0);
        }
        let records = self.queue.receive(SystemClock.now(), BATCH, VISIBILITY).await?;
        if records.is_empty() {
            return Ok(0);
        }
        let _in_work = room.map(|mut room| room.split(records.len()));
        let received: Vec<(String, u32)> =
            records.iter().map(|record| (record.message_id.clone(), record.receive_count)).collect();
        let failed = self.processor.process(records, Instant::now() + BATCH_TIME).await;
        let count = received.len();
        let failed = failed.into_iter().map(|record| (record.message_id, record.error)).collect();
        let mut unsettled = Unsettled::of(received, failed);
        // A message of which nothing is noted stays hidden for long. While the queue does not answer there is nothing else to do anyway.
        while let Err(error) = unsettled.settle(&self.queue).await {
            if *stop.borrow() {
                return Err(error);
            }
            tracing::error!(%error, "what was worked on cannot be noted in the queue; trying again");
            pause(stop, self.pause).await;
        }
        Ok(count)
    }
}

/// Messages of a batch that was worked on, of which the queue does not know yet what became of them.
struct Unsettled {
    done: Vec<String>,
    /// Each with its number of receives and the reason for which it failed.
    again: Vec<(String, u32, String)>,
}

impl Unsettled {
    /// The received messages, with those that failed, and why, by id.
    fn of(received: Vec<(String, u32)>, mut failed: HashMap<String, String>) -> Self {
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for (message_id, receive_count) in received {
            match failed.remove(&message_id) {
                Some(error) => again.push((message_id, receive_count, error)),
                None => done.push(message_id),
            }
        }
        Self { done, again }
    }

    /// Deletes what is done, and has what failed rest. After an error it may be called again.
    async fn settle(&mut self, queue: &SqliteQueue) -> Result<(), PortError> {
        queue.delete(self.done.clone()).await?;
        self.done.clear();
        while let Some((message_id, receive_count, error)) = self.again.last().cloned() {
            queue.retry_later(SystemClock.now(), message_id, receive_count, backoff(receive_count), error).await?;
            self.again.pop();
        }
        Ok(())
    }
}

/// Waits, unless asked to stop meanwhile.
async fn pause(stop: &mut watch::Receiver<bool>, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = stop.wait_for(|stop| *stop) => {}
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

/// Makes this thread give way. On Linux niceness is a thread's own; elsewhere it is the process's, and stays as it is.
fn give_way_to_senders() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "recording has the same share of the processors as taking");
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

        let (_running, mut stop) = watch::channel(false);
        assert_eq!(worker.work_once(&mut stop).await.unwrap(), 3);
        assert_eq!(queue.depth().await.unwrap().queued, 1);
        assert_eq!(worker.work_once(&mut stop).await.unwrap(), 0, "the failed record must rest first");
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
        let running = Worker::new(queue.clone(), database.clone()).start(stop);
        while queue.depth().await.unwrap().queued > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell_stop.send(true).unwrap();
        running.await.unwrap().unwrap();
        let events = SqliteRecords::new(database).events(&EventFilter::default()).await.unwrap().found;
        let deliveries: BTreeSet<DeliveryId> = events.iter().filter_map(|event| event.delivery_id()).collect();
        assert_eq!(deliveries.len(), 5);
    }

    #[tokio::test]
    async fn what_cannot_be_noted_in_the_queue_is_noted_as_soon_as_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("intake.sqlite");
        let database = Database::open(&path).unwrap();
        let queue = SqliteQueue::new(database.clone());
        queue.insert(documents().await[0].clone()).await.unwrap();
        queue.insert("no document".to_owned()).await.unwrap();
        let full = rusqlite::Connection::open(&path).unwrap();
        let statements = ["DELETE", "UPDATE OF last_error"].map(|change| {
            let name = change.replace(' ', "_");
            format!("CREATE TRIGGER no_{name} BEFORE {change} ON queue BEGIN SELECT RAISE(ABORT, 'full'); END;")
        });
        full.execute_batch(&statements.concat()).unwrap();

        let worker = Worker { pause: Duration::from_millis(1), ..Worker::new(queue.clone(), database.clone()) };
        let (_running, mut stop) = watch::channel(false);
        let mut work = Box::pin(worker.work_once(&mut stop));
        let records = SqliteRecords::new(database);
        let recorded = async {
            while records.events(&EventFilter::default()).await.unwrap().found.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            ended = &mut work => panic!("{ended:?}"),
            () = recorded => {}
        }
        full.execute_batch("DROP TRIGGER no_DELETE; DROP TRIGGER no_UPDATE_OF_last_error").unwrap();
        assert_eq!(work.await.unwrap(), 2);
        assert_eq!(queue.depth().await.unwrap().queued, 1);
        let rested = SystemClock.now().plus(backoff(1));
        assert_eq!(queue.receive(rested, 10, VISIBILITY).await.unwrap()[0].body, "no document");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_thread_that_records_gives_way_and_no_other_one_does() {
        let niceness = || rustix::process::nice(0).unwrap();
        let before = niceness();
        let recording = std::thread::spawn(move || {
            give_way_to_senders();
            niceness()
        });
        assert_eq!(recording.join().unwrap(), before + NICENESS);
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn a_batch_in_work_leaves_the_room_that_it_does_not_need_to_others_until_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("intake.sqlite");
        let database = Database::open(&path).unwrap();
        let queue = SqliteQueue::new(database.clone());
        let in_work = Semaphore::new(BATCH as usize + 1);
        let worker = Worker { in_work, pause: Duration::from_millis(1), ..Worker::new(queue.clone(), database) };
        let sql = "CREATE TRIGGER full BEFORE DELETE ON queue BEGIN SELECT RAISE(ABORT, 'full'); END;";
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();

        // Neither batch of one message ends while nothing can be deleted.
        let (_running, stop) = watch::channel(false);
        let (mut of_first, mut of_second, mut of_third) = (stop.clone(), stop.clone(), stop);
        let documents = documents().await;
        queue.insert(documents[0].clone()).await.unwrap();
        let mut first = Box::pin(worker.work_once(&mut of_first));
        reach(&mut first, async || worker.in_work.available_permits() == BATCH as usize).await;
        queue.insert(documents[1].clone()).await.unwrap();
        let mut second = Box::pin(worker.work_once(&mut of_second));
        reach(&mut second, async || worker.in_work.available_permits() == BATCH as usize - 1).await;

        queue.insert(documents[2].clone()).await.unwrap();
        let third = tokio::time::timeout(Duration::from_millis(50), worker.work_once(&mut of_third)).await;
        assert!(third.is_err(), "there is no room for a whole batch");
        rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TRIGGER full").unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 1));
        assert_eq!(worker.work_once(&mut of_third).await.unwrap(), 1);
        assert_eq!(worker.in_work.available_permits(), BATCH as usize + 1);
    }

    /// Works until a condition holds.
    async fn reach<T: std::fmt::Debug>(
        work: &mut std::pin::Pin<Box<impl Future<Output = T>>>,
        holds: impl AsyncFn() -> bool,
    ) {
        let until = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            ended = work => panic!("{ended:?}"),
            reached = tokio::time::timeout(Duration::from_secs(10), until) => reached.unwrap(),
        }
    }

    #[test]
    fn a_failed_message_rests_longer_each_time() {
        let seconds: Vec<u64> = (1..=5).map(|count| backoff(count).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32]);
        assert!(backoff(u32::MAX) < VISIBILITY);
    }
}
