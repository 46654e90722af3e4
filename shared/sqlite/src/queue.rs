//! The queue as a table that behaves like SQS: a received message is hidden for a while and redelivered unless it is deleted,
//! and after too many receives it becomes a dead letter.

use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::port_error::PortError;
use intake_pipeline::queue::{BatchQueue, Queue, QueueRecord};
use intake_pipeline::queue_message::QueueMessage;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::Notify;

use crate::database::{Database, WorkError};

/// Maximum number of receives of a message before it becomes a dead letter.
pub const MAX_RECEIVES: u32 = 5;

/// Maximum size of the messages that one receive takes, in bytes, beyond the first one of them.
const MAX_RECEIVED_BYTES: usize = 4 * 1024 * 1024;

/// The messages whose time has come to be received again, the one that waited longest first.
const AGAIN: &str = "SELECT message_id, body, receive_count, is_release FROM queue
     WHERE visible_at > 0 AND visible_at <= ?1 ORDER BY visible_at, message_id LIMIT ?2";

/// The messages that were not received yet, or were in work when a server ended, oldest first. Their time is 0, and the first
/// parameter is there to be that of the other statement.
const FRESH: &str = "SELECT message_id, body, receive_count, is_release FROM queue
     WHERE visible_at = 0 AND ?1 >= 0 ORDER BY message_id LIMIT ?2";

/// The queue in a database file. Clones share one waker.
#[derive(Clone, Debug)]
pub struct SqliteQueue {
    database: Database,
    sent: Arc<Notify>,
}

/// Number of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// On the queue, messages in flight included.
    pub queued: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// A delivery's message that is not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnprocessedMessage {
    /// Number of times it was received; each of them failed, but the last one if it is still in work.
    pub receive_count: u32,
    /// Whether it was given up.
    pub is_dead_letter: bool,
}

