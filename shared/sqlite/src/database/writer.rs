//! The one thread that writes, and commits for all who wait.
//!
//! What waits is run in one transaction, and then one commit brings all of it to the disk. If a request fails, all of them are undone and
//! run again, each in a savepoint of its own. The answers are given after the commit, so nobody hears of a change, of his own or of
//! another, that is not durable. More requests gather meanwhile: the more that wait, the fewer syncs each of them costs. What someone
//! outside waits for, which is that a delivery is taken, goes before what is done about those that were taken.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use intake_pipeline::port_error::PortError;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::WorkError;
use super::checkpoints::Checkpoints;
use super::job::{Work, job};

/// Maximum number of requests that wait. Further callers wait until there is room, each within a deadline of its own.
const MAX_WAITING: usize = 1024;

/// How long a transaction takes in further requests, so that its first one does not wait much longer for its answer, nor another
/// process for the file.
const MAX_GATHERING: Duration = Duration::from_millis(10);

/// How long a transaction with urgent requests takes in others.
const MAX_GATHERING_WHILE_URGENT: Duration = Duration::from_millis(4);

/// The thread that writes. Dropping it finishes what waits.
#[derive(Debug)]
pub(super) struct Writer {
    lanes: Option<Lanes<mpsc::Sender<Request>>>,
    thread: Option<JoinHandle<()>>,
}

/// Where requests wait.
#[derive(Debug)]
struct Lanes<T> {
    /// What someone outside waits for.
    urgent: T,
    /// What is done in its own time.
    other: T,
}

/// What a caller asks for.
enum Request {
    /// Work in a transaction, together with that of others.
    Together(Box<dyn Work>),
    /// Work outside any transaction, while nobody else writes.
    Alone(Box<dyn Work>),
}

/// Whether a request is done before others that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Someone outside waits for it.
    Urgent,
    /// It is done in its own time, which everything urgent makes longer.
    Other,
}

