//! The events that were given up, and the way back.

use std::future::Future;

use intake_providers::timestamp::Timestamp;

use super::outbox::Position;
use crate::ledger::{Entry, EventEntry};
use crate::port_error::PortError;

/// An event that was given up.
#[derive(Clone, Debug)]
pub struct UndeliveredEvent {
    /// Its place in the order of the ledger.
    pub position: Position,
    /// What the ledger has of it, if that can be read.
    pub event: Option<Entry>,
    /// Number of attempts.
    pub attempts: u32,
    /// Why the last one failed.
    pub reason: String,
    /// When it was given up.
    pub given_up_at: Timestamp,
}

impl UndeliveredEvent {
    /// The event itself.
    #[must_use]
    pub const fn event(&self) -> Option<&EventEntry> {
        match &self.event {
            Some(Entry::Event(event) | Entry::Conflict(event)) => Some(event),
            _ => None,
        }
    }
}

/// The dead letters of forwarding.
pub trait UndeliveredEvents: Send + Sync + 'static {
    /// At most this many, in the order of the ledger.
    fn list(&self, most: usize) -> impl Future<Output = Result<Vec<UndeliveredEvent>, PortError>> + Send;

    /// Lets these be sent again, with all their attempts before them, and returns those that had been given up.
    fn redrive(&self, positions: &[Position]) -> impl Future<Output = Result<Vec<Position>, PortError>> + Send;
}