impl SqliteQueue {
    /// The queue in this file.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, sent: Arc::new(Notify::new()) }
    }

    /// Waits until a message is sent through this value or a clone of it, including one sent since the last wait.
    pub async fn sent(&self) {
        self.sent.notified().await;
    }

    /// Takes up to `most` visible messages, oldest first, and hides them until `visibility` has passed. Messages that were
    /// received [`MAX_RECEIVES`] times become dead letters instead.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn receive(
        &self,
        now: Timestamp,
        most: u32,
        visibility: Duration,
    ) -> Result<Vec<QueueRecord>, PortError> {
        let hidden_until = now.plus(visibility).unix_milliseconds();
        let now = now.unix_milliseconds();
        let (records, given_up) = self
            .database
            .transaction("sqlite receive", move |transaction| {
                let mut taking = Taking { most: most as usize, ..Taking::default() };
                // What waited for another attempt is the older.
                taking.take(transaction, AGAIN, now, hidden_until)?;
                taking.take(transaction, FRESH, now, hidden_until)?;
                taking.records.sort_unstable_by_key(|(message_id, _)| *message_id);
                let records: Vec<QueueRecord> = taking.records.into_iter().map(|(_, record)| record).collect();
                Ok((records, taking.given_up))
            })
            .await?;
        if given_up > 0 {
            tracing::error!(messages = given_up, "given up after {MAX_RECEIVES} receives; they are dead letters now");
        }
        Ok(records)
    }

    /// Removes processed messages. Those that were removed already are ignored.
    ///
    /// # Errors
    /// When the database doesn't answer; the messages are then redelivered.
    pub async fn delete(&self, message_ids: Vec<String>) -> Result<(), PortError> {
        self.database
            .transaction("sqlite delete", move |transaction| {
                let mut statement = transaction.prepare_cached("DELETE FROM queue WHERE message_id = ?1")?;
                for message_id in &message_ids {
                    statement.execute([message_id])?;
                }
                Ok(())
            })
            .await
    }

    /// Hides a received message that failed until `visibility` has passed from now, whatever was left of its timeout, and keeps
    /// the reason. It does nothing if the message was received again meanwhile.
    ///
    /// # Errors
    /// When the database doesn't answer; the message is then redelivered when its visibility timeout expires.
    pub async fn retry_later(
        &self,
        now: Timestamp,
        message_id: String,
        receive_count: u32,
        visibility: Duration,
        error: String,
    ) -> Result<(), PortError> {
        let hidden_until = now.plus(visibility).unix_milliseconds();
        let now = now.unix_milliseconds();
        self.database
            .transaction("sqlite change visibility", move |transaction| {
                let sql = "UPDATE queue SET visible_at = ?1, last_error = ?4, failed_at = ?5
                     WHERE message_id = ?2 AND receive_count = ?3";
                transaction.prepare_cached(sql)?.execute((hidden_until, &message_id, receive_count, &error, now))?;
                Ok(())
            })
            .await
    }

    /// Makes all messages visible. To be called at the start of the only receiving process: the one that hid them has ended.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn release_all(&self) -> Result<(), PortError> {
        self.database
            .transaction("sqlite release", |transaction| {
                // The others are visible, and there may be many.
                transaction.prepare_cached("UPDATE queue SET visible_at = 0 WHERE visible_at > 0")?.execute(())?;
                Ok(())
            })
            .await
    }

    /// The message of a delivery, on the queue or among the dead letters.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn unprocessed(&self, delivery_id: DeliveryId) -> Result<Option<UnprocessedMessage>, PortError> {
        let delivery_id = delivery_id.to_string();
        self.database
            .read("sqlite find message", move |transaction| {
                // A message may be any text.
                let sql = "SELECT receive_count, is_dead_letter FROM
                         (SELECT body, receive_count, 0 AS is_dead_letter FROM queue
                          UNION ALL SELECT body, receive_count, 1 FROM dead_letters)
                     WHERE CASE WHEN json_valid(body) THEN json_extract(body, '$.delivery_id') END = ?1";
                let read = |row: &rusqlite::Row<'_>| {
                    Ok(UnprocessedMessage { receive_count: row.get(0)?, is_dead_letter: row.get(1)? })
                };
                Ok(transaction.prepare_cached(sql)?.query_row([&delivery_id], read).optional()?)
            })
            .await
    }

    /// Number of messages.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn depth(&self) -> Result<QueueDepth, PortError> {
        self.database
            .read("sqlite queue depth", |transaction| {
                let sql = "SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM dead_letters)";
                let (queued, dead_letters): (i64, i64) =
                    transaction.prepare_cached(sql)?.query_row((), |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(QueueDepth { queued: queued.unsigned_abs(), dead_letters: dead_letters.unsigned_abs() })
            })
            .await
    }

    /// The text of the message that was sent first of those on the queue, but for releases from quarantine: their deliveries are old.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn oldest(&self) -> Result<Option<String>, PortError> {
        self.database
            .read("sqlite oldest message", |transaction| {
                let sql = "SELECT body FROM queue WHERE is_release = 0 ORDER BY message_id LIMIT 1";
                Ok(transaction.query_row(sql, (), |row| row.get(0)).optional()?)
            })
            .await
    }

    /// Sends any text, valid as a queue message or not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn insert(&self, body: String) -> Result<(), PortError> {
        self.insert_all(vec![(body, false)]).await
    }

    /// Inserts texts, each with whether it is a release, in one transaction.
    async fn insert_all(&self, messages: Vec<(String, bool)>) -> Result<(), PortError> {
        self.database
            .transaction("sqlite send", move |transaction| {
                let mut statement =
                    transaction.prepare_cached("INSERT INTO queue (body, is_release) VALUES (?1, ?2)")?;
                for message in &messages {
                    statement.execute((&message.0, message.1))?;
                }
                Ok(())
            })
            .await?;
        self.sent.notify_one();
        Ok(())
    }
}

/// A receive under way.
#[derive(Default)]
struct Taking {
    most: usize,
    records: Vec<(i64, QueueRecord)>,
    bytes: usize,
    given_up: usize,
}