impl Writer {
    /// Starts the thread on a connection.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(super) fn start(connection: Connection, mut checkpoints: Checkpoints) -> std::io::Result<Self> {
        let (urgent, urgent_waiting) = mpsc::channel(MAX_WAITING);
        let (other, other_waiting) = mpsc::channel(MAX_WAITING);
        let mut waiting = Lanes { urgent: urgent_waiting, other: other_waiting };
        // It only waits for two lanes at once.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let thread = std::thread::Builder::new().name("database writer".to_owned()).spawn(move || {
            serve(&connection, &mut checkpoints, &mut waiting, &runtime);
        })?;
        Ok(Self { lanes: Some(Lanes { urgent, other }), thread: Some(thread) })
    }

    /// Does work in a transaction, and returns when that is on the disk. Work whose caller gives up before it is begun is not done;
    /// once begun, it is.
    pub(super) async fn together<T: Send + 'static>(
        &self,
        urgency: Urgency,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.ask(urgency, operation, work, Request::Together).await
    }

    /// Does work outside any transaction, while nobody else of this process writes.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        self.ask(Urgency::Other, operation, work, Request::Alone).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        urgency: Urgency,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
        request: fn(Box<dyn Work>) -> Request,
    ) -> Result<T, PortError> {
        let (job, answered) = job(operation, work);
        let gone = || PortError::of(operation, "the thread that writes has ended");
        let lanes = self.lanes.as_ref().ok_or_else(gone)?;
        let lane = match urgency {
            Urgency::Urgent => &lanes.urgent,
            Urgency::Other => &lanes.other,
        };
        lane.send(request(job)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lanes = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

impl Lanes<mpsc::Receiver<Request>> {
    /// Waits for a request, and returns none when no caller is left.
    async fn next(&mut self) -> Option<(Urgency, Request)> {
        tokio::select! {
            biased;
            Some(request) = self.urgent.recv() => Some((Urgency::Urgent, request)),
            Some(request) = self.other.recv() => Some((Urgency::Other, request)),
            else => None,
        }
    }

    /// A request that waits already.
    fn try_next(&mut self) -> Option<(Urgency, Request)> {
        let urgent = self.urgent.try_recv().map(|request| (Urgency::Urgent, request));
        urgent.or_else(|_| self.other.try_recv().map(|request| (Urgency::Other, request))).ok()
    }
}

fn serve(
    connection: &Connection,
    checkpoints: &mut Checkpoints,
    waiting: &mut Lanes<mpsc::Receiver<Request>>,
    runtime: &tokio::runtime::Runtime,
) {
    let mut next = None;
    while let Some((urgency, request)) = next.take().or_else(|| runtime.block_on(waiting.next())) {
        match request {
            Request::Alone(mut work) => {
                // The work keeps its own error for its answer.
                let _ = work.run(connection);
                work.answer(None);
            }
            Request::Together(work) => next = commit_together(connection, (urgency, work), waiting),
        }
        checkpoints.after_commit(connection);
    }
}

/// Why a transaction can't be committed as it is.
enum Trouble {
    /// A request failed, and may have changed something before.
    Failed,
    /// The reason for which the whole transaction is lost, such as a full disk.
    Lost(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Runs what waits in one transaction, commits it, and answers. Returns a request that cannot take part.
fn commit_together(
    connection: &Connection,
    first: (Urgency, Box<dyn Work>),
    waiting: &mut Lanes<mpsc::Receiver<Request>>,
) -> Option<(Urgency, Request)> {
    let mut so_far = execute(connection, "BEGIN IMMEDIATE").map_err(Trouble::from);
    let (started, mut max_gathering) = (Instant::now(), MAX_GATHERING);
    let (mut together, mut cannot_take_part) = (Vec::new(), None);
    let mut next = Some(first);
    while let Some((urgency, mut work)) = next.take() {
        if urgency == Urgency::Urgent {
            max_gathering = MAX_GATHERING_WHILE_URGENT;
        }
        // Without a transaction all who wait already get the reason, instead of waiting for the same again one after the other.
        if so_far.is_ok() && work.is_awaited() {
            so_far = run(connection, work.as_mut());
        }
        together.push(work);
        if together.len() >= MAX_WAITING || started.elapsed() >= max_gathering {
            break;
        }
        match waiting.try_next() {
            Some((urgency, Request::Together(work))) => next = Some((urgency, work)),
            alone => cannot_take_part = alone,
        }
    }
    if matches!(so_far, Err(Trouble::Failed)) {
        so_far = run_apart(connection, &mut together);
    }
    let lost = match so_far.and_then(|()| Ok(execute(connection, "COMMIT")?)) {
        Ok(()) => None,
        Err(Trouble::Lost(reason)) => Some(reason),
        Err(Trouble::Failed) => Some("a request failed".to_owned()),
    };
    if lost.is_some() && !connection.is_autocommit() {
        // If this fails too, the next transaction can't begin and says so.
        let _ = execute(connection, "ROLLBACK");
    }
    for work in together {
        work.answer(lost.as_deref());
    }
    cannot_take_part
}

fn run(connection: &Connection, work: &mut dyn Work) -> Result<(), Trouble> {
    work.run(connection).map_err(|reason| match connection.is_autocommit() {
        // After some errors SQLite has rolled all of it back already.
        true => Trouble::Lost(reason),
        false => Trouble::Failed,
    })
}

/// Runs work from the beginning in another transaction, so that only the changes of what fails are undone. This costs each request a
/// savepoint, which copies every page that it changes, and which it was spared before.
fn run_apart(connection: &Connection, together: &mut [Box<dyn Work>]) -> Result<(), Trouble> {
    execute(connection, "ROLLBACK")?;
    execute(connection, "BEGIN IMMEDIATE")?;
    for work in together.iter_mut().filter(|work| work.is_awaited()) {
        execute(connection, "SAVEPOINT request")?;
        match run(connection, work.as_mut()) {
            Err(Trouble::Failed) => execute(connection, "ROLLBACK TO request")?,
            ran => ran?,
        }
        execute(connection, "RELEASE request")?;
    }
    Ok(())
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(())?;
    Ok(())
}

#[cfg(test)]
mod tests;
