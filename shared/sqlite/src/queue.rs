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

use self::backlog::Backlog;
use crate::database::{Database, WorkError};

mod backlog;

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

/// The queue in a database file. Clones share one waker, and one number of messages.
#[derive(Clone, Debug)]
pub struct SqliteQueue {
    database: Database,
    sent: Arc<Notify>,
    backlog: Arc<Backlog>,
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
        Self { database, sent: Arc::new(Notify::new()), backlog: Arc::default() }
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
            self.backlog.shrink(given_up);
            tracing::error!(messages = given_up, "given up after {MAX_RECEIVES} receives; they are dead letters now");
        }
        Ok(records)
    }

    /// Removes processed messages. Those that were removed already are ignored.
    ///
    /// # Errors
    /// When the database doesn't answer; the messages are then redelivered.
    pub async fn delete(&self, message_ids: Vec<String>) -> Result<(), PortError> {
        let deleted = self
            .database
            .transaction("sqlite delete", move |transaction| {
                let mut statement = transaction.prepare_cached("DELETE FROM queue WHERE message_id = ?1")?;
                let deleted = message_ids.iter().map(|message_id| statement.execute([message_id]));
                Ok(deleted.sum::<rusqlite::Result<usize>>()?)
            })
            .await?;
        self.backlog.shrink(deleted);
        Ok(())
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
            .await?;
        self.backlog.set(self.depth().await?.queued);
        Ok(())
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
        let count = messages.len();
        self.database
            .urgent_transaction("sqlite send", move |transaction| {
                let mut statement =
                    transaction.prepare_cached("INSERT INTO queue (body, is_release) VALUES (?1, ?2)")?;
                for message in &messages {
                    statement.execute((&message.0, message.1))?;
                }
                Ok(())
            })
            .await?;
        self.backlog.grow(count);
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
    /// Takes a little longer while there are very many messages, so that recording keeps up with taking.
    async fn send(&self, document: &QueueMessage) -> Result<(), PortError> {
        self.backlog.wait_for_room().await;
        self.insert_all(vec![(document.text().to_owned(), document.is_release())]).await
    }
}

impl BatchQueue for SqliteQueue {
    async fn check(&self) -> Result<(), PortError> {
        // As a send does, without sending anything.
        self.database.urgent_transaction("sqlite check queue", |_| Ok(())).await
    }

    /// One transaction: either all messages are on the queue or none.
    async fn send_batch(&self, documents: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let messages = documents.iter().map(|document| (document.text().to_owned(), document.is_release()));
        self.insert_all(messages.collect()).await?;
        Ok(documents.iter().map(|_| Ok(())).collect())
    }
}

#[cfg(test)]
mod tests;
