//! One SQLite file, which queue, payload store and ledger share.
//!
//! The file is in write-ahead mode with `synchronous = FULL`: a commit returns after the data is on disk, so acknowledged
//! data survives a crash of the process and of the machine. One thread writes, and one commit brings the changes of all who wait to
//! the disk; others read beside it. Several processes may use the file at once.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use intake_pipeline::port_error::PortError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::Notify;

use self::checkpoints::Checkpoints;
use self::look_ups::LookUps;
use self::readers::Readers;
use self::schema::SCHEMA;
pub(crate) use self::schema::Schema;
pub(crate) use self::work_error::WorkError;
use self::writer::{Urgency, Writer};

mod checkpoints;
mod job;
mod look_ups;
mod readers;
mod schema;
mod work_error;
mod writer;

/// Maximum wait of a transaction for that of another process. It is shorter than the intake's deadline.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two attempts to take a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// Maximum number of prepared statements that a connection keeps; there are about 50.
const MAX_PREPARED_STATEMENTS: usize = 64;

/// Maximum size of a connection's cache of pages, in KiB.
const MAX_CACHE_KIB: i32 = 16 * 1024;

/// Pause between two attempts to switch a new file to write-ahead mode.
const SWITCH_PAUSE: Duration = Duration::from_millis(5);

/// An open database file. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    writer: Arc<Writer>,
    look_ups: Arc<LookUps>,
    readers: Readers,
    recorded: Arc<Notify>,
}

/// Why a database file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite could not open or prepare it.
    #[error(
        "the database {} cannot be opened; check that its directory can be written and that the disk has space left",
        path.display()
    )]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file was written by another release.
    #[error(
        "the database {} has format {found} and this release knows format {known}; run the release that wrote it, or \
         choose another --data-directory",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The format that this release writes.
        known: i64,
    },
    /// There is no thread for it.
    #[error("the database {} has no thread to be written by; end other programs, and start this one again", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file could not be created so that only its owner may read it.
    #[error("the database {} cannot be created; give yourself the right to, or choose another --data-directory", path.display())]
    Private {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl Database {
    /// The format of the files that this release writes.
    pub const FORMAT: i64 = SCHEMA.format;

    /// Opens a database file, creates it if it is missing, and brings it up to date if an earlier release wrote it.
    ///
    /// # Errors
    /// [`OpenError`] when SQLite cannot open the file, or another release wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
        Self::prepared(Connection::open(path).map_err(failed)?, path, &SCHEMA)
    }

    /// Prepares an open file, creates the tables if it is new, and brings it up to date.
    pub(crate) fn prepared(mut connection: Connection, path: &Path, schema: &Schema) -> Result<Self, OpenError> {
        let known = schema.format;
        let found =
            prepare(&mut connection, schema).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        if found != known {
            return Err(OpenError::UnknownFormat { path: path.to_owned(), found, known });
        }
        let checkpoints = Checkpoints::of(&mut connection, path)
            .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        let no_thread = |source| OpenError::Thread { path: path.to_owned(), source };
        let writer = Writer::start(connection, checkpoints).map_err(no_thread)?;
        let look_ups = LookUps::start(path.to_owned()).map_err(no_thread)?;
        Ok(Self {
            writer: Arc::new(writer),
            look_ups: Arc::new(look_ups),
            readers: Readers::of(path),
            recorded: Arc::default(),
        })
    }

    /// Wakes whoever waits for what is recorded through this value or a clone of it.
    pub(crate) fn notify_recorded(&self) {
        self.recorded.notify_one();
    }

    /// Waits until something is recorded, including what was recorded since the last wait.
    pub(crate) async fn recorded(&self) {
        self.recorded.notified().await;
    }

    /// Does work in a transaction, together with that of others who wait, and returns when that is on the disk. What fails is undone
    /// alone. Work whose caller gives up before it is begun is not done; once begun, it is. It may be undone and done again.
    pub(crate) async fn transaction<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.writer.together(Urgency::Other, operation, work).await
    }

    /// Does work in a transaction as [`Self::transaction`] does, before what else waits: someone outside waits for its end.
    pub(crate) async fn urgent_transaction<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.writer.together(Urgency::Urgent, operation, work).await
    }

    /// Does work that reads what is found by a key, together with that of others who wait. What it reads is of one moment, and includes
    /// what was committed before the call.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.look_ups.read(operation, work).await
    }

    /// Does work that only reads, which no writer waits for, however long it takes. What it reads is of one moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.readers.read(operation, work).await
    }

    /// Writes the file again without what was deleted or replaced in it, and empties the write-ahead log.
    pub(crate) async fn rewrite(&self, operation: &'static str) -> Result<(), PortError> {
        let work = |connection: &Connection| {
            connection.execute_batch("VACUUM")?;
            let began = Instant::now();
            loop {
                // The answer says whether a reader was in the way, or another checkpoint, which SQLite does not wait for.
                let is_busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
                match is_busy {
                    0 => return Ok(()),
                    _ if began.elapsed() > BUSY_TIMEOUT => return Err(WorkError::Busy),
                    _ => std::thread::sleep(LOCK_PAUSE),
                }
            }
        };
        self.writer.alone(operation, work).await
    }
}

