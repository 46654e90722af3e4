//! Checkpoints: what is in the write-ahead log is copied to the file, so that the log can begin again.
//!
//! A thread of its own copies while the writer goes on, in small steps, and syncs the file after each of them. Once the log is long enough,
//! the writer copies the rest between two of its transactions, because the log begins again only when all of it is copied and nobody
//! reads it. SQLite syncs the file only then: if all that was copied were still to be written to the disk, everyone would wait for it.

use std::fs::{File, OpenOptions};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::set_up;

/// Number of pages of 4 KiB in the log from which on it is to begin again.
const MAX_LOG_PAGES: usize = 16 * 1024;

/// Number of new pages in the log from which on they are copied. The disk is busy with as many for some milliseconds, and commits wait for
/// it meanwhile.
const STEP_PAGES: usize = 1024;

/// Nothing is copied.
const IDLE: u8 = 0;
/// The thread copies.
const COPYING: u8 = 1;
/// The thread has taken a step.
const COPIED: u8 = 2;

/// The log of a file, as its writer sees it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    path: PathBuf,
    max_log_pages: usize,
    step_pages: usize,
    /// Number of pages in the log after the last commit.
    log_pages: Arc<AtomicUsize>,
    progress: Arc<Progress>,
    /// Started when the log is to be copied for the first time, which most commands never need.
    copier: Option<Copier>,
}

/// How far the log is copied.
#[derive(Debug, Default)]
struct Progress {
    stage: AtomicU8,
    copied_pages: AtomicUsize,
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
        Ok(Self {
            path: path.to_owned(),
            max_log_pages: MAX_LOG_PAGES,
            step_pages: STEP_PAGES,
            log_pages,
            progress: Arc::default(),
            copier: None,
        })
    }

    /// What is due between two transactions of the writer.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let log_pages = self.log_pages.load(Ordering::Relaxed);
        let new_pages = self.new_pages(log_pages);
        match self.progress.stage.load(Ordering::Acquire) {
            IDLE if new_pages >= self.step_pages => self.begin_to_copy(),
            COPIED => {
                if log_pages >= self.max_log_pages {
                    // If it fails, the log grows until the next step.
                    self.progress.note(copy(writer));
                }
                self.progress.stage.store(IDLE, Ordering::Release);
            }
            _ => {}
        }
    }

    /// Number of pages in the log that are not copied.
    fn new_pages(&self, log_pages: usize) -> usize {
        let copied_pages = &self.progress.copied_pages;
        // A log that is shorter than what was copied of it has begun again.
        if log_pages < copied_pages.load(Ordering::Relaxed) {
            copied_pages.store(0, Ordering::Relaxed);
        }
        log_pages.saturating_sub(copied_pages.load(Ordering::Relaxed))
    }

    fn begin_to_copy(&mut self) {
        self.progress.stage.store(COPYING, Ordering::Release);
        if self.copier.is_none() {
            self.copier = Copier::start(&self.path, Arc::clone(&self.progress)).ok();
        }
        // It waits to be told, so there is room.
        let is_told = self.copier.as_ref().is_some_and(|copier| copier.begin.try_send(()).is_ok());
        if !is_told {
            self.progress.stage.store(COPIED, Ordering::Release);
        }
    }
}

impl Progress {
    /// Notes how many pages of the log are copied, unless they could not be.
    fn note(&self, copied: rusqlite::Result<i64>) {
        if let Some(pages) = copied.ok().and_then(|pages| usize::try_from(pages).ok()) {
            self.copied_pages.store(pages, Ordering::Relaxed);
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
    fn start(path: &Path, progress: Arc<Progress>) -> std::io::Result<Self> {
        let (begin, begun) = mpsc::sync_channel(1);
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("database copier".to_owned()).spawn(move || {
            let connection = open(&path).ok();
            let file = connection.as_ref().and_then(|_| to_be_synced(&path).ok());
            while begun.recv().is_ok() {
                // What cannot be copied or synced here is left to the writer, whose own attempt is an error that SQLite knows of.
                if let (Some(connection), Some(file)) = (&connection, &file) {
                    progress.note(copy(connection));
                    let _ = file.sync_data();
                }
                progress.stage.store(COPIED, Ordering::Release);
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

/// The file, to be synced. It stays open until the program ends: when a process closes a file, the operating system drops all locks that the
/// process has on it, and those are SQLite's.
fn to_be_synced(path: &Path) -> std::io::Result<ManuallyDrop<File>> {
    OpenOptions::new().read(true).write(true).open(path).map(ManuallyDrop::new)
}

/// Copies what is in the log, as far as no reader needs the file as it is, and returns the number of its pages that are copied. Nobody waits
/// for it, and it waits for nobody.
fn copy(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row((), |row| row.get(2))
}

#[cfg(test)]
mod tests;
