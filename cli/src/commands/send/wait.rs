//! `send --wait`: what becomes of a delivery after its answer.

use std::fmt::Write as _;
use std::time::Duration;

use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::{LedgerReader, Outcome};
use intake_pipeline::records::Records as _;
use intake_providers::delivery::DeliveryId;
use intake_sqlite::{DataDirectory, Database, SqliteQueue, UnprocessedMessage};
use tokio::time::{Instant, sleep};

use crate::commands::deliveries::{duration, in_words, outcome, time_to_record};
use crate::commands::error::CommandError;
use crate::commands::output::print;
use crate::commands::place::Place;
use crate::records::AnyRecords;

/// Pause between two looks at a file.
const FILE_PAUSE: Duration = Duration::from_millis(20);

/// Pause between two looks at a stack. Each costs a read.
const STACK_PAUSE: Duration = Duration::from_secs(1);

/// Where deliveries are recorded, and how long to wait for one.
pub(super) struct Wait {
    records: AnyRecords,
    /// The queue before the records, where it can be looked at.
    queue: Option<SqliteQueue>,
    limit: Duration,
}

/// What the wait came to.
enum End {
    Recorded(Box<DeliveryRecord>),
    DeadLetter(UnprocessedMessage),
    TimeUp(Option<UnprocessedMessage>),
}

impl Wait {
    /// Opens what will be looked at, so that nothing is sent if that fails.
    pub(super) async fn open(place: &Place, limit: Duration) -> Result<Self, CommandError> {
        let records = place.records().await?;
        let queue = match place {
            Place::Directory(path) => {
                Some(SqliteQueue::new(Database::open(&DataDirectory::existing(path)?.database())?))
            }
            Place::Stack { .. } => None,
        };
        Ok(Self { records, queue, limit })
    }

    /// Waits for a delivery's record, prints what became of each event, and returns whether all are well: nothing is quarantined,
    /// and the delivery was not given up.
    pub(super) async fn for_delivery(&self, id: DeliveryId) -> Result<bool, CommandError> {
        let (text, is_well) = self.result_of(id).await?;
        print(&text)?;
        Ok(is_well)
    }

    async fn result_of(&self, id: DeliveryId) -> Result<(String, bool), CommandError> {
        let end = self.end_of(id).await?;
        Ok(match &end {
            End::Recorded(record) => (recorded(&self.records, record).await?, record.counts().quarantined == 0),
            End::DeadLetter(UnprocessedMessage { receive_count, .. }) => {
                let text = format!(
                    "given up: processing failed {receive_count} times, `dead-letters` says why, and `dead-letters redrive` tries again\n"
                );
                (text, false)
            }
            End::TimeUp(message) => (self.time_up(*message), false),
        })
    }

    async fn end_of(&self, id: DeliveryId) -> Result<End, CommandError> {
        let until = Instant::now() + self.limit;
        loop {
            if let Some(record) = self.records.delivery(id).await? {
                return Ok(End::Recorded(Box::new(record)));
            }
            let message = match &self.queue {
                Some(queue) => queue.unprocessed(id).await?,
                None => None,
            };
            if let Some(message) = message.filter(|message| message.is_dead_letter) {
                return Ok(End::DeadLetter(message));
            }
            if Instant::now() >= until {
                return Ok(End::TimeUp(message));
            }
            sleep(if self.queue.is_some() { FILE_PAUSE } else { STACK_PAUSE }).await;
        }
    }

    fn time_up(&self, message: Option<UnprocessedMessage>) -> String {
        let limit = duration(self.limit);
        match (message, &self.queue) {
            (Some(UnprocessedMessage { receive_count: 0, .. }), _) => {
                format!("not recorded within {limit}: it is on the queue, and nothing has taken it yet\n")
            }
            (Some(UnprocessedMessage { receive_count, .. }), _) => format!(
                "not recorded within {limit}: it was taken from the queue {receive_count} times, and the server's log says what failed\n"
            ),
            (None, Some(_)) => format!(
                "not recorded within {limit}: it is not in this data directory; name that of the server which took it with \
                 --data-directory, or its stack with --stack\n"
            ),
            (None, None) => format!(
                "not recorded within {limit}: look at the stack's queue and dead letters, and whether it keeps records \
                 (DeliveryRetentionDays)\n"
            ),
        }
    }
}

/// A delivery's outcomes, and each one about which there is more to say.
async fn recorded(records: &impl LedgerReader, record: &DeliveryRecord) -> Result<String, CommandError> {
    let mut text = format!("recorded after {}: {}\n", duration(time_to_record(record)), in_words(record.counts()));
    for event in record.outcomes.iter().filter(|event| event.outcome != Outcome::Stored) {
        let _ = writeln!(text, "  event {}: {}", event.index.0, outcome(records, record, event).await?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use intake_providers::timestamp::Timestamp;
    use intake_sqlite::MAX_RECEIVES;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A data directory with an empty database, its queue, and a wait that looks at it once.
    async fn setup() -> (tempfile::TempDir, SqliteQueue, Wait) {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        let queue = SqliteQueue::new(Database::open(&directory.database()).unwrap());
        let wait = Wait::open(&Place::Directory(parent.path().to_owned()), Duration::ZERO).await.unwrap();
        (parent, queue, wait)
    }

    async fn receive(queue: &SqliteQueue, times: u32) {
        for time in 0..times {
            let now = Timestamp::from_unix_milliseconds(i64::from(time) * 60_000).unwrap();
            queue.receive(now, 10, MINUTE).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_delivery_that_is_not_recorded_in_time_is_not_well_whatever_the_reason() {
        let (_parent, queue, wait) = setup().await;
        let id = DeliveryId::new(Timestamp::EPOCH, [1; 10]);
        let elsewhere = wait.result_of(id).await.unwrap();
        assert!(
            elsewhere.0.starts_with("not recorded within 0 ms: it is not in this data directory; "),
            "{elsewhere:?}"
        );
        queue.insert(format!(r#"{{"delivery_id": "{id}"}}"#)).await.unwrap();
        let untouched = wait.result_of(id).await.unwrap();
        assert!(untouched.0.contains("it is on the queue, and nothing has taken it yet"), "{untouched:?}");
        receive(&queue, 2).await;
        let failing = wait.result_of(id).await.unwrap();
        assert!(failing.0.contains("it was taken from the queue 2 times, and the server's log says"), "{failing:?}");
        assert!(!elsewhere.1 && !untouched.1 && !failing.1);
    }

    #[tokio::test]
    async fn a_delivery_that_was_given_up_is_not_waited_for() {
        let (_parent, queue, wait) = setup().await;
        let wait = Wait { limit: 60 * MINUTE, ..wait };
        let id = DeliveryId::new(Timestamp::EPOCH, [1; 10]);
        queue.insert(format!(r#"{{"delivery_id": "{id}"}}"#)).await.unwrap();
        receive(&queue, MAX_RECEIVES + 1).await;
        let (text, is_well) = wait.result_of(id).await.unwrap();
        assert!(!is_well && text.starts_with("given up: processing failed 5 times, "), "{text}");
    }

    #[tokio::test]
    async fn without_data_nothing_is_waited_for() {
        let parent = tempfile::tempdir().unwrap();
        let error = Wait::open(&Place::Directory(parent.path().join("data")), MINUTE).await.err().unwrap();
        assert!(error.to_string().starts_with("there is no data in "), "{error}");
    }
}
