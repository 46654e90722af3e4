//! The one thread that writes, and commits for all who wait.
//!
//! What waits is run in one transaction, each request in a savepoint of its own, and then one commit brings all of it to the disk. The
//! answers are given after the commit, so nobody hears of a change, of his own or of another, that is not durable. More requests gather
//! meanwhile: the more that wait, the fewer syncs each of them costs.

use std::panic::AssertUnwindSafe;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use intake_pipeline::port_error::PortError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::WorkError;
use super::checkpoints::Checkpoints;

/// Maximum number of requests that wait. Further callers wait until there is room, each within a deadline of its own.
const MAX_WAITING: usize = 1024;

/// How long a transaction takes in further requests, so that its first one does not wait much longer for its answer, nor another
/// process for the file.
const MAX_GATHERING: Duration = Duration::from_millis(10);

/// The thread that writes. Dropping it finishes what waits.
#[derive(Debug)]
pub(super) struct Writer {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// What a caller asks for.
enum Request {
    /// Work in a transaction, together with that of others.
    Together(Box<dyn Work>),
    /// Work outside any transaction, while nobody else writes.
    Alone(Box<dyn Work>),
}

/// A caller's work, and the caller who waits for it.
trait Work: Send {
    /// Whether the caller still waits.
    fn is_awaited(&self) -> bool;

    /// Does the work.
    ///
    /// # Errors
    /// The reason for which what it changed must not stay.
    fn run(&mut self, connection: &Connection) -> Result<(), String>;

    /// Answers with what came of the work, or with the reason for which all of it was lost.
    fn answer(self: Box<Self>, lost: Option<&str>);
}

struct Job<T, F> {
    operation: &'static str,
    work: Option<F>,
    result: Option<Result<T, PortError>>,
    answer: oneshot::Sender<Result<T, PortError>>,
}

impl<T, F> Work for Job<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, WorkError> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> Result<(), String> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let result = match std::panic::catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(result) => result.map_err(|error| PortError::new(self.operation, &error)),
            Err(_panic) => Err(PortError::of(self.operation, "a defect of the database's work, caught")),
        };
        self.result.insert(result).as_ref().map(drop).map_err(|error| error.message.clone())
    }

    fn answer(self: Box<Self>, lost: Option<&str>) {
        let result = match (self.result, lost) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(lost)) => Err(PortError::of(self.operation, lost)),
            (Some(done), None) => done,
            (None, None) => Err(PortError::of(self.operation, "it was not begun")),
        };
        // Who no longer waits needs no answer.
        let _ = self.answer.send(result);
    }
}

impl Writer {
    /// Starts the thread on a connection.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(super) fn start(connection: Connection, mut checkpoints: Checkpoints) -> std::io::Result<Self> {
        let (requests, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new().name("database writer".to_owned()).spawn(move || {
            serve(&connection, &mut checkpoints, waiting);
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Does work in a transaction, and returns when that is on the disk. Work whose caller gives up before it is begun is not done;
    /// once begun, it is.
    pub(super) async fn together<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.ask(operation, work, Request::Together).await
    }

    /// Does work outside any transaction, while nobody else of this process writes.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.ask(operation, work, Request::Alone).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
        request: fn(Box<dyn Work>) -> Request,
    ) -> Result<T, PortError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Job { operation, work: Some(work), result: None, answer });
        let gone = || PortError::of(operation, "the thread that writes has ended");
        self.requests.as_ref().ok_or_else(gone)?.send(request(job)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, checkpoints: &mut Checkpoints, mut waiting: mpsc::Receiver<Request>) {
    let mut next = None;
    while let Some(request) = next.take().or_else(|| waiting.blocking_recv()) {
        match request {
            Request::Alone(mut work) => {
                // The work keeps its own error for its answer.
                let _ = work.run(connection);
                work.answer(None);
            }
            Request::Together(work) => next = commit_together(connection, work, &mut waiting),
        }
        checkpoints.after_commit(connection);
    }
}

/// Runs what waits in one transaction, commits it, and answers. Returns a request that cannot take part.
fn commit_together(
    connection: &Connection,
    first: Box<dyn Work>,
    waiting: &mut mpsc::Receiver<Request>,
) -> Option<Request> {
    let begun = execute(connection, "BEGIN IMMEDIATE");
    let started = Instant::now();
    let (mut done, mut other, mut lost) = (Vec::new(), None, begun.err().map(|error| error.to_string()));
    let mut next = Some(first);
    while let Some(mut work) = next.take() {
        // Without a transaction all who wait already get the reason, instead of waiting for the same again one after the other.
        if lost.is_none() && work.is_awaited() {
            lost = run_in_savepoint(connection, work.as_mut()).err();
        }
        done.push(work);
        if done.len() >= MAX_WAITING || started.elapsed() >= MAX_GATHERING {
            break;
        }
        match waiting.try_recv() {
            Ok(Request::Together(work)) => next = Some(work),
            Ok(alone) => other = Some(alone),
            Err(_none_waits) => {}
        }
    }
    if lost.is_none() {
        lost = execute(connection, "COMMIT").err().map(|error| error.to_string());
    }
    if lost.is_some() && !connection.is_autocommit() {
        // If this fails too, the next transaction can't begin and says so.
        let _ = execute(connection, "ROLLBACK");
    }
    for work in done {
        work.answer(lost.as_deref());
    }
    other
}

/// Runs work so that only its own changes are undone if it fails.
///
/// # Errors
/// The reason for which the whole transaction is lost, such as a full disk.
fn run_in_savepoint(connection: &Connection, work: &mut dyn Work) -> Result<(), String> {
    let execute = |sql| execute(connection, sql).map_err(|error| error.to_string());
    execute("SAVEPOINT request")?;
    if let Err(reason) = work.run(connection) {
        // After some errors SQLite has rolled all of it back already.
        if connection.is_autocommit() {
            return Err(reason);
        }
        execute("ROLLBACK TO request")?;
    }
    execute("RELEASE request")
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(())?;
    Ok(())
}

#[cfg(test)]
mod tests;
