//! State that several tasks of one thread share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value that is borrowed for the time of one statement. Ports have to be `Send`, so a mutex stands where a cell would do; it is
/// never contended.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Borrows the value. The guard must not be held over an await.
    pub(crate) fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
