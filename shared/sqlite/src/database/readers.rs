//! The connections that read for long, for which no writer waits and which wait for none.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use intake_pipeline::port_error::PortError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Semaphore;

use super::{WorkError, set_up};

/// Maximum number of connections that read at once. Each may take a thread for as long as it reads.
const MAX_READERS: usize = 4;

/// The connections of a file that read, which are opened when they are needed and kept.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// The readers of a file that exists.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: Arc::new(path.to_owned()), permits: Arc::new(Semaphore::new(MAX_READERS)), idle: Arc::default() }
    }

    /// Reads on a blocking thread. All that one call reads is of one moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, PortError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let readers = self.clone();
        let run = move || {
            let _permit = permit;
            let mut connection = readers.take()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let result = work(&transaction);
            transaction.rollback()?;
            readers.lock().push(connection);
            result
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(result) => result.map_err(|error: WorkError| PortError::new(operation, &error)),
            Err(error) => Err(PortError::new(operation, &error)),
        }
    }

    fn take(&self) -> Result<Connection, WorkError> {
        if let Some(connection) = self.lock().pop() {
            return Ok(connection);
        }
        Ok(open(&self.path)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list is whole after each of its calls.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that only reads.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    set_up(&mut connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}
