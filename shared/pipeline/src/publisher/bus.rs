//! The event bus's port.

use std::future::Future;

use crate::port_error::PortError;

/// Maximum number of entries in one call.
pub const MAX_BATCH_ENTRIES: usize = 10;

/// Maximum size of the entries of one call together, in bytes. EventBridge's pages say 256 KB of an entry and of a call's entries
/// together; this is less than either.
pub const MAX_BATCH_BYTES: usize = 240 * 1024;

/// An event for a bus, in the terms of EventBridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusEntry {
    /// Who sent it, by which rules match: `webhook-intake.` and the provider.
    pub source: String,
    /// What it is, by which rules match: the event's type.
    pub detail_type: String,
    /// The envelope.
    pub detail: String,
}

impl BusEntry {
    /// Its size as EventBridge counts it, in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.source.len() + self.detail_type.len() + self.detail.len()
    }
}

/// Why a bus did not take an entry.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It was throttled, or the bus has a fault; it may be put again.
    #[error(transparent)]
    Busy(PortError),
    /// It will not be taken as it is.
    #[error(transparent)]
    Invalid(PortError),
}

/// An event bus.
pub trait Bus: Send + Sync + 'static {
    /// Puts at most [`MAX_BATCH_ENTRIES`] entries that together have at most [`MAX_BATCH_BYTES`]. An entry is taken only if its
    /// result says so; the results are in the order of the entries.
    ///
    /// # Errors
    /// When nothing is known of any entry.
    fn put(&self, entries: &[BusEntry]) -> impl Future<Output = Result<Vec<Result<(), Refusal>>, PortError>> + Send;
}
