//! Work on the database, and the caller who waits for it.

use std::panic::AssertUnwindSafe;

use intake_pipeline::port_error::PortError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::WorkError;

/// A caller's work, and the caller who waits for it.
pub(super) trait Work: Send {
    /// Whether the caller still waits.
    fn is_awaited(&self) -> bool;

    /// Does the work. Only the last result counts.
    ///
    /// # Errors
    /// The reason for which what it changed must not stay.
    fn run(&mut self, connection: &Connection) -> Result<(), String>;

    /// Answers with what came of the work, or with the reason for which all of it was lost.
    fn answer(self: Box<Self>, lost: Option<&str>);
}

/// Where the caller gets the answer.
pub(super) type Answered<T> = oneshot::Receiver<Result<T, PortError>>;

struct Job<T, F> {
    operation: &'static str,
    work: F,
    result: Option<Result<T, PortError>>,
    answer: oneshot::Sender<Result<T, PortError>>,
}

/// Work to be done, and where its answer comes.
pub(super) fn job<T: Send + 'static>(
    operation: &'static str,
    work: impl FnMut(&Connection) -> Result<T, WorkError> + Send + 'static,
) -> (Box<dyn Work>, Answered<T>) {
    let (answer, answered) = oneshot::channel();
    (Box::new(Job { operation, work, result: None, answer }), answered)
}

impl<T, F> Work for Job<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, WorkError> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> Result<(), String> {
        let result = match std::panic::catch_unwind(AssertUnwindSafe(|| (self.work)(connection))) {
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
