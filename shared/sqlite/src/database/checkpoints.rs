//! Checkpoints: what is in the write-ahead log is copied to the file, so that the log can begin again.
//!
//! A thread of its own copies while the writer goes on, again and again until little is left. The writer copies that rest between two of its
//! transactions, because the log begins again only when all of it is copied and nobody reads it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::set_up;

/// Number of pages of 4 KiB in the log from which on it is copied. The more there are, the more of them were written several times, and are
/// copied once.
const MAX_LOG_PAGES: usize = 16 * 1024;

/// Number of pages that are left to the writer. They take it some milliseconds.
const MAX_LEFT_PAGES: i64 = 512;

/// Maximum number of times that the log is copied in a row. If the disk does not keep up with the writer, the writer has to wait for it.
const MAX_PASSES: usize = 5;

/// Nothing is copied.
const IDLE: u8 = 0;
/// The thread copies.
const COPYING: u8 = 1;
/// The thread has copied, and the rest is the writer's.
const LEFT_TO_WRITER: u8 = 2;

/// The log of a file, as its writer sees it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    path: PathBuf,
    max_log_pages: usize,
    /// Number of pages in the log after the last commit.
    log_pages: Arc<AtomicUsize>,
    stage: Arc<AtomicU8>,
    /// Started when the log is to be copied for the first time, which most commands never need.
    copier: Option<Copier>,
}

/// The thread that copies, each time it is told to begin.
#[derive(Debug)]
struct Copier {
    begin: mpsc::SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Takes over the checkpoints of the connection that writes, which would otherwise make its own within a commit.
    ///
    /// # Errors
    /// When SQLite has no memory left.
    pub(super) fn of(writer: &mut Connection, path: &Path) -> rusqlite::Result<Self> {
        let log_pages = Arc::new(AtomicUsize::new(0));
        let of_hook = Arc::clone(&log_pages);
        writer.wal_hook(Some(move |_: &mut Wal, pages| {
            of_hook.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let (path, stage) = (path.to_owned(), Arc::new(AtomicU8::new(IDLE)));
        Ok(Self { path, max_log_pages: MAX_LOG_PAGES, log_pages, stage, copier: None })
    }

    /// What is due between two transactions of the writer.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        match self.stage.load(Ordering::Acquire) {
            IDLE if self.log_pages.load(Ordering::Relaxed) >= self.max_log_pages => {
                self.stage.store(COPYING, Ordering::Release);
                if self.copier.is_none() {
                    self.copier = Copier::start(&self.path, Arc::clone(&self.stage)).ok();
                }
                // It waits to be told, so there is room.
                let is_told = self.copier.as_ref().is_some_and(|copier| copier.begin.try_send(()).is_ok());
                if !is_told {
                    self.stage.store(LEFT_TO_WRITER, Ordering::Release);
                }
            }
            LEFT_TO_WRITER => {
                // If it fails, the log grows until the next one.
                let _ = copy(writer);
                self.stage.store(IDLE, Ordering::Release);
            }
            _ => {}
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(Copier { begin, thread }) = self.copier.take() {
            drop(begin);
            // It does not panic.
            let _ = thread.join();
        }
    }
}

impl Copier {
    /// Starts the thread on a connection of its own.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    fn start(path: &Path, stage: Arc<AtomicU8>) -> std::io::Result<Self> {
        let (begin, begun) = mpsc::sync_channel(1);
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("database copier".to_owned()).spawn(move || {
            let connection = open(&path).ok();
            while begun.recv().is_ok() {
                // What is not copied here is left to the writer.
                connection.as_ref().map(copy_most);
                stage.store(LEFT_TO_WRITER, Ordering::Release);
            }
        })?;
        Ok(Self { begin, thread })
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    set_up(&mut connection)?;
    Ok(connection)
}

/// Copies the log until little is left in it, or a reader keeps the rest there.
fn copy_most(connection: &Connection) {
    let mut copied_before = -1;
    for _ in 0..MAX_PASSES {
        match copy(connection) {
            Ok((in_log, copied)) if in_log - copied > MAX_LEFT_PAGES && copied != copied_before => {
                copied_before = copied
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// Copies what is in the log, as far as no reader needs the file as it is, and returns the number of pages that are in the log and that are
/// copied. Nobody waits for it, and it waits for nobody.
fn copy(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row((), |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const LOG_PAGES: usize = 2 * MAX_LEFT_PAGES as usize;

    /// A writer's connection to a new file with one table.
    fn file(path: &Path) -> (Connection, Checkpoints) {
        let mut writer = Connection::open(path).unwrap();
        set_up(&mut writer).unwrap();
        writer.pragma_update(None, "journal_mode", "wal").unwrap();
        writer.execute_batch("CREATE TABLE contents (content BLOB NOT NULL) STRICT").unwrap();
        let mut checkpoints = Checkpoints::of(&mut writer, path).unwrap();
        checkpoints.max_log_pages = LOG_PAGES;
        (writer, checkpoints)
    }

    /// Writes some pages, and does what is due after it.
    fn write(writer: &Connection, checkpoints: &mut Checkpoints) {
        writer.execute("INSERT INTO contents VALUES (zeroblob(100000))", ()).unwrap();
        checkpoints.after_commit(writer);
    }

    fn pages(checkpoints: &Checkpoints) -> usize {
        checkpoints.log_pages.load(Ordering::Relaxed)
    }

    /// Writes until the log has begun again, and returns how large it was at most.
    fn write_until_it_begins_again(writer: &Connection, checkpoints: &mut Checkpoints) -> usize {
        let (began, mut largest) = (Instant::now(), 0);
        while pages(checkpoints) >= largest {
            largest = pages(checkpoints);
            write(writer, checkpoints);
            assert!(began.elapsed() < Duration::from_secs(60), "the log has {largest} pages and does not begin again");
        }
        largest
    }

    #[test]
    fn the_log_begins_again_while_the_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, mut checkpoints) = file(&directory.path().join("contents.sqlite"));
        for _ in 0..2 {
            assert!(write_until_it_begins_again(&writer, &mut checkpoints) >= LOG_PAGES);
        }
    }

    #[test]
    fn a_reader_holds_up_the_log_and_not_the_writer_and_it_begins_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("contents.sqlite");
        let (writer, mut checkpoints) = file(&path);
        write(&writer, &mut checkpoints);
        let mut reader = Connection::open(&path).unwrap();
        let reading = reader.transaction().unwrap();
        let count: i64 = reading.query_row("SELECT count(*) FROM contents", (), |row| row.get(0)).unwrap();
        while pages(&checkpoints) < LOG_PAGES * 2 {
            write(&writer, &mut checkpoints);
        }
        let seen: i64 = reading.query_row("SELECT count(*) FROM contents", (), |row| row.get(0)).unwrap();
        assert_eq!((count, seen), (1, 1));
        drop(reading);
        assert!(write_until_it_begins_again(&writer, &mut checkpoints) >= LOG_PAGES * 3 / 2);
    }
}