/// Sets up the connection, creates the tables in a new file, upgrades an earlier format, and returns the file's format.
fn prepare(connection: &mut Connection, schema: &Schema) -> rusqlite::Result<i64> {
    set_up(connection)?;
    use_write_ahead_log(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == 0 {
        transaction.execute_batch(schema.tables)?;
        format = schema.format;
    }
    while let Some((_, statements)) = schema.upgrades.iter().find(|(from, _)| *from == format) {
        transaction.execute_batch(statements)?;
        format += 1;
    }
    if format == schema.format {
        transaction.pragma_update(None, "user_version", format)?;
    }
    transaction.commit()?;
    Ok(format)
}

/// Sets up a connection, whatever it is for.
fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(wait_for_lock))?;
    connection.set_prepared_statement_cache_capacity(MAX_PREPARED_STATEMENTS);
    connection.pragma_update(None, "synchronous", "full")?;
    // On macOS only this makes the disk flush its own cache; elsewhere it has no effect.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -MAX_CACHE_KIB)
}

/// Waits a moment for another process's lock, and returns whether it is worth while to try again. SQLite's own pauses grow so long that
/// they would miss the moments between the transactions of a busy server.
fn wait_for_lock(attempts: i32) -> bool {
    thread_local!(static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) });
    if attempts == 0 {
        BEGUN.set(Some(Instant::now()));
    }
    std::thread::sleep(LOCK_PAUSE);
    BEGUN.get().is_some_and(|begun| begun.elapsed() < BUSY_TIMEOUT)
}

