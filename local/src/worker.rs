//! Feeds the processor from the queue.

use std::time::Duration;

use pipeline::ports::{PortError, Surroundings as _, SystemSurroundings};
use pipeline::processor::{Processor, ProcessorSettings};
use providers::split::Splitter;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sqlite::{Database, SqliteLedger, SqlitePayloads, SqliteQueue};

/// How many messages are taken at once; SQS hands out as many.
const BATCH: u32 = 10;

/// The time for one batch.
const BATCH_TIME: Duration = Duration::from_secs(20);

/// How long a received message is hidden. As on SQS it lies well above the time for a batch, so that nothing is worked on
/// twice at once.
const VISIBILITY: Duration = Duration::from_secs(2 * 60);

/// How long to wait before looking again for messages whose time has come. What is sent wakes the worker at once.
const POLL: Duration = Duration::from_millis(500);

/// How long to wait when the database doesn't answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The processor, fed from the queue.
pub struct Worker {
    queue: SqliteQueue,
    processor: Processor<SqliteLedger, SqlitePayloads, Splitter, SystemSurroundings>,
}

impl Worker {
    /// A worker on this queue and database.
    #[must_use]
    pub fn new(queue: SqliteQueue, database: Database) -> Self {
        let processor = Processor::new(
            SqliteLedger::new(database.clone()),
            SqlitePayloads::new(database),
            Splitter::default(),
            SystemSurroundings,
            ProcessorSettings::default(),
        );
        Self { queue, processor }
    }

    /// Works until told to stop, and finishes the batch in hand. There must be no other worker on the same file: messages that
    /// are hidden at the start are taken for left behind by one that is gone.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        if let Err(error) = self.queue.release_all().await {
            tracing::error!(%error, "messages in work at the last stop come again when their time is up");
        }
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
        let records = self.queue.receive(SystemSurroundings.now(), BATCH, VISIBILITY).await?;
        if records.is_empty() {
            return Ok(0);
        }
        let received: Vec<(String, u32)> =
            records.iter().map(|record| (record.message_id.clone(), record.receive_count)).collect();
        let failed = self.processor.process(records, Instant::now() + BATCH_TIME).await;
        let count = received.len();
        let (again, done): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|(message_id, _)| failed.contains(message_id));
        self.queue.delete(done.into_iter().map(|(message_id, _)| message_id).collect()).await?;
        for (message_id, receive_count) in again {
            let now = SystemSurroundings.now();
            self.queue.change_visibility(now, message_id, receive_count, backoff(receive_count)).await?;
        }
        Ok(count)
    }
}

/// How long a failed message rests: 2 s after the first failure, and twice as long each time.
fn backoff(receive_count: u32) -> Duration {
    Duration::from_secs(1 << receive_count.clamp(1, 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_message_rests_longer_each_time() {
        let seconds: Vec<u64> = (1..=5).map(|count| backoff(count).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32]);
        assert!(backoff(u32::MAX) < VISIBILITY);
    }
}
