//! The dead letters as a table.

use std::num::NonZeroU32;

use intake_pipeline::dead_letters::{DeadLetter, DeadLetters, Failure, FoundDeadLetters};
use intake_pipeline::port_error::PortError;
use intake_pipeline::rate_limiter::RateLimiter;
use intake_providers::timestamp::Timestamp;
use rusqlite::Row;

use crate::database::Database;

/// The dead letters in a database file.
#[derive(Clone, Debug)]
pub struct SqliteDeadLetters(Database);

impl SqliteDeadLetters {
    /// The dead letters in this file.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }

    /// Moves one back to the queue with a receive count of 0, and returns whether it was there.
    async fn redrive_one(&self, message_id: String) -> Result<bool, PortError> {
        self.0
            .transaction("sqlite redrive", move |transaction| {
                let sql = "INSERT INTO queue (message_id, body, is_release, last_error, failed_at)
                     SELECT message_id, body, is_release, last_error, failed_at FROM dead_letters WHERE message_id = ?1";
                let moved = transaction.prepare_cached(sql)?.execute([&message_id])?;
                transaction.prepare_cached("DELETE FROM dead_letters WHERE message_id = ?1")?.execute([&message_id])?;
                Ok(moved > 0)
            })
            .await
    }
}

impl DeadLetters for SqliteDeadLetters {
    async fn list(&self, most: usize) -> Result<FoundDeadLetters, PortError> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let mut dead_letters: Vec<DeadLetter> = self
            .0
            .read("sqlite list dead letters", move |transaction| {
                let sql = "SELECT message_id, body, receive_count, is_release, last_error, failed_at FROM dead_letters
                     ORDER BY message_id LIMIT ?1";
                let mut statement = transaction.prepare_cached(sql)?;
                Ok(statement.query_map([limit], dead_letter)?.collect::<Result<_, _>>()?)
            })
            .await?;
        let is_partial = dead_letters.len() > most;
        dead_letters.truncate(most);
        Ok(FoundDeadLetters { dead_letters, is_partial, remarks: Vec::new() })
    }

    async fn find_failures(&self, _: &mut [DeadLetter]) -> Result<(), PortError> {
        Ok(())
    }

    async fn redrive(&self, message_ids: &[String], rate: Option<NonZeroU32>) -> Result<Vec<String>, PortError> {
        let mut pace = rate.map(RateLimiter::per_second);
        let mut moved = Vec::new();
        for message_id in message_ids {
            if let Some(pace) = &mut pace {
                pace.turn().await;
            }
            if self.redrive_one(message_id.clone()).await? {
                moved.push(message_id.clone());
            }
        }
        Ok(moved)
    }

    async fn redrive_all(&self, rate: Option<NonZeroU32>) -> Result<u64, PortError> {
        let found = self.list(usize::MAX).await?;
        let message_ids: Vec<String> = found.dead_letters.into_iter().map(|letter| letter.message_id).collect();
        Ok(self.redrive(&message_ids, rate).await?.len() as u64)
    }
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let failure = match (row.get::<_, Option<String>>(4)?, row.get::<_, Option<i64>>(5)?) {
        (Some(error), Some(at)) => {
            Some(Failure { at: Timestamp::from_unix_milliseconds(at).unwrap_or(Timestamp::EPOCH), error })
        }
        _ => None,
    };
    Ok(DeadLetter {
        message_id: row.get::<_, i64>(0)?.to_string(),
        body: row.get(1)?,
        receive_count: row.get(2)?,
        is_release: row.get(3)?,
        sent_at: None,
        failure,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{MAX_RECEIVES, SqliteQueue};

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(seconds * 1000).unwrap()
    }

    /// A queue that has given up on these messages, each of which failed with its own text as the reason.
    async fn given_up(database: &Database, bodies: &[&str]) -> SqliteQueue {
        let queue = SqliteQueue::new(database.clone());
        for body in bodies {
            queue.insert((*body).to_owned()).await.unwrap();
        }
        for receive in 1..=MAX_RECEIVES {
            let now = at(i64::from(receive) * 60);
            for record in queue.receive(now, 10, MINUTE).await.unwrap() {
                queue
                    .retry_later(now, record.message_id, receive, MINUTE, format!("no {}", record.body))
                    .await
                    .unwrap();
            }
        }
        assert!(queue.receive(at(1_000), 10, MINUTE).await.unwrap().is_empty());
        queue
    }

    #[tokio::test]
    async fn a_dead_letter_is_listed_with_its_last_failure() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        given_up(&database, &["a", "b", "c"]).await;
        let dead_letters = SqliteDeadLetters::new(database);
        let found = dead_letters.list(2).await.unwrap();
        let failure = |error: &str| Some(Failure { at: at(300), error: error.to_owned() });
        let facts: Vec<_> = found
            .dead_letters
            .iter()
            .map(|letter| (&*letter.body, letter.receive_count, letter.failure.clone()))
            .collect();
        assert_eq!(facts, [("a", 5, failure("no a")), ("b", 5, failure("no b"))]);
        assert!(found.is_partial);
        assert!(!dead_letters.list(3).await.unwrap().is_partial);
    }

    #[tokio::test]
    async fn only_those_that_are_named_go_back_and_each_once() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        let queue = given_up(&database, &["a", "b", "c"]).await;
        let dead_letters = SqliteDeadLetters::new(database);
        let wanted = ["2", "2", "99", "a"].map(str::to_owned);
        assert_eq!(dead_letters.redrive(&wanted, None).await.unwrap(), ["2"]);
        let again = queue.receive(at(2_000), 10, MINUTE).await.unwrap();
        assert_eq!((again[0].body.as_str(), again[0].message_id.as_str(), again[0].receive_count), ("b", "2", 1));
        assert_eq!(dead_letters.list(10).await.unwrap().dead_letters.len(), 2);
        assert_eq!(dead_letters.redrive_all(None).await.unwrap(), 2);
        assert_eq!(dead_letters.redrive_all(None).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        given_up(&database, &["a", "b", "c", "d"]).await;
        let started = tokio::time::Instant::now();
        SqliteDeadLetters::new(database).redrive_all(NonZeroU32::new(2)).await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }
}