/// Switches the file to write-ahead mode, which is persistent. SQLite does not wait for the lock that the switch takes, so if
/// several processes opened a new file at once, all but one would fail.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && started.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(SWITCH_PAUSE);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_unknown_format_is_rejected_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("intake.sqlite");
        drop(Database::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
        let error = Database::open(&path).unwrap_err().to_string();
        assert!(error.contains("intake.sqlite has format 7"), "{error}");
    }

    /// The columns of each table, by name.
    fn columns(path: &Path) -> Vec<(String, String, Option<String>, bool)> {
        let connection = Connection::open(path).unwrap();
        let sql = "SELECT t.name || '.' || c.name, c.type, c.dflt_value, c.\"notnull\"
             FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        statement.query_map((), read).unwrap().map(Result::unwrap).collect()
    }

    /// The statements of the indexes, by name.
    fn indexes(path: &Path) -> Vec<(String, Option<String>)> {
        let connection = Connection::open(path).unwrap();
        let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_of_the_former_format_is_brought_up_to_date_with_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let (former, new) = (directory.path().join("former.sqlite"), directory.path().join("new.sqlite"));
        drop(Database::open(&new).unwrap());
        drop(Database::open(&former).unwrap());
        let connection = Connection::open(&former).unwrap();
        for table in ["queue", "dead_letters"] {
            for column in ["is_release", "last_error", "failed_at"] {
                connection.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
            }
        }
        connection
            .execute_batch(
                "DROP TABLE ledger; DROP TABLE forwarding; DROP TABLE forwarding_cursor;
                 CREATE TABLE ledger (
                     partition TEXT NOT NULL, sort TEXT NOT NULL, entry TEXT NOT NULL, expires_at INTEGER,
                     provider TEXT NOT NULL, outcome TEXT, received_at INTEGER, PRIMARY KEY (partition, sort)
                 ) STRICT;
                 CREATE INDEX ledger_by_time ON ledger (received_at) WHERE outcome IS NOT NULL;
                 INSERT INTO ledger VALUES ('b', 'event', '{}', NULL, 'machnet', 'stored', 5);
                 INSERT INTO ledger VALUES ('a', 'event', '{}', 7, 'machnet', NULL, NULL);
                 INSERT INTO dead_letters VALUES (7, 'text', 5);
                 PRAGMA user_version = 2",
            )
            .unwrap();
        drop(connection);

        drop(Database::open(&former).unwrap());
        drop(Database::open(&former).unwrap());

        assert_eq!(columns(&former), columns(&new));
        let connection = Connection::open(&former).unwrap();
        let kept: (i64, String) = connection
            .query_row("SELECT message_id, body FROM dead_letters", (), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(kept, (7, "text".to_owned()));
        let mut statement =
            connection.prepare("SELECT position, partition, expires_at FROM ledger ORDER BY position").unwrap();
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let rows: Vec<(i64, String, Option<i64>)> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, [(1, "b".to_owned(), None), (2, "a".to_owned(), Some(7))]);
        drop(statement);
        assert_eq!(indexes(&former), indexes(&new));
    }

    #[test]
    fn entries_keep_their_positions_when_a_file_is_brought_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("former.sqlite");
        drop(Database::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "DROP TABLE ledger;
                 CREATE TABLE ledger (
                     position INTEGER PRIMARY KEY AUTOINCREMENT, partition TEXT NOT NULL, sort TEXT NOT NULL, entry TEXT NOT NULL,
                     expires_at INTEGER, provider TEXT NOT NULL, outcome TEXT, received_at INTEGER, UNIQUE (partition, sort)
                 ) STRICT;
                 CREATE INDEX ledger_by_time ON ledger (received_at) WHERE outcome IS NOT NULL;
                 INSERT INTO ledger VALUES (3, 'a', 'event', '{}', NULL, 'machnet', 'stored', 5), (7, 'b', 'alias', '{}', 9, 'machnet', NULL, NULL);
                 PRAGMA user_version = 4",
            )
            .unwrap();
        drop(connection);

        drop(Database::open(&path).unwrap());

        let connection = Connection::open(&path).unwrap();
        let insert = "INSERT INTO ledger (partition, sort, entry, provider) VALUES ('c', 'event', '{}', 'machnet')";
        connection.execute(insert, ()).unwrap();
        let mut statement =
            connection.prepare("SELECT position, partition, sort FROM ledger ORDER BY position").unwrap();
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let rows: Vec<(i64, String, String)> = rows.map(Result::unwrap).collect();
        let expected = [(3, "a", "event"), (7, "b", "alias"), (8, "c", "event")];
        assert_eq!(rows, expected.map(|(position, partition, sort)| (position, partition.to_owned(), sort.to_owned())));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_with_a_remedy() {
        let error = Database::open(Path::new("/nowhere/at/all.sqlite")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all.sqlite cannot be opened; check"), "{error}");
    }

    #[tokio::test]
    async fn a_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        let settings = database.transaction("read settings", |connection| {
            let journal_mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
            Ok((journal_mode, synchronous))
        });
        assert_eq!(settings.await.unwrap(), ("wal".to_owned(), 2));
    }

    #[test]
    fn a_new_file_can_be_opened_concurrently() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("intake.sqlite");
            std::thread::scope(|scope| {
                let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| Database::open(&path).map(drop))).collect();
                for thread in opened {
                    thread.join().unwrap().unwrap();
                }
            });
        }
    }
}