impl Taking {
    /// Takes what a statement finds, as far as there is room, and hides it. What was received too often becomes a dead letter.
    fn take(&mut self, transaction: &Connection, sql: &str, now: i64, hidden_until: i64) -> Result<(), WorkError> {
        loop {
            let room = self.most.saturating_sub(self.records.len());
            if room == 0 {
                return Ok(());
            }
            let (found, is_last) = self.find(transaction, sql, now, room)?;
            for (message_id, record) in found {
                if record.receive_count > MAX_RECEIVES {
                    give_up(transaction, message_id)?;
                    self.given_up += 1;
                    continue;
                }
                let sql = "UPDATE queue SET visible_at = ?1, receive_count = ?2 WHERE message_id = ?3";
                transaction.prepare_cached(sql)?.execute((hidden_until, record.receive_count, message_id))?;
                self.records.push((message_id, record));
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The next messages up to `room`, as they are handed out, and whether nothing behind them is to be taken.
    fn find(
        &mut self,
        transaction: &Connection,
        sql: &str,
        now: i64,
        room: usize,
    ) -> Result<(Vec<(i64, QueueRecord)>, bool), WorkError> {
        let mut found = Vec::new();
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query((now, i64::try_from(room).unwrap_or(i64::MAX)))?;
        while let Some(row) = rows.next()? {
            let (message_id, body): (i64, String) = (row.get(0)?, row.get(1)?);
            let size = self.bytes.saturating_add(body.len());
            if size > MAX_RECEIVED_BYTES && self.bytes > 0 {
                return Ok((found, true));
            }
            self.bytes = size;
            let receive_count = row.get::<_, u32>(2)?.saturating_add(1);
            let record =
                QueueRecord { message_id: message_id.to_string(), body, receive_count, is_release: row.get(3)? };
            found.push((message_id, record));
        }
        let is_last = found.len() < room;
        Ok((found, is_last))
    }
}

/// Makes a message a dead letter.
fn give_up(transaction: &Connection, message_id: i64) -> Result<(), WorkError> {
    let sql = "INSERT INTO dead_letters (message_id, body, receive_count, is_release, last_error, failed_at)
         SELECT message_id, body, receive_count, is_release, last_error, failed_at FROM queue WHERE message_id = ?1";
    transaction.prepare_cached(sql)?.execute([message_id])?;
    transaction.prepare_cached("DELETE FROM queue WHERE message_id = ?1")?.execute([message_id])?;
    Ok(())
}

impl Queue for SqliteQueue {
    async fn send(&self, document: &QueueMessage) -> Result<(), PortError> {
        self.insert_all(vec![(document.text().to_owned(), document.is_release())]).await
    }
}

impl BatchQueue for SqliteQueue {
    async fn check(&self) -> Result<(), PortError> {
        // As a send does, without sending anything.
        self.database.transaction("sqlite check queue", |_| Ok(())).await
    }

    /// One transaction: either all messages are on the queue or none.
    async fn send_batch(&self, documents: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let messages = documents.iter().map(|document| (document.text().to_owned(), document.is_release()));
        self.insert_all(messages.collect()).await?;
        Ok(documents.iter().map(|_| Ok(())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use intake_pipeline::dead_letters::DeadLetters as _;

    use super::*;
    use crate::SqliteDeadLetters;

    const MINUTE: Duration = Duration::from_secs(60);

    fn queue(directory: &Path) -> SqliteQueue {
        SqliteQueue::new(Database::open(&directory.join("intake.sqlite")).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(seconds * 1000).unwrap()
    }

    async fn bodies(queue: &SqliteQueue, now: Timestamp) -> Vec<(String, u32)> {
        let records = queue.receive(now, 10, MINUTE).await.unwrap();
        records.into_iter().map(|record| (record.body, record.receive_count)).collect()
    }

    #[tokio::test]
    async fn the_oldest_message_is_the_first_that_is_no_release() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        assert_eq!(queue.oldest().await.unwrap(), None);
        queue.insert_all(vec![("released".to_owned(), true)]).await.unwrap();
        assert_eq!(queue.oldest().await.unwrap(), None);
        for body in ["first", "second"] {
            queue.insert(body.to_owned()).await.unwrap();
        }
        assert_eq!(queue.oldest().await.unwrap().as_deref(), Some("first"));
    }

    #[tokio::test]
    async fn the_message_of_a_delivery_is_found_until_it_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        let queue = SqliteQueue::new(database.clone());
        let id = DeliveryId::new(Timestamp::EPOCH, [1; 10]);
        let found = async || {
            let message = queue.unprocessed(id).await.unwrap();
            message.map(|message| (message.receive_count, message.is_dead_letter))
        };
        queue.insert("no message".to_owned()).await.unwrap();
        assert_eq!(found().await, None);
        queue.insert(format!(r#"{{"delivery_id": "{id}"}}"#)).await.unwrap();
        assert_eq!(found().await, Some((0, false)));
        for receive in 0..=MAX_RECEIVES {
            bodies(&queue, at(60 * i64::from(receive))).await;
        }
        assert_eq!(found().await, Some((MAX_RECEIVES, true)));
        assert_eq!(SqliteDeadLetters::new(database).redrive_all(None).await.unwrap(), 2);
        let message_id = queue.receive(at(1000), 10, MINUTE).await.unwrap().remove(1).message_id;
        queue.delete(vec![message_id]).await.unwrap();
        assert_eq!(found().await, None);
    }

    #[tokio::test]
    async fn a_received_message_is_hidden_until_its_visibility_timeout() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        queue.insert("a".to_owned()).await.unwrap();
        assert_eq!(bodies(&queue, at(0)).await, [("a".to_owned(), 1)]);
        assert_eq!(bodies(&queue, at(59)).await, []);
        assert_eq!(bodies(&queue, at(60)).await, [("a".to_owned(), 2)]);
    }

    #[tokio::test]
    async fn a_deleted_message_is_never_redelivered_and_its_id_is_not_reused() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        queue.insert("a".to_owned()).await.unwrap();
        let first = queue.receive(at(0), 10, MINUTE).await.unwrap().remove(0).message_id;
        queue.delete(vec![first.clone(), first.clone(), "none".to_owned()]).await.unwrap();
        assert_eq!(bodies(&queue, at(1000)).await, []);
        queue.insert("b".to_owned()).await.unwrap();
        assert_ne!(queue.receive(at(1000), 10, MINUTE).await.unwrap().remove(0).message_id, first);
    }

    #[tokio::test]
    async fn messages_are_received_oldest_first_up_to_the_maximum() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        for body in ["a", "b", "c"] {
            queue.insert(body.to_owned()).await.unwrap();
        }
        let taken = queue.receive(at(0), 2, MINUTE).await.unwrap();
        assert_eq!(taken.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(bodies(&queue, at(0)).await, [("c".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn a_receive_reads_no_more_of_the_backlog_than_it_takes() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        for sql in [AGAIN, FRESH] {
            let explain = move |connection: &Connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let plan = statement.query_map((1, 1), |row| row.get(3))?.collect::<Result<Vec<String>, _>>()?;
                Ok(plan)
            };
            let plan = queue.database.read("explain", explain).await.unwrap();
            assert!(
                matches!(plan.as_slice(), [step] if step.starts_with("SEARCH queue USING INDEX queue_by_visibility")),
                "{plan:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_waits_for_another_attempt_is_not_held_up_by_what_came_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        for body in ["a", "b", "c"] {
            queue.insert(body.to_owned()).await.unwrap();
        }
        let failed = queue.receive(at(0), 1, MINUTE).await.unwrap().remove(0);
        queue.retry_later(at(0), failed.message_id, 1, Duration::from_secs(2), "failed".to_owned()).await.unwrap();
        let taken = queue.receive(at(2), 2, MINUTE).await.unwrap();
        assert_eq!(taken.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_receive_takes_a_bounded_size_and_at_least_one_message() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        let sizes = [MAX_RECEIVED_BYTES + 1, MAX_RECEIVED_BYTES / 2, MAX_RECEIVED_BYTES / 2, 1];
        for size in sizes {
            queue.insert("x".repeat(size)).await.unwrap();
        }
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(bodies(&queue, at(0)).await.iter().map(|(body, _)| body.len()).collect::<Vec<_>>());
        }
        let [large, half, other_half, small] = sizes;
        assert_eq!(taken, [vec![large], vec![half, other_half], vec![small], vec![]]);
    }

    #[tokio::test]
    async fn what_was_received_too_often_makes_room_for_the_others_of_the_same_receive() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        for _ in 0..3 {
            queue.insert("poison".to_owned()).await.unwrap();
        }
        for receive in 1..=MAX_RECEIVES {
            assert_eq!(bodies(&queue, at(i64::from(receive) * 60)).await.len(), 3);
        }
        queue.insert("good".to_owned()).await.unwrap();
        let taken = queue.receive(at(360), 1, MINUTE).await.unwrap();
        assert_eq!(taken.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["good"]);
        assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 1, dead_letters: 3 });
    }

    #[tokio::test]
    async fn a_message_received_five_times_is_a_dead_letter_and_can_be_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        queue.insert("poison".to_owned()).await.unwrap();
        for receive in 1..=5 {
            assert_eq!(bodies(&queue, at(i64::from(receive) * 60)).await, [("poison".to_owned(), receive)]);
        }
        queue.insert("good".to_owned()).await.unwrap();
        assert_eq!(bodies(&queue, at(360)).await, [("good".to_owned(), 1)]);
        assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 1, dead_letters: 1 });
        let dead_letters = SqliteDeadLetters::new(queue.database.clone());
        assert_eq!(dead_letters.redrive_all(None).await.unwrap(), 1);
        assert_eq!(bodies(&queue, at(360)).await, [("poison".to_owned(), 1)]);
        assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 2, dead_letters: 0 });
    }

