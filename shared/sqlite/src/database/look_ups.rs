//! The thread that reads what takes a moment, for all who wait at the same time.
//!
//! What waits is read in one transaction on one connection, so that each of many callers at once costs little more than its own
//! statement. What comes later waits for the next transaction: everyone reads what was committed before he asked.

use std::path::PathBuf;
use std::thread::JoinHandle;

use intake_pipeline::port_error::PortError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use super::WorkError;
use super::job::{Work, job};
use super::readers::open;

/// Maximum number of callers that wait. Further ones wait until there is room.
const MAX_WAITING: usize = 1024;

/// The thread that reads. Dropping it finishes what waits.
#[derive(Debug)]
pub(super) struct LookUps {
    requests: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
}

impl LookUps {
    /// Starts the thread on a file that exists. It opens its connection when there is something to read.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(super) fn start(path: PathBuf) -> std::io::Result<Self> {
        let (requests, mut waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new().name("database reader".to_owned()).spawn(move || {
            let mut connection = None;
            let mut together = Vec::new();
            while waiting.blocking_recv_many(&mut together, MAX_WAITING) > 0 {
                let lost = read(&mut connection, &path, &mut together).err().map(|error| error.to_string());
                for work in together.drain(..) {
                    work.answer(lost.as_deref());
                }
            }
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Reads what takes a moment. All that one call reads is of one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        let gone = || PortError::of(operation, "the thread that reads has ended");
        let (job, answered) = job(operation, work);
        self.requests.as_ref().ok_or_else(gone)?.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for LookUps {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are caught.
            let _ = thread.join();
        }
    }
}

/// Does work in one transaction, on a connection that is opened if there is none.
fn read(
    connection: &mut Option<Connection>,
    path: &std::path::Path,
    together: &mut [Box<dyn Work>],
) -> Result<(), WorkError> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(open(path)?),
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    for work in together.iter_mut().filter(|work| work.is_awaited()) {
        // The work keeps its own error for its answer.
        let _ = work.run(&transaction);
    }
    Ok(transaction.rollback()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use super::*;

    /// A file with one row, and its look-ups.
    fn file(path: &Path) -> (Connection, LookUps) {
        let writer = Connection::open(path).unwrap();
        writer.pragma_update(None, "journal_mode", "wal").unwrap();
        writer.execute_batch("CREATE TABLE numbers (number INTEGER) STRICT; INSERT INTO numbers VALUES (1)").unwrap();
        (writer, LookUps::start(path.to_owned()).unwrap())
    }

    fn count(connection: &Connection) -> Result<i64, WorkError> {
        Ok(connection.query_row("SELECT count(*) FROM numbers", (), |row| row.get(0))?)
    }

    #[tokio::test]
    async fn each_reads_what_was_committed_before_he_asked_also_while_another_transaction_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("numbers.sqlite");
        let (writer, look_ups) = file(&path);
        let (begin, begun) = channel();
        let (go_on, told) = channel::<()>();
        let first = look_ups.read("first", move |connection| {
            let before = count(connection)?;
            begin.send(()).unwrap();
            told.recv().unwrap();
            Ok((before, count(connection)?))
        });
        let meanwhile = async {
            tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
            writer.execute("INSERT INTO numbers VALUES (2)", ()).unwrap();
            let later = async {
                tokio::join!(look_ups.read("second", count), look_ups.read("third", count), async {
                    go_on.send(()).unwrap();
                })
            };
            later.await
        };
        let (first, (second, third, ())) = tokio::join!(first, meanwhile);
        assert_eq!((first.unwrap(), second.unwrap(), third.unwrap()), ((1, 1), 2, 2));
    }

    #[tokio::test]
    async fn what_fails_or_writes_fails_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (_writer, look_ups) = file(&directory.path().join("numbers.sqlite"));
        let (panicked, wrote, read) = tokio::join!(
            look_ups.read("panics", |_| -> Result<(), WorkError> { panic!("a defect") }),
            look_ups.read("writes", |connection| Ok(connection.execute("INSERT INTO numbers VALUES (2)", ())?)),
            look_ups.read("reads", count)
        );
        assert!(panicked.unwrap_err().message.contains("a defect"));
        assert!(wrote.unwrap_err().message.contains("readonly"));
        assert_eq!(read.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_is_an_error_for_each_who_asks() {
        let look_ups = LookUps::start("/nowhere/at/all.sqlite".into()).unwrap();
        for _ in 0..2 {
            assert!(look_ups.read("reads", count).await.unwrap_err().message.contains("unable to open"));
        }
    }
}
