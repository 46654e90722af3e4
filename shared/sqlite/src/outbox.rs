//! The events that wait to be forwarded, as a table beside the ledger, and those that were given up.

use std::collections::BTreeSet;

use intake_pipeline::forwarding::{
    Due, FailedAttempt, LastAttempt, Outbox, Outgoing, Position, UndeliveredEvent, UndeliveredEvents,
};
use intake_pipeline::ledger::{Entry, EntryKey};
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use crate::database::{Database, WorkError};
use crate::ledger::parse;

/// Maximum number of events that wait outside the ledger. Further ones are taken in when there is room.
const MAX_WAITING: i64 = 10_000;

/// The events in a database file that wait to be forwarded.
#[derive(Clone, Debug)]
pub struct SqliteOutbox {
    database: Database,
}

impl SqliteOutbox {
    /// The outbox of this file.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Begins with what is recorded from now on, unless it was begun before: then with what was recorded since it was last read.
    /// Returns whether it was begun now.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn begin(&self) -> Result<bool, PortError> {
        let sql = "INSERT INTO forwarding_cursor (only_row, position)
             SELECT 1, coalesce((SELECT max(position) FROM ledger), 0) WHERE TRUE ON CONFLICT DO NOTHING";
        self.database
            .transaction("sqlite begin forwarding", move |transaction| {
                Ok(transaction.prepare_cached(sql)?.execute(())? > 0)
            })
            .await
    }

    /// Number of events that wait, and of those that were given up.
    ///
    /// # Errors
    /// When the database doesn't answer.
    pub async fn depth(&self) -> Result<OutboxDepth, PortError> {
        self.database
            .read("sqlite count events to forward", |transaction| {
                let sql = "SELECT count(*) - count(given_up_at), count(given_up_at) FROM forwarding";
                let (taken_in, given_up): (i64, i64) =
                    transaction.prepare_cached(sql)?.query_row((), |row| Ok((row.get(0)?, row.get(1)?)))?;
                let sql =
                    "SELECT count(*) FROM ledger WHERE position > ?1 AND outcome IN ('stored', 'repeat', 'conflict')";
                let cursor = cursor(transaction)?;
                let behind: i64 = match cursor {
                    Some(cursor) => transaction.prepare_cached(sql)?.query_row([cursor], |row| row.get(0))?,
                    None => 0,
                };
                let waiting = (taken_in + behind).unsigned_abs();
                Ok(OutboxDepth { waiting, given_up: given_up.unsigned_abs(), is_begun: cursor.is_some() })
            })
            .await
    }
}

/// Number of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxDepth {
    /// That wait to be forwarded.
    pub waiting: u64,
    /// That were given up.
    pub given_up: u64,
    /// Whether forwarding was ever begun.
    pub is_begun: bool,
}

impl Outbox for SqliteOutbox {
    async fn due(&self, now: Timestamp, most: usize, under_way: &BTreeSet<Position>) -> Result<Due, PortError> {
        let under_way = under_way.clone();
        self.database
            .transaction("sqlite find events to forward", move |transaction| {
                take_in(transaction)?;
                due(transaction, now, most, &under_way)
            })
            .await
    }

    async fn delivered(&self, position: Position) -> Result<(), PortError> {
        self.database
            .transaction("sqlite note forwarded event", move |transaction| {
                transaction.prepare_cached("DELETE FROM forwarding WHERE position = ?1")?.execute([position.0])?;
                Ok(())
            })
            .await
    }

    async fn retry(&self, position: Position, failed: FailedAttempt) -> Result<(), PortError> {
        let FailedAttempt { attempts, reason, is_unanswered, next_at } = failed;
        self.database
            .transaction("sqlite note failed attempt", move |transaction| {
                let sql =
                    "UPDATE forwarding SET attempts = ?2, last_error = ?3, is_unanswered = ?4, next_attempt_at = ?5
                     WHERE position = ?1";
                let next_at = next_at.unix_milliseconds();
                transaction.prepare_cached(sql)?.execute((position.0, attempts, &reason, is_unanswered, next_at))?;
                Ok(())
            })
            .await
    }

    async fn give_up(&self, position: Position, failed: LastAttempt) -> Result<(), PortError> {
        let LastAttempt { attempts, reason, at } = failed;
        self.database
            .transaction("sqlite give up event", move |transaction| {
                let sql = "UPDATE forwarding SET attempts = ?2, last_error = ?3, given_up_at = ?4 WHERE position = ?1";
                transaction.prepare_cached(sql)?.execute((position.0, attempts, &reason, at.unix_milliseconds()))?;
                Ok(())
            })
            .await
    }

    async fn retry_unanswered(&self) -> Result<(), PortError> {
        self.database
            .transaction("sqlite retry unanswered events", |transaction| {
                transaction
                    .prepare_cached("UPDATE forwarding SET next_attempt_at = 0 WHERE is_unanswered")?
                    .execute(())?;
                Ok(())
            })
            .await
    }

    async fn recorded(&self) {
        self.database.recorded().await;
    }
}