    #[tokio::test]
    async fn a_message_in_its_fifth_receive_is_not_a_dead_letter_yet() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        queue.insert("given up".to_owned()).await.unwrap();
        queue.insert("in work".to_owned()).await.unwrap();
        for receive in 1..=4 {
            bodies(&queue, at(receive * 60)).await;
        }
        let in_work = queue.receive(at(300), 2, MINUTE).await.unwrap().remove(1);
        assert_eq!((in_work.body.as_str(), in_work.receive_count), ("in work", 5));
        queue.retry_later(at(300), in_work.message_id, 5, MINUTE * 2, "failed".to_owned()).await.unwrap();
        assert_eq!(bodies(&queue, at(419)).await, []);
        assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 1, dead_letters: 1 });
    }

    #[tokio::test]
    async fn visibility_is_changed_by_the_latest_receiver_only() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        queue.insert("a".to_owned()).await.unwrap();
        let first = queue.receive(at(0), 1, MINUTE).await.unwrap().remove(0);
        let failed = || "failed".to_owned();
        queue.retry_later(at(0), first.message_id.clone(), 1, Duration::from_secs(2), failed()).await.unwrap();
        assert_eq!(bodies(&queue, at(1)).await, []);
        assert_eq!(bodies(&queue, at(2)).await, [("a".to_owned(), 2)]);
        queue.retry_later(at(2), first.message_id, 1, Duration::ZERO, failed()).await.unwrap();
        assert_eq!(bodies(&queue, at(3)).await, []);
    }

    #[tokio::test]
    async fn a_restart_finds_messages_that_were_received_and_not_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let before = queue(directory.path());
        before.insert("a".to_owned()).await.unwrap();
        bodies(&before, at(0)).await;
        drop(before);
        let after = queue(directory.path());
        assert_eq!(bodies(&after, at(1)).await, []);
        after.release_all().await.unwrap();
        assert_eq!(bodies(&after, at(1)).await, [("a".to_owned(), 2)]);
    }

    #[tokio::test]
    async fn a_send_wakes_a_receiver_that_begins_to_wait_later() {
        let directory = tempfile::tempdir().unwrap();
        let queue = queue(directory.path());
        queue.insert("a".to_owned()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), queue.clone().sent()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_connections_hand_out_every_message_exactly_once() {
        let directory = tempfile::tempdir().unwrap();
        let queues = [queue(directory.path()), queue(directory.path())];
        let sender = |queue: SqliteQueue, name: &'static str| {
            tokio::spawn(async move {
                for number in 0..40 {
                    queue.insert(format!("{name}{number}")).await.unwrap();
                }
            })
        };
        let [one, two] = &queues;
        let (first, second) = tokio::join!(sender(one.clone(), "a"), sender(two.clone(), "b"));
        first.unwrap();
        second.unwrap();

        let receiver = |queue: SqliteQueue| {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let records = queue.receive(at(0), 3, MINUTE).await.unwrap();
                    if records.is_empty() {
                        return seen;
                    }
                    seen.extend(records.into_iter().map(|record| record.body));
                }
            })
        };
        let (first, second) = tokio::join!(receiver(one.clone()), receiver(two.clone()));
        let seen: Vec<String> = [first.unwrap(), second.unwrap()].concat();
        assert_eq!(seen.len(), 80);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 80);
    }
}