impl UndeliveredEvents for SqliteOutbox {
    async fn list(&self, most: usize) -> Result<Vec<UndeliveredEvent>, PortError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.database
            .read("sqlite list events that were given up", move |transaction| {
                let sql = "SELECT f.position, f.partition, f.sort, l.entry, f.attempts, f.last_error, f.given_up_at
                     FROM forwarding f LEFT JOIN ledger l ON l.position = f.position
                     WHERE f.given_up_at IS NOT NULL ORDER BY f.position LIMIT ?1";
                let mut statement = transaction.prepare_cached(sql)?;
                let rows = statement.query_map([most], |row| {
                    let key = EntryKey { partition: row.get(1)?, sort: row.get(2)? };
                    let reason: Option<String> = row.get(5)?;
                    Ok(UndeliveredEvent {
                        position: Position(row.get(0)?),
                        event: entry(&key, row.get(3)?).ok(),
                        attempts: row.get(4)?,
                        reason: reason.unwrap_or_default(),
                        given_up_at: Timestamp::from_unix_milliseconds(row.get(6)?).unwrap_or(Timestamp::EPOCH),
                    })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn redrive(&self, positions: &[Position]) -> Result<Vec<Position>, PortError> {
        let positions = positions.to_vec();
        self.database
            .transaction("sqlite redrive events", move |transaction| {
                let sql =
                    "UPDATE forwarding SET given_up_at = NULL, attempts = 0, next_attempt_at = 0, is_unanswered = 0
                     WHERE position = ?1 AND given_up_at IS NOT NULL";
                let mut statement = transaction.prepare_cached(sql)?;
                let mut moved = Vec::new();
                for position in &positions {
                    if statement.execute([position.0])? > 0 {
                        moved.push(*position);
                    }
                }
                Ok(moved)
            })
            .await
    }
}

fn cursor(transaction: &Connection) -> Result<Option<i64>, WorkError> {
    Ok(transaction
        .prepare_cached("SELECT position FROM forwarding_cursor")?
        .query_row((), |row| row.get(0))
        .optional()?)
}

/// Takes in what the ledger recorded behind the cursor, as far as there is room.
fn take_in(transaction: &Connection) -> Result<(), WorkError> {
    let Some(cursor) = cursor(transaction)? else { return Ok(()) };
    let last: i64 =
        transaction.prepare_cached("SELECT coalesce(max(position), 0) FROM ledger")?.query_row((), |row| row.get(0))?;
    if last <= cursor {
        return Ok(());
    }
    let sql = "SELECT count(*) FROM forwarding WHERE given_up_at IS NULL";
    let waiting: i64 = transaction.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
    let room = (MAX_WAITING - waiting).max(0);
    let sql = "INSERT INTO forwarding (position, partition, sort)
         SELECT position, partition, sort FROM ledger
         WHERE position > ?1 AND outcome IN ('stored', 'repeat', 'conflict') ORDER BY position LIMIT ?2";
    let taken = transaction.prepare_cached(sql)?.execute((cursor, room))?;
    let sql = if i64::try_from(taken).unwrap_or(i64::MAX) < room {
        "UPDATE forwarding_cursor SET position = (SELECT max(position) FROM ledger)"
    } else {
        "UPDATE forwarding_cursor SET position = max(position, (SELECT coalesce(max(position), 0) FROM forwarding))"
    };
    transaction.prepare_cached(sql)?.execute(())?;
    Ok(())
}

/// The first events of their partitions, and when the next one is due.
fn due(
    transaction: &Connection,
    now: Timestamp,
    most: usize,
    under_way: &BTreeSet<Position>,
) -> Result<Due, WorkError> {
    let now = now.unix_milliseconds();
    let sql = "SELECT f.position, f.partition, f.sort, l.entry, f.attempts
         FROM forwarding f LEFT JOIN ledger l ON l.position = f.position
         WHERE f.given_up_at IS NULL AND f.next_attempt_at <= ?1 AND NOT EXISTS (
             SELECT 1 FROM forwarding e
             WHERE e.partition = f.partition AND e.position < f.position AND e.given_up_at IS NULL
         ) ORDER BY f.position";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([now])?;
    let mut events = Vec::new();
    while events.len() < most
        && let Some(row) = rows.next()?
    {
        let position = Position(row.get(0)?);
        if under_way.contains(&position) {
            continue;
        }
        let key = EntryKey { partition: row.get(1)?, sort: row.get(2)? };
        let entry = entry(&key, row.get(3)?).map(Box::new);
        events.push(Outgoing { position, entry, failed_attempts: row.get(4)? });
    }
    let sql = "SELECT min(next_attempt_at) FROM forwarding WHERE given_up_at IS NULL AND next_attempt_at > ?1";
    let next_at: Option<i64> = transaction.prepare_cached(sql)?.query_row([now], |row| row.get(0))?;
    Ok(Due { events, next_at: next_at.and_then(|at| Timestamp::from_unix_milliseconds(at).ok()) })
}

fn entry(key: &EntryKey, text: Option<String>) -> Result<Entry, String> {
    let text = text.ok_or_else(|| "the ledger no longer has the event".to_owned())?;
    parse(key, &text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
